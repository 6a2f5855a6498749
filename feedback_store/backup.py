"""Backup and restore. A backup is taken while the application runs and writes; it is proved to be
sound before it gets its name.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from feedback_store.database import (
    DATABASE_NAME,
    backup_dir,
    empty_wal,
    list_backups,
    set_aside,
)
from feedback_store.durable import sync
from feedback_store.errors import DiskFull, NewerSchema, StoreError
from feedback_store.lock import DataDirLock
from feedback_store.schema import SCHEMA_VERSION, read_version
from feedback_store.sqlite import DatabaseError, connect, is_corrupt, translated_errors
from feedback_store.store import Store


@dataclass(frozen=True)
class Backup:
    """A verified copy of the database."""

    path: Path
    num_bytes: int
    duration_s: float


@dataclass(frozen=True)
class Restored:
    """What a restore did; set_aside is the database that was there before, or None."""

    backup: Path
    set_aside: Path | None
    num_turns: int
    num_examples: int


def backup(data_dir: Path, to: Path | None = None) -> Backup:
    """Copy the database, of a running application or not, into the folder (data_dir/backups)."""
    started = time.monotonic()
    source = data_dir.absolute() / DATABASE_NAME
    if not source.exists():
        raise StoreError("not_found", f"There is no database in {data_dir} to back up.")
    folder = to.absolute() if to else backup_dir(data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = folder / f"ecoloop-{at}.db"
    unfinished = path.with_suffix(".unfinished")
    try:
        with translated_errors(source):
            _copy(source, unfinished)
        verify(unfinished)
        sync(unfinished)
        unfinished.rename(path)
        sync(folder)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, DiskFull):
            raise DiskFull(path) from error  # the source was only read
        raise
    return Backup(path, path.stat().st_size, time.monotonic() - started)


def _copy(source: Path, target: Path) -> None:
    """One moment of the database, compact, without what was deleted."""
    target.touch(mode=0o600)
    with closing(connect(source, read_only=True)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def verify(path: Path) -> None:
    """Raise StoreError where a copy cannot be restored: damaged, empty, or of a newer version."""
    try:
        with closing(connect(path, read_only=True)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = read_version(connection)
    except DatabaseError as error:
        if not is_corrupt(error):
            raise
        verdict, version = str(error), 0
    if version > SCHEMA_VERSION:
        raise NewerSchema(path, version, SCHEMA_VERSION)
    if verdict != "ok" or version == 0:
        raise StoreError("bad_backup", f"{path} is no sound backup ({verdict}). Take another one.")


def restore(data_dir: Path, path: Path) -> Restored:
    """Put a backup in the place of the database, which is set aside; forget again what people had
    deleted since.

    The application must not run on the folder.
    """
    data_dir, path = data_dir.absolute(), path.absolute()
    if not path.is_file():
        raise StoreError("not_found", f"There is no backup {path}.{_known_backups(data_dir)}")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = DataDirLock(data_dir, "restore")
    try:
        verify(path)
        unfinished = data_dir / f"{DATABASE_NAME}.restoring"
        shutil.copyfile(path, unfinished)
        sync(unfinished)
        database = data_dir / DATABASE_NAME
        empty_wal(database)
        aside = set_aside(database, "before-restore")
        unfinished.rename(database)
        sync(data_dir)
    finally:
        lock.release()
    with Store.open(data_dir, name="restore") as store:
        return Restored(path, aside, store.search_turns(limit=1).total, store.count_examples())


def _known_backups(data_dir: Path) -> str:
    known = list_backups(data_dir)
    return f" The newest is {known[-1]}." if known else ""
