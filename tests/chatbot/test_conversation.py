"""Stored turns become messages that fit."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.conversation import (
    TokenGauge,
    count_message_tokens,
    estimate_tokens,
    fit_messages,
    past_turns,
)
from chatbot.prompts import Message
from chatbot.recommendation import canonical, from_dict
from feedback_store.records import Exchange
from tests.scripted_engine import ANSWER

SYSTEM: Message = {"role": "system", "content": "s" * 10}
NEW: Message = {"role": "user", "content": "n" * 10}


def pair(number: int, size: int = 10) -> list[Message]:
    return [
        {"role": "user", "content": str(number) * size},
        {"role": "assistant", "content": str(number) * size},
    ]


def make_exchange(turn_id: int, **changes: Any) -> Exchange:
    exchange = Exchange(
        turn_id=turn_id,
        retry_of=None,
        status="ok",
        question=f"q{turn_id}",
        recommendation={**ANSWER, "recommend": f"a{turn_id}"},
    )
    return replace(exchange, **changes)


def fit(turns: list[list[Message]], window: int) -> list[Message]:
    return fit_messages(SYSTEM, turns, NEW, count_tokens=len, context_window=window, max_tokens=20)


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        (1000, [1, 2, 3]),
        (20 + 36 + 36 * 3, [1, 2, 3]),
        (20 + 36 + 36 * 3 - 1, [2, 3]),
        (20 + 36 + 36, [3]),
        (20 + 36 + 35, []),
        (0, []),
    ],
)
def test_whole_turns_go_along_and_the_newest_are_kept(window: int, kept: list[int]) -> None:
    messages = fit([pair(1), pair(2), pair(3)], window)
    assert messages == [SYSTEM, *[message for number in kept for message in pair(number)], NEW]


@given(st.lists(st.integers(0, 200), max_size=12), st.integers(0, 2000))
def test_what_goes_along_always_fits(sizes: list[int], window: int) -> None:
    messages = fit([pair(1, size) for size in sizes], window)
    assert messages[0] == SYSTEM
    assert messages[-1] == NEW
    assert len(messages) % 2 == 0
    if len(messages) > 2:
        assert count_message_tokens(messages, len) + 20 <= window


def test_the_estimate_is_one_token_a_syllable_and_less_for_english() -> None:
    assert estimate_tokens("안녕하세요") == 6
    assert estimate_tokens("hello world") == 5


def test_the_gauge_learns_from_what_the_engine_counts() -> None:
    gauge = TokenGauge()
    text = "가" * 99
    assert gauge.count(text) == 100
    messages: list[Message] = [{"role": "user", "content": text}]
    gauge.learn(messages, 54)  # half of 100 and the 8 around
    assert gauge.count(text) == pytest.approx(55, abs=1)
    gauge.learn(messages, 108)
    assert gauge.count(text) == pytest.approx(110, abs=1)
    for _ in range(20):
        gauge.learn(messages, 1)
    assert gauge.count(text) == 33


def test_past_turns_hold_the_question_as_sent_and_the_canonical_answer() -> None:
    [turn] = past_turns([make_exchange(1)])
    answer = canonical(from_dict({**ANSWER, "recommend": "a1"}))
    assert turn == [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": answer},
    ]


def questions(exchanges: list[Exchange]) -> list[str]:
    return [messages[0]["content"] for messages in past_turns(exchanges)]


def test_only_whole_answers_go_along() -> None:
    exchanges = [
        make_exchange(1, status="truncated", recommendation=None),
        make_exchange(2, status="stopped", recommendation=None),
        make_exchange(3),
        make_exchange(4, status="failed", recommendation=None),
        make_exchange(5, recommendation={"recommend": "too little"}),
        make_exchange(6, question=None),
    ]
    assert questions(exchanges) == ["q3"]


def test_of_several_answers_to_one_question_the_last_counts() -> None:
    retry = make_exchange(3, retry_of=1, question="q1")
    again = make_exchange(4, retry_of=3, question="q1")
    exchanges = [make_exchange(1), make_exchange(2), retry, again]
    assert questions(exchanges) == ["q1", "q2"]
    assert '"a4"' in past_turns(exchanges)[0][1]["content"]


def test_another_try_of_a_question_that_lies_further_back_does_not_go_along() -> None:
    assert questions([make_exchange(7, retry_of=2), make_exchange(8)]) == ["q8"]
