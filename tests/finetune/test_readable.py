"""Answers as words."""

import pytest

from chatbot.recommendation import canonical
from finetune.readable import read_fields
from tests.finetune.examples import ANSWER


def test_the_words_of_a_recommendation_come_in_order() -> None:
    pairs = ((item.title, item.description) for item in ANSWER.challenges)
    expected = (ANSWER.recommend, *(text for pair in pairs for text in pair))
    assert read_fields(canonical(ANSWER)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "그냥 글",
        "{",
        "[1]",
        '{"recommend": "a"}',
        '{"recommend": 1, "challenges": []}',
        "[" * 9999,
    ],
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert read_fields(text) == (text,)
