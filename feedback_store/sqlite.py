"""The one SQLite library of the process, and how its connections are set up.

pysqlite3 where it is installed, as sqlite-utils chooses too. A second library, or plain file calls,
on a live database file would drop its locks, so everything takes the library from here.
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
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

Connection = sqlite3.Connection
Row = sqlite3.Row
SQLiteError = sqlite3.Error
DatabaseError = sqlite3.DatabaseError
IntegrityError = sqlite3.IntegrityError

# The WAL-reset bug, 3.7.0 to 3.51.2, loses acknowledged commits.
FIRST_SAFE_VERSION = (3, 51, 3)

_SETTINGS = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "journal_size_limit = 67108864",  # bytes that the WAL keeps after it was longer
)
# kB a connection, for the inner pages of the search indexes; what is read, the system caches too.
_WRITER_CACHE, _READER_CACHE = 8000, 2000

# SQLite's primary result codes; the higher bits of an extended code say more.
_IOERR, _CORRUPT, _FULL, _NOTADB = 10, 11, 13, 26


def sqlite_version() -> str:
    """The version of the library in use."""
    return sqlite3.sqlite_version


def check_version(version: str = sqlite3.sqlite_version) -> None:
    """Raise AffectedSQLite where the library has the WAL-reset bug."""
    if tuple(int(part) for part in version.split(".")) < FIRST_SAFE_VERSION:
        raise AffectedSQLite(version)


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """A connection in autocommit mode, usable from any thread (by one at a time)."""
    check_version()
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=5.0,
    )
    connection.row_factory = sqlite3.Row
    try:
        cache = _READER_CACHE if read_only else _WRITER_CACHE
        for setting in (*_SETTINGS, f"cache_size = -{cache}"):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
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
    """Whether the error says that there is no room."""
    return _primary_code(error) == _FULL


def is_corrupt(error: BaseException) -> bool:
    """Whether the error says that the file is damaged or no database."""
    return _primary_code(error) in (_CORRUPT, _NOTADB)


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the error lies below the database: no write of a group can be trusted then."""
    return _primary_code(error) in (_IOERR, _CORRUPT, _FULL, _NOTADB)


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


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
    if _primary_code(error) == _IOERR:
        return StoreError(
            "disk_error",
            f"The disk of {path} refused to read or write ({error}). Nothing of this write was "
            "kept. Check the disk and try again.",
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
