"""The doctor: silent about what is sound, and clear about what is not."""

import os
from pathlib import Path

from feedback_store.backup import backup
from feedback_store.database import DATABASE_NAME
from feedback_store.doctor import Finding, examine
from feedback_store.sqlite import connect
from feedback_store.store import Store
from feedback_store.tombstones import Tombstone, write_tombstone
from tests.feedback_store import records


def _make_folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")


def _healthy(data_dir: Path) -> None:
    with Store.open(data_dir) as store:
        store.add_conversation(records.conversation())
        store.add_turn(records.turn())
        store.add_examples([records.example()])
        store.add_dataset(records.dataset(), [(1, "train")])
        store.add_run(records.run())
        store.add_adapter(records.adapter(run_id="r1", dataset_id="d1"))
        store.set_alias("production", "v0001", actor="ann", reason="passed")
    _make_folder(data_dir / "datasets" / "d1")
    _make_folder(data_dir / "adapters" / "v0001")
    backup(data_dir)


def _trouble(data_dir: Path) -> list[Finding]:
    return [finding for finding in examine(data_dir) if finding.level != "ok"]


def test_a_healthy_folder_gives_no_advice(tmp_path: Path) -> None:
    _healthy(tmp_path)
    assert _trouble(tmp_path) == []
    subjects = {finding.subject for finding in examine(tmp_path)}
    assert subjects >= {"SQLite", "lock", "disk", "database", "rows", "search", "backups"}


def test_the_doctor_may_come_while_the_application_runs(store: Store) -> None:
    store.add_conversation(records.conversation())
    store.add_turn(records.turn())
    findings = examine(store.data_dir)
    assert any(f"pid {os.getpid()}" in finding.message for finding in findings)
    assert [finding.subject for finding in findings if finding.level == "problem"] == []
    store.add_turn(records.turn())


def test_an_empty_folder_is_told_what_comes(tmp_path: Path) -> None:
    (finding,) = _trouble(tmp_path)
    assert "yet" in finding.message


def test_folders_and_rows_that_do_not_match_are_named(tmp_path: Path) -> None:
    _healthy(tmp_path)
    (tmp_path / "adapters" / "v0001" / "manifest.json").unlink()
    _make_folder(tmp_path / "datasets" / "stray")
    found = {(finding.level, finding.subject) for finding in _trouble(tmp_path)}
    assert found == {("problem", "adapters"), ("problem", "alias"), ("warning", "datasets")}
    assert all(finding.advice for finding in _trouble(tmp_path))


def test_a_moved_data_folder_is_whole(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    _healthy(tmp_path / "before")
    connection = connect(tmp_path / "before" / DATABASE_NAME)
    for table in ("datasets", "adapters"):
        prefix = f"{tmp_path / 'before'}/"
        connection.execute(f"UPDATE {table} SET path = ? || path", (prefix,))
    connection.close()
    assert _trouble(tmp_path / "before") == []
    (tmp_path / "before").rename(tmp_path / "after")
    assert _trouble(tmp_path / "after") == []


def test_what_is_missing_from_the_search_index_is_found_and_mended(tmp_path: Path) -> None:
    _healthy(tmp_path)
    connection = connect(tmp_path / DATABASE_NAME)
    connection.execute("INSERT INTO example_search (example_search) VALUES ('delete-all')")
    connection.close()
    (finding,) = _trouble(tmp_path)
    assert finding.message == "0 of 1 examples are in the search index."
    with Store.open(tmp_path) as store:
        store.rebuild_search()
    assert _trouble(tmp_path) == []


def test_a_row_that_points_nowhere_is_found(tmp_path: Path) -> None:
    _healthy(tmp_path)
    connection = connect(tmp_path / DATABASE_NAME)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("INSERT INTO decisions VALUES (1, 99, 'accepted', 'ann', '', '{}')")
    connection.close()
    (finding,) = _trouble(tmp_path)
    assert finding.message == "Row 1 of decisions points at no row of examples."


def test_a_run_whose_process_is_gone_is_found(tmp_path: Path) -> None:
    _healthy(tmp_path)
    with Store.open(tmp_path) as store:
        store.update_run("r1", state="running", pid=2**22 + 1, process_started_at=1.0)
    (finding,) = _trouble(tmp_path)
    assert finding.subject == "runs"


def test_a_deletion_that_was_not_done_is_found(tmp_path: Path) -> None:
    _healthy(tmp_path)
    write_tombstone(tmp_path, Tombstone("person", "0" * 64, "2026-11-21T05:14:56.123Z"))
    (finding,) = _trouble(tmp_path)
    assert finding.subject == "deletions"


def test_a_damaged_file_is_found_and_the_backup_named(tmp_path: Path) -> None:
    _healthy(tmp_path)
    (tmp_path / DATABASE_NAME).write_bytes(b"garbage" * 1000)
    (finding,) = _trouble(tmp_path)
    assert finding.level == "problem"
    assert "app.py restore" in finding.advice


def test_an_old_backup_is_a_warning(tmp_path: Path) -> None:
    _healthy(tmp_path)
    (path,) = (tmp_path / "backups").iterdir()
    os.utime(path, (0, 0))
    (finding,) = _trouble(tmp_path)
    assert (finding.level, finding.subject) == ("warning", "backups")
