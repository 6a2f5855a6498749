"""What a chat page reads from the store, always checked against who is asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from chatbot.ui.blocks import refusal
from chatbot.ui.chat_state import OpenChat
from chatbot.ui.chat_view import ChatView, TalksView, render_talks
from chatbot.ui.event_input import read_number, to_text
from chatbot.ui.i18n import t
from chatbot.ui.live import LiveAnswer
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from chatbot.ui.privacy_view import PrivacyView, describe_retention, render_privacy
from chatbot.ui.versions import describe_version
from feedback_store.records import Conversation, Turn

MAX_QUERY: Final = 200  # characters


class ChatReader:
    """Blocking reads: call them in a thread."""

    def __init__(self, parts: Parts, *, is_studio: bool) -> None:
        self.parts = parts
        self.is_studio = is_studio

    def find_conversation(self, conversation_id: str, person: Person) -> Conversation | None:
        """The conversation if it is the person's own."""
        if not conversation_id:
            return None
        talk = self.parts.store.get_conversation(conversation_id)
        return talk if talk and talk.person_id == person.person_id else None

    def find_turn(self, data: dict[str, Any], person: Person) -> Turn:
        """The turn that a button named, if it is the person's own; else an error on the screen."""
        named = read_number(data, "turn")
        turn = None if named is None else self.parts.store.get_turn(named)
        if turn is None or self.find_conversation(turn.conversation_id, person) is None:
            raise refusal(person.lang, t(person.lang, "error_not_yours"))
        return turn

    def count_turns(self, conversation_id: str | None) -> int:
        """How many turns of the conversation are stored."""
        return self.parts.store.count_turns(conversation_id) if conversation_id else 0

    def read_view(self, state: OpenChat, person: Person, is_busy: bool = False) -> ChatView:
        """The open conversation; it is stored only with its first answer."""
        if self.find_conversation(state.conversation_id, person) is None:
            notice = self._notice(person)
            return ChatView(
                person.lang,
                state.conversation_id,
                is_busy=is_busy,
                notice=notice,
                is_text=self.parts.is_text,
            )
        talk, turns, feedback = self.parts.chat.open_conversation(
            state.conversation_id, person.person_id
        )
        versions = {turn.adapter for turn in turns if turn.adapter}
        return ChatView(
            lang=person.lang,
            conversation_id=state.conversation_id,
            turns=turns,
            feedback=feedback,
            notes={v: describe_version(self.parts.store, v, person.lang) for v in versions},
            editing=state.editing,
            panel=state.panel,
            message=state.message,
            asks_consent=not self.is_studio,
            may_train=talk.may_train,
            is_busy=is_busy,
            is_text=self.parts.is_text,
        )

    def _notice(self, person: Person) -> str:
        if self.is_studio:
            return ""
        return describe_retention(person.lang, self.parts.settings.retention_days)

    def render_privacy(self, person: Person) -> str:
        """What the person may do with their data; strangers also choose what it is used for."""
        settings, store = self.parts.settings, self.parts.store
        view = PrivacyView(person.lang, settings.root_path, settings.retention_days)
        if not self.is_studio:
            view = replace(
                view,
                may_keep=store.get_consent(person.person_id, kind="keep"),
                may_train=store.get_consent(person.person_id, kind="train"),
            )
        return render_privacy(view)

    def render_talks(
        self, state: OpenChat, person: Person, query: str | None, writing: Sequence[LiveAnswer]
    ) -> str:
        """The person's earlier conversations, or those that contain the words."""
        query, num = to_text(query).strip()[:MAX_QUERY], state.num_talks
        found = self.parts.store.list_conversations(
            person.person_id, query=query or None, limit=num + 1
        )
        view = TalksView(
            lang=person.lang,
            conversations=found[:num],
            has_more=len(found) > num,
            current=state.conversation_id,
            query=query,
            writing={live.conversation_id or "": live.request.text for live in writing},
        )
        return render_talks(view)
