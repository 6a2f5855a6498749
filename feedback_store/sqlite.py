"""The one SQLite library of the process, and how its connections are set up.

sqlite-utils picks pysqlite3 where it is installed. A second library, or plain file calls, on a
live database file would drop its locks, so everything takes the library from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback_store.errors import AffectedSQLite, DiskFull, StoreError

if TYPE_CHECKING:
    import sqlite3
else:
    from sqlite_utils.utils import sqlite3

Connection = sqlite3.Connection
Row = sqlite3.Row
SQLiteError = sqlite3.Error
DatabaseError = sqlite3.DatabaseError
IntegrityError = sqlite3.IntegrityError

# The WAL-reset bug, 3.7.0 to 3.51.2, loses acknowledged commits.
FIRST_SAFE_VERSION = (3, 51, 3)

_FULL_WORDS = ("database or disk is full", "disk i/o error")
_CORRUPT_WORDS = ("malformed", "not a database", "file is encrypted")


def check_version(version: str = sqlite3.sqlite_version) -> None:
    """Raise AffectedSQLite where the library has the WAL-reset bug."""
    if tuple(int(part) for part in version.split(".")) < FIRST_SAFE_VERSION:
        raise AffectedSQLite(version)


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """A connection in autocommit mode, usable from any thread (by one at a time)."""
    check_version()
    connection = sqlite3.connect(
        str(path), isolation_level=None, check_same_thread=False, timeout=5.0
    )
    connection.row_factory = sqlite3.Row
    settings = ["synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"]
    settings += ["temp_store = MEMORY", "mmap_size = 268435456"]
    if read_only:
        settings.append("query_only = ON")
    for setting in settings:
        connection.execute(f"PRAGMA {setting}")
    return connection


@contextmanager
def immediate(connection: Connection) -> Iterator[Connection]:
    """One transaction that takes the write lock at once; rolled back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself, on a full disk for example.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether the error says that nothing more can be written."""
    return isinstance(error, SQLiteError) and _mentions(error, _FULL_WORDS)


def is_corrupt(error: BaseException) -> bool:
    """Whether the error says that the file is damaged or no database."""
    return isinstance(error, SQLiteError) and _mentions(error, _CORRUPT_WORDS)


def _mentions(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def suspect_path(path: Path) -> Path:
    """The marker of a database that gave trouble."""
    return path.with_name(path.name + ".suspect")


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StoreError with a sentence."""
    try:
        yield
    except (SQLiteError, OverflowError, UnicodeEncodeError) as error:
        raise translate(error, path) from error


def translate(error: BaseException, path: Path) -> BaseException:
    """The StoreError for an error of SQLite; anything else comes back unchanged."""
    if is_disk_full(error):
        return DiskFull(path)
    if is_corrupt(error):
        suspect_path(path).touch()  # the next start looks at the whole file
        return StoreError(
            "corrupt",
            f"The database {path} is damaged ({error}). Stop the application and start it again: "
            "the file is then moved aside and the last backup offered.",
        )
    if isinstance(error, IntegrityError):
        return StoreError("refused_value", f"The record was refused: {error}.")
    if isinstance(error, (OverflowError, UnicodeEncodeError)):
        return StoreError("refused_value", f"A value cannot be stored: {error}.")
    if isinstance(error, SQLiteError):
        return StoreError("database", f"The database {path} could not do it: {error}.")
    return error


def fetch_all(connection: Connection, sql: str, parameters: Any = ()) -> list[Row]:
    """All rows of one query."""
    return connection.execute(sql, parameters).fetchall()


def fetch_one(connection: Connection, sql: str, parameters: Any = ()) -> Row | None:
    """The first row of one query, or None."""
    row: Row | None = connection.execute(sql, parameters).fetchone()
    return row
