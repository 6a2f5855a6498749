"""Backup under load, restore, and the drill of both."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from feedback_store.backup import backup, restore
from feedback_store.database import DATABASE_NAME
from feedback_store.errors import Locked, NewerSchema, StoreError
from feedback_store.sqlite import connect
from feedback_store.store import Store
from tests.feedback_store import records


def test_the_drill_back_up_lose_everything_and_restore(tmp_path: Path) -> None:
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    with Store.open(data_dir) as store:
        store.add_conversation(records.conversation())
        turns = [store.add_turn(records.turn(user_text=f"turn {n}")) for n in range(5)]
        store.add_examples([records.example()])
        saved = backup(data_dir, elsewhere)
        store.add_turn(records.turn(user_text="after the backup"))
    for path in data_dir.iterdir():
        path.unlink()
    restored = restore(data_dir, saved.path)
    assert (restored.num_turns, restored.num_examples) == (5, 1)
    assert restored.set_aside is None
    with Store.open(data_dir) as store:
        assert store.list_turns("c1") == turns
        assert store.search_turns("after").total == 0
        assert store.add_turn(records.turn()).turn_id == 6


def test_a_restore_sets_aside_what_was_there(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        saved = backup(tmp_path)
        store.add_conversation(records.conversation())
    restored = restore(tmp_path, saved.path)
    assert restored.set_aside is not None
    connection = connect(restored.set_aside)
    assert connection.execute("SELECT count(*) FROM conversations").fetchone()[0] == 1
    connection.close()


def test_a_restore_leaves_no_log_of_an_older_database_beside_it(tmp_path: Path) -> None:
    """Lost database, kept log: SQLite would play the old log into the restored file."""
    with Store.open(tmp_path) as store:
        store.add_conversation(records.conversation())
        saved = backup(tmp_path)
        store.add_turn(records.turn(user_text="after the backup"))
        wal = tmp_path / f"{DATABASE_NAME}-wal"
        stale = wal.read_bytes()
    assert stale
    (tmp_path / DATABASE_NAME).unlink()
    wal.write_bytes(stale)
    restored = restore(tmp_path, saved.path)
    assert (restored.set_aside, restored.num_turns) == (None, 0)
    assert [path.read_bytes() for path in tmp_path.glob("*before-restore*-wal")] == [stale]


def test_what_is_set_aside_is_one_file(tmp_path: Path) -> None:
    """Its log is in it, so that no kill can part the two."""
    with Store.open(tmp_path) as store:
        saved = backup(tmp_path)
        store.add_conversation(records.conversation())
        files = {path: path.read_bytes() for path in tmp_path.glob(f"{DATABASE_NAME}*")}
    for path, content in files.items():  # as a killed application leaves them
        path.write_bytes(content)
    assert len(files[tmp_path / f"{DATABASE_NAME}-wal"]) > 0
    restored = restore(tmp_path, saved.path)
    assert restored.set_aside is not None
    assert not list(tmp_path.glob("*before-restore*-wal"))
    with closing(connect(restored.set_aside)) as connection:
        assert connection.execute("SELECT count(*) FROM conversations").fetchone()[0] == 1


def test_a_backup_taken_under_writes_is_one_moment(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.add_conversation(records.conversation())
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.add_turn(records.turn())

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        paths = [backup(tmp_path).path for _ in range(3)]
        stop.set()
        for thread in threads:
            thread.join()
        total = len(store.list_turns("c1"))
    counts = []
    for path in paths:
        connection = connect(path)
        counts.append(connection.execute("SELECT max(position) FROM turns").fetchone()[0] or 0)
        assert connection.execute("SELECT count(*) FROM turns").fetchone()[0] == counts[-1]
        connection.close()
    assert sorted(counts) == counts
    assert counts[-1] <= total


def test_a_restore_is_refused_while_the_application_runs(store: Store) -> None:
    saved = backup(store.data_dir)
    with pytest.raises(Locked):
        restore(store.data_dir, saved.path)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_bad_backup_is_refused_and_nothing_changes(tmp_path: Path, content: bytes) -> None:
    with Store.open(tmp_path) as store:
        store.add_conversation(records.conversation())
    bad = tmp_path / "bad.db"
    bad.write_bytes(content)
    with pytest.raises(StoreError, match="no sound backup") as caught:
        restore(tmp_path, bad)
    assert caught.value.code == "bad_backup"
    with Store.open(tmp_path) as store:
        assert store.get_conversation("c1")


def test_a_backup_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path):
        saved = backup(tmp_path).path
    connection = connect(saved)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerSchema):
        restore(tmp_path, saved)


def test_a_missing_backup_is_named_with_the_newest_that_exists(tmp_path: Path) -> None:
    with Store.open(tmp_path):
        saved = backup(tmp_path).path
    with pytest.raises(StoreError, match=f"The newest is {saved}"):
        restore(tmp_path, tmp_path / "gone.db")
    with pytest.raises(StoreError, match="no database"):
        backup(tmp_path / "empty")


def test_nothing_unfinished_is_left_behind(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.add_conversation(records.conversation())
    (tmp_path / "file").write_text("in the way of the folder")
    with pytest.raises(OSError, match="file"):
        backup(tmp_path, tmp_path / "file")
    saved = backup(tmp_path)
    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]
    assert saved.num_bytes == saved.path.stat().st_size
    assert saved.path.stat().st_mode & 0o77 == 0
    assert (tmp_path / DATABASE_NAME).exists()
