"""Accepted examples → an immutable dataset folder: train.jsonl, validation.jsonl, manifest.json.

The split goes by a hash of the conversation, so that a row never moves from validation to
training in a later version. The folder is built aside, its manifest written last, and renamed
into place: a folder without a manifest does not exist. Its id is a hash of its content, so
freezing the same examples twice gives the same dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import IO, Any, Final

from chatbot.prompts import base_info_message, system_message
from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo
from feedback_store.records import Conversation, Dataset, Example, ExampleFilter
from feedback_store.store import Store
from finetune.redaction import redact_example

MANIFEST: Final = "manifest.json"
MANIFEST_FORMAT: Final = 1
SPLITS: Final = ("train", "validation")
PAIRS_FILE: Final = "pairs.jsonl"  # chosen and rejected answers of the training split
MIN_CONVERSATIONS: Final = 10  # from here on one conversation at least is kept for validation
_BUCKETS: Final = 10_000
_BUILDING: Final = ".building-"
_LEFTOVER_AFTER_S: Final = 86_400


class DatasetError(ValueError):
    """The dataset cannot be made or read. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class DatasetSettings:
    """What goes into a dataset."""

    validation_share: float = 0.10  # of the conversations
    max_rows_per_person: int = 5  # of one anonymous chatter; the studio and imports have no limit

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share <= 0.5:
            raise DatasetError(
                "bad_setting",
                f"validation_share is {self.validation_share}; it must lie between 0 and 0.5.",
            )
        if self.max_rows_per_person < 1:
            raise DatasetError(
                "bad_setting",
                f"max_rows_per_person is {self.max_rows_per_person}; it must be 1 or more.",
            )


@dataclass
class _Tally:
    """What was written, counted on the way."""

    rows: dict[str, list[int]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    conversations: set[int] = field(default_factory=set)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    num_redacted: int = 0

    def add(self, example: Example, split: str) -> None:
        """Count one row."""
        self.rows[split].append(example.example_id)
        self.conversations.add(_hash_number(example.conversation_id))
        for name in ("location", "work_type", "category", "lang", "source"):
            self.counts.setdefault(name, Counter())[getattr(example, name)] += 1


def _hash_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def is_validation(conversation_id: str, share: float) -> bool:
    """Whether the conversation belongs to the validation split; the same in every version."""
    return _hash_number(conversation_id) % _BUCKETS < round(share * _BUCKETS)


def _prompt_key(messages: Sequence[Mapping[str, Any]]) -> bytes:
    text = json.dumps(messages, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16]


def _shared_prompts() -> Iterator[bytes]:
    """The bare base-info prompts: everybody sends these, so they name no case."""
    for place, work, theme in product(LOCATIONS, WORK_TYPES, CATEGORIES):
        info = BaseInfo(place.code, work.code, theme.code)
        for lang in ("ko", "en"):
            prompt = (system_message(lang), base_info_message(info, lang))
            yield _prompt_key(prompt)


class _Selection:
    """Which accepted examples may be trained on; says why one may not."""

    def __init__(self, store: Store, settings: DatasetSettings) -> None:
        self._store = store
        self._settings = settings
        self._rows_of: Counter[str] = Counter()
        self._conversations: dict[str, Conversation | None] = {}
        self._turns: set[int] = set()
        self._prompts: set[bytes] = set()
        for case in store.iter_examples(ExampleFilter(purpose="regression")):
            if case.state != "excluded":
                self._prompts.add(_prompt_key(case.messages))
                self._turns |= {case.turn_id} if case.turn_id is not None else set()
        self._prompts -= set(_shared_prompts())

    def refuse(self, example: Example) -> str | None:
        """Why the example stays out, or None."""
        if example.turn_id in self._turns or (
            self._prompts and _prompt_key(example.messages) in self._prompts
        ):
            return "regression_case"
        if not example.decided_by:
            return "no_named_approval"
        return self._refuse_feedback(example) if example.source == "feedback" else None

    def _refuse_feedback(self, example: Example) -> str | None:
        """A conversation that is gone was removed by age; who withdraws consent or asks to be
        forgotten takes the examples along.
        """
        conversation = self._conversation(example.conversation_id)
        if conversation and not conversation.may_train:
            return "no_consent"
        if conversation is None or conversation.origin != "studio":
            if self._rows_of[example.person_id] >= self._settings.max_rows_per_person:
                return "too_many_of_one_person"
            self._rows_of[example.person_id] += 1
        return None

    def _conversation(self, conversation_id: str) -> Conversation | None:
        if conversation_id not in self._conversations:
            found = self._store.get_conversation(conversation_id)
            self._conversations[conversation_id] = found
        return self._conversations[conversation_id]


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
    selection = _Selection(store, settings)
    files = {split: _HashedFile(folder / f"{split}.jsonl") for split in SPLITS}
    files["pairs"] = _HashedFile(folder / PAIRS_FILE)
    for example in store.iter_examples(ExampleFilter(state="accepted", purpose="train")):
        reason = selection.refuse(example)
        if reason:
            tally.left_out[reason] += 1
            continue
        is_kept = _hash_number(example.conversation_id) in kept
        is_held = is_kept or is_validation(example.conversation_id, settings.validation_share)
        split = "validation" if is_held else "train"
        redacted = redact_example(example)
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

    Raises DatasetError("no_examples") when nothing may be trained on.
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
        raise DatasetError("no_examples", _explain_empty(tally))
    if _needs_one_more(tally, settings):
        kept |= {min(tally.conversations)}
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
        num_validation=manifest["num_validation"],
        manifest=manifest,
    )
    if found is None:
        store.add_dataset(dataset, _list_rows(tally))
    return store.get_dataset(dataset.dataset_id) or dataset


def _explain_empty(tally: _Tally) -> str:
    reasons = ", ".join(f"{name}: {count}" for name, count in tally.left_out.items())
    left_out = f" Left out were {reasons}." if reasons else ""
    return (
        f"No accepted example may be trained on.{left_out} "
        "Accept examples in the Curate tab, then try again."
    )


def _list_rows(tally: _Tally) -> Iterator[tuple[int, str]]:
    for split in SPLITS:
        for example_id in tally.rows[split]:
            yield example_id, split


def _is_complete(path: Path) -> bool:
    return (path / MANIFEST).exists()


def _sync_dir(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(folder: Path, manifest: dict[str, Any]) -> Path:
    """Manifest last, then the rename; both made durable."""
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _sync_dir(folder)
    path = folder.parent / str(manifest["dataset_id"])
    if not _is_complete(path):
        folder.rename(path)
        _sync_dir(path.parent)
    return path
