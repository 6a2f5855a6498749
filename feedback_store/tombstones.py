"""Tombstones: what was deleted on request, so that a restored backup forgets it again.

They stand in a file beside the database, because a restore replaces the database, and in the
database, which shows what it has already forgotten. They hold hashes, no ids.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from feedback_store.sqlite import Connection, fetch_all

FILE_NAME = "tombstones.jsonl"

Kind = Literal["person", "conversation"]


@dataclass(frozen=True)
class Tombstone:
    """Everything of this person (or conversation) up to deleted_at is gone for good."""

    kind: Kind
    key_hash: str
    deleted_at: str


def hash_key(key: str) -> str:
    """The sha256 of an id. Ids are random, so it tells nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def write_tombstone(data_dir: Path, tombstone: Tombstone) -> None:
    """Append it durably; this comes before the deletion, so that a crash cannot undo it."""
    line = json.dumps(asdict(tombstone)) + "\n"
    path = data_dir / FILE_NAME
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_tombstones(data_dir: Path) -> list[Tombstone]:
    """All of them; a last line cut off by a crash is left out: its deletion had not begun."""
    try:
        lines = (data_dir / FILE_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Tombstone(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def mark_applied(connection: Connection, tombstone: Tombstone) -> None:
    """Note in the database that it has forgotten."""
    connection.execute(
        "INSERT OR IGNORE INTO tombstones (kind, key_hash, deleted_at) VALUES (?, ?, ?)",
        (tombstone.kind, tombstone.key_hash, tombstone.deleted_at),
    )


def list_applied(connection: Connection) -> set[Tombstone]:
    """What this database has forgotten."""
    rows = fetch_all(connection, "SELECT kind, key_hash, deleted_at FROM tombstones")
    return {Tombstone(*row) for row in rows}
