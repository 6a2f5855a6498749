"""Answers that are copies: of a training answer, or of the answer to another question."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.cases import asked_category
from finetune.readable import read_fields
from finetune.text_checks import similarity

SHINGLE_CHARS = 8
COPY_SHARE = 0.8  # of an answer's shingles in one other text
_MOST_COMPARED = 500  # training questions


@dataclass(frozen=True)
class TrainingAnswer:
    """One training completion, the category its prompt asked about (None: not named), and what its
    prompt asked.
    """

    category: str | None
    text: str
    question: str = ""


def read_training_answers(dataset_dir: Path) -> Iterator[TrainingAnswer]:
    """The training completions of a frozen dataset; none if the folder is gone."""
    path = dataset_dir / "train.jsonl"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            prompt, text = row["prompt"], row["completion"][-1]["content"]
            question = prompt[-1]["content"] if prompt else ""
            yield TrainingAnswer(asked_category(prompt), text, question)


def _shingles(text: str) -> set[str]:
    squeezed = "".join(text.split())
    return {
        squeezed[at : at + SHINGLE_CHARS] for at in range(max(1, len(squeezed) - SHINGLE_CHARS + 1))
    }


def find_copies(
    answers: Mapping[str, str],
    training: Iterable[TrainingAnswer],
    fits: Callable[[str, TrainingAnswer], float] = lambda _answer_id, _row: 0.0,
) -> dict[str, TrainingAnswer]:
    """answer_id → the training answer that it repeats. One pass; only shared shingles are kept.

    Where several training answers match, as one that was taught for many questions, the one whose
    question fits best counts, then the closest. fits: how well, of an answer_id and a row.
    """
    ours = {answer_id: _shingles(text) for answer_id, text in answers.items() if text.strip()}
    known = set().union(*ours.values()) if ours else set()
    best: dict[str, tuple[float, float, TrainingAnswer]] = {}
    for row in training:
        shared = _shingles(" ".join(read_fields(row.text))) & known
        for answer_id, shingles in ours.items():
            if len(shared) < COPY_SHARE * len(shingles):
                continue
            share = len(shared & shingles) / len(shingles)
            if share < COPY_SHARE:
                continue
            found = (fits(answer_id, row), share, row)
            if answer_id not in best or found[:2] > best[answer_id][:2]:
                best[answer_id] = found
    return {answer_id: row for answer_id, (_, _, row) in best.items()}


def find_nearness(asked: str, copied: TrainingAnswer, training: Sequence[TrainingAnswer]) -> float:
    """Share of the training questions that are no nearer to what is asked than the one copied from.
    0 where the two have nothing in common: so have most others.
    """
    likeness = similarity(copied.question, asked)
    if not likeness:
        return 0.0
    rows = training[:: max(1, len(training) // _MOST_COMPARED)]
    return sum(similarity(row.question, asked) <= likeness for row in rows) / len(rows)


def find_twins(answers: Iterable[tuple[str, Hashable, str]]) -> dict[str, str]:
    """answer_id → the text of a near-identical answer to another question.

    Each answer comes with what it was asked; the same question asked twice makes no twins.
    """
    known = [(answer_id, asked, _shingles(text), text) for answer_id, asked, text in answers]
    twins = {}
    for answer_id, asked, shingles, _ in known:
        for _, other_asked, others, other_text in known:
            overlap = len(shingles & others)
            if other_asked != asked and overlap >= COPY_SHARE * len(shingles | others):
                twins[answer_id] = other_text[:120]
                break
    return twins
