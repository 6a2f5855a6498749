"""Store: everything that was said and what people thought of it, in one SQLite file.

Synchronous and safe to use from any thread. A write returns when it is durable; writes that
come together share one commit. Opening and closing stand here, the rest in store_*.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from feedback_store import privacy
from feedback_store.database import DATABASE_NAME, Database
from feedback_store.lock import DataDirLock, read_owner
from feedback_store.store_examples import ExampleStore
from feedback_store.store_learning import LearningStore
from feedback_store.store_people import PeopleStore
from feedback_store.store_talk import TalkStore


class Store(TalkStore, ExampleStore, LearningStore, PeopleStore):
    """One data folder, held by one process. Use Store.open()."""

    def __init__(self, data_dir: Path, lock: DataDirLock, database: Database) -> None:
        self.data_dir = data_dir
        self._lock = lock
        self._db = database

    @classmethod
    def open(cls, data_dir: Path, *, name: str = "ecoloop") -> Self:
        """Take the folder (made if missing) for this process and bring its schema up to date."""
        data_dir = data_dir.absolute()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = DataDirLock(data_dir, name)
        try:
            database = Database(data_dir / DATABASE_NAME)
        except BaseException:
            lock.release()
            raise
        store = cls(data_dir, lock, database)
        try:
            privacy.reapply_tombstones(database, data_dir)
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def owner(data_dir: Path) -> dict[str, Any] | None:
        """Which process holds the folder (pid, name, started_at, …), or None."""
        return read_owner(data_dir)

    def describe_owner(self, **extra: Any) -> None:
        """Add to what owner() tells other processes, such as the page's address."""
        self._lock.describe(**extra)

    def close(self) -> None:
        """Finish the writes that wait, and give the folder free."""
        self._db.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
