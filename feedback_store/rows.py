"""From a record to a row of its table and back: one column per field, lists and objects as
JSON text.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from feedback_store.sqlite import Connection, Row, fetch_one
from feedback_store.text import check_text, to_json

Record = TypeVar("Record")

_clock = threading.Lock()
_last_at = ""


def now() -> str:
    """The time as UTC ISO 8601 with milliseconds and "Z"; never earlier than the one before."""
    global _last_at
    text = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with _clock:
        _last_at = max(_last_at, text)
        return _last_at


_kinds: dict[type, dict[str, str]] = {}


def _kinds_of(record_class: type) -> dict[str, str]:
    """Field name → "json", "bool" or "plain"; worked out once per class."""
    if record_class not in _kinds:
        hints = typing.get_type_hints(record_class)
        _kinds[record_class] = {name: _kind(hints[name]) for name in _names(record_class)}
    return _kinds[record_class]


def _names(record_class: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(record_class)]


def _kind(hint: Any) -> str:
    if "tuple[" in str(hint) or "dict[" in str(hint):
        return "json"
    return "bool" if hint is bool else "plain"


def encode(name: str, value: Any) -> Any:
    """One field's value as a column value; text is cleaned and checked."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return check_text(name, value)
    return to_json(name, value)


def to_row(record: Any) -> dict[str, Any]:
    """Column → value; an empty created_at or updated_at becomes the present time."""
    row = {}
    for name in _kinds_of(type(record)):
        value = encode(name, getattr(record, name))
        row[name] = now() if value == "" and name in ("created_at", "updated_at") else value
    return row


def from_row(record_class: type[Record], row: Row | Mapping[str, Any]) -> Record:
    """The record of a row, which may have more columns than the record has fields."""
    values: dict[str, Any] = {}
    for name, kind in _kinds_of(record_class).items():
        value = row[name]
        if value is not None and kind == "json":
            value = json.loads(value)
            value = tuple(value) if isinstance(value, list) else value
        elif kind == "bool":
            value = bool(value)
        values[name] = value
    return record_class(**values)


@functools.cache
def _insert_sql(table: str, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"


def insert(connection: Connection, table: str, row: Mapping[str, Any]) -> int:
    """Add one row; its rowid."""
    cursor = connection.execute(_insert_sql(table, tuple(row)), tuple(row.values()))
    return int(cursor.lastrowid or 0)


def update(
    connection: Connection, table: str, key: tuple[str, Any], changes: Mapping[str, Any]
) -> int:
    """Change the named columns of the row with this key; the number of rows it met."""
    encoded = {name: encode(name, value) for name, value in changes.items()}
    sets = ", ".join(f"{name} = ?" for name in encoded)
    sql = f"UPDATE {table} SET {sets} WHERE {key[0]} = ?"
    return connection.execute(sql, (*encoded.values(), key[1])).rowcount


def get(
    connection: Connection, record_class: type[Record], table: str, key: tuple[str, Any]
) -> Record | None:
    """The record with this key, or None."""
    row = fetch_one(connection, f"SELECT * FROM {table} WHERE {key[0]} = ?", (key[1],))
    return None if row is None else from_row(record_class, row)
