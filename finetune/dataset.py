"""Accepted examples → an immutable dataset folder: train.jsonl, validation.jsonl, test.jsonl,
manifest.json.

The split goes by a hash of the conversation, so that a row that was kept from training never
moves there in a later version. Half of what is kept chooses the checkpoint (validation), the
other half judges it (test): rows that chose it would flatter it.

The folder is built aside, its manifest written last, and renamed into place: a folder without a
manifest does not exist. Its id is a hash of its content, so freezing the same examples twice
gives the same dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from feedback_store.durable import sync
from feedback_store.records import Dataset, Example, ExampleFilter
from feedback_store.store import Store
from finetune.redaction import redact_example
from finetune.selection import DatasetError as DatasetError
from finetune.selection import DatasetSettings as DatasetSettings
from finetune.selection import Selection

MANIFEST: Final = "manifest.json"
MANIFEST_FORMAT: Final = 1
SPLITS: Final = ("train", "validation", "test")
PAIRS_FILE: Final = "pairs.jsonl"  # chosen and rejected answers of the training split
MIN_CONVERSATIONS: Final = 10  # from here on one conversation at least is kept for validation
_BUCKETS: Final = 10_000
_BUILDING: Final = ".building-"
_LEFTOVER_AFTER_S: Final = 86_400


@dataclass
class _Tally:
    """What was written, counted on the way."""

    rows: dict[str, list[int]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    conversations: set[int] = field(default_factory=set)
    trained_on: set[int] = field(default_factory=set)  # of these conversations
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    num_redacted: int = 0

    def add(self, example: Example, split: str) -> None:
        """Count one row."""
        self.rows[split].append(example.example_id)
        talk = _hash_number(example.conversation_id)
        self.conversations.add(talk)
        if split == "train":
            self.trained_on.add(talk)
        for name in ("location", "work_type", "category", "lang", "source"):
            self.counts.setdefault(name, Counter())[getattr(example, name)] += 1


def _hash_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def is_validation(conversation_id: str, share: float) -> bool:
    """Whether the conversation belongs to the validation split; the same in every version."""
    return _hash_number(conversation_id) % _BUCKETS < round(share * _BUCKETS)


def is_test(conversation_id: str) -> bool:
    """Of the conversations kept from training: whether the gate has it, or else the trainer."""
    return _hash_number(conversation_id) // _BUCKETS % 2 == 1


def _choose_split(example: Example, settings: DatasetSettings, kept: frozenset[int]) -> str:
    talk = example.conversation_id
    if _hash_number(talk) in kept:
        return "validation"
    if not is_validation(talk, settings.validation_share):
        return "train"
    return "test" if is_test(talk) else "validation"


def to_row(example: Example) -> dict[str, Any]:
    """The training row of an example."""
    return {
        "prompt": list(example.messages),
        "completion": [{"role": "assistant", "content": example.completion}],
        "example_id": example.example_id,
    }


def _to_pair(example: Example) -> dict[str, Any]:
    return {
        "prompt": list(example.messages),
        "chosen": [{"role": "assistant", "content": example.completion}],
        "rejected": [{"role": "assistant", "content": example.rejected}],
        "example_id": example.example_id,
    }


class _HashedFile:
    """A JSONL file that knows its hash; closing it makes it durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_rows = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = path.open("wb")

    def write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)
        self.num_rows += 1

    def close(self) -> dict[str, Any]:
        """Flush to the disk; what the manifest says of the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        num_bytes = self._file.tell()
        self._file.close()
        return {"sha256": self._hash.hexdigest(), "num_bytes": num_bytes, "num_rows": self.num_rows}


def _write_rows(
    store: Store, folder: Path, settings: DatasetSettings, kept: frozenset[int]
) -> tuple[_Tally, dict[str, Any]]:
    """Write every file but the manifest; `kept` are conversations that are always validation."""
    tally = _Tally()
    selection = Selection(store, settings)
    files = {split: _HashedFile(folder / f"{split}.jsonl") for split in SPLITS}
    files["pairs"] = _HashedFile(folder / PAIRS_FILE)
    for example in store.iter_examples(ExampleFilter(state="accepted", purpose="train")):
        reason = selection.refuse(example)
        if reason:
            tally.left_out[reason] += 1
            continue
        split = _choose_split(example, settings, kept)
        redacted = redact_example(example, with_original=False)
        tally.num_redacted += redacted is not example
        example = redacted
        files[split].write(to_row(example))
        tally.add(example, split)
        if example.rejected and split == "train":
            files["pairs"].write(_to_pair(example))
    return tally, {item.path.name: item.close() for item in files.values()}


def _kept_in_validation(store: Store) -> frozenset[int]:
    """Conversations that earlier datasets took for validation although their hash did not say."""
    return frozenset(
        int(number, 16)
        for dataset in store.list_datasets()
        for number in dataset.manifest.get("kept_in_validation", [])
    )


def _needs_one_more(tally: _Tally, settings: DatasetSettings) -> bool:
    return (
        settings.validation_share > 0
        and not tally.rows["validation"]
        and len(tally.conversations) >= MIN_CONVERSATIONS
        and len(tally.trained_on) > 1
    )


def _make_manifest(
    tally: _Tally, files: dict[str, Any], settings: DatasetSettings, kept: frozenset[int]
) -> dict[str, Any]:
    content = {
        "format": MANIFEST_FORMAT,
        "files": files,
        "settings": asdict(settings),
        "kept_in_validation": sorted(f"{number:016x}" for number in kept & tally.conversations),
    }
    text = json.dumps(content, sort_keys=True)
    return {
        "dataset_id": hashlib.sha256(text.encode()).hexdigest()[:16],
        **content,
        "num_train": len(tally.rows["train"]),
        "num_validation": len(tally.rows["validation"]),
        "num_test": len(tally.rows["test"]),
        "num_redacted": tally.num_redacted,
        "num_pairs": files[PAIRS_FILE]["num_rows"],
        "num_conversations": len(tally.conversations),
        "counts": {name: dict(sorted(count.items())) for name, count in tally.counts.items()},
        "left_out": dict(sorted(tally.left_out.items())),
    }


def freeze_dataset(
    store: Store, data_dir: Path, settings: DatasetSettings | None = None
) -> Dataset:
    """Write the accepted examples as a dataset, or find the one that holds exactly these.

    Raises DatasetError "no_examples" or "only_validation" when there is nothing to train on.
    """
    settings = settings or DatasetSettings()
    parent = data_dir.absolute() / "datasets"
    parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(parent)
    folder = parent / f"{_BUILDING}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        return _build(store, folder, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # gone already when all went well


def _clear_leftovers(parent: Path) -> None:
    """Remove what a killed freeze left behind, sparing one that may be at work."""
    for folder in parent.glob(f"{_BUILDING}*"):
        if time.time() - folder.stat().st_mtime > _LEFTOVER_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _build(store: Store, folder: Path, settings: DatasetSettings) -> Dataset:
    kept = _kept_in_validation(store)
    tally, files = _write_rows(store, folder, settings, kept)
    if not tally.rows["train"]:
        raise _explain_empty(tally)
    if _needs_one_more(tally, settings):
        kept |= {min(tally.trained_on)}
        tally, files = _write_rows(store, folder, settings, kept)
    manifest = _make_manifest(tally, files, settings, kept)
    found = store.get_dataset(manifest["dataset_id"])
    if found and _is_complete(folder.parent / found.dataset_id):
        return found
    path = _publish(folder, {**manifest, "example_ids": tally.rows})
    dataset = Dataset(
        dataset_id=manifest["dataset_id"],
        path=str(path),
        num_train=manifest["num_train"],
        num_validation=manifest["num_validation"] + manifest["num_test"],
        manifest=manifest,
    )
    if found is None:
        store.add_dataset(dataset, _list_rows(tally))
    return store.get_dataset(dataset.dataset_id) or dataset


def _explain_empty(tally: _Tally) -> DatasetError:
    if num := len(tally.rows["validation"]) + len(tally.rows["test"]):
        return DatasetError(
            "only_validation",
            f"All examples that may be trained on ({num}) are of conversations that are kept for "
            "validation. Accept examples of other conversations, then try again.",
        )
    reasons = ", ".join(f"{name}: {count}" for name, count in tally.left_out.items())
    left_out = f" Left out were {reasons}." if reasons else ""
    return DatasetError(
        "no_examples",
        f"No accepted example may be trained on.{left_out} "
        "Accept examples in the Curate tab, then try again.",
    )


def _list_rows(tally: _Tally) -> Iterator[tuple[int, str]]:
    """The database knows what was trained on and what was kept from it."""
    for split in SPLITS:
        for example_id in tally.rows[split]:
            yield example_id, "train" if split == "train" else "validation"


def _is_complete(path: Path) -> bool:
    return (path / MANIFEST).exists()


def _publish(folder: Path, manifest: dict[str, Any]) -> Path:
    """Manifest last, then the rename; both made durable."""
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync(folder)
    path = folder.parent / str(manifest["dataset_id"])
    if not _is_complete(path):
        folder.rename(path)
        sync(path.parent)
    return path
