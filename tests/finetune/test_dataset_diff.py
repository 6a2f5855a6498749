from pathlib import Path

import pytest

from chatbot.recommendation import canonical
from feedback_store.store import Store
from finetune.dataset import DatasetError, DatasetSettings, freeze_dataset
from finetune.dataset_diff import DatasetDiff, diff_datasets, verify_dataset
from tests.finetune.examples import BETTER, make_example, numbered_answer


def fill(store: Store) -> None:
    rows = [
        make_example(completion=canonical(numbered_answer(n)), conversation_id=f"group-{n}")
        for n in range(4)
    ]
    store.add_examples(rows)
    store.decide_examples([1, 2, 3], state="accepted", decided_by="kim")


def test_the_difference_names_rows_and_settings(store: Store) -> None:
    fill(store)
    whole = DatasetSettings(validation_share=0)
    before = freeze_dataset(store, store.data_dir, whole)
    store.decide_examples([1], state="excluded", decided_by="kim")
    store.decide_examples([2], state="accepted", decided_by="lee", completion=canonical(BETTER))
    store.decide_examples([4], state="accepted", decided_by="kim")
    after = freeze_dataset(
        store, store.data_dir, DatasetSettings(validation_share=0, max_rows_per_person=9)
    )
    assert diff_datasets(Path(before.path), Path(after.path)) == DatasetDiff(
        added=(4,), removed=(1,), changed=(2,), moved=(), settings={"max_rows_per_person": (5, 9)}
    )


def test_a_dataset_that_is_whole_verifies(store: Store) -> None:
    fill(store)
    verify_dataset(Path(freeze_dataset(store, store.data_dir).path))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), Path.unlink])
def test_a_damaged_or_missing_file_is_named(store: Store, damage: object) -> None:
    fill(store)
    path = Path(freeze_dataset(store, store.data_dir).path)
    damage(path / "train.jsonl")  # type: ignore[operator]
    with pytest.raises(DatasetError, match=r"train\.jsonl"):
        verify_dataset(path)


def test_a_folder_without_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        verify_dataset(tmp_path)
    assert error.value.code == "no_manifest"
