"""Adapter versions, and the aliases that say which of them answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feedback_store.audit import add_entry
from feedback_store.errors import NotFound
from feedback_store.records import Adapter, AliasEvent
from feedback_store.rows import from_row, get, insert, now, to_row, update
from feedback_store.sqlite import Connection, fetch_all, fetch_one
from feedback_store.text import check_text


def next_adapter_version(connection: Connection, at_least: int) -> str:
    """A version that was never handed out before, and is above `at_least`."""
    connection.execute(
        "INSERT INTO counters (name, value) VALUES ('adapter_version', ?) "
        "ON CONFLICT (name) DO UPDATE SET value = max(value + 1, excluded.value)",
        (at_least + 1,),
    )
    row = fetch_one(connection, "SELECT value FROM counters WHERE name = 'adapter_version'")
    assert row is not None
    return f"v{row[0]:04d}"


def highest_folder(data_dir: Path) -> int:
    """Number of the highest adapter folder: a restored database must not hand it out again."""
    names = [folder.name[1:] for folder in (data_dir / "adapters").glob("v*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def add_adapter(connection: Connection, adapter: Adapter) -> Adapter:
    row = to_row(adapter)
    insert(connection, "adapters", row)
    return from_row(Adapter, row)


def get_adapter(connection: Connection, version: str) -> Adapter | None:
    return get(connection, Adapter, "adapters", ("version", version))


def update_adapter(connection: Connection, version: str, changes: dict[str, Any]) -> Adapter:
    if changes and not update(connection, "adapters", ("version", version), changes):
        raise NotFound("adapter", version)
    changed = get_adapter(connection, version)
    if changed is None:
        raise NotFound("adapter", version)
    return changed


def list_adapters(connection: Connection) -> list[Adapter]:
    rows = fetch_all(connection, "SELECT * FROM adapters ORDER BY created_at DESC, version DESC")
    return [from_row(Adapter, row) for row in rows]


def get_alias(connection: Connection, alias: str) -> str | None:
    row = fetch_one(connection, "SELECT version FROM aliases WHERE alias = ?", (alias,))
    return None if row is None else row["version"]


def set_alias(
    connection: Connection,
    alias: str,
    version: str | None,
    actor: str,
    reason: str,
    share: float | None,
) -> AliasEvent:
    """Point the alias at the version, and append the event that says who did it and why."""
    if version is not None and get_adapter(connection, version) is None:
        raise NotFound("adapter", version)
    before = get_alias(connection, alias)
    connection.execute(
        "INSERT INTO aliases (alias, version) VALUES (?, ?) "
        "ON CONFLICT (alias) DO UPDATE SET version = excluded.version",
        (alias, version),
    )
    row: dict[str, Any] = {
        "alias": alias,
        "from_version": before,
        "to_version": version,
        "actor": check_text("actor", actor),
        "reason": check_text("reason", reason),
        "created_at": now(),
        "share": share,
    }
    row["event_id"] = insert(connection, "alias_events", row)
    action = "promote" if alias == "production" else f"set {alias}"
    detail = {"from": before, "reason": reason, "share": share}
    add_entry(connection, actor, action, version or "base model", detail)
    return from_row(AliasEvent, row)


def list_alias_events(connection: Connection, alias: str | None, limit: int) -> list[AliasEvent]:
    """Newest first."""
    rows = fetch_all(
        connection,
        "SELECT * FROM alias_events WHERE ? IS NULL OR alias = ? ORDER BY event_id DESC LIMIT ?",
        (alias, alias, limit),
    )
    return [from_row(AliasEvent, row) for row in rows]
