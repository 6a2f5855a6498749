"""Dataset versions: where one lies, whether its folder is still what it was, two side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from feedback_store.records import Dataset
from feedback_store.store import Store
from finetune.dataset import MANIFEST, SPLITS, DatasetError

LATEST: Final = "latest"

_BLOCK = 1 << 20


@dataclass(frozen=True)
class DatasetDiff:
    """What the later version has, lacks and says otherwise; ids of examples."""

    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[int, ...]  # the same example with another prompt or answer
    moved: tuple[int, ...]  # from training to validation or test, or between these two
    settings: dict[str, tuple[Any, Any]]  # name → before, after


def find_dataset(store: Store, name: str) -> Dataset:
    """The dataset with this id, with an id that begins so, or the newest ("latest")."""
    datasets = store.list_datasets()
    if name == LATEST:
        found = datasets[:1]
    else:
        found = [d for d in datasets if name and d.dataset_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not datasets:
        raise DatasetError("unknown_dataset", "There is no dataset yet. Freeze one first.")
    known = ", ".join(dataset.dataset_id for dataset in datasets[:8])
    what = f"{len(found)} datasets begin with" if found else "There is no dataset"
    raise DatasetError("unknown_dataset", f"{what} {name[:40]!r}. The newest are {known}.")


def locate_dataset(store: Store, dataset: Dataset) -> Path:
    """Its folder, also after the whole data folder was moved."""
    noted = store.data_dir / dataset.path
    return noted if noted.is_dir() else store.data_dir / "datasets" / dataset.dataset_id


def read_manifest(dataset_dir: Path) -> dict[str, Any]:
    """The manifest of a dataset folder; raises DatasetError where there is none."""
    try:
        manifest = json.loads((dataset_dir / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            "no_manifest",
            f"{dataset_dir.name} is no complete dataset: its {MANIFEST} cannot be read. "
            "Freeze the dataset again.",
        ) from error
    if not isinstance(manifest, dict):
        raise DatasetError("no_manifest", f"The {MANIFEST} of {dataset_dir.name} is no object.")
    return manifest


def verify_dataset(dataset_dir: Path) -> None:
    """Every file has the hash of the manifest; raises DatasetError naming the one that has not."""
    for name, expected in read_manifest(dataset_dir)["files"].items():
        digest = hashlib.sha256()
        try:
            with (dataset_dir / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError:
            digest.update(b"missing")
        if digest.hexdigest() != expected["sha256"]:
            raise DatasetError(
                "damaged",
                f"{name} of dataset {dataset_dir.name} is not what was frozen. "
                "Do not train on it; freeze the dataset again.",
            )


def _list_splits(dataset_dir: Path) -> list[str]:
    """Those that it has: older datasets have no test split."""
    return [split for split in SPLITS if (dataset_dir / f"{split}.jsonl").exists()]


def _iter_rows(dataset_dir: Path) -> Iterator[tuple[int, str, bytes]]:
    """Example id, split and a hash of what it says."""
    for split in _list_splits(dataset_dir):
        with (dataset_dir / f"{split}.jsonl").open("rb") as lines:
            for line in lines:
                yield json.loads(line)["example_id"], split, hashlib.sha256(line).digest()[:8]


def diff_datasets(before_dir: Path, after_dir: Path) -> DatasetDiff:
    """What changed from one dataset folder to another."""
    before = {row_id: (split, text) for row_id, split, text in _iter_rows(before_dir)}
    added, changed, moved = [], [], []
    for row_id, split, text in _iter_rows(after_dir):
        if row_id not in before:
            added.append(row_id)
            continue
        old_split, old_text = before.pop(row_id)
        if old_text != text:
            changed.append(row_id)
        if old_split != split:
            moved.append(row_id)
    old, new = read_manifest(before_dir)["settings"], read_manifest(after_dir)["settings"]
    names = sorted({*old, *new})
    settings = {n: (old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)}
    return DatasetDiff(
        added=tuple(sorted(added)),
        removed=tuple(sorted(before)),
        changed=tuple(sorted(changed)),
        moved=tuple(sorted(moved)),
        settings=settings,
    )


def read_examples(dataset_dir: Path, example_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Some rows of a dataset folder by the id of their example."""
    wanted, found = set(example_ids), {}
    for split in _list_splits(dataset_dir):
        with (dataset_dir / f"{split}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["example_id"] in wanted:
                    found[row["example_id"]] = row
    return found
