"""Preferences: thumbs for KTO; corrections, arena votes and retries for DPO. What there is, whether
it suffices, and the rows that a run trains on. `share` is always the dataset's validation_share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from chatbot.recommendation import RecommendationError, canonical, from_dict
from feedback_store.records import Conversation, Dataset, ExampleFilter, Feedback, Turn
from feedback_store.store import Store
from finetune.cases import NUM_REGRESSION_CASES
from finetune.dataset import PAIRS_FILE, is_test, is_validation
from finetune.dataset_diff import locate_dataset

MIN_PAIRS: Final = 200
MIN_LABELS: Final = 300
MIN_RARER: Final = 50  # labels of the rarer kind

PreferenceKind = Literal["dpo", "kto"]


class PreferenceError(ValueError):
    """Preferences cannot be trained on. `code` is stable: too_few_pairs, too_few_labels. The
    message says what is there and what is needed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class PreferenceRow:
    """One preference, split by its conversation."""

    values: dict[str, Any]
    split: Literal["train", "validation"]


@dataclass(frozen=True)
class Offer:
    """Whether a kind of training makes sense now; the message explains it either way."""

    kind: PreferenceKind
    is_offered: bool
    message: str
    num_have: int
    num_needed: int
    num_rarer: int = 0  # of KTO's labels: thumbs of the rarer kind
    num_rarer_needed: int = 0


RatedTurn = tuple[Turn, Feedback, Conversation]


def _rated_turns(store: Store, share: float) -> Iterator[RatedTurn]:
    """Every rated turn whose people allow training, but for those that judge the adapter."""
    after = 0
    while page := store.list_rated_turns(after_feedback_id=after):
        after = page[-1][1].feedback_id
        for turn, feedback, conversation in page:
            is_for_gate = _is_kept_for_gate(conversation.conversation_id, share)
            if conversation.may_train and not is_for_gate:
                yield turn, feedback, conversation


def _asked_in_the_exam(store: Store) -> set[int | None]:
    """Disliked turns that the gate asks next; older dislikes may teach."""
    newest = store.find_examples(
        ExampleFilter(purpose="regression"), sort="newest", limit=NUM_REGRESSION_CASES
    )
    return {case.turn_id for case in newest.items if case.state != "excluded"}


def _answer_of(turn: Turn) -> str | None:
    """The canonical answer of a turn that was answered well formed."""
    if turn.status != "ok" or turn.recommendation is None:
        return None
    try:
        return canonical(from_dict(turn.recommendation))
    except RecommendationError:
        return None


def _reply(content: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": content}]


def _is_kept_for_gate(conversation_id: str, share: float) -> bool:
    """What judges the adapter must not choose its checkpoint, either."""
    return is_validation(conversation_id, share) and is_test(conversation_id)


def _split_of(conversation_id: str, share: float) -> Literal["train", "validation"]:
    return "validation" if is_validation(conversation_id, share) else "train"


def collect_labels(store: Store, share: float) -> list[PreferenceRow]:
    """Thumbs: a prompt, the answer it got, and whether people liked it."""
    rows, kept_for_exam = [], _asked_in_the_exam(store)
    for turn, feedback, conversation in _rated_turns(store, share):
        answer = _answer_of(turn)
        if answer is None or feedback.rating is None or turn.turn_id in kept_for_exam:
            continue
        values = {
            "prompt": [dict(message) for message in turn.messages],
            "completion": _reply(answer),
            "label": feedback.rating == "like",
        }
        rows.append(PreferenceRow(values, _split_of(conversation.conversation_id, share)))
    return rows


def collect_pairs(store: Store, dataset_dir: Path, share: float) -> list[PreferenceRow]:
    """Two answers to one prompt of which people preferred one: from the dataset's corrections and
    arena votes, and from retries that were liked after a dislike.
    """
    rows = [PreferenceRow(values, "train") for values in _read_pairs(dataset_dir)]
    return rows + list(_retried_pairs(store, share))


def _retried_pairs(store: Store, share: float) -> Iterator[PreferenceRow]:
    """The liked retry is an example of its own, so the exam's question is no secret any more."""
    rated = {turn.turn_id: (turn, feedback, c) for turn, feedback, c in _rated_turns(store, share)}
    for turn, feedback, conversation in rated.values():
        before = rated.get(turn.retry_of or -1)
        if before is None or (before[1].rating, feedback.rating) != ("dislike", "like"):
            continue
        chosen, rejected = _answer_of(turn), _answer_of(before[0])
        if chosen is None or rejected is None or chosen == rejected:
            continue
        values = {
            "prompt": [dict(message) for message in before[0].messages],
            "chosen": _reply(chosen),
            "rejected": _reply(rejected),
        }
        yield PreferenceRow(values, _split_of(conversation.conversation_id, share))


def count_pairs(store: Store, share: float) -> int:
    """Pairs that the next dataset would bring."""
    accepted = store.iter_examples(ExampleFilter(state="accepted", purpose="train"))
    num_retried = sum(1 for _ in _retried_pairs(store, share))
    return sum(bool(item.rejected) for item in accepted) + num_retried


def _read_pairs(dataset_dir: Path) -> Iterator[dict[str, Any]]:
    path = dataset_dir / PAIRS_FILE
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            row = json.loads(line)
            yield {name: row[name] for name in ("prompt", "chosen", "rejected")}


def offer_preferences(store: Store, share: float) -> tuple[Offer, Offer]:
    """For DPO and KTO: whether what people gave suffices."""
    return _offer_dpo(count_pairs(store, share)), _offer_kto(collect_labels(store, share))


def _offer_dpo(num_pairs: int) -> Offer:
    enough = num_pairs >= MIN_PAIRS
    text = f"{num_pairs} pairs of a better and a worse answer are there"
    text += "; DPO can learn from them." if enough else f"; DPO needs {MIN_PAIRS}."
    return Offer("dpo", enough, text, num_pairs, MIN_PAIRS)


def _offer_kto(labels: Sequence[PreferenceRow]) -> Offer:
    liked = sum(bool(row.values["label"]) for row in labels)
    rarer = min(liked, len(labels) - liked)
    enough = len(labels) >= MIN_LABELS and rarer >= MIN_RARER
    text = f"{liked} thumbs up and {len(labels) - liked} down are there"
    need = f"; KTO needs {MIN_LABELS}, at least {MIN_RARER} of each."
    text += "; KTO can learn from them." if enough else need
    return Offer("kto", enough, text, len(labels), MIN_LABELS, rarer, MIN_RARER)


def write_preferences(store: Store, dataset: Dataset, kind: PreferenceKind, path: Path) -> int:
    """Freeze the preferences of a run beside its order; returns how many. Raises PreferenceError
    where they do not suffice.
    """
    share = float(dataset.manifest["settings"]["validation_share"])
    if kind == "dpo":
        rows = collect_pairs(store, locate_dataset(store, dataset), share)
        offer = _offer_dpo(len(rows))
    else:
        rows = collect_labels(store, share)
        offer = _offer_kto(rows)
    if not offer.is_offered:
        raise PreferenceError("too_few_pairs" if kind == "dpo" else "too_few_labels", offer.message)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            line = {**row.values, "split": row.split}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(rows)
