"""What changed from one version to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feedback_store.records import Adapter, Dataset, Run
from feedback_store.store import Store
from finetune.version_diff import VersionDiff, diff_versions


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def add(store: Store, version: str, examples: range, **recipe: object) -> Adapter:
    dataset = Dataset(dataset_id=version, path="d", num_train=len(examples), num_validation=0)
    store.add_dataset(dataset, [(number, "train") for number in examples])
    run = Run(
        run_id=version,
        kind="sft",
        state="done",
        dataset_id=version,
        base_model="starter",
        recipe=dict(recipe),
    )
    store.add_run(run)
    adapter = Adapter(
        version=version,
        run_id=version,
        dataset_id=version,
        base_model="starter",
        path=version,
        state="passed",
    )
    return store.add_adapter(adapter)


def test_examples_and_knobs_are_compared(store: Store) -> None:
    before = add(store, "v0001", range(1, 11), r=8, seed=1, tracking="off")
    after = add(store, "v0002", range(4, 20), r=16, seed=1, tracking="online", use_rslora=True)
    assert diff_versions(store, before, after) == VersionDiff(
        "v0001", "v0002", 16, 9, 3, (("r", 8, 16), ("use_rslora", None, True))
    )


def test_against_the_base_all_examples_are_new_and_no_knob_is(store: Store) -> None:
    first = add(store, "v0001", range(1, 11), r=8)
    assert diff_versions(store, None, first) == VersionDiff(None, "v0001", 10, 10, 0, ())


def test_what_the_store_no_longer_knows_is_left_open(store: Store) -> None:
    before = add(store, "v0001", range(1, 11), r=8)
    after = add(store, "v0002", range(1, 11), r=8)
    lost = replace(before, dataset_id=None, run_id=None)
    assert diff_versions(store, lost, after) == VersionDiff("v0001", "v0002", 10, None, None, ())
    assert diff_versions(store, after, lost) == VersionDiff("v0002", "v0001", None, None, None, ())
