"""What people may ask for: their data as JSON, and to be forgotten; and retention by age."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from feedback_store.database import DATABASE_NAME, Database, list_backups
from feedback_store.examples import forget_example
from feedback_store.lineage import uses_of_examples, uses_of_person
from feedback_store.records import Conversation, Deletion, Example, Feedback, Turn
from feedback_store.rows import from_row, now
from feedback_store.search import Index, merge_step
from feedback_store.sqlite import Connection, fetch_all
from feedback_store.tombstones import (
    Tombstone,
    hash_key,
    list_applied,
    mark_applied,
    read_tombstones,
    write_tombstone,
)
from feedback_store.turn_search import opinion_tokens, write_opinion
from feedback_store.turns import forget_turn

RETENTION_DAYS: Final = 30
UNWANTED_DAYS: Final = 1  # for chats whose person does not want them kept

_PATIENCE_S: Final = 5.0  # for readers that still hold old pages in the WAL


def export_person(connection: Connection, person_id: str) -> dict[str, Any]:
    """Everything that is kept about a person, as plain JSON types."""
    tables: dict[str, type] = {
        "conversations": Conversation,
        "turns": Turn,
        "feedback": Feedback,
        "examples": Example,
    }
    exported: dict[str, Any] = {"person_id": person_id, "exported_at": now()}
    for table, record_class in tables.items():
        rows = fetch_all(
            connection, f"SELECT * FROM {table} WHERE person_id = ? ORDER BY rowid", (person_id,)
        )
        exported[table] = [asdict(from_row(record_class, row)) for row in rows]
    consents = fetch_all(
        connection,
        "SELECT conversation_id, kind, granted, created_at FROM consents WHERE person_id = ? "
        "ORDER BY consent_id",
        (person_id,),
    )
    exported["consents"] = [{**row, "granted": bool(row["granted"])} for row in consents]
    uses = uses_of_person(connection, person_id)
    exported["contained_in"] = {"datasets": uses.dataset_ids, "adapters": uses.adapters}
    return exported


def delete_person(database: Database, data_dir: Path, person_id: str) -> Deletion:
    """Forget a person for good: rows, search index, free pages, WAL, and later restores."""
    return _delete(database, data_dir, Tombstone("person", hash_key(person_id), now()), person_id)


def delete_conversation(database: Database, data_dir: Path, conversation_id: str) -> Deletion:
    """Forget one conversation for good, with the examples made from it."""
    tombstone = Tombstone("conversation", hash_key(conversation_id), now())
    return _delete(database, data_dir, tombstone, conversation_id)


def reapply_tombstones(database: Database, data_dir: Path) -> int:
    """Forget what was deleted but stands in this database, as after a restore; how many."""
    applied = database.read(list_applied)
    missing = [tombstone for tombstone in read_tombstones(data_dir) if tombstone not in applied]
    for tombstone in missing:
        for key in database.read(_find_keys, tombstone):
            _forget(database, tombstone, key)
    if missing:
        erase_deleted(database)
    for tombstone in missing:
        database.write(mark_applied, tombstone)
    return len(missing)


def _find_keys(connection: Connection, tombstone: Tombstone) -> list[str]:
    """The ids behind a tombstone's hash."""
    tables = ["conversations", "examples"]
    if tombstone.kind == "person":
        tables += ["feedback", "consents"]
    column = f"{tombstone.kind}_id"
    union = " UNION ".join(f"SELECT {column} FROM {table}" for table in tables)
    return [
        row[0] for row in fetch_all(connection, union) if hash_key(row[0]) == tombstone.key_hash
    ]


def _delete(database: Database, data_dir: Path, tombstone: Tombstone, key: str) -> Deletion:
    write_tombstone(data_dir, tombstone)
    deletion = _forget(database, tombstone, key)
    erase_deleted(database)
    database.write(mark_applied, tombstone)
    return deletion


def _forget(database: Database, tombstone: Tombstone, key: str) -> Deletion:
    """Remove what was created up to the tombstone's time."""
    column, until = f"{tombstone.kind}_id", tombstone.deleted_at

    def ids(table: str, id_column: str) -> list[Any]:
        return database.read(_ids_of, table, id_column, column, key, until)

    conversation_ids = ids("conversations", "conversation_id")
    turn_ids = [id_ for name in conversation_ids for id_ in database.read(_turn_ids, name)]
    example_ids = sorted(
        {*ids("examples", "example_id"), *database.read(_example_ids_of_turns, turn_ids)}
    )
    still_in = database.read(uses_of_examples, turn_ids, example_ids)
    num_feedback = 0
    if tombstone.kind == "person":
        num_feedback = database.write_each(_forget_feedback, ids("feedback", "feedback_id"))
        database.write(_forget_consents, key, until)
    num_examples = database.write_each(forget_example, example_ids)
    num_turns = database.write_each(forget_turn, turn_ids)
    for name in conversation_ids:
        database.write(_forget_conversation, name)
    return Deletion(
        num_conversations=len(conversation_ids),
        num_turns=num_turns,
        num_feedback=num_feedback,
        num_examples=num_examples,
        still_in=still_in,
    )


