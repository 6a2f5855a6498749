"""A frozen dataset as a folder that `datasets.load_dataset` reads, with a card that says what it
is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, get_args

import psutil

from feedback_store.durable import sync
from finetune.dataset import SPLITS, DatasetError
from finetune.dataset_diff import read_manifest, verify_dataset

ExportKind = Literal["jsonl", "parquet"]
CARD: Final = "README.md"
_DATA: Final = "data"
_TITLE: Final = re.compile(r"^# Dataset [0-9a-f]{16}$", re.MULTILINE)
_BUILDING: Final = re.compile(r"\.export-(\d+)-\w{8}")  # with the number of the process
_CLOCK_S: Final = 2  # by so much the start of a process may be told wrongly
_FILES: Final = frozenset(f"{split}.{kind}" for split in SPLITS for kind in get_args(ExportKind))
_BATCH: Final = 1_000


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _write_parquet(source: Path, target: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    messages = pyarrow.list_(
        pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    )
    schema = pyarrow.schema(
        [("prompt", messages), ("completion", messages), ("example_id", pyarrow.int64())]
    )
    rows = _read_rows(source)
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _table(title: str, counts: Mapping[str, int]) -> str:
    rows = "\n".join(f"| {name or '(not named)'} | {count:,} |" for name, count in counts.items())
    return f"| {title} | examples |\n|---|---|\n{rows}\n"


def _front_matter(manifest: Mapping[str, Any], kind: ExportKind, splits: list[str]) -> str:
    files = "\n".join(f"  - split: {split}\n    path: {_DATA}/{split}.{kind}" for split in splits)
    languages = "\n".join(f"- {lang}" for lang in manifest["counts"].get("lang", {}))
    return (
        f"---\nlanguage:\n{languages}\ntask_categories:\n- text-generation\n"
        f"configs:\n- config_name: default\n  data_files:\n{files}\n---\n"
    )


def _describe(manifest: Mapping[str, Any]) -> str:
    """The card's text: where the rows come from, how they were split, what was left out."""
    counts = manifest["counts"]
    left_out = manifest["left_out"]
    parts = [
        f"# Dataset {manifest['dataset_id']}\n",
        "Conversational prompt/completion rows for supervised fine-tuning. Every row was accepted "
        "by a named person; every answer is the canonical text that the model is served with.\n",
        f"{manifest['num_train']:,} training, {manifest['num_validation']:,} validation and "
        f"{manifest.get('num_test', 0):,} test rows from {manifest['num_conversations']:,} "
        "conversations. Validation chooses the checkpoint, test judges it. The split goes by a "
        "hash of the conversation, so a row that was kept from training never moves there in a "
        "later version.\n",
        _table("category", counts.get("category", {})),
        _table("language", counts.get("lang", {})),
        _table("source", counts.get("source", {})),
    ]
    if left_out:
        parts.append(_table("left out because", left_out))
    settings = json.dumps(manifest["settings"], sort_keys=True)
    hashes = "\n".join(f"- `{name}`: {f['sha256']}" for name, f in manifest["files"].items())
    parts.append(f"Settings: `{settings}`\n\nsha256 of the frozen files:\n\n{hashes}\n")
    return "\n".join(parts)


def export_dataset(
    dataset_dir: Path, out_dir: Path, kind: ExportKind = "jsonl", *, replaces: bool = False
) -> Path:
    """Write the splits and a data card; the folder may be given to `datasets.load_dataset`. It is
    there whole or not at all. replaces: an earlier export may give way, but nothing else.

    Raises DatasetError where the dataset is not what was frozen, the folder is taken, or the disk
    refuses.
    """
    verify_dataset(dataset_dir)
    out_dir = out_dir.resolve()
    try:
        _undo_killed(out_dir)
        _undo_killed(out_dir.parent)
        _check_free(out_dir, replaces=replaces)
        _export(dataset_dir, out_dir, kind)
    except OSError as error:
        raise DatasetError("not_exported", f"{out_dir} could not be written: {error}") from error
    return out_dir


