import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.recommendation import canonical
from feedback_store.records import NewExample
from feedback_store.store import Store
from finetune.dataset import (
    SPLITS,
    DatasetError,
    DatasetSettings,
    freeze_dataset,
    is_test,
    is_validation,
)
from finetune.dataset_diff import diff_datasets
from finetune.scores import read_test_rows
from tests.finetune.examples import (
    ANSWER,
    BETTER,
    add_conversation,
    add_turn,
    make_example,
    make_messages,
    numbered_answer,
)


def accept(store: Store, examples: Sequence[NewExample]) -> list[int]:
    ids = [example_id for example_id in store.add_examples(examples) if example_id]
    store.decide_examples(ids, state="accepted", decided_by="kim")
    return ids


def numbered(number: int, **changes: object) -> NewExample:
    fields = {
        "completion": canonical(numbered_answer(number)),
        "conversation_id": f"group-{number}",
        **changes,
    }
    return make_example(**fields)


def read_rows(path: str | Path, split: str) -> list[dict[str, Any]]:
    lines = (Path(path) / f"{split}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_rows_are_prompt_and_completion_with_the_example_behind_them(store: Store) -> None:
    accept(store, [make_example()])
    dataset = freeze_dataset(store, store.data_dir)
    assert read_rows(dataset.path, "train") == [
        {
            "prompt": list(make_messages()),
            "completion": [{"role": "assistant", "content": canonical(ANSWER)}],
            "example_id": 1,
        }
    ]
    assert (dataset.num_train, dataset.num_validation) == (1, 0)
    assert store.list_dataset_rows(dataset.dataset_id) == [(1, "train")]


def test_pending_and_excluded_examples_stay_out(store: Store) -> None:
    store.add_examples([numbered(1)])
    [excluded] = [i for i in store.add_examples([numbered(2)]) if i]
    store.decide_examples([excluded], state="excluded", decided_by="kim")
    accept(store, [numbered(3)])
    dataset = freeze_dataset(store, store.data_dir)
    assert [row["example_id"] for row in read_rows(dataset.path, "train")] == [3]


def test_the_manifest_accounts_for_every_row(store: Store) -> None:
    ids = accept(store, [numbered(number) for number in range(40)])
    dataset = freeze_dataset(store, store.data_dir)
    manifest = json.loads((Path(dataset.path) / "manifest.json").read_text("utf-8"))
    assert sorted(i for split in SPLITS for i in manifest["example_ids"][split]) == ids
    assert sum(manifest[f"num_{split}"] for split in SPLITS) == 40
    assert manifest["num_conversations"] == 40
    assert manifest["counts"]["category"] == {"ZERO_WASTE": 40}
    assert manifest["files"]["train.jsonl"]["num_rows"] == manifest["num_train"]
    assert {key: dataset.manifest[key] for key in ("files", "settings")} == {
        key: manifest[key] for key in ("files", "settings")
    }


def test_freezing_the_same_examples_twice_gives_the_same_dataset(store: Store) -> None:
    accept(store, [numbered(number) for number in range(5)])
    first = freeze_dataset(store, store.data_dir)
    assert freeze_dataset(store, store.data_dir) == first
    assert len(store.list_datasets()) == 1
    accept(store, [numbered(6)])
    assert freeze_dataset(store, store.data_dir).dataset_id != first.dataset_id


def test_nothing_unfinished_is_left_behind(store: Store) -> None:
    accept(store, [numbered(number) for number in range(5)])
    freeze_dataset(store, store.data_dir)
    dataset = freeze_dataset(store, store.data_dir)
    assert [path.name for path in (store.data_dir / "datasets").iterdir()] == [dataset.dataset_id]


def test_what_a_killed_freeze_left_is_cleared_away(store: Store) -> None:
    accept(store, [numbered(1)])
    left, running = (store.data_dir / "datasets" / f".building-{name}" for name in "ab")
    for folder in (left, running):
        folder.mkdir(parents=True)
        (folder / "train.jsonl").write_text("{}")
    os.utime(left, (time.time() - 90_000,) * 2)
    freeze_dataset(store, store.data_dir)
    assert (left.exists(), running.exists()) == (False, True)


def test_a_folder_without_its_record_is_adopted(store: Store, tmp_path: Path) -> None:
    accept(store, [numbered(number) for number in range(5)])
    dataset = freeze_dataset(store, store.data_dir)
    with Store.open(tmp_path / "other") as other:
        accept(other, [numbered(number) for number in range(5)])
        (other.data_dir / "datasets").mkdir()
        Path(dataset.path).rename(other.data_dir / "datasets" / dataset.dataset_id)
        assert freeze_dataset(other, other.data_dir).dataset_id == dataset.dataset_id
        assert len(other.list_datasets()) == 1


@given(st.text(min_size=1, max_size=40))
def test_the_split_depends_on_the_conversation_alone(conversation_id: str) -> None:
    assert is_validation(conversation_id, 0.1) == is_validation(conversation_id, 0.1)
    if is_validation(conversation_id, 0.1):
        assert is_validation(conversation_id, 0.2)


def test_about_a_tenth_is_kept_for_validation() -> None:
    held = sum(is_validation(f"conversation-{number}", 0.10) for number in range(10_000))
    assert 900 < held < 1100


def test_a_conversation_is_never_torn_apart(store: Store) -> None:
    accept(store, [numbered(n, conversation_id=f"talk-{n % 20}") for n in range(100)])
    dataset = freeze_dataset(store, store.data_dir)
    talks = {
        split: {int(str(row["example_id"])) % 20 for row in read_rows(dataset.path, split)}
        for split in SPLITS
    }
    assert sum(len(part) for part in talks.values()) == 20
    assert len(talks["train"] | talks["validation"] | talks["test"]) == 20
    assert talks["validation"]


def test_what_chooses_the_checkpoint_does_not_judge_it(store: Store) -> None:
    accept(store, [numbered(number) for number in range(400)])
    dataset = freeze_dataset(store, store.data_dir)
    kept = {
        split: {str(row["completion"][0]["content"]) for row in read_rows(dataset.path, split)}
        for split in SPLITS
    }
    judges = {row.completion for row in read_test_rows(Path(dataset.path))}
    assert judges == kept["test"]
    assert min(len(kept["test"]), len(kept["validation"])) > 10
    assert not kept["test"] & (kept["validation"] | kept["train"])
    assert dataset.num_validation == len(kept["validation"]) + len(kept["test"])


def test_a_dataset_of_before_has_no_rows_for_the_gate(store: Store) -> None:
    """Its validation rows chose the checkpoint; the rest of the exam decides."""
    accept(store, [numbered(number) for number in range(40)])
    folder = Path(freeze_dataset(store, store.data_dir).path)
    (folder / "test.jsonl").unlink()
    assert read_test_rows(folder) == ()
    assert diff_datasets(folder, folder).moved == ()


def test_few_rows_are_the_trainers(store: Store) -> None:
    """Where the hash keeps rows for the gate only, the trainer gets one conversation more."""
    talks = [f"talk-{n}" for n in range(400)]
    judge = next(t for t in talks if is_validation(t, 0.1) and is_test(t))
    others = [t for t in talks if not is_validation(t, 0.1)][:9]
    accept(store, [numbered(n, conversation_id=t) for n, t in enumerate((judge, *others))])
    folder = Path(freeze_dataset(store, store.data_dir).path)
    assert [len(list(read_rows(folder, split))) for split in SPLITS] == [8, 1, 1]


def test_a_row_never_moves_from_validation_to_training(store: Store) -> None:
    held: set[int] = set()
    for step in range(12):
        accept(store, [numbered(n) for n in range(step * 5, step * 5 + 5)])
        dataset = freeze_dataset(store, store.data_dir)
        split = dict(store.list_dataset_rows(dataset.dataset_id))
        assert all(split[example_id] == "validation" for example_id in held)
        held |= {example_id for example_id, name in split.items() if name == "validation"}
        assert held or len(split) < 10


def test_ten_conversations_leave_at_least_one_for_validation(store: Store) -> None:
    unlucky = [n for n in range(100) if not is_validation(f"group-{n}", 0.10)][:10]
    accept(store, [numbered(n) for n in unlucky[:9]])
    assert freeze_dataset(store, store.data_dir).num_validation == 0
    accept(store, [numbered(unlucky[9])])
    dataset = freeze_dataset(store, store.data_dir)
    assert (dataset.num_train, dataset.num_validation) == (9, 1)


def test_only_conversations_kept_for_validation_are_said_so(store: Store) -> None:
    kept = next(n for n in range(100) if is_validation(f"group-{n}", 0.10))
    accept(store, [numbered(kept)])
    with pytest.raises(DatasetError, match="other conversations") as error:
        freeze_dataset(store, store.data_dir)
    assert error.value.code == "only_validation"


def test_nothing_accepted_is_said_in_a_sentence(store: Store) -> None:
    with pytest.raises(DatasetError, match="Accept examples in the Curate tab") as error:
        freeze_dataset(store, store.data_dir)
    assert error.value.code == "no_examples"
    assert list((store.data_dir / "datasets").iterdir()) == []


def feedback_example(store: Store, conversation_id: str, number: int, **changes: object) -> int:
    turn = add_turn(store, conversation_id)
    fields = {"source": "feedback", "turn_id": turn.turn_id, "person_id": "person-1", **changes}
    return accept(store, [numbered(number, conversation_id=conversation_id, **fields)])[0]


def test_regression_cases_are_never_trained_on(store: Store) -> None:
    add_conversation(store)
    example_id = feedback_example(store, "c1", 1)
    accept(store, [numbered(2)])
    turn_id = store.get_example(example_id).turn_id  # type: ignore[union-attr]
    disliked = numbered(3, purpose="regression", turn_id=turn_id, source="feedback")
    store.add_examples([disliked])
    dataset = freeze_dataset(store, store.data_dir)
    assert [row["example_id"] for row in read_rows(dataset.path, "train")] == [2]
    assert dataset.manifest["left_out"] == {"regression_case": 1}


def test_a_question_of_a_regression_case_is_not_trained_on_elsewhere(store: Store) -> None:
    question = ({"role": "user", "content": "우리 회사 3층 탕비실에서 뭘 할 수 있죠?"},)
    store.add_examples([numbered(1, purpose="regression", messages=question)])
    store.add_examples([numbered(2, purpose="regression", messages=make_messages())])
    accept(store, [numbered(3, messages=question), numbered(4, messages=make_messages())])
    dataset = freeze_dataset(store, store.data_dir)
    assert [row["example_id"] for row in read_rows(dataset.path, "train")] == [4]


def test_without_consent_even_an_accepted_row_stays_out(store: Store) -> None:
    add_conversation(store, may_train=False)
    feedback_example(store, "c1", 1)
    accept(store, [numbered(2)])
    dataset = freeze_dataset(store, store.data_dir)
    assert dataset.manifest["left_out"] == {"no_consent": 1}


def test_an_accepted_row_outlives_its_conversation(store: Store) -> None:
    accept(store, [numbered(1, source="feedback", conversation_id="removed by age")])
    assert freeze_dataset(store, store.data_dir).num_train == 1


def test_one_anonymous_person_fills_only_five_rows(store: Store) -> None:
    for number in range(8):
        add_conversation(store, f"public-{number}")
        feedback_example(store, f"public-{number}", number)
    add_conversation(store, "studio", origin="studio")
    for number in range(10, 18):
        feedback_example(store, "studio", number)
    dataset = freeze_dataset(store, store.data_dir)
    assert dataset.manifest["left_out"] == {"too_many_of_one_person": 3}
    assert dataset.num_train + dataset.num_validation == 13


def test_pairs_of_the_training_split_are_kept_beside_it(store: Store) -> None:
    accept(store, [make_example(completion=canonical(BETTER), rejected=canonical(ANSWER))])
    dataset = freeze_dataset(store, store.data_dir)
    [pair] = read_rows(dataset.path, "pairs")
    assert pair["chosen"] == [{"role": "assistant", "content": canonical(BETTER)}]
    assert pair["rejected"] == [{"role": "assistant", "content": canonical(ANSWER)}]
    assert dataset.manifest["num_pairs"] == 1


@pytest.mark.parametrize(("name", "value"), [("validation_share", 0.7), ("max_rows_per_person", 0)])
def test_a_bad_setting_is_named(name: str, value: float) -> None:
    with pytest.raises(DatasetError, match=name):
        DatasetSettings(**{name: value})  # type: ignore[arg-type]
