"""How likely accepted answers are: read from the test split, asked in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from chatbot.prompts import system_message
from finetune.scores import MAX_ROWS, ScoreRequest, count_learnt, read_test_rows, score_rows
from tests.finetune.fake_serving import FakeServing


def write_rows(folder: Path, answers: Sequence[str]) -> None:
    lines = [
        json.dumps(
            {
                "prompt": [system_message("ko")],
                "completion": [{"role": "assistant", "content": answer}],
                "example_id": number,
            },
            ensure_ascii=False,
        )
        for number, answer in enumerate(answers)
    ]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Scorer(FakeServing):
    """Likes short answers, and refuses empty ones."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[float | None]:
        self.batches.append(len(requests))
        return [
            -float(len(request.completion)) if request.completion else None for request in requests
        ]


def test_equal_rows_are_read_once_and_not_too_many(tmp_path: Path) -> None:
    write_rows(tmp_path, ["가", "가", "나"])
    assert [row.completion for row in read_test_rows(tmp_path)] == ["가", "나"]
    write_rows(tmp_path, [str(number) for number in range(500)])
    assert len(read_test_rows(tmp_path)) == MAX_ROWS
    assert read_test_rows(tmp_path / "gone") == ()


def test_what_was_learnt_makes_room_for_other_rows(tmp_path: Path) -> None:
    write_rows(tmp_path, [str(number) for number in range(100)])
    learnt = {*range(10), 5000}
    rows = read_test_rows(tmp_path, learnt)
    assert [row.completion for row in rows] == [str(number) for number in range(10, 74)]
    assert count_learnt(tmp_path, learnt) == 10
    assert count_learnt(tmp_path / "gone", learnt) == 0


def test_rows_are_scored_in_batches_and_what_is_refused_is_left_out(tmp_path: Path) -> None:
    write_rows(tmp_path, ["", *("다" * number for number in range(1, 40))])
    rows, scorer = read_test_rows(tmp_path), Scorer()
    scores = score_rows(scorer, "v0001", rows, {})
    assert sorted(scores.values(), reverse=True)[:2] == [-1.0, -2.0]
    assert len(scores) == len(rows) - 1
    assert sum(scorer.batches) == len(rows)


def test_known_scores_are_not_asked_again(tmp_path: Path) -> None:
    write_rows(tmp_path, ["가", "나"])
    rows, scorer = read_test_rows(tmp_path), Scorer()
    known = score_rows(scorer, None, rows[:1], {})
    assert score_rows(scorer, None, rows, known).keys() == {row.row_id for row in rows}
    assert scorer.batches == [1, 1]


def test_an_engine_that_cannot_score_gives_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path, ["가"])
    assert score_rows(FakeServing(), None, read_test_rows(tmp_path), {}) == {}
