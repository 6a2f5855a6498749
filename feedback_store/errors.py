"""Errors of the store: a stable `code`, and a sentence that says what was received and what to
do. The screen translates by code.
"""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """The store could not do it. `code` is stable, the message is a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AffectedSQLite(StoreError):
    """The SQLite library has a bug that loses data."""

    def __init__(self, version: str) -> None:
        super().__init__(
            "affected_sqlite",
            f"SQLite {version} can corrupt a database in WAL mode (fixed in 3.51.3). "
            "Install the newer one: pip install 'pysqlite3>=0.6.1'.",
        )


class Locked(StoreError):
    """Another process holds the data folder."""

    def __init__(self, data_dir: Path, pid: object, name: str) -> None:
        super().__init__(
            "locked",
            f"The data folder {data_dir} is in use by {name} (pid {pid}). "
            "Stop that process, or choose another folder.",
        )
        self.pid = pid
        self.name = name


class NewerSchema(StoreError):
    """The database was written by a newer version of the application."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            "newer_schema",
            f"{path} has schema {found}, and this version knows up to {known}. "
            "Nothing was changed. Update the application, or restore an older backup.",
        )


class Corrupt(StoreError):
    """The database file is damaged; it was moved aside."""

    def __init__(self, path: Path, quarantine: Path | None, backup: Path | None) -> None:
        moved = f" It was moved to {quarantine}." if quarantine else ""
        offer = (
            f"The last backup is {backup}: restore it with 'python app.py restore {backup}'."
            if backup
            else "No backup was found; start again for an empty database."
        )
        super().__init__("corrupt", f"The database {path} is damaged.{moved} {offer}")
        self.quarantine = quarantine
        self.backup = backup


class DiskFull(StoreError):
    """Nothing was written, because there is no room."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "disk_full",
            f"There is no room left to write to {path}. Nothing of this write was kept. "
            "Free some space and try again.",
        )


class NotFound(StoreError):
    """The record does not exist."""

    def __init__(self, kind: str, key: object) -> None:
        super().__init__("not_found", f"There is no {kind} {key!r}.")


class RefusedText(StoreError):
    """The text cannot be stored as it is."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__("refused_text", f"The text of {where} was refused: {reason}.")


class Closed(StoreError):
    """The store was closed, or its writer has stopped."""

    def __init__(self) -> None:
        super().__init__("closed", "The store is closed. Open it again before writing.")
