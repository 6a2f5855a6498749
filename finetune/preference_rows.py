"""The frozen preferences of a run as the trainer gets them, and how long they are in tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune.job import PREFERENCES_FILE
from finetune.recipe import RunKind
from finetune.training_rows import ChatTokenizer, RowError, TrainingRow, keep_fitting

# Texts that one row brings into a step, and rows without which a step cannot be computed: KTO
# compares each answer with another of its batch.
SEQUENCES: Final[Mapping[RunKind, int]] = {"sft": 1, "dpo": 2, "kto": 1}
LEAST_AT_ONCE: Final[Mapping[RunKind, int]] = {"sft": 1, "dpo": 1, "kto": 2}


@dataclass(frozen=True)
class PreferenceRows:
    """Those that fit, split, and the longest among them."""

    train: tuple[dict[str, Any], ...]
    validation: tuple[dict[str, Any], ...]
    longest: int = 0
    longest_answer: int = 0
    num_left_out: int = 0


def read_preferences(
    run_dir: Path, tokenizer: ChatTokenizer, max_length: int, template_kwargs: Mapping[str, Any]
) -> PreferenceRows:
    """What a run froze beside its order, without rows of which a text is longer than max_length."""
    path = run_dir / PREFERENCES_FILE
    if not path.is_file():
        raise RowError("no_preferences", f"{path} is missing. Start the run again.")
    text = path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    texts = [item for number, row in enumerate(rows) for item in _texts_of(row, number)]
    fitting = keep_fitting(texts, tokenizer, max_length, template_kwargs)
    counts = Counter(item.number for item in fitting.rows)
    kept = {n for n, row in enumerate(rows) if counts[n] == len(_texts_of(row, n))}
    if not kept:
        raise RowError("all_too_long", f"Of each pair one answer is longer than {max_length}.")
    lengths = [
        both
        for item, *both in zip(fitting.rows, fitting.lengths, fitting.answer_lengths, strict=True)
        if item.number in kept
    ]
    return PreferenceRows(
        train=_of_split(rows, kept, "train"),
        validation=_of_split(rows, kept, "validation"),
        longest=max(length for length, _ in lengths),
        longest_answer=max(answer for _, answer in lengths),
        num_left_out=len(rows) - len(kept),
    )


def _texts_of(row: Mapping[str, Any], number: int) -> list[TrainingRow]:
    answers = [row[name] for name in ("chosen", "rejected", "completion") if name in row]
    prompt = tuple(row["prompt"])
    return [TrainingRow(prompt, str(answer[0]["content"]), number) for answer in answers]


def _of_split(
    rows: Sequence[dict[str, Any]], kept: set[int], split: str
) -> tuple[dict[str, Any], ...]:
    return tuple(
        {name: value for name, value in row.items() if name != "split"}
        for number, row in enumerate(rows)
        if number in kept and row["split"] == split
    )
