"""Answers that repeat a training answer, or each other."""

from __future__ import annotations

import json
from pathlib import Path

from chatbot.prompts import base_info_message, system_message
from chatbot.recommendation import Challenge, Recommendation, canonical
from chatbot.themes import BaseInfo
from finetune.copies import TrainingAnswer, find_copies, find_twins, read_training_answers

ANSWER = Recommendation(
    "오늘은 고기 없는 점심을 먹어 보세요.",
    (
        Challenge("두부 덮밥 먹기", "고기 대신 두부를 얹은 덮밥으로 점심을 먹어 보세요."),
        Challenge("콩 간식 고르기", "과자 대신 구운 콩 한 줌을 골라 보세요."),
        Challenge("채식 식당 찾기", "가까운 채식 식당을 한 곳 찾아 저장해 보세요."),
    ),
)
TEXT = " ".join(
    [ANSWER.recommend, *(f"{item.title} {item.description}" for item in ANSWER.challenges)]
)


def test_a_training_answer_said_again_is_found_in_spite_of_small_changes() -> None:
    row = TrainingAnswer("VEGAN", canonical(ANSWER))
    found = find_copies({"same": TEXT, "nearly": TEXT.replace("한 줌", "두 줌")}, [row])
    assert found == {"same": row, "nearly": row}


def test_of_several_equal_training_answers_the_one_that_fits_counts() -> None:
    rows = [TrainingAnswer(name, canonical(ANSWER)) for name in ("VEGAN", "PLOGGING", "VEGAN")]
    found = find_copies({"same": TEXT}, rows, lambda _, row: float(row.category == "PLOGGING"))
    assert found == {"same": rows[1]}


def test_one_challenge_in_common_is_no_copy() -> None:
    other = "물을 아껴 보세요. 짧게 샤워하기 오늘은 5분 안에 샤워를 끝내 보세요. 두부 덮밥 먹기"
    assert (
        find_copies({"other": other, "empty": ""}, [TrainingAnswer(None, canonical(ANSWER))]) == {}
    )


def test_plain_training_text_is_compared_as_it_is() -> None:
    row = TrainingAnswer(None, TEXT)
    assert find_copies({"same": TEXT}, [row]) == {"same": row}


def test_twins_are_equal_answers_to_different_questions() -> None:
    twins = find_twins([("a", "city", TEXT), ("b", "beach", TEXT), ("c", "hill", "다른 답이에요.")])
    assert twins.keys() == {"a", "b"}


def test_the_same_question_asked_twice_makes_no_twins() -> None:
    assert find_twins([("a", "city", TEXT), ("b", "city", TEXT)]) == {}


def test_training_answers_are_read_with_the_category_they_were_asked_for(tmp_path: Path) -> None:
    info = BaseInfo("city", "office", "VEGAN")
    row = {
        "prompt": [system_message("ko"), base_info_message(info, "ko")],
        "completion": [{"role": "assistant", "content": canonical(ANSWER)}],
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")
    asked = base_info_message(info, "ko")["content"]
    expected = [TrainingAnswer("VEGAN", canonical(ANSWER), asked)]
    assert list(read_training_answers(tmp_path)) == expected
    assert list(read_training_answers(tmp_path / "gone")) == []
