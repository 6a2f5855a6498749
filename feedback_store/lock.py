"""One process per data folder: a lock that ends with its holder, and a file that says who
holds it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from feedback_store.errors import Locked
from feedback_store.rows import now

LOCK_NAME = "app.lock"
_PATIENCE_S = 0.5  # longer than a reader of the owner holds the lock, shorter than a person waits
# With no name in the file nobody holds the folder for long: somebody looks, or has just begun or
# ended, and a busy machine may keep it from going on.
_PATIENCE_UNNAMED_S = 5.0

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, is_shared: bool = False) -> bool:
        del is_shared  # Windows has no such lock for files
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte that nobody reads
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int, *, is_shared: bool = False) -> bool:
        kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class DataDirLock:
    """Held from construction until release(); raises Locked when another process holds it."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self.path = data_dir / LOCK_NAME
        self._owner: dict[str, Any] = {"pid": os.getpid(), "name": name, "started_at": now()}
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        started = time.monotonic()
        while not _try_lock(self._descriptor):
            owner = _read(self.path)
            patience_s = _PATIENCE_S if owner else _PATIENCE_UNNAMED_S
            if time.monotonic() - started > patience_s:
                os.close(self._descriptor)
                raise Locked(data_dir, owner.get("pid", "?"), str(owner.get("name", "?")))
            time.sleep(0.02)
        self.describe()

    def describe(self, **extra: Any) -> None:
        """Write who holds the folder, with anything more that other processes should know."""
        self._owner.update(extra)
        text = json.dumps(self._owner, ensure_ascii=False).encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Give the folder free."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def read_owner(data_dir: Path) -> dict[str, Any] | None:
    """Who holds the folder now, or None."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        deadline = time.monotonic() + _PATIENCE_UNNAMED_S
        while time.monotonic() < deadline:
            if _try_lock(descriptor, is_shared=True):
                return None
            if owner := _read(data_dir / LOCK_NAME):
                return owner
            time.sleep(0.02)  # it is being written, or another reader just looked
        return None
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    """The file's content; empty for the moment in which it is being written."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}
