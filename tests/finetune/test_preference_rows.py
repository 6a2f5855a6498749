"""Preferences that are too long are left out like rows that are too long."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.job import PREFERENCES_FILE
from finetune.preference_rows import read_preferences
from finetune.training_rows import RowError
from tests.finetune.training_jobs import write_lines


class Words:
    """A tokenizer whose tokens are words."""

    def apply_chat_template(self, conversation: Any, **_: Any) -> str:
        return " ".join(message["content"] for message in conversation)

    def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
        return {"input_ids": [text.split() for text in texts]}


def make_pair(chosen: int, rejected: int, split: str = "train") -> dict[str, Any]:
    """Answers of so many words to a prompt of two."""
    return {
        "prompt": [{"role": "user", "content": "a b"}],
        "chosen": [{"role": "assistant", "content": " ".join("c" * chosen)}],
        "rejected": [{"role": "assistant", "content": " ".join("d" * rejected)}],
        "split": split,
    }


def test_a_pair_of_which_one_answer_is_too_long_is_left_out(tmp_path: Path) -> None:
    rows = [make_pair(3, 5), make_pair(4, 9), make_pair(9, 4), make_pair(1, 1, "validation")]
    write_lines(tmp_path / PREFERENCES_FILE, rows)
    found = read_preferences(tmp_path, Words(), 10, {})
    assert (len(found.train), len(found.validation), found.num_left_out) == (1, 1, 2)
    assert (found.longest, found.longest_answer) == (7, 5)
    assert set(found.train[0]) == {"prompt", "chosen", "rejected"}


def test_thumbs_are_read_by_their_one_answer(tmp_path: Path) -> None:
    pair = make_pair(3, 3)
    row = {"prompt": pair["prompt"], "completion": pair["chosen"], "label": True, "split": "train"}
    write_lines(tmp_path / PREFERENCES_FILE, [row])
    found = read_preferences(tmp_path, Words(), 10, {})
    assert [row["label"] for row in found.train] == [True]
    assert (found.longest, found.longest_answer) == (5, 3)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (None, "no_preferences"),
        ([make_pair(99, 99)], "all_too_long"),
        ([make_pair(1, 99), make_pair(99, 1)], "all_too_long"),
    ],
)
def test_nothing_to_learn_from_is_said(
    rows: list[dict[str, Any]] | None, code: str, tmp_path: Path
) -> None:
    if rows is not None:
        (tmp_path / PREFERENCES_FILE).write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(RowError) as caught:
        read_preferences(tmp_path, Words(), 10, {})
    assert caught.value.code == code
