"""The audit log: who did what, when. Entries are only ever added; the file itself refuses to change
or delete one.
"""

from __future__ import annotations

from typing import Any, Final

from feedback_store.records import AuditEntry
from feedback_store.rows import from_row, insert, now
from feedback_store.sqlite import Connection, fetch_all
from feedback_store.text import clean_text, to_json

SCHEMA: Final = (
    """
    CREATE TABLE audit (
        entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        detail TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX audit_of_actor ON audit (actor, entry_id)",
    "CREATE TRIGGER audit_stays BEFORE DELETE ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END",
    "CREATE TRIGGER audit_stands BEFORE UPDATE ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END",
)
_MAX_TARGET: Final = 200  # characters
_MAX_DETAIL: Final = 500  # characters of each value
_MAX_IDS: Final = 200  # of one entry; how many there were stands in the target
_DECISIONS: Final = {"accepted": "accept", "excluded": "exclude"}


def add_entry(
    connection: Connection, actor: str, action: str, target: str, detail: dict[str, Any]
) -> AuditEntry:
    """Append one entry. What is too long is cut: an entry is never refused."""
    kept = {name: _cut(value) for name, value in detail.items()}
    row: dict[str, Any] = {
        "actor": clean_text(actor)[:_MAX_TARGET],
        "action": clean_text(action)[:_MAX_TARGET],
        "target": clean_text(target)[:_MAX_TARGET],
        "detail": to_json("detail", kept),
        "created_at": now(),
    }
    row["entry_id"] = insert(connection, "audit", row)
    return from_row(AuditEntry, row)


def add_decision(
    connection: Connection, actor: str, state: str, example_ids: list[int], num_changed: int
) -> None:
    """A curator's decision, of one example or of many at once."""
    action = _DECISIONS.get(state, state)
    ids = example_ids[:_MAX_IDS]
    add_entry(connection, actor, action, _name_examples(example_ids, num_changed), {"ids": ids})


def list_entries(
    connection: Connection, before: int | None, limit: int, action: str | None
) -> list[AuditEntry]:
    """Newest first; before is the last entry_id of the page above."""
    rows = fetch_all(
        connection,
        "SELECT * FROM audit WHERE (? IS NULL OR entry_id < ?) AND (? IS NULL OR action = ?) "
        "ORDER BY entry_id DESC LIMIT ?",
        (before, before, action, action, limit),
    )
    return [from_row(AuditEntry, row) for row in rows]


def list_names(connection: Connection) -> dict[str, str]:
    """Actor → the name they gave when they last logged in."""
    rows = fetch_all(
        connection,
        "SELECT actor, json_extract(detail, '$.name') AS name FROM audit "
        "WHERE action = 'login' ORDER BY entry_id",
    )
    return {row["actor"]: row["name"] for row in rows if row["name"]}


def _name_examples(example_ids: list[int], num_changed: int) -> str:
    if len(example_ids) == 1:
        return f"example {example_ids[0]}"
    return f"{num_changed} examples"


def _cut(value: Any) -> Any:
    return clean_text(value)[:_MAX_DETAIL] if isinstance(value, str) else value
