"""Connections that only read, and who waits for one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from feedback_store.errors import Closed
from feedback_store.file_identity import identify
from feedback_store.readers import MAX_READERS, NUM_KEPT, Readers
from feedback_store.sqlite import connect, fetch_one


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[Readers]:
    path = tmp_path / "some.db"
    with closing(connect(path)) as connection:
        opened = Readers(path, identify(connection, path))
    yield opened
    opened.close()


class Crowd:
    """So many threads that all want to read, and keep what they got."""

    def __init__(self, readers: Readers, size: int) -> None:
        self.num_reading = 0
        self._readers = readers
        self._lock = threading.Lock()
        self._may_end = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(size)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._may_end.set()
        for thread in self._threads:
            thread.join(10)

    def _read(self) -> None:
        with self._readers.borrow():
            with self._lock:
                self.num_reading += 1
            self._may_end.wait(10)


async def test_an_event_loop_reads_at_once_whatever_the_threads_read(readers: Readers) -> None:
    """Forty downloads of people's own data made every answer wait for them."""
    with Crowd(readers, 40) as crowd:
        while crowd.num_reading < MAX_READERS - NUM_KEPT:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for _ in range(3):
            with readers.borrow() as connection:
                assert fetch_one(connection, "SELECT 1") is not None
        await asyncio.sleep(0.05)
        assert crowd.num_reading == MAX_READERS - NUM_KEPT
    assert crowd.num_reading == 40


def test_readers_are_used_again(readers: Readers) -> None:
    with readers.borrow() as first:
        pass
    with readers.borrow() as second:
        assert second is first


def test_all_readers_together_keep_little_in_memory(readers: Readers) -> None:
    with ExitStack() as stack:
        borrowed = [stack.enter_context(readers.borrow()) for _ in range(MAX_READERS - NUM_KEPT)]
        kept = sum(connection.execute("PRAGMA cache_size").fetchone()[0] for connection in borrowed)
    assert -kept <= 16_000  # kB


def test_a_closed_store_is_not_read(readers: Readers) -> None:
    readers.close()
    with pytest.raises(Closed), readers.borrow():
        pass
