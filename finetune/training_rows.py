"""The rows of a dataset folder as the trainer gets them, and how long each is in tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class ChatTokenizer(Protocol):
    """What is needed of a tokenizer here; transformers' tokenizers have it."""

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any:
        """Render messages with the model's own template."""
        ...

    def __call__(self, text: Any, **kwargs: Any) -> Any:
        """Encode texts."""
        ...


class RowError(ValueError):
    """A dataset folder cannot be trained on. `code` is stable: missing_dataset, broken_row,
    no_rows, all_too_long. The message is a sentence that says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TrainingRow:
    """One prompt with its accepted answer."""

    prompt: tuple[Mapping[str, str], ...]
    completion: str
    number: int  # of the line in its file, from 1

    def to_conversation(self) -> list[dict[str, str]]:
        """Prompt and answer as one list of messages."""
        return [*map(dict, self.prompt), {"role": "assistant", "content": self.completion}]


@dataclass(frozen=True)
class FittingRows:
    """The rows that fit, their lengths in tokens, and how many were left out."""

    rows: tuple[TrainingRow, ...]
    lengths: tuple[int, ...]
    answer_lengths: tuple[int, ...]
    num_left_out: int
    longest: int  # of all rows, those left out among them


def read_rows(dataset_dir: Path, split: str) -> list[TrainingRow]:
    """The rows of train or validation; an absent validation file is an empty split."""
    path = dataset_dir / f"{split}.jsonl"
    if not path.is_file():
        if split == "train":
            raise RowError(
                "missing_dataset", f"{path} is missing. Freeze the dataset again, then retrain."
            )
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_read_row(line, number) for number, line in enumerate(lines, 1) if line.strip()]


def _read_row(line: str, number: int) -> TrainingRow:
    try:
        value = json.loads(line)
        prompt = tuple({"role": m["role"], "content": m["content"]} for m in value["prompt"])
        [answer] = value["completion"]
        return TrainingRow(prompt, str(answer["content"]), number)
    except (ValueError, KeyError, TypeError) as error:
        raise RowError(
            "broken_row",
            f"Line {number} of the dataset is no row with prompt and completion ({error!r}). "
            "Freeze the dataset again.",
        ) from error


def keep_fitting(
    rows: Sequence[TrainingRow],
    tokenizer: ChatTokenizer,
    max_length: int,
    template_kwargs: Mapping[str, Any],
) -> FittingRows:
    """Leave out rows longer than max_length: a cut answer teaches to stop in mid sentence."""
    texts = [
        tokenizer.apply_chat_template(row.to_conversation(), tokenize=False, **template_kwargs)
        for row in rows
    ]
    lengths = _count_tokens(tokenizer, texts)
    answers = _count_tokens(tokenizer, [row.completion for row in rows])
    kept = [number for number, length in enumerate(lengths) if length <= max_length]
    if rows and not kept:
        raise RowError(
            "all_too_long",
            f"All {len(rows)} rows are longer than max_length = {max_length} tokens; the shortest "
            f"has {min(lengths)}. Raise max_length in the recipe.",
        )
    return FittingRows(
        rows=tuple(rows[number] for number in kept),
        lengths=tuple(lengths[number] for number in kept),
        answer_lengths=tuple(answers[number] for number in kept),
        num_left_out=len(rows) - len(kept),
        longest=max(lengths, default=0),
    )


def _count_tokens(tokenizer: ChatTokenizer, texts: Sequence[str]) -> list[int]:
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [len(ids) for ids in encoded]
