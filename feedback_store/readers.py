"""Connections that only read: borrowed for one query, shared by all threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedback_store.errors import Closed
from feedback_store.file_identity import FileIdentity, check_identity
from feedback_store.sqlite import Connection, SQLiteError, connect

MAX_READERS = 8  # SQLite reads in parallel, but Python's lock makes more of them useless
NUM_KEPT = 1  # of them, for whoever reads on an event loop: a loop must never wait for a thread


class Readers:
    """A pool of read-only connections, opened when first needed."""

    def __init__(self, path: Path, identity: FileIdentity) -> None:
        self._path = path
        self._identity = identity  # of what the writer opened
        self._free: list[Connection] = []
        self._num_open = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database; waits while all are busy. A thread
        with an event loop does not wait: one connection is kept for it, whatever the others read.
        """
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if _is_ended(connection):
                self._give_back(connection)
            else:
                self._discard(connection)

    def close(self) -> None:
        """Close every connection, waiting for those in use."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: len(self._free) == self._num_open)
            for connection in self._free:
                connection.close()
            self._free.clear()
            self._num_open = 0

    def _take(self) -> Connection:
        most = MAX_READERS if _is_on_loop() else MAX_READERS - NUM_KEPT
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._num_open - len(self._free) < most
            )
            if self._is_closed:
                raise Closed
            if self._free:
                return self._free.pop()
            connection = connect(self._path, read_only=True)
            try:
                check_identity(connection, self._path, self._identity)
            except BaseException:
                connection.close()
                raise
            self._num_open += 1
            return connection

    def _give_back(self, connection: Connection) -> None:
        with self._changed:
            self._free.append(connection)
            self._changed.notify_all()

    def _discard(self, connection: Connection) -> None:
        """Close what cannot be used again, so that another is opened in its place."""
        with self._changed:
            self._num_open -= 1
            self._changed.notify_all()
        connection.close()


def _is_ended(connection: Connection) -> bool:
    """Whether its transaction is over; a disk that fails leaves it open."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except SQLiteError:
        return False
    return True


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
