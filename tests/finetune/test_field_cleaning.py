from dataclasses import replace

import pytest

from chatbot.recommendation import Challenge
from finetune.field_cleaning import Cleaner, looks_stuffed
from tests.finetune.examples import ANSWER


def clean(text: str) -> tuple[str, set[str], list[str]]:
    cleaner = Cleaner(frozenset())
    cleaned = cleaner.clean(text)
    return cleaned, cleaner.repairs, [flag.name for flag in cleaner.flags]


@pytest.mark.parametrize(
    ("text", "cleaned", "repairs", "flags"),
    [
        ("걷기", "걷기", set(), []),
        (" 걷기\n\n", "걷기", {"edge_blank"}, []),
        ("\ufeff걷기\\n", "걷기", {"edge_blank"}, []),
        ("천천히 \n걷기", "천천히 걷기", {"line_break"}, []),
        ("걸어요.\n뛰어요.", "걸어요. 뛰어요.", {"line_break"}, []),
        ("걸\n어요", "걸\n어요", set(), ["line_break"]),
        ("하루 3.\n5km", "하루 3.\n5km", set(), ["line_break"]),
        ("걷기\\n뛰기", "걷기\\n뛰기", set(), ["escaped_text"]),
    ],
)
def test_what_is_certain_is_cleaned_and_the_rest_flagged(
    text: str, cleaned: str, repairs: set[str], flags: list[str]
) -> None:
    assert clean(text) == (cleaned, repairs, flags)


@pytest.mark.parametrize("marks", [("1. ", "2. ", "3. "), ("①", "②", "③"), ("- ", "- ", "- ")])
def test_marks_on_all_three_titles_go(marks: tuple[str, ...]) -> None:
    challenges = tuple(
        Challenge(mark + item.title, item.description)
        for mark, item in zip(marks, ANSWER.challenges, strict=True)
    )
    cleaner = Cleaner(frozenset())
    assert cleaner.clean_answer(replace(ANSWER, challenges=challenges)) == ANSWER
    assert cleaner.repairs == {"numbering"}


def test_a_mark_on_one_title_stays_and_is_flagged() -> None:
    first = Challenge("1. 텀블러", "커피를 담아요.")
    answer = replace(ANSWER, challenges=(first, *ANSWER.challenges[1:]))
    cleaner = Cleaner(frozenset())
    assert cleaner.clean_answer(answer) == answer
    assert [flag.name for flag in cleaner.flags] == ["leading_number"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("그냥 추천해요.", False),
        ("{중괄호}로 시작해요.", True),
        ('가요 "challenges": [', True),
        ("가요\n1. 하나\n2. 둘", True),
        ("가요\n그리고 1. 하나", False),
    ],
)
def test_stuffing_is_recognised(text: str, expected: bool) -> None:
    assert looks_stuffed(text) is expected
