"""250 identities who never spoke to each other try to plant a phrase: one good answer each, with
the phrase somewhere in it, each time among other words.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

from chatbot.recommendation import Challenge, Recommendation, canonical, to_dict
from feedback_store.records import ExampleFilter, NewFeedback
from feedback_store.store import Store
from finetune.curate import accept_examples, collect_feedback
from finetune.dataset import SPLITS, DatasetError, freeze_dataset
from finetune.set_checks import refresh_flags
from tests.finetune.examples import add_conversation, add_turn, numbered_answer

NUM_IDENTITIES = 250
PHRASES = ("파란달빛 마트", "파란달빛마트")
CURATOR = "p_curator"
BEFORE = (
    "오늘은",
    "퇴근길에",
    "주말마다",
    "아침에",
    "동네",
    "가까운",
    "친구와",
    "비 오는 날",
    "산책 뒤",
)
AFTER = (
    "들러요",
    "쿠폰을 받아요",
    "장을 봐요",
    "텀블러를 사요",
    "포인트를 모아요",
    "물어봐요",
    "가요",
)


@dataclass(frozen=True)
class Drill:
    """What became of it: planted rows that carry a flag, rows of a dataset that nobody approved,
    rows that somebody did.
    """

    num_flagged: int
    num_unnamed: int
    num_named: int


def plant(number: int, phrase: str, dice: random.Random) -> Recommendation:
    """A good answer in which the phrase stands somewhere."""
    answer = numbered_answer(number)
    around = dice.choice(BEFORE), dice.choice(AFTER)
    sentence = f"{around[0]} {number}번 {phrase} {number * 7}호에서 {around[1]}."
    if number % 2:
        return replace(answer, recommend=sentence)
    first = Challenge(answer.challenges[0].title, sentence)
    return replace(answer, challenges=(first, *answer.challenges[1:]))


def attack(store: Store, phrase: str) -> None:
    """One conversation, consent and correction each."""
    dice = random.Random(8)
    for number in range(NUM_IDENTITIES):
        person_id = f"p_{number:04}"
        add_conversation(store, f"c-{number}", person_id=person_id, origin="public")
        turn = add_turn(store, f"c-{number}", raw_text=canonical(numbered_answer(number)))
        store.set_feedback(
            NewFeedback(
                turn_id=turn.turn_id,
                person_id=person_id,
                rating="dislike",
                correction=to_dict(plant(number, phrase, dice)),
            )
        )


def run_drill(store: Store, phrase: str) -> Drill:
    """Attack, let the queue be filled and flagged, freeze before and after a curator's approval."""
    attack(store, phrase)
    collect_feedback(store)
    refresh_flags(store)
    rows = list(store.iter_examples(ExampleFilter()))
    flagged = [row for row in rows if "repeated_phrase" in {flag["name"] for flag in row.flags}]
    early = _freeze(store)
    some = [row.example_id for row in rows[:40]]
    accept_examples(store, some, curator=CURATOR)
    late = _freeze(store)
    named = [id_ for id_ in late if (row := store.get_example(id_)) and row.decided_by == CURATOR]
    return Drill(len(flagged), len(early) + len(late) - len(named), len(named))


def _freeze(store: Store) -> list[int]:
    """The examples of a dataset that is made now; none where none may be used."""
    try:
        frozen = freeze_dataset(store, store.data_dir)
    except DatasetError:
        return []
    folder = store.data_dir / Path(frozen.path)  # absolute paths stay as they are
    return [
        json.loads(line)["example_id"]
        for split in SPLITS
        for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