def _ids_of(
    connection: Connection, table: str, id_column: str, column: str, key: str, until: str
) -> list[Any]:
    sql = f"SELECT {id_column} FROM {table} WHERE {column} = ? AND created_at <= ?"
    return [row[0] for row in fetch_all(connection, sql, (key, until))]


def _turn_ids(connection: Connection, conversation_id: str) -> list[int]:
    sql = "SELECT turn_id FROM turns WHERE conversation_id = ? ORDER BY position"
    return [row[0] for row in fetch_all(connection, sql, (conversation_id,))]


def _example_ids_of_turns(connection: Connection, turn_ids: list[int]) -> list[int]:
    sql = "SELECT example_id FROM examples WHERE turn_id = ?"
    return [row[0] for id_ in turn_ids for row in fetch_all(connection, sql, (id_,))]


def _forget_feedback(connection: Connection, feedback_id: int) -> bool:
    (row,) = fetch_all(
        connection, "SELECT turn_id FROM feedback WHERE feedback_id = ?", (feedback_id,)
    )
    before = opinion_tokens(connection, row["turn_id"])
    connection.execute("DELETE FROM feedback WHERE feedback_id = ?", (feedback_id,))
    write_opinion(connection, row["turn_id"], before)
    return True


def _forget_consents(connection: Connection, person_id: str, until: str) -> None:
    connection.execute(
        "DELETE FROM consents WHERE person_id = ? AND created_at <= ?", (person_id, until)
    )


def _forget_conversation(connection: Connection, conversation_id: str) -> None:
    for turn_id in _turn_ids(connection, conversation_id):
        forget_turn(connection, turn_id)  # said while the others were being forgotten
    connection.execute("DELETE FROM consents WHERE conversation_id = ?", (conversation_id,))
    connection.execute("DELETE FROM conversations WHERE conversation_id = ?", (conversation_id,))


def erase_deleted(database: Database) -> None:
    """Leave no trace of deleted rows: rewrite the search indexes, empty the WAL.

    The freed pages of the file were overwritten when the rows went (secure_delete).
    """
    indexes: tuple[Index, ...] = ("turn_search", "example_search")
    for index in indexes:
        is_first = True
        while database.write(merge_step, index, is_first=is_first):
            is_first = False
    deadline = time.monotonic() + _PATIENCE_S
    while not database.truncate_wal() and time.monotonic() < deadline:
        time.sleep(0.05)


def apply_retention(database: Database, data_dir: Path, days: int = RETENTION_DAYS) -> int:
    """Delete public chats that nobody used for so long; how many conversations went.

    Chats whose person does not want them kept go after a day. Undecided examples made from them
    go too; accepted ones stay, by the consent to train. Copies of the database that are as old go
    with them, but for the newest backup. Running it again changes nothing.
    """
    _delete_old_copies(data_dir, time.time() - days * 86_400)
    expired = database.read(_expired, _days_ago(days), _days_ago(min(days, UNWANTED_DAYS)))
    for conversation_id in expired:
        turn_ids = database.read(_turn_ids, conversation_id)
        database.write_each(forget_example, database.read(_undecided_of_turns, turn_ids))
        database.write_each(forget_turn, turn_ids)
        database.write(_forget_conversation, conversation_id)
    if expired:
        erase_deleted(database)
    return len(expired)


def _delete_old_copies(data_dir: Path, before: float) -> None:
    """Backups and databases set aside, with what a deletion in the meantime could not reach."""
    copies = list_backups(data_dir)[:-1]
    for why in ("damaged", "before-restore"):
        copies += data_dir.glob(f"{DATABASE_NAME}.{why}-*")
    for copy in copies:
        if copy.stat().st_mtime < before:
            copy.unlink()


def _days_ago(days: int) -> str:
    at = datetime.now(UTC) - timedelta(days=days)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _expired(connection: Connection, before: str, unwanted_before: str) -> list[str]:
    rows = fetch_all(
        connection,
        "SELECT conversation_id FROM conversations AS c WHERE origin <> 'studio' AND "
        "(updated_at < ? OR updated_at < ? AND NOT coalesce((SELECT granted FROM consents AS k "
        "WHERE k.person_id = c.person_id AND kind = 'keep' AND (k.conversation_id IS NULL "
        "OR k.conversation_id = c.conversation_id) ORDER BY consent_id DESC LIMIT 1), 1))",
        (before, unwanted_before),
    )
    return [row[0] for row in rows]


def _undecided_of_turns(connection: Connection, turn_ids: list[int]) -> list[int]:
    sql = "SELECT example_id FROM examples WHERE turn_id = ? AND state <> 'accepted'"
    return [row[0] for id_ in turn_ids for row in fetch_all(connection, sql, (id_,))]
