"""Small real records for the tests of the data side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chatbot.prompts import base_info_message, prompt_hash, system_message
from chatbot.recommendation import Challenge, Recommendation, canonical
from chatbot.themes import BaseInfo
from feedback_store.records import Conversation, NewExample, NewTurn, Turn
from feedback_store.store import Store

INFO = BaseInfo("city", "office", "ZERO_WASTE")
ANSWER = Recommendation(
    "도시에서는 텀블러를 쓰는 하루가 좋아요.",
    (
        Challenge("텀블러 들기", "카페에서 텀블러에 커피를 담아요."),
        Challenge("리필숍 가기", "세제를 빈 병에 다시 채워요."),
        Challenge("영수증 거절", "종이 영수증을 받지 않아요."),
    ),
)
BETTER = replace(ANSWER, recommend="사무실 쓰레기를 함께 줄여 봐요.")


def make_messages(info: BaseInfo = INFO) -> tuple[dict[str, str], ...]:
    """The prompt that the chat would send."""
    messages = (system_message("ko"), base_info_message(info, "ko"))
    return tuple({"role": m["role"], "content": m["content"]} for m in messages)


def numbered_answer(number: int) -> Recommendation:
    """Answers that differ."""
    return replace(ANSWER, recommend=f"오늘은 {number}번째 작은 실천을 시작해 봐요.")


def make_example(**changes: Any) -> NewExample:
    """A clean example to import."""
    example = NewExample(
        source="import",
        messages=make_messages(),
        completion=canonical(ANSWER),
        original_text=canonical(ANSWER),
        conversation_id="group-1",
        person_id="importer",
        lang="ko",
        location=INFO.location,
        work_type=INFO.work_type,
        category=INFO.category,
    )
    return replace(example, **changes)


def add_conversation(
    store: Store, conversation_id: str = "c1", *, may_train: bool = True, **changes: Any
) -> Conversation:
    """A conversation of a public chatter who lets it be used."""
    conversation = Conversation(
        conversation_id=conversation_id,
        person_id="person-1",
        origin="public",
        lang="ko",
        location=INFO.location,
        work_type=INFO.work_type,
        category=INFO.category,
        first_category=INFO.category,
        may_train=may_train,
    )
    return store.add_conversation(replace(conversation, **changes))


def add_turn(store: Store, conversation_id: str = "c1", **changes: Any) -> Turn:
    """An answered turn."""
    turn = NewTurn(
        conversation_id=conversation_id,
        mode="base_info",
        user_text="",
        location=INFO.location,
        work_type=INFO.work_type,
        category=INFO.category,
        messages=make_messages(),
        raw_text=canonical(ANSWER),
        recommendation=None,
        status="ok",
        base_model="starter",
        prompt_hash=prompt_hash([]),
        duration_ms=5.0,
    )
    return store.add_turn(replace(turn, **changes))
