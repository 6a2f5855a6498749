"""Checkpoints of a training: which of them is whole, and what a broken one is worth.

A training that is killed, or whose disk is full, while it saves leaves half a folder with the
highest number; going on from that one fails each time. Needs neither torch nor safetensors, so
that the application can tell whether a run may be resumed.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STATE: Final = "trainer_state.json"  # written last
_WEIGHTS: Final = "adapter_model.safetensors"
_OPTIMIZER: Final = "optimizer.pt"
_SCHEDULER: Final = "scheduler.pt"
_SHARDED: Final = ("pytorch_model_fsdp*", "optimizer_*")  # folders that several cards write


def find_checkpoint(checkpoints_dir: Path) -> Path | None:
    """The newest that is whole."""
    return next((path for path in _newest_first(checkpoints_dir) if is_whole(path)), None)


def clear_broken(checkpoints_dir: Path) -> list[str]:
    """Delete what is newer than the newest whole one; returns the names."""
    names = []
    for path in _newest_first(checkpoints_dir):
        if is_whole(path):
            break
        shutil.rmtree(path, ignore_errors=True)
        names.append(path.name)
    return names


def is_whole(checkpoint: Path) -> bool:
    """Whether a training can go on from it: each file there, and each to its end."""
    if not _is_state(checkpoint / _STATE):
        return False
    if not all(zipfile.is_zipfile(path) for path in checkpoint.glob("*.pt*")):
        return False
    if not all(_is_to_its_end(path) for path in checkpoint.glob("*.safetensors")):
        return False
    if all(any(checkpoint.glob(pattern)) for pattern in _SHARDED):
        return True
    return all((checkpoint / name).is_file() for name in (_WEIGHTS, _OPTIMIZER, _SCHEDULER))


def _newest_first(checkpoints_dir: Path) -> Iterator[Path]:
    numbered = {}
    for path in checkpoints_dir.glob("checkpoint-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and path.is_dir():
            numbered[int(number)] = path
    yield from (numbered[number] for number in sorted(numbered, reverse=True))


def _is_state(path: Path) -> bool:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and isinstance(value.get("global_step"), int)


def _is_to_its_end(path: Path) -> bool:
    """A safetensors file as long as its header says."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
        return bool(path.stat().st_size == 8 + length + max(ends, default=0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, OverflowError):
        return False
