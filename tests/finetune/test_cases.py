"""The questions of an evaluation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chatbot.prompts import base_info_message, free_text_message, system_message
from chatbot.themes import BaseInfo
from feedback_store.records import NewExample
from feedback_store.store import Store
from finetune.cases import asked_category, held_out_cases, regression_cases
from finetune.held_out import is_held_out

INFO = BaseInfo("city", "office", "VEGAN")


def test_every_question_is_about_a_held_out_combination() -> None:
    assert all(is_held_out(case.base_info) for case in held_out_cases(176))


def test_the_questions_are_distinct_and_always_the_same() -> None:
    cases = held_out_cases(176)
    assert len({case.case_id for case in cases}) == 176
    assert len({case.messages[-1]["content"] for case in cases}) == 176
    assert cases == held_out_cases(176)


def test_more_questions_begin_with_the_fewer_ones() -> None:
    assert held_out_cases(176)[:48] == held_out_cases(48)


@pytest.mark.parametrize("num_cases", [48, 96])
def test_each_category_is_asked_as_often_in_both_languages_and_modes(num_cases: int) -> None:
    cases = held_out_cases(num_cases)
    assert set(Counter(case.base_info.category for case in cases).values()) == {num_cases // 8}
    langs = Counter(case.lang for case in cases)
    assert langs["ko"] == 2 * langs["en"]
    assert sum("-base-" in case.case_id for case in cases) >= num_cases // 3


def test_eight_questions_cover_eight_categories() -> None:
    assert len({case.base_info.category for case in held_out_cases(8)}) == 8


def test_no_placeholder_is_left_in_a_question() -> None:
    for case in held_out_cases(176):
        assert "{" not in case.messages[-1]["content"]


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_the_category_is_read_from_the_prompt(lang: str) -> None:
    talk = "고기를 줄이고 싶어요\n카테고리: 에너지"
    assert asked_category([system_message(lang), base_info_message(INFO, lang)]) == "VEGAN"
    assert asked_category([free_text_message(talk, INFO, lang)]) == "VEGAN"


def test_a_prompt_of_another_kind_names_no_category() -> None:
    assert asked_category([{"role": "user", "content": "hello"}]) is None
    assert asked_category([]) is None


def _disliked(number: int) -> NewExample:
    messages = (system_message("ko"), free_text_message(f"질문 {number}", INFO, "ko"))
    return NewExample(
        source="feedback",
        messages=tuple(dict(message) for message in messages),
        completion="",
        original_text="",
        conversation_id=f"c{number}",
        person_id="p",
        lang="ko",
        location="city",
        work_type="office",
        category="VEGAN",
        purpose="regression",
    )


def test_disliked_answers_become_questions_unless_excluded(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        ids = store.add_examples([_disliked(number) for number in range(3)])
        assert ids[1] is not None
        store.decide_examples([ids[1]], state="excluded", decided_by="admin")
        cases = regression_cases(store)
    assert [case.case_id for case in cases] == [f"regression-{ids[2]}", f"regression-{ids[0]}"]
    assert {case.kind for case in cases} == {"regression"}
    assert cases[0].base_info == INFO
    assert cases[0].messages[-1]["content"].startswith("질문 2")
