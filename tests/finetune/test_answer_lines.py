import pytest

from finetune.answer_lines import (
    AnswerLines,
    NotCertain,
    read_lines,
    split_bullet,
    split_challenge,
    split_number,
)

CHALLENGES = (("가", "나"), ("다", "라"), ("마", "바"))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("추천\n1. 가: 나\n2. 다: 라\n3. 마: 바", "numbered_lines"),
        ("추천\n1) 가 - 나\n2) 다 - 라\n3) 마 - 바", "numbered_lines"),
        ("추천\n① 가: 나\n② 다: 라\n③ 마: 바", "numbered_lines"),
        ("추천\n\n- 가: 나\n- 다: 라\n- 마: 바", "bulleted_lines"),
        ("추천\n• 가：나\n• 다：라\n• 마：바", "bulleted_lines"),
        ("추천\n\n1. 가\n나\n\n2. 다\n라\n\n3. 마\n바", "numbered_lines"),
        ("추천\n1. 가\n- 나\n2. 다\n- 라\n3. 마\n- 바", "numbered_lines"),
        ("추천\n1. **가**: 나\n2. **다:** 라\n3. **마** 바", "numbered_lines"),
        ("recommend: 추천\nchallenges:\n1. 가: 나\n2. 다: 라\n3. 마: 바", "numbered_lines"),
    ],
)
def test_lines_of_one_shape_are_read(text: str, shape: str) -> None:
    assert read_lines(text) == AnswerLines("추천", CHALLENGES, shape)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("그냥 글", "not_an_answer"),
        ("추천\n1. 가: 나\n2. 다: 라", "wrong_count"),
        ("추천\n1. 가: 나\n3. 다: 라\n2. 마: 바", "unclear_numbering"),
        ("1. 가: 나\n2. 다: 라\n3. 마: 바", "missing_recommend"),
        ("하나\n둘\n1. 가: 나\n2. 다: 라\n3. 마: 바", "unclear_recommend"),
        ("추천\n1. 가: 나: 또\n2. 다: 라\n3. 마: 바", "unclear_title"),
        ("추천\n1. 가\n2. 다\n3. 마", "unclear_title"),
        ("추천\n1. 가: 나\n2. 다: 라\n3. 마: 바\n좋은 하루!", "unclear_title"),
        ("추천\n1. 가: 나\n더\n2. 다: 라\n더\n3. 마: 바\n더", "unclear_title"),
    ],
)
def test_what_is_unclear_is_named(text: str, name: str) -> None:
    with pytest.raises(NotCertain) as error:
        read_lines(text)
    assert error.value.name == name


def test_a_time_or_an_address_separates_nothing() -> None:
    assert split_challenge("아침 9:30 산책: 천천히 걷기") == ("아침 9:30 산책", "천천히 걷기")
    assert split_challenge("검색: https://example.org 보기") == ("검색", "https://example.org 보기")


@pytest.mark.parametrize(
    ("text", "number", "rest"),
    [
        ("2. 가", 2, "가"),
        ("2)가", 2, "가"),
        ("②가", 2, "가"),
        ("1.5km 걷기", None, "1.5km 걷기"),
        ("3번 걷기", None, "3번 걷기"),
    ],
)
def test_numbers_are_told_from_figures(text: str, number: int | None, rest: str) -> None:
    assert split_number(text) == (number, rest)


def test_bullets_are_told_from_rules_and_dashes() -> None:
    assert split_bullet("- 가") == (True, "가")
    assert split_bullet("--- 가") == (False, "--- 가")
