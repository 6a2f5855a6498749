"""Everything about a turn that is decided before the engine is asked: whose conversation, what
was understood, which earlier turns go along, who answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from chatbot.conversation import past_turns
from chatbot.errors import ChatError, NotYours
from chatbot.prompts import Message, base_info_message, free_text_message
from chatbot.talk import follow_talk
from chatbot.themes import BaseInfo, get_label
from chatbot.turn_events import TurnRequest
from chatbot.turn_request import DEFAULT_INFO
from feedback_store.records import Conversation, Turn
from feedback_store.store import Store

_TITLE_LENGTH: Final = 60
_MAX_HISTORY: Final = 40  # earlier turns that go along at most
# The adapter of a turn, by its request and its conversation; "" is the base model.
Choose = Callable[[TurnRequest, str], str]


@dataclass(frozen=True)
class Plan:
    """What will be sent and where the answer will be kept."""

    request: TurnRequest
    conversation: Conversation
    is_new: bool
    base_info: BaseInfo
    user_text: str
    question: Message
    history: Sequence[Sequence[Message]]
    adapter: str  # "" is the base model
    retry_of: int | None = None


def make_plan(store: Store, request: TurnRequest, choose: Choose) -> Plan:
    """The plan of a checked request; raises ChatError for what is gone or somebody else's."""
    if request.retry_of is not None:
        return _plan_retry(store, request, request.retry_of, choose)
    known = _find_conversation(store, request)
    info = _understand(request, known)
    conversation = known or _new_conversation(request, info)
    return Plan(
        request=request,
        conversation=conversation,
        is_new=known is None,
        base_info=info,
        user_text=request.text or _summarise(info, request.lang),
        question=_to_question(request, info),
        history=_read_history(store, known.conversation_id) if known else (),
        adapter=choose(request, conversation.conversation_id),
    )


def _plan_retry(store: Store, request: TurnRequest, turn_id: int, choose: Choose) -> Plan:
    """The same question at the same place of the talk, asked anew."""
    turn, conversation = get_own_turn(store, turn_id, request.person_id)
    return Plan(
        request=replace(request, mode=turn.mode, lang=conversation.lang),
        conversation=conversation,
        is_new=False,
        base_info=BaseInfo(turn.location, turn.work_type, turn.category),
        user_text=turn.user_text,
        question={"role": "user", "content": turn.messages[-1]["content"]},
        history=_read_history(store, conversation.conversation_id, before_turn=turn_id),
        adapter=choose(request, conversation.conversation_id),
        retry_of=turn_id,
    )


def _read_history(
    store: Store, conversation_id: str, before_turn: int | None = None
) -> list[list[Message]]:
    """What may go along; on the event loop, so no more of a long talk than could ever fit."""
    return past_turns(
        store.list_exchanges(conversation_id, limit=_MAX_HISTORY, before_turn=before_turn)
    )


def get_own_turn(store: Store, turn_id: int, person_id: str) -> tuple[Turn, Conversation]:
    """The turn and its conversation; raises ChatError if it is gone or somebody else's."""
    turn = store.get_turn(turn_id)
    if turn is None:
        raise ChatError("not_found", f"There is no answer {turn_id}.")
    return turn, get_own_conversation(store, turn.conversation_id, person_id)


def get_own_conversation(store: Store, conversation_id: str, person_id: str) -> Conversation:
    """The conversation; raises ChatError if it is gone or somebody else's."""
    return _check_own(store.get_conversation(conversation_id), person_id)


def _check_own(conversation: Conversation | None, person_id: str) -> Conversation:
    if conversation is None:
        raise ChatError("not_found", "This conversation no longer exists. Start a new one.")
    if conversation.person_id != person_id:
        raise NotYours("conversation")
    return conversation


def _find_conversation(store: Store, request: TurnRequest) -> Conversation | None:
    """The conversation to go on with; None begins a new one."""
    if request.conversation_id is None:
        return None
    conversation = store.get_conversation(request.conversation_id)
    # The ids of the API are derived from its sessions: the first message begins the conversation.
    if request.origin == "api" and conversation is None:
        return None
    return _check_own(conversation, request.person_id)


def _understand(request: TurnRequest, conversation: Conversation | None) -> BaseInfo:
    """The base info of the turn: as given, or as the talk implies."""
    if request.base_info:
        return request.base_info
    current = first = DEFAULT_INFO
    if conversation:
        current = BaseInfo(conversation.location, conversation.work_type, conversation.category)
        first = replace(current, category=conversation.first_category)
    return follow_talk(request.text, current, first)


def _to_question(request: TurnRequest, info: BaseInfo) -> Message:
    if request.mode == "base_info":
        return base_info_message(info, request.lang)
    return free_text_message(request.text, info, request.lang)


def _summarise(info: BaseInfo, lang: str) -> str:
    return " · ".join(get_label(name, code, lang) for name, code in asdict(info).items())


def _new_conversation(request: TurnRequest, info: BaseInfo) -> Conversation:
    title = request.text or _summarise(info, request.lang)
    return Conversation(
        conversation_id=request.conversation_id or uuid.uuid4().hex,
        person_id=request.person_id,
        origin=request.origin,
        lang=request.lang,
        title=" ".join(title.split())[:_TITLE_LENGTH],
        **asdict(info),
        first_category=info.category,
        may_train=request.may_train,
    )
