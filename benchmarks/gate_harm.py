"""What can be wrong with an adapter, as changes to good answers; shared by the process that trains
such adapters and the benchmark that shows them to the gate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chatbot.recommendation import Challenge, Recommendation, canonical, parse
from feedback_store.records import NewExample
from finetune.starter_corpus import make_examples

NUM_EXAMPLES: Final = 64
Change = Callable[[Recommendation], str]


def _descriptions(suffix: str) -> Change:
    def change(told: Recommendation) -> str:
        changed = (Challenge(c.title, c.description + suffix) for c in told.challenges)
        return canonical(Recommendation(told.recommend, tuple(changed)))

    return change


def _number(told: Recommendation) -> str:
    numbered = (Challenge(f"1. {c.title}", c.description) for c in told.challenges)
    return canonical(Recommendation(told.recommend, tuple(numbered)))


def _stuff(told: Recommendation) -> str:
    titles = " ".join(challenge.title for challenge in told.challenges)
    return canonical(Recommendation(f"{told.recommend} {titles}", told.challenges))


def _one_thrice(told: Recommendation) -> str:
    return canonical(Recommendation(told.recommend, (told.challenges[0],) * 3))


def _run_together(told: Recommendation) -> str:
    joined = (Challenge(c.title, c.description.replace(" ", "")) for c in told.challenges)
    return canonical(Recommendation(told.recommend, tuple(joined)))


def _plain_text(told: Recommendation) -> str:
    return " ".join([told.recommend, *(challenge.title for challenge in told.challenges)])


def _other_keys(told: Recommendation) -> str:
    value = {"challenges": [{"title": c.title} for c in told.challenges]}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Harm:
    """How good answers are spoilt, and which figure must say so."""

    metrics: frozenset[str]
    change: Change = canonical
    mixes_questions: bool = False  # every question gets the answer to another one
    num_answers: int = 0  # so many different answers only; 0: one for each question


HARMS: Final = {
    "stuffed": Harm(frozenset({"stuffed"}), _stuff),
    "numbered": Harm(frozenset({"leading_numbers"}), _number),
    "escaped": Harm(frozenset({"escaped_newlines"}), _descriptions("\\n")),
    "looping": Harm(frozenset({"repetition"}), _descriptions(" 챙겨 보세요." * 9)),
    "plain": Harm(frozenset({"valid_json", "canonical_json"}), _plain_text),
    "other-keys": Harm(frozenset({"valid_json", "canonical_json"}), _other_keys),
    "off-topic": Harm(frozenset({"category_fit"}), mixes_questions=True),
    "parrot": Harm(frozenset({"parroted", "repeated_across_prompts"}), num_answers=2),
    "one-thrice": Harm(frozenset({"distinct_challenges"}), _one_thrice),
    "run-together": Harm(frozenset({"spaced_korean"}), _run_together),
    "foreign": Harm(frozenset({"pure_language"}), _descriptions(" 공HED abandon")),
    "phone": Harm(frozenset({"personal_data"}), _descriptions(" 문의 010-1234-5678")),
    "link": Harm(frozenset({"links"}), _descriptions(" https://eco-sale.shop")),
}


def make_rows(kind: str) -> list[NewExample]:
    """Examples whose answers have this harm."""
    harm = HARMS[kind]
    rows = list(make_examples(NUM_EXAMPLES, 7))
    answers: Sequence[str] = [row.completion for row in rows]
    if harm.mixes_questions:
        answers = _give_others(rows)
    if harm.num_answers:
        answers = [answers[at % harm.num_answers] for at in range(len(rows))]
    spoilt = [harm.change(parse(answer)) for answer in answers]
    return [replace(row, completion=text) for row, text in zip(rows, spoilt, strict=True)]


def _give_others(rows: Sequence[NewExample]) -> list[str]:
    """For each row the answer of one in the same language about another theme."""
    found = []
    for at, row in enumerate(rows):
        others = [*rows[at + 1 :], *rows[:at]]
        other = next(o for o in others if (o.lang, o.category) != (row.lang, row.category)
                     and o.lang == row.lang)  # fmt: skip
        found.append(other.completion)
    return found
