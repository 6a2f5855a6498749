"""What people prefer becomes rows; too few are explained."""

import json
from pathlib import Path

import pytest

from chatbot.recommendation import canonical, to_dict
from feedback_store.records import Dataset, NewFeedback, Rating, Turn
from feedback_store.store import Store
from finetune.preferences import (
    PreferenceError,
    collect_labels,
    collect_pairs,
    offer_preferences,
    write_preferences,
)
from tests.finetune.examples import (
    ANSWER,
    BETTER,
    add_conversation,
    add_turn,
    make_example,
    make_messages,
)


def rate(store: Store, turn: Turn, rating: Rating) -> None:
    store.set_feedback(NewFeedback(turn_id=turn.turn_id, person_id="person-1", rating=rating))


def answered(store: Store) -> Turn:
    return add_turn(store, recommendation=to_dict(ANSWER))


def make_dataset(folder: Path, num_pairs: int = 0) -> Dataset:
    folder.mkdir()
    row = {
        "prompt": list(make_messages()),
        "chosen": [{"role": "assistant", "content": canonical(BETTER)}],
        "rejected": [{"role": "assistant", "content": canonical(ANSWER)}],
        "example_id": 1,
    }
    (folder / "pairs.jsonl").write_text((json.dumps(row) + "\n") * num_pairs)
    return Dataset(dataset_id="d1", path=str(folder), num_train=10, num_validation=1)


def test_thumbs_become_labels_of_the_canonical_answer(store: Store) -> None:
    add_conversation(store)
    liked, disliked = answered(store), answered(store)
    rate(store, liked, "like")
    rate(store, disliked, "dislike")
    rows = collect_labels(store)
    assert [row.values["label"] for row in rows] == [True, False]
    assert rows[0].values["completion"][0]["content"] == canonical(ANSWER)
    assert {row.split for row in rows} <= {"train", "validation"}


def test_who_did_not_allow_training_is_left_out(store: Store) -> None:
    add_conversation(store, may_train=False)
    rate(store, answered(store), "like")
    assert collect_labels(store) == []


def test_regression_cases_are_kept_for_the_exam(store: Store) -> None:
    add_conversation(store)
    turn = answered(store)
    rate(store, turn, "dislike")
    store.add_examples([make_example(turn_id=turn.turn_id, purpose="regression")])
    assert collect_labels(store) == []


def test_a_retry_that_is_liked_after_a_dislike_makes_a_pair(store: Store, tmp_path: Path) -> None:
    add_conversation(store)
    first = answered(store)
    second = add_turn(store, retry_of=first.turn_id, recommendation=to_dict(BETTER))
    rate(store, first, "dislike")
    rate(store, second, "like")
    [row] = collect_pairs(store, tmp_path)
    assert row.values["chosen"][0]["content"] == canonical(BETTER)
    assert row.values["rejected"][0]["content"] == canonical(ANSWER)


def test_corrections_of_the_dataset_are_pairs_too(store: Store, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", num_pairs=3)
    assert len(collect_pairs(store, Path(dataset.path))) == 3


def test_the_offer_says_what_is_there_and_what_is_needed(store: Store, tmp_path: Path) -> None:
    dpo, kto = offer_preferences(store, make_dataset(tmp_path / "d", num_pairs=5))
    assert (dpo.is_offered, dpo.num_have, dpo.num_needed) == (False, 5, 200)
    assert "5 pairs" in dpo.message
    assert (kto.is_offered, kto.num_have, kto.num_needed) == (False, 0, 300)
    enough, _ = offer_preferences(store, make_dataset(tmp_path / "e", num_pairs=200))
    assert enough.is_offered


def test_too_few_are_refused_unless_a_person_lowers_the_bar(store: Store, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", num_pairs=5)
    path = tmp_path / "preferences.jsonl"
    with pytest.raises(PreferenceError, match="5 pairs") as caught:
        write_preferences(store, dataset, "dpo", path)
    assert caught.value.code == "too_few_pairs"
    assert not path.exists()
    assert write_preferences(store, dataset, "dpo", path, minimum=5) == 5
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train"}
    with pytest.raises(PreferenceError) as labels:
        write_preferences(store, dataset, "kto", path)
    assert labels.value.code == "too_few_labels"
