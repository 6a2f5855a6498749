"""Two dataset versions side by side, and whether a folder is still what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.dataset import MANIFEST, SPLITS, DatasetError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class DatasetDiff:
    """What the later version has, lacks and says otherwise; ids of examples."""

    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[int, ...]  # the same example with another prompt or answer
    moved: tuple[int, ...]  # from training to validation
    settings: dict[str, tuple[Any, Any]]  # name → before, after


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


def _iter_rows(dataset_dir: Path) -> Iterator[tuple[int, str, bytes]]:
    """Example id, split and a hash of what it says."""
    for split in SPLITS:
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
