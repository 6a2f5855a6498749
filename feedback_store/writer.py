"""One writer for all threads, with group commit: writes that wait together share one fsync.

Each write is a function that gets the connection. A failing write is undone alone, by its
savepoint; the others of its group are kept. A write returns only after its group is on disk.
Chores, such as filling the search index, are done while no write waits, or when they are urgent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from feedback_store.errors import Closed, StoreError
from feedback_store.sqlite import (
    Connection,
    SQLiteError,
    immediate,
    is_of_the_disk,
    translate,
)

Result = TypeVar("Result")

QUIET_S = 0.02  # without a write, before chores begin: longer than the gap between two groups
MAX_GROUP = 256  # writes per commit: enough to hide the fsync, few enough to keep waiting short


class Chores(Protocol):
    """Work that can wait."""

    def are_urgent(self, connection: Connection) -> bool:
        """Whether so much has piled up that some must be done even while writes wait."""

    def do_some(self, connection: Connection) -> bool:
        """Do a few milliseconds of it, in a transaction; whether more remains."""


@dataclass(frozen=True)
class _Job:
    write: Callable[[Connection], Any]
    future: Future[Any]
    is_alone: bool  # runs outside a transaction: VACUUM, checkpoints


class Writer:
    """Runs writes on its own thread and connection, in the order in which they came."""

    def __init__(self, connection: Connection, path: Path, chores: Chores) -> None:
        self._connection = connection
        self._path = path
        self._chores = chores
        self._has_chores = True
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, write: Callable[[Connection], Result]) -> Result:
        """Run in the next group; returns when the result is durable."""
        return self.submit(write).result()

    def submit(
        self, write: Callable[[Connection], Result], *, is_alone: bool = False
    ) -> Future[Result]:
        """The result to come, which nobody can cancel; for those who must not wait."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            if self._is_closed:
                raise Closed
            self._jobs.append(_Job(write, future, is_alone))
            self._changed.notify()
        return future

    def run_alone(self, write: Callable[[Connection], Result]) -> Result:
        """Run between groups, outside a transaction."""
        return self.submit(write, is_alone=True).result()

    def close(self) -> None:
        """Finish what is waiting and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not (self._is_closed and not self._jobs):
            group = self._take_group(QUIET_S if self._has_chores else None)
            if not group:
                self._do_chores()
            elif group[0].is_alone:
                self._run_alone(group[0])
            else:
                self._commit(group)
                self._has_chores = True
                if self._chores.are_urgent(self._connection):
                    self._do_chores()

    def _take_group(self, patience_s: float | None) -> list[_Job]:
        """What waits and may share a commit; empty when nothing came in time, or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed, patience_s)
            group: list[_Job] = []
            while self._jobs and len(group) < MAX_GROUP:
                if self._jobs[0].is_alone and group:
                    break
                group.append(self._jobs.popleft())
                if group[0].is_alone:
                    break
            return group

    def _do_chores(self) -> None:
        try:
            with immediate(self._connection):
                self._has_chores = self._chores.do_some(self._connection)
        except (SQLiteError, StoreError):
            self._has_chores = False  # nobody waits for it: tried again after the next write

    def _run_alone(self, job: _Job) -> None:
        try:
            result = job.write(self._connection)
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            job.future.set_exception(translate(error, self._path))
        else:
            job.future.set_result(result)

    def _commit(self, group: list[_Job]) -> None:
        try:
            with immediate(self._connection):
                outcomes = [self._run_in_savepoint(job) for job in group]
        except BaseException as error:  # noqa: BLE001 - it belongs to the threads that wait
            for job in group:
                job.future.set_exception(translate(error, self._path))
            return
        for job, (result, failure) in zip(group, outcomes, strict=True):
            if failure is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(translate(failure, self._path))

    def _run_in_savepoint(self, job: _Job) -> tuple[Any, BaseException | None]:
        """The write's result, or the error that undid this write alone."""
        connection = self._connection
        connection.execute("SAVEPOINT one_write")
        try:
            result = job.write(connection)
        except BaseException as error:
            if not connection.in_transaction or is_of_the_disk(error):
                raise  # not this write's fault: nothing of the group is kept
            connection.execute("ROLLBACK TO one_write")
            connection.execute("RELEASE one_write")
            return None, error
        connection.execute("RELEASE one_write")
        return result, None