def _export(dataset_dir: Path, out_dir: Path, kind: ExportKind) -> None:
    """A folder that is there stays itself: it may be a disk of its own, or where somebody works."""
    is_there = out_dir.exists()
    parent = out_dir if is_there else out_dir.parent
    parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".export-{os.getpid()}-", dir=parent))
    try:
        _write_folder(dataset_dir, building / "new", kind)
        if is_there:
            _move_in(building / "new", out_dir, building / "old")
        else:
            (building / "new").rename(out_dir)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync(parent)


def _move_in(new: Path, target: Path, aside: Path) -> None:
    """The card goes first and comes last: without it the folder is no export."""
    aside.mkdir()
    there = [name for name in (CARD, _DATA) if (target / name).exists()]
    moves = [(target / name, aside / name) for name in there]
    moves += [(new / name, target / name) for name in (_DATA, CARD)]
    done: list[tuple[Path, Path]] = []
    try:
        for source, place in moves:
            source.rename(place)
            done.append((source, place))
    except BaseException:
        for source, place in reversed(done):
            place.rename(source)
        raise


def _undo_killed(out_dir: Path) -> None:
    """Put back what exports set aside in a folder that were killed while they filled it. Where
    somebody has put something of their own there since, all stays as it is.
    """
    for building in out_dir.glob(".export-*"):
        name = _BUILDING.fullmatch(building.name)
        if not name or not building.is_dir() or _is_at_work(int(name[1]), building):
            continue
        is_whole = not (building / "new" / CARD).exists()  # or nothing was moved in yet
        if is_whole or _move_back(building / "new", building / "old", out_dir):
            shutil.rmtree(building)


def _is_at_work(pid: int, building: Path) -> bool:
    """Whether the process that made the folder still runs. One that began later only has its
    number, as the next one in a container has.
    """
    try:
        began_at = float(psutil.Process(pid).create_time())
        return began_at <= building.stat().st_mtime + _CLOCK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _move_back(new: Path, aside: Path, target: Path) -> bool:
    """Whether it could be done. Only moves, so that it can be killed as well and begun again."""
    there = [path for name in (_DATA, CARD) if (path := aside / name).exists()]
    if (target / CARD).exists():  # it went first: all is in its place, or this one is not ours
        return not there
    if not (new / _DATA).exists() and (target / _DATA).exists():
        if not {path.name for path in (target / _DATA).iterdir()} <= _FILES:
            return False
        (target / _DATA).rename(new / _DATA)
    if (aside / _DATA).exists() and (target / _DATA).exists():
        return False
    for path in there:
        path.rename(target / path.name)
    return True


def _check_free(out_dir: Path, *, replaces: bool) -> None:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    if not _is_export(out_dir):
        raise DatasetError(
            "target_exists",
            f"{out_dir} holds something else than an export. Choose another folder.",
        )
    if not replaces:
        raise DatasetError(
            "target_exists",
            f"{out_dir} holds an export already. Choose another folder, or replace it with "
            "--force.",
        )


def _is_export(folder: Path) -> bool:
    """Whether it holds what an export writes with its card, and nothing besides."""
    if not (folder / CARD).is_file() or not (folder / _DATA).is_dir():
        return False
    card = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    data = {f"{_DATA}/{name}" for name in _FILES}
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return bool(_TITLE.search(card) and inside & data and inside <= {CARD, _DATA, *data})


def _write_folder(dataset_dir: Path, out_dir: Path, kind: ExportKind) -> None:
    manifest = read_manifest(dataset_dir)
    folder = out_dir / _DATA
    folder.mkdir(parents=True)
    splits = [split for split in SPLITS if manifest.get(f"num_{split}")]
    for split in splits:
        source, target = dataset_dir / f"{split}.jsonl", folder / f"{split}.{kind}"
        if kind == "parquet":
            _write_parquet(source, target)
        else:
            shutil.copyfile(source, target)
    card = _front_matter(manifest, kind, splits) + _describe(manifest)
    (out_dir / CARD).write_text(card, encoding="utf-8")
    for path in (*folder.iterdir(), folder, out_dir / CARD, out_dir):
        sync(path)
