"""The drill: 250 identities who never spoke to each other try to plant a phrase. All they wrote is
flagged before a curator decides, and not one row is trained on without a named approval.
"""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import Challenge, Recommendation, canonical, to_dict
from feedback_store.records import ExampleFilter, NewFeedback
from feedback_store.store import Store
from finetune.curate import accept_examples, collect_feedback
from finetune.dataset import DatasetError, freeze_dataset
from finetune.set_checks import refresh_flags
from tests.finetune.examples import add_conversation, add_turn, numbered_answer

NUM_IDENTITIES = 250
PHRASES = ("파란달빛 마트", "파란달빛마트")  # what stands around them differs every time
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


def plant(number: int, phrase: str, dice: random.Random) -> Recommendation:
    """A good answer in which the phrase stands somewhere, each time among other words."""
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
        add_conversation(store, f"c-{number}", person_id=person_id, origin="public", may_train=True)
        turn = add_turn(store, f"c-{number}", raw_text=canonical(numbered_answer(number)))
        better = to_dict(plant(number, phrase, dice))
        store.set_feedback(
            NewFeedback(
                turn_id=turn.turn_id, person_id=person_id, rating="dislike", correction=better
            )
        )


@pytest.fixture(params=PHRASES)
def attacked(request: pytest.FixtureRequest, store: Store) -> Store:
    attack(store, request.param)
    collect_feedback(store)
    refresh_flags(store)
    return store


def test_all_that_was_planted_is_flagged(attacked: Store) -> None:
    rows = list(attacked.iter_examples(ExampleFilter()))
    planted = [row for row in rows if "파란달빛" in row.completion]
    assert len(planted) == NUM_IDENTITIES
    names = [{flag["name"] for flag in row.flags} for row in planted]
    assert [found for found in names if "repeated_phrase" not in found] == []


def test_nothing_is_trained_on_without_a_named_approval(attacked: Store, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        freeze_dataset(attacked, tmp_path)
    some = [row.example_id for row in attacked.find_examples(limit=40).items]
    accept_examples(attacked, some, curator="p_curator")
    frozen = freeze_dataset(attacked, tmp_path)
    folder = Path(frozen.path) if Path(frozen.path).is_absolute() else tmp_path / frozen.path
    used = {
        json.loads(line)["example_id"]
        for split in ("train", "validation")
        for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    }
    assert used <= set(some)
    rows = [attacked.get_example(id_) for id_ in used]
    assert {row.decided_by for row in rows if row} == {"p_curator"}
