"""Doctor: looks at everything the store rests on, and says what to do. It changes nothing, and
may run while the application does.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import psutil

from feedback_store.database import DATABASE_NAME, list_backups
from feedback_store.errors import StoreError
from feedback_store.lock import read_owner
from feedback_store.schema import SCHEMA_VERSION, read_version
from feedback_store.search import Index, indexed_count
from feedback_store.sqlite import Connection, check_version, connect, fetch_all, sqlite_version
from feedback_store.tombstones import list_applied, read_tombstones
from feedback_store.turn_search import INDEXED

Level = Literal["ok", "warning", "problem"]

MIN_FREE_BYTES: Final = 1024**3
MAX_BACKUP_AGE_DAYS: Final = 7
MAX_WAL_BYTES: Final = 256 * 1024**2  # a reader that never ends, or checkpoints that fail


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what is so, and, unless all is well, what to do."""

    level: Level
    subject: str
    message: str
    advice: str = ""


Findings = Iterator[Finding]


def examine(data_dir: Path) -> list[Finding]:
    """All findings, in the order in which things rest on each other."""
    data_dir = data_dir.absolute()
    path = data_dir / DATABASE_NAME
    findings = [*_check_library(), *_check_owner(data_dir), *_check_disk(data_dir)]
    if not path.exists():
        advice = "It is made at the first start; or bring one back with 'python app.py restore'."
        return [*findings, Finding("warning", "database", f"There is no {path} yet.", advice)]
    try:
        connection = connect(path, read_only=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return [*findings, _damaged(data_dir, str(error))]
    try:
        findings += _check_file(connection, data_dir)
        if not any(finding.level == "problem" for finding in findings):
            findings += [*_check_rows(connection), *_check_search(connection)]
            findings += [*_check_folders(connection, data_dir), *_check_runs(connection)]
            findings += [*_check_aliases(connection, data_dir), *_check_wal(data_dir)]
            findings += [*_check_deletions(connection, data_dir), *_check_backups(data_dir)]
    finally:
        connection.close()
    return findings


def _check_library() -> Findings:
    try:
        check_version()
    except StoreError as error:
        yield Finding("problem", "SQLite", f"Version {sqlite_version()}.", str(error))
    else:
        yield Finding("ok", "SQLite", f"Version {sqlite_version()}.")


def _check_owner(data_dir: Path) -> Findings:
    owner = read_owner(data_dir)
    if owner is None:
        yield Finding("ok", "lock", "No process holds the data folder.")
    else:
        yield Finding("ok", "lock", f"Held by {owner.get('name')} (pid {owner.get('pid')}).")


def _check_disk(data_dir: Path) -> Findings:
    free = shutil.disk_usage(data_dir).free
    if free < MIN_FREE_BYTES:
        advice = "Free some space: writes, backups and training stop without it."
        yield Finding("warning", "disk", f"{free / 1024**2:,.0f} MB are free.", advice)
    else:
        yield Finding("ok", "disk", f"{free / 1024**3:,.1f} GB are free.")


def _damaged(data_dir: Path, reason: str) -> Finding:
    backups = list_backups(data_dir)
    advice = "Stop the application. " + (
        f"Then run 'python app.py restore {backups[-1]}'."
        if backups
        else "No backup was found; at the next start the file is moved aside."
    )
    return Finding("problem", "database", f"The file is damaged: {reason}.", advice)


def _check_file(connection: Connection, data_dir: Path) -> Findings:
    """The schema's number, and every page."""
    try:
        version = read_version(connection)
        verdict = str(fetch_all(connection, "PRAGMA integrity_check(1)")[0][0])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        yield _damaged(data_dir, str(error))
        return
    if verdict != "ok":
        yield _damaged(data_dir, verdict)
    elif version > SCHEMA_VERSION:
        advice = "Update the application, or restore an older backup."
        yield Finding("problem", "schema", f"Number {version} is newer than this version.", advice)
    elif version < SCHEMA_VERSION:
        advice = "It is brought up to date at the next start."
        yield Finding("problem", "schema", f"Number {version} of {SCHEMA_VERSION}.", advice)
    else:
        yield Finding("ok", "database", f"Every page is sound; schema {version}.")


def _check_rows(connection: Connection) -> Findings:
    """Rows that point at rows that are not there."""
    broken = fetch_all(connection, "PRAGMA foreign_key_check")
    for row in broken[:10]:
        message = f"Row {row['rowid']} of {row['table']} points at no row of {row['parent']}."
        advice = "Something else wrote to the database. Restore the last backup."
        yield Finding("problem", "rows", message, advice)
    if not broken:
        yield Finding("ok", "rows", "Every row that points at another finds it.")


def _check_search(connection: Connection) -> Findings:
    tables: tuple[tuple[Index, str], ...] = (
        ("turn_search", f"turns WHERE turn_id <= {INDEXED}"),
        ("example_search", "examples"),
    )
    for index, rows in tables:
        table = rows.split()[0]
        expected = int(fetch_all(connection, f"SELECT count(*) FROM {rows}")[0][0])
        found = indexed_count(connection, index)
        if found != expected:
            message = f"{found:,} of {expected:,} {table} are in the search index."
            advice = "Stop the application and run 'python app.py doctor --rebuild-search'."
            yield Finding("problem", "search", message, advice)
        else:
            yield Finding("ok", "search", f"All {expected:,} {table} can be found.")


def _check_folders(connection: Connection, data_dir: Path) -> Findings:
    """Dataset and adapter folders against their rows, both ways."""
    for table, key in (("datasets", "dataset_id"), ("adapters", "version")):
        rows = fetch_all(connection, f"SELECT {key}, path FROM {table}")
        folders = [_locate(data_dir, row["path"], data_dir / table / row[key]) for row in rows]
        known = {folder.resolve() for folder in folders}
        for row, folder in zip(rows, folders, strict=True):
            if not (folder / "manifest.json").is_file():
                message = f"{row[key]} has no complete folder at {row['path']}."
                advice = "Copy the folder back from a backup of the data folder, or retrain."
                yield Finding("problem", table, message, advice)
        for manifest in sorted((data_dir / table).glob("*/manifest.json")):
            if manifest.parent.resolve() not in known:
                message = f"The folder {manifest.parent.name} belongs to no row."
                advice = "It is left from a restore or a crash; it may be deleted."
                yield Finding("warning", table, message, advice)
        yield Finding("ok", table, f"{len(rows)} were compared with their folders.")


def _locate(data_dir: Path, noted: str, usual: Path) -> Path:
    """A folder also where the whole data folder was moved or restored elsewhere."""
    return data_dir / noted if (data_dir / noted).is_dir() else usual


def _check_aliases(connection: Connection, data_dir: Path) -> Findings:
    for row in fetch_all(
        connection, "SELECT alias, version, path FROM aliases JOIN adapters USING (version)"
    ):
        folder = _locate(data_dir, row["path"], data_dir / "adapters" / row["version"])
        if not (folder / "manifest.json").is_file():
            message = f"{row['alias']} points at {row['version']}, whose folder is not complete."
            advice = "Mount or copy it back; or roll back: 'python app.py rollback'."
            yield Finding("problem", "alias", message, advice)
        else:
            yield Finding("ok", "alias", f"{row['alias']} is {row['version']}.")


def _check_runs(connection: Connection) -> Findings:
    for row in fetch_all(
        connection, "SELECT run_id, pid, process_started_at FROM runs WHERE state = 'running'"
    ):
        if not _is_alive(row["pid"], row["process_started_at"]):
            message = f"{row['run_id']} counts as running, but its process is gone."
            advice = "Start the application: it notes the interruption and offers to resume."
            yield Finding("warning", "runs", message, advice)


def _is_alive(pid: int | None, started_at: float | None) -> bool:
    try:
        process = psutil.Process(pid) if pid else None
        return bool(process and abs(process.create_time() - (started_at or 0)) < 2)
    except psutil.Error:
        return False


def _check_deletions(connection: Connection, data_dir: Path) -> Findings:
    missing = len(set(read_tombstones(data_dir)) - list_applied(connection))
    if missing:
        message = f"{missing} deletions that people asked for are not done on this database."
        yield Finding("problem", "deletions", message, "Start the application: it does them.")
    else:
        yield Finding("ok", "deletions", "Everything that was to be deleted is deleted.")


def _check_backups(data_dir: Path) -> Findings:
    backups = list_backups(data_dir)
    newest = backups[-1].stat().st_mtime if backups else 0.0
    if time.time() - newest > MAX_BACKUP_AGE_DAYS * 86_400:
        at = datetime.fromtimestamp(newest, UTC).date() if backups else "never"
        advice = "Run 'python app.py backup', and keep a copy on another machine."
        yield Finding("warning", "backups", f"The last one was made: {at}.", advice)
    else:
        yield Finding("ok", "backups", f"The last one is {backups[-1].name}.")


def _check_wal(data_dir: Path) -> Findings:
    wal = data_dir / f"{DATABASE_NAME}-wal"
    num_bytes = wal.stat().st_size if wal.exists() else 0
    if num_bytes > MAX_WAL_BYTES:
        advice = "Restart the application: it moves the log into the database."
        yield Finding("warning", "log", f"The write-ahead log has {num_bytes:,} bytes.", advice)
