"""A database of every schema with a few rows, kept as fixtures/schema_N.db.gz.

A new schema needs a new fixture: python -m tests.feedback_store.released_schemas
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from feedback_store.schema import MIGRATIONS
from feedback_store.sqlite import Connection, connect

FIXTURES: Final = Path(__file__).parent / "fixtures"
AT: Final = "2026-11-21T05:14:56.123Z"

_BASE: Final = {"location": "city", "work_type": "office", "category": "VEGAN"}

ROWS: Final[dict[str, dict[str, Any]]] = {
    "conversations": {
        **_BASE,
        "conversation_id": "c1",
        "person_id": "ann",
        "origin": "public",
        "lang": "ko",
        "title": "첫 대화",
        "first_category": "VEGAN",
        "may_train": 1,
        "created_at": AT,
        "updated_at": AT,
    },
    "turns": {
        **_BASE,
        "conversation_id": "c1",
        "position": 1,
        "mode": "free_text",
        "user_text": "두부 요리 추천해 주세요",
        "messages": json.dumps([{"role": "user", "content": "두부"}]),
        "raw_text": "{}",
        "recommendation": json.dumps({"recommend": "채식", "challenges": []}),
        "status": "ok",
        "adapter": "",
        "base_model": "starter",
        "prompt_hash": "0",
        "sampling": "{}",
        "duration_ms": 1.5,
        "created_at": AT,
        "person_id": "ann",
        "lang": "ko",
    },
    "feedback": {
        "turn_id": 1,
        "person_id": "ann",
        "rating": "like",
        "reasons": '["clear"]',
        "comment": "",
        "is_current": 1,
        "created_at": AT,
    },
    "examples": {
        **_BASE,
        "source": "feedback",
        "messages": json.dumps([{"role": "user", "content": "두부"}]),
        "completion": "{}",
        "original_text": "",
        "turn_id": 1,
        "conversation_id": "c1",
        "person_id": "ann",
        "lang": "ko",
        "flags": '[{"name":"long"}]',
        "repairs": "[]",
        "purpose": "train",
        "state": "accepted",
        "created_at": AT,
        "rating": "like",
        "adapter": "",
        "num_flags": 1,
        "content_hash": "0",
        "first_hash": "0",
    },
}


def fixture_path(version: int) -> Path:
    return FIXTURES / f"schema_{version}.db.gz"


def unpack(version: int, path: Path) -> None:
    """Put the database of a schema at the path."""
    path.write_bytes(gzip.decompress(fixture_path(version).read_bytes()))


def build(version: int, path: Path) -> None:
    """Make a database as the application with that schema would have left it."""
    connection = connect(path)
    for number, step in enumerate(MIGRATIONS[:version], 1):
        step(Database(connection))
        connection.execute(f"PRAGMA user_version = {number}")
    for table, row in ROWS.items():
        _insert(connection, table, row)
    connection.execute("VACUUM")
    connection.close()


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    for version in range(1, len(MIGRATIONS) + 1):
        if not fixture_path(version).exists():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "database.db"
                build(version, path)
                fixture_path(version).write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
