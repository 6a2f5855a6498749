"""Rows of a dataset folder, and which of them fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.training_rows import RowError, keep_fitting, read_rows


class WordTokenizer:
    """One token per word; enough to measure."""

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> str:
        return " ".join(message["content"] for message in conversation)

    def __call__(self, text: Any, **kwargs: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[1] * len(item.split()) for item in text]}


def write_split(folder: Path, split: str, answers: list[str]) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": "hello"}],
            "completion": [{"role": "assistant", "content": answer}],
            "example_id": number,
        }
        for number, answer in enumerate(answers)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{split}.jsonl").write_text(text)


def test_rows_are_read_with_their_line_numbers(tmp_path: Path) -> None:
    write_split(tmp_path, "train", ["a", "b"])
    rows = read_rows(tmp_path, "train")
    assert [(row.completion, row.number) for row in rows] == [("a", 1), ("b", 2)]


def test_a_line_separator_inside_an_answer_is_no_end_of_row(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [])
    row = {"prompt": [], "completion": [{"role": "assistant", "content": "a\u2028b\u0085c"}]}
    (tmp_path / "train.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert [item.completion for item in read_rows(tmp_path, "train")] == ["a\u2028b\u0085c"]


def test_without_a_validation_file_the_split_is_empty(tmp_path: Path) -> None:
    assert read_rows(tmp_path, "validation") == []


def test_a_missing_dataset_and_a_broken_row_are_named(tmp_path: Path) -> None:
    with pytest.raises(RowError) as missing:
        read_rows(tmp_path, "train")
    assert missing.value.code == "missing_dataset"
    (tmp_path / "train.jsonl").write_text('{"prompt": []}\n')
    with pytest.raises(RowError, match="Line 1") as broken:
        read_rows(tmp_path, "train")
    assert broken.value.code == "broken_row"


def test_rows_that_are_too_long_are_left_out_whole(tmp_path: Path) -> None:
    write_split(tmp_path, "train", ["short", "a much longer answer than fits here"])
    kept = keep_fitting(read_rows(tmp_path, "train"), WordTokenizer(), 4, {})
    assert [row.completion for row in kept.rows] == ["short"]
    assert (kept.lengths, kept.num_left_out, kept.longest) == ((2,), 1, 8)
    assert kept.answer_lengths == (1,)


def test_when_no_row_fits_the_shortest_is_named(tmp_path: Path) -> None:
    write_split(tmp_path, "train", ["a b c"])
    with pytest.raises(RowError, match="the shortest has 4") as caught:
        keep_fitting(read_rows(tmp_path, "train"), WordTokenizer(), 2, {})
    assert caught.value.code == "all_too_long"
