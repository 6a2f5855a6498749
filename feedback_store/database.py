"""One open database file: a writer, readers, and what must hold before they may work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from feedback_store.errors import Corrupt
from feedback_store.file_identity import identify
from feedback_store.readers import Readers
from feedback_store.schema import migrate, refuse_newer
from feedback_store.sqlite import (
    Connection,
    DatabaseError,
    connect,
    fetch_all,
    is_corrupt,
    suspect_path,
    translated_errors,
)
from feedback_store.turn_search import TurnIndexing
from feedback_store.writer import Writer

DATABASE_NAME: Final = "ecoloop.db"
BATCH: Final = 50  # rows of one write: 10 to 30 ms in which others wait
SMALL: Final = 64 * 1024 * 1024  # bytes that are checked whole at every start, in about 0.2 s

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Database:
    """Runs functions of a connection: reads from any thread, writes one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with translated_errors(path):
            connection = _open(path)
            try:
                self._readers = Readers(path, identify(connection, path))
                with self._readers.borrow():
                    pass  # the first reader sees what the writer sees, or says so now
            except BaseException:
                connection.close()
                raise
        self._writer = Writer(connection, path, TurnIndexing())

    def close(self) -> None:
        """Finish the writes that wait. The writer goes last: only it can empty the WAL."""
        self._readers.close()
        self._writer.close()

    def read(
        self,
        function: Callable[Concatenate[Connection, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a query that sees one moment of the database."""
        with translated_errors(self.path), self._readers.borrow() as connection:
            return function(connection, *args, **kwargs)

    def write(
        self,
        function: Callable[Concatenate[Connection, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a change; returns when it is durable."""
        return self.write_soon(function, *args, **kwargs).result()

    def write_soon(
        self,
        function: Callable[Concatenate[Connection, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Future[Result]:
        """Have a change run; the future is done when it is durable."""
        return self._writer.submit(lambda connection: function(connection, *args, **kwargs))

    def write_batches(
        self, function: Callable[[Connection, Sequence[Item]], list[Result]], items: Iterable[Item]
    ) -> list[Result]:
        """Write many things, in writes so short that others need not wait; a result for each."""
        waiting = list(items)
        batches = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
        return [result for batch in batches for result in self.write(function, batch)]

    def write_each(
        self,
        function: Callable[Concatenate[Connection, int, Parameters], bool],
        ids: Iterable[int],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> int:
        """Change every id, in batches; how many were True."""

        def change(connection: Connection, batch: Sequence[int]) -> list[bool]:
            return [function(connection, id_, *args, **kwargs) for id_ in batch]

        return sum(self.write_batches(change, ids))

    def truncate_wal(self) -> bool:
        """Move everything into the file and empty the WAL; False while a reader holds it."""
        return self._writer.run_alone(_truncate_wal)


def _truncate_wal(connection: Connection) -> bool:
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy


def _open(path: Path) -> Connection:
    """The writer's connection to a sound file with the present schema."""
    if not path.exists():
        set_aside(path, "left-alone")  # a WAL without its database would be read into the new one
    path.touch(mode=0o600)
    if not _is_sound(path):
        backups = list_backups(path.parent)
        raise Corrupt(path, _quarantine(path), backups[-1] if backups else None)
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_sound(path: Path) -> bool:
    """Whether SQLite can read it; a small file, or one that gave trouble, is read whole.

    A file of a newer version is refused here, where nothing can change it.
    """
    is_suspect = suspect_path(path).exists()
    # Killed while the file was made: only a writer can roll that back.
    has_journal = path.with_name(f"{path.name}-journal").exists()
    try:
        with closing(connect(path, read_only=not has_journal)) as connection:
            refuse_newer(connection, path)
            if is_suspect or path.stat().st_size <= SMALL:
                verdict = fetch_all(connection, "PRAGMA quick_check(1)")[0][0]
                if verdict != "ok":
                    return False
    except DatabaseError as error:
        if not is_corrupt(error):
            raise
        return False
    suspect_path(path).unlink(missing_ok=True)
    return True


def _quarantine(path: Path) -> Path | None:
    """Move the damaged file out of the way."""
    suspect_path(path).unlink(missing_ok=True)
    return set_aside(path, "damaged")


def empty_wal(path: Path) -> None:
    """Move everything into a closed, sound database, so that it is one file; else leave it."""
    if not path.exists():
        return
    try:
        with closing(connect(path)) as connection:
            _truncate_wal(connection)
    except DatabaseError:
        return  # damaged: what there is, is moved as it is


def set_aside(path: Path, why: str) -> Path | None:
    """Move a closed database with its WAL to a name that says why and when; where it went, or None
    where there was no database.

    The database goes first: killed in between, its WAL is left alone, which _open sets aside, too.
    The other way round the next start would open the database without its newest writes.
    """
    had_database = path.exists()
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.{why}-{at}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside if had_database else None


def backup_dir(data_dir: Path) -> Path:
    """Where backups go unless told otherwise."""
    return data_dir / "backups"


def list_backups(data_dir: Path) -> list[Path]:
    """The backups in the data folder, oldest first."""
    return sorted(backup_dir(data_dir).glob("*.db"))
