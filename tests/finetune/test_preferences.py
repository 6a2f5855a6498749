"""What people prefer becomes rows; too few are explained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import canonical, to_dict
from feedback_store.records import Dataset, NewFeedback, Rating, Turn
from feedback_store.store import Store
from finetune.cases import NUM_REGRESSION_CASES
from finetune.curate import collect_feedback
from finetune.dataset import is_test, is_validation
from finetune.preferences import (
    MIN_PAIRS,
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
    numbered_answer,
)

SHARE = 0.1


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
    return Dataset(
        dataset_id="d1",
        path=str(folder),
        num_train=10,
        num_validation=1,
        manifest={"settings": {"validation_share": SHARE}},
    )


def test_thumbs_become_labels_of_the_canonical_answer(store: Store) -> None:
    add_conversation(store)
    liked, disliked = answered(store), answered(store)
    rate(store, liked, "like")
    rate(store, disliked, "dislike")
    rows = collect_labels(store, SHARE)
    assert [row.values["label"] for row in rows] == [True, False]
    assert rows[0].values["completion"][0]["content"] == canonical(ANSWER)
    assert {row.split for row in rows} <= {"train", "validation"}


def test_thumbs_are_kept_from_training_where_the_dataset_keeps_its_rows(store: Store) -> None:
    talks = [name for name in (f"c{n}" for n in range(400)) if is_validation(name, 0.25)]
    for talk in talks:
        add_conversation(store, talk)
        rate(store, add_turn(store, talk, recommendation=to_dict(ANSWER)), "like")
    more = [talk for talk in talks if not is_validation(talk, SHARE)]
    assert len(more) > 30
    split = [row.split for row in collect_labels(store, SHARE)]
    assert split.count("train") == len(more)
    split = [row.split for row in collect_labels(store, 0.25)]
    assert split == ["validation"] * sum(not is_test(talk) for talk in talks)


def test_who_did_not_allow_training_is_left_out(store: Store) -> None:
    add_conversation(store, may_train=False)
    rate(store, answered(store), "like")
    assert collect_labels(store, SHARE) == []


def test_regression_cases_are_kept_for_the_exam(store: Store) -> None:
    add_conversation(store)
    turn = answered(store)
    rate(store, turn, "dislike")
    store.add_examples([make_example(turn_id=turn.turn_id, purpose="regression")])
    assert collect_labels(store, SHARE) == []


def test_a_retry_that_is_liked_after_a_dislike_makes_a_pair(store: Store, tmp_path: Path) -> None:
    add_conversation(store)
    first = answered(store)
    second = add_turn(store, retry_of=first.turn_id, recommendation=to_dict(BETTER))
    rate(store, first, "dislike")
    rate(store, second, "like")
    [row] = collect_pairs(store, tmp_path, SHARE)
    assert row.values["chosen"][0]["content"] == canonical(BETTER)
    assert row.values["rejected"][0]["content"] == canonical(ANSWER)


def test_corrections_of_the_dataset_are_pairs_too(store: Store, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", num_pairs=3)
    assert len(collect_pairs(store, Path(dataset.path), SHARE)) == 3


def test_the_offer_says_what_is_there_and_what_is_needed(store: Store) -> None:
    add_corrected(store, 5)
    dpo, kto = offer_preferences(store, SHARE)
    assert (dpo.is_offered, dpo.num_have, dpo.num_needed) == (False, 5, 200)
    assert "5 pairs" in dpo.message
    assert (kto.is_offered, kto.num_have, kto.num_needed) == (False, 0, 300)
    add_corrected(store, 195, start=5)
    assert offer_preferences(store, SHARE)[0].is_offered


def add_corrected(store: Store, count: int, start: int = 0) -> None:
    """Accepted examples whose answer replaced a worse one, as corrections and votes leave them."""
    examples = [
        make_example(
            completion=canonical(numbered_answer(number)),
            conversation_id=f"c{number}",
            rejected=canonical(ANSWER),
        )
        for number in range(start, start + count)
    ]
    ids = store.add_examples(examples)
    store.decide_examples(ids, state="accepted", decided_by="kim")


def test_people_who_rate_in_the_chat_bring_labels_and_pairs(store: Store) -> None:
    """Every dislike also becomes a regression case; only the newest are kept for the exam."""
    add_conversation(store)
    for number in range(30):
        bad = numbered_answer(number + 100)
        first = add_turn(store, raw_text=canonical(bad), recommendation=to_dict(bad))
        rate(store, first, "dislike")
        again = add_turn(
            store, retry_of=first.turn_id, recommendation=to_dict(numbered_answer(number))
        )
        rate(store, again, "like")
    collect_feedback(store)
    dpo, kto = offer_preferences(store, SHARE)
    assert dpo.num_have == 30
    assert kto.num_have == 30 + 30 - NUM_REGRESSION_CASES
    assert (kto.num_rarer, kto.num_rarer_needed) == (30 - NUM_REGRESSION_CASES, 50)


def test_too_few_are_refused_and_enough_are_written(store: Store, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", num_pairs=5)
    path = tmp_path / "preferences.jsonl"
    with pytest.raises(PreferenceError, match="5 pairs") as caught:
        write_preferences(store, dataset, "dpo", path)
    assert caught.value.code == "too_few_pairs"
    assert not path.exists()
    with pytest.raises(PreferenceError) as labels:
        write_preferences(store, dataset, "kto", path)
    assert labels.value.code == "too_few_labels"
    many = make_dataset(tmp_path / "many", num_pairs=MIN_PAIRS)
    assert write_preferences(store, many, "dpo", path) == MIN_PAIRS
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train"}


def test_pairs_are_found_where_the_data_folder_stands_now(store: Store, tmp_path: Path) -> None:
    (store.data_dir / "datasets").mkdir()
    dataset = make_dataset(store.data_dir / "datasets" / "d1", num_pairs=MIN_PAIRS)
    moved = replace(dataset, dataset_id="d1", path=str(tmp_path / "before" / "datasets" / "d1"))
    path = tmp_path / "preferences.jsonl"
    assert write_preferences(store, moved, "dpo", path) == MIN_PAIRS
