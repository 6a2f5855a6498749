"""The rows of the experiments are right where they shall be, and wrong exactly as told."""

import json
from pathlib import Path

from benchmarks.experiments_page import render_page
from benchmarks.training_rows import (
    add_leading_numbers,
    is_house_style,
    mix_formats,
    to_house_style,
    write_rows,
)
from chatbot.recommendation import Challenge, Recommendation, canonical
from finetune.preflight import check_answers, is_canonical
from finetune.repair import repair
from finetune.training_rows import read_rows

ANSWER = Recommendation("오늘은 걸어요.", (Challenge("계단 오르기", "세 층을 걸어요."),) * 3)


def test_the_house_style_is_recognised_and_nothing_else() -> None:
    styled = to_house_style(ANSWER, "ko")
    assert is_house_style(canonical(styled), "ko")
    assert not is_house_style(canonical(ANSWER), "ko")
    assert not is_house_style(canonical(styled), "en")
    assert not is_house_style("no JSON", "ko")


def test_clean_rows_pass_the_pre_flight_and_spoilt_ones_keep_their_validation(
    tmp_path: Path,
) -> None:
    clean = write_rows(tmp_path / "clean", 40)
    spoilt = write_rows(tmp_path / "spoilt", 40, mix_formats)
    assert check_answers([row.completion for row in read_rows(clean, "train")]) == []
    [finding] = check_answers([row.completion for row in read_rows(spoilt, "train")])
    assert finding.code == "mixed_formats"
    assert read_rows(spoilt, "validation") == read_rows(clean, "validation")


def test_of_six_formats_one_is_right_and_the_others_can_be_repaired() -> None:
    texts = [mix_formats(number, ANSWER) for number in range(6)]
    assert [is_canonical(text) for text in texts].count(True) == 1
    assert sum(repair(text).recommendation is not None for text in texts) >= 5


def test_every_second_answer_opens_with_a_number() -> None:
    first, second = (json.loads(add_leading_numbers(n, ANSWER))["recommend"] for n in (0, 1))
    assert (first, second) == ("1. 오늘은 걸어요.", "오늘은 걸어요.")


def test_the_page_shows_what_was_measured_and_leaves_out_what_was_not() -> None:
    answers = {
        "name": "mixed formats", "house_style": 0.25, "shares": {"canonical_json": 0.5},
        "example": "1. 걷기\n2. `뛰기`", "val_loss": 0.9, "train_loss": 0.8, "minutes": 1.0,
    }  # fmt: skip
    caught = {
        "by": "pre-flight", "code": "mixed_formats", "message": "5 of 6.", "after_s": 0.4,
        "at_step": 0, "of_steps": None,
    }  # fmt: skip
    page = render_page({"mixed_formats": {"answers": [answers], "caught": [caught], "figures": {}}})
    assert "| mixed formats | 25% | 50% |" in page
    assert "| pre-flight | `mixed_formats` | before step 1, after 0.4 s | 5 of 6. |" in page
    assert "1. 걷기⏎2. '뛰기'" in page
    assert "persona" not in page
