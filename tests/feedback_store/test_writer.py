"""The writer: groups, order, chores, and an end that loses nothing."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback_store.errors import Closed
from feedback_store.sqlite import Connection, connect
from feedback_store.writer import Writer


class CountingChores:
    """Chores that only count how often they were done."""

    def __init__(self) -> None:
        self.num_done = 0
        self.is_urgent = False

    def are_urgent(self, connection: Connection) -> bool:
        return self.is_urgent

    def do_some(self, connection: Connection) -> bool:
        self.num_done += 1
        return False


@pytest.fixture
def chores() -> CountingChores:
    return CountingChores()


@pytest.fixture
def writer(tmp_path: Path, chores: CountingChores) -> Iterator[Writer]:
    connection = connect(tmp_path / "a.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    opened = Writer(connection, tmp_path / "a.db", chores)
    yield opened
    opened.close()


def _insert(number: int) -> object:
    def write(connection: Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return write


def test_writes_that_wait_together_share_a_commit(writer: Writer) -> None:
    commits: list[int] = []
    gate = threading.Event()

    def block(connection: Connection) -> None:
        gate.wait(10)

    def note(connection: Connection) -> None:
        commits.append(connection.total_changes)

    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(writer.write, block)
        time.sleep(0.05)
        waiting = [pool.submit(writer.write, _insert(number)) for number in range(19)]
        time.sleep(0.1)
        gate.set()
        first.result()
        assert sorted(future.result() for future in waiting) == list(range(19))
    writer.write(note)
    assert commits == [19]


def test_what_runs_alone_runs_outside_a_transaction(writer: Writer) -> None:
    assert not writer.run_alone(lambda connection: connection.in_transaction)
    assert writer.write(lambda connection: connection.in_transaction)
    with pytest.raises(ZeroDivisionError):
        writer.run_alone(lambda connection: 1 / 0)


def test_chores_wait_until_no_write_does(writer: Writer, chores: CountingChores) -> None:
    time.sleep(0.1)
    before = chores.num_done
    for number in range(20):
        writer.write(_insert(number))
    assert chores.num_done == before
    time.sleep(0.1)
    assert chores.num_done == before + 1


def test_urgent_chores_are_done_between_writes(writer: Writer, chores: CountingChores) -> None:
    chores.is_urgent = True
    before = chores.num_done
    for number in range(20):
        writer.write(_insert(number))
    assert chores.num_done >= before + 19


def test_closing_finishes_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    connection = connect(tmp_path / "b.db")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    writer = Writer(connection, tmp_path / "b.db", CountingChores())
    with ThreadPoolExecutor(10) as pool:
        writes = [pool.submit(writer.write, _insert(number)) for number in range(10)]
        time.sleep(0.05)
        writer.close()
        outcomes = [future.exception() for future in writes]
    assert all(outcome is None or isinstance(outcome, Closed) for outcome in outcomes)
    reopened = connect(tmp_path / "b.db")
    kept = reopened.execute("SELECT count(*) FROM numbers").fetchone()[0]
    assert kept == outcomes.count(None)
    reopened.close()
    with pytest.raises(Closed):
        writer.write(_insert(99))
