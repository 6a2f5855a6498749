"""How likely an adapter finds what people accepted: log-probabilities of answers that neither
taught it nor chose its checkpoint.

The gate compares them row by row. It is the figure that still tells two good adapters apart when
neither makes a mistake any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from chatbot.prompts import Message

MAX_ROWS: Final = 64  # prompts are read, nothing is generated: seconds on two cores
_BATCH: Final = 16


@dataclass(frozen=True)
class ScoreRequest:
    """A prompt and the answer to score. adapter None is the base."""

    messages: Sequence[Message]
    completion: str
    adapter: str | None


@runtime_checkable
class Scoring(Protocol):
    """A Serving that can also score given answers."""

    def score(self, requests: Sequence[ScoreRequest]) -> Sequence[float | None]:
        """The mean log-probability per token of each completion; None where one cannot be scored,
        such as one that is too long for the context.
        """
        ...


@dataclass(frozen=True)
class ScoredRow:
    """One row that was kept from training; row_id names its exact content."""

    row_id: str
    messages: tuple[Message, ...]
    completion: str


def _iter_test_split(dataset_dir: Path) -> Iterator[dict[str, Any]]:
    path = dataset_dir / "test.jsonl"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_test_rows(
    dataset_dir: Path, learnt: Collection[int] = frozenset()
) -> tuple[ScoredRow, ...]:
    """The first rows of the test split; none if the folder is gone, or older than that split: its
    validation rows chose the checkpoint, so they would flatter it. learnt: examples left out.
    """
    rows: dict[str, ScoredRow] = {}
    for content in _iter_test_split(dataset_dir):
        if content.get("example_id") in learnt:
            continue
        prompt, completion = content["prompt"], content["completion"][-1]["content"]
        key = json.dumps([prompt, completion], ensure_ascii=False, sort_keys=True)
        row_id = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
        rows.setdefault(row_id, ScoredRow(row_id, tuple(prompt), completion))
        if len(rows) == MAX_ROWS:
            break
    return tuple(rows.values())


def count_learnt(dataset_dir: Path, learnt: Collection[int]) -> int:
    """How many rows of the test split are of these examples."""
    return sum(content.get("example_id") in learnt for content in _iter_test_split(dataset_dir))


def score_rows(
    serving: object,
    adapter: str | None,
    rows: Sequence[ScoredRow],
    known: Mapping[str, float],
) -> dict[str, float]:
    """row_id → score, asking only for what is not known; empty where the engine cannot score."""
    if not isinstance(serving, Scoring):
        return {}
    scores = {row.row_id: known[row.row_id] for row in rows if row.row_id in known}
    missing = [row for row in rows if row.row_id not in scores]
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        asked = [ScoreRequest(row.messages, row.completion, adapter) for row in batch]
        found = serving.score(asked)
        pairs = zip(batch, found, strict=True)
        scores |= {row.row_id: score for row, score in pairs if score is not None}
    return scores
