"""The file under the store: damaged, full, or held by readers."""

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from feedback_store import database
from feedback_store.backup import backup
from feedback_store.database import DATABASE_NAME
from feedback_store.errors import Corrupt, DiskFull, StoreError
from feedback_store.records import Turn
from feedback_store.sqlite import Connection, SQLiteError, connect, suspect_path
from feedback_store.store import Store
from tests.feedback_store import records


def _fill(data_dir: Path) -> None:
    with Store.open(data_dir) as store:
        store.add_conversation(records.conversation())
        for _ in range(100):
            store.add_turn(records.turn(raw_text="x" * 20_000))


def _damage(path: Path) -> None:
    """Overwrite the middle of the file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 100_000)


def test_a_damaged_file_is_set_aside_and_the_last_backup_named(tmp_path: Path) -> None:
    _fill(tmp_path)
    kept = backup(tmp_path).path
    _damage(tmp_path / DATABASE_NAME)
    with pytest.raises(Corrupt, match="is damaged") as caught:
        Store.open(tmp_path)
    assert caught.value.backup == kept
    assert f"restore {kept}" in str(caught.value)
    assert caught.value.quarantine is not None
    assert caught.value.quarantine.exists()
    assert not (tmp_path / DATABASE_NAME).exists()
    with Store.open(tmp_path) as store:
        assert store.search_turns().total == 0


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 99]
)
def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(content)
    with pytest.raises(Corrupt, match="No backup was found") as caught:
        Store.open(tmp_path)
    assert caught.value.quarantine is not None
    assert caught.value.quarantine.read_bytes() == content


def test_a_kill_while_a_damaged_file_is_moved_never_parts_it_from_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first of the renames: the next start has a new database, without the log."""
    path = tmp_path / DATABASE_NAME
    path.write_bytes(b"no database at all" * 100)
    wal = path.with_name(f"{DATABASE_NAME}-wal")
    wal.write_bytes(b"its log")
    rename = Path.rename
    moved: list[Path] = []

    def kill(self: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        moved.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", kill)
    with pytest.raises(KeyboardInterrupt):
        Store.open(tmp_path)
    monkeypatch.undo()
    assert moved == [path]
    with Store.open(tmp_path) as store:
        assert store.search_turns().total == 0
    assert [left.read_bytes() for left in tmp_path.glob("*left-alone*-wal")] == [b"its log"]


def test_a_start_that_fails_leaves_neither_lock_nor_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the tombstones cannot be read")

    monkeypatch.setattr("feedback_store.privacy.reapply_tombstones", fail)
    with pytest.raises(OSError, match="tombstones"):
        Store.open(tmp_path)
    monkeypatch.undo()
    assert "store-writer" not in {thread.name for thread in threading.enumerate()}
    Store.open(tmp_path).close()


def test_a_reader_of_another_file_than_the_writers_says_so(store: Store) -> None:
    path = store.data_dir / DATABASE_NAME
    path.rename(path.with_name("moved.db"))
    connect(path).close()
    with ExitStack() as held:
        held.enter_context(store._db._readers.borrow())  # opened at the start: the writer's file
        with pytest.raises(
            StoreError, match=r"the writer has file .* a reader finds file"
        ) as caught:
            held.enter_context(store._db._readers.borrow())
    assert caught.value.code == "other_file"


def test_a_reader_that_cannot_end_its_query_is_replaced(store: Store) -> None:
    """After eight of them all would wait for ever."""

    class Failing:
        in_transaction = True
        is_closed = False

        def execute(self, statement: str) -> None:
            if statement == "ROLLBACK":
                raise SQLiteError("disk I/O error")

        def close(self) -> None:
            self.is_closed = True

    readers = store._db._readers
    for _ in range(20):
        broken = Failing()
        readers._free[:] = [broken]  # type: ignore[list-item]
        with readers.borrow() as borrowed:
            assert borrowed is broken  # type: ignore[comparison-overlap]
        assert broken.is_closed
        assert store.search_turns().total == 0  # on a new one


def test_a_large_file_is_read_whole_once_it_gave_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SMALL", 0)
    _fill(tmp_path)
    _damage(tmp_path / DATABASE_NAME)
    store = Store.open(tmp_path)
    with pytest.raises(StoreError, match="is damaged") as caught:
        store.list_turns("c1")
    assert caught.value.code == "corrupt"
    store.close()
    assert suspect_path(tmp_path / DATABASE_NAME).exists()
    with pytest.raises(Corrupt):
        Store.open(tmp_path)
    with Store.open(tmp_path):
        assert not suspect_path(tmp_path / DATABASE_NAME).exists()


def _limit_pages(connection: Connection, extra: int) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + extra}")


def test_a_full_disk_is_said_and_work_goes_on_when_there_is_room(store: Store) -> None:
    store.add_conversation(records.conversation())
    store._db.write(_limit_pages, 20)

    def fill() -> None:
        for _ in range(1000):
            kept.append(store.add_turn(records.turn(raw_text="x" * 5000)))

    kept: list[Turn] = []
    with pytest.raises(DiskFull, match="no room left") as caught:
        fill()
    assert caught.value.code == "disk_full"
    assert store.list_turns("c1") == kept
    store._db.write(_limit_pages, 1000)
    store.add_turn(records.turn(raw_text="x" * 5000))
    assert len(store.list_turns("c1")) == len(kept) + 1


def test_one_bad_write_of_a_group_spoils_no_other(store: Store) -> None:
    store.add_conversation(records.conversation("c0"))

    def add(number: int) -> str:
        try:
            store.add_conversation(records.conversation("c0" if number % 5 == 0 else f"n{number}"))
        except StoreError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(add, range(100)))
    assert [outcome == "ok" for outcome in outcomes] == [number % 5 > 0 for number in range(100)]
    assert set(outcomes) == {"ok", "refused_value"}
    assert len(store.list_conversations("ann", limit=1000)) == 81


def test_an_error_inside_a_write_reaches_its_caller_as_it_is(store: Store) -> None:
    def fail(connection: Connection) -> None:
        connection.execute("INSERT INTO counters VALUES ('x', 1)")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store._db.write(fail)
    count = "SELECT count(*) FROM counters WHERE name = 'x'"
    assert store._db.read(lambda connection: connection.execute(count).fetchone()[0]) == 0


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="readonly"):
        store._db.read(lambda connection: connection.execute("DELETE FROM turns"))


def test_the_files_are_for_the_owner_only(store: Store) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.data_dir.iterdir()}
    assert set(modes.values()) == {0o600}
    assert store.data_dir.stat().st_mode & 0o777 == 0o700


def test_a_file_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    """A kill between the first two writes leaves a journal that a reader cannot roll back: "there
    were 0 pages before", in sectors of 512 and pages of 4096 bytes.
    """
    path = tmp_path / DATABASE_NAME
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
    header = struct.pack(">8sIIIII", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 0, 1, 0, 512, 4096)
    path.with_name(f"{DATABASE_NAME}-journal").write_bytes(header.ljust(512, b"\0"))
    with Store.open(tmp_path) as store:
        assert store.search_turns().total == 0
