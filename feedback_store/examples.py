"""Examples: training rows, waiting for a person's decision or decided."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from feedback_store.errors import StoreError
from feedback_store.records import Example, ExampleFilter, ExampleSort, NewExample, Page
from feedback_store.rows import encode, from_row, get, insert, now, to_row, update
from feedback_store.sqlite import Connection, Row, fetch_all, fetch_one

_PLAIN_FIELDS: Final = (
    "state",
    "purpose",
    "source",
    "rating",
    "category",
    "location",
    "work_type",
    "lang",
    "adapter",
    "person_id",
    "turn_id",
)
_DECIDED_FIELDS: Final = (
    "state",
    "decided_by",
    "decided_at",
    "completion",
    "flags",
    "repairs",
)
# Sort → the column that comes before example_id, and the direction of both.
_SORTS: Final = {
    "newest": (None, "DESC"),
    "oldest": (None, "ASC"),
    "flags": ("num_flags", "DESC"),
    "rating": ("rating", "DESC"),
}


def content_hash(messages: str, completion: str, purpose: str) -> str:
    """Equal for equal examples; messages as stored JSON."""
    return hashlib.sha256("\0".join((messages, completion, purpose)).encode()).hexdigest()


def add_example(connection: Connection, example: NewExample) -> int | None:
    """The new id, or None where an equal example exists."""
    row = to_row(example)
    row["content_hash"] = content_hash(row["messages"], row["completion"], row["purpose"])
    if fetch_one(
        connection, "SELECT 1 FROM examples WHERE content_hash = ?", (row["content_hash"],)
    ):
        return None
    row |= {"state": "pending", "created_at": now(), "num_flags": len(example.flags)}
    row |= _from_turn(connection, example)
    example_id = insert(connection, "examples", row)
    _set_flags(connection, example_id, example.flags)
    return example_id


def _from_turn(connection: Connection, example: NewExample) -> dict[str, Any]:
    """Rating and adapter of its turn, kept on the example so that filters are quick."""
    found = fetch_one(
        connection,
        "SELECT adapter, (SELECT rating FROM feedback AS f WHERE f.turn_id = turns.turn_id "
        "AND f.person_id = ? AND is_current = 1) AS rating FROM turns WHERE turn_id = ?",
        (example.person_id, example.turn_id),
    )
    if found is None:
        return {"rating": "", "adapter": None}
    return {"rating": found["rating"] or "", "adapter": found["adapter"]}


def _set_flags(connection: Connection, example_id: int, flags: Sequence[dict[str, Any]]) -> None:
    connection.execute("DELETE FROM example_flags WHERE example_id = ?", (example_id,))
    names = {str(flag.get("name", "")) for flag in flags}
    connection.executemany(
        "INSERT INTO example_flags (name, example_id) VALUES (?, ?)",
        [(name, example_id) for name in sorted(names)],
    )


def get_example(connection: Connection, example_id: int) -> Example | None:
    return get(connection, Example, "examples", ("example_id", example_id))


def _conditions(filter_: ExampleFilter) -> tuple[list[str], list[Any]]:
    where, parameters = ["1"], []
    for name in _PLAIN_FIELDS:
        value = getattr(filter_, name)
        if value is not None:
            where.append(f"{name} = ?")
            parameters.append(value)
    if filter_.flag is not None:
        where.append("example_id IN (SELECT example_id FROM example_flags WHERE name = ?)")
        parameters.append(filter_.flag)
    for sign, limit in ((">=", filter_.since), ("<", filter_.until)):
        if limit is not None:
            where.append(f"created_at {sign} ?")
            parameters.append(limit)
    if filter_.query:
        where.append("(instr(completion, ?) OR instr(messages, ?))")
        parameters += [filter_.query] * 2
    return where, parameters


def count_examples(connection: Connection, filter_: ExampleFilter) -> int:
    where, parameters = _conditions(filter_)
    row = fetch_one(
        connection, f"SELECT count(*) FROM examples WHERE {' AND '.join(where)}", parameters
    )
    return int(row[0]) if row else 0


def count_examples_by(connection: Connection, field: str, filter_: ExampleFilter) -> dict[str, int]:
    """Value of the field → number of examples."""
    where, parameters = _conditions(filter_)
    source, column = ("examples", field)
    if field == "flag":
        source, column = "examples JOIN example_flags USING (example_id)", "name"
    rows = fetch_all(
        connection,
        f"SELECT {column}, count(*) FROM {source} WHERE {' AND '.join(where)} "
        f"GROUP BY {column} ORDER BY {column}",
        parameters,
    )
    return {row[0]: row[1] for row in rows}


def find_examples(
    connection: Connection,
    filter_: ExampleFilter,
    sort: ExampleSort,
    after: str | None,
    limit: int,
) -> Page[Example]:
    """One page; `after` is the next_key of the page before."""
    where, parameters = _conditions(filter_)
    column, direction = _SORTS[sort]
    sign = "<" if direction == "DESC" else ">"
    key = f"{column}, example_id" if column else "example_id"
    if after is not None:
        value, _, example_id = after.rpartition(":")
        keys = ([int(value) if sort == "flags" else value] if column else []) + [int(example_id)]
        where.append(f"({key}) {sign} ({', '.join('?' * len(keys))})")
        parameters += keys
    order = ", ".join(f"{name} {direction}" for name in key.split(", "))
    rows = fetch_all(
        connection,
        f"SELECT * FROM examples WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?",
        (*parameters, limit + 1),
    )
    more = len(rows) > limit
    rows = rows[:limit]
    next_key = f"{rows[-1][column] if column else ''}:{rows[-1]['example_id']}" if more else None
    items = [from_row(Example, row) for row in rows]
    return Page(items, next_key, count_examples(connection, filter_))


def iter_batch(
    connection: Connection, filter_: ExampleFilter, after_id: int, limit: int
) -> list[Example]:
    """The next examples by id."""
    where, parameters = _conditions(filter_)
    rows = fetch_all(
        connection,
        f"SELECT * FROM examples WHERE {' AND '.join(where)} AND example_id > ? "
        "ORDER BY example_id LIMIT ?",
        (*parameters, after_id, limit),
    )
    return [from_row(Example, row) for row in rows]


def decide_example(connection: Connection, example_id: int, changes: dict[str, Any]) -> bool:
    """Set state, decided_by and what was fixed; what stood there before is kept for undo."""
    row = fetch_one(connection, "SELECT * FROM examples WHERE example_id = ?", (example_id,))
    encoded = {name: encode(name, value) for name, value in changes.items()}
    if row is None or all(
        row[name] == value for name, value in encoded.items() if name != "decided_by"
    ):
        return False
    decided_at = now()
    insert(
        connection,
        "decisions",
        {
            "example_id": example_id,
            "state": changes["state"],
            "decided_by": encoded["decided_by"],
            "decided_at": decided_at,
            "before": json.dumps({name: row[name] for name in _DECIDED_FIELDS}, ensure_ascii=False),
        },
    )
    _write_decided(connection, row, {**encoded, "decided_at": decided_at})
    return True


def undo_decision(connection: Connection, example_id: int) -> bool:
    """Back to what stood there before the last decision."""
    last = fetch_one(
        connection,
        "SELECT decision_id, before FROM decisions WHERE example_id = ? "
        "ORDER BY decision_id DESC LIMIT 1",
        (example_id,),
    )
    row = fetch_one(connection, "SELECT * FROM examples WHERE example_id = ?", (example_id,))
    if last is None or row is None:
        return False
    _write_decided(connection, row, json.loads(last["before"]))
    connection.execute("DELETE FROM decisions WHERE decision_id = ?", (last["decision_id"],))
    return True


def _write_decided(connection: Connection, row: Row, changes: dict[str, Any]) -> None:
    example_id = row["example_id"]
    changes = {**changes, "claimed_by": None, "claimed_until": None}
    if "flags" in changes:
        flags = json.loads(changes["flags"])
        changes["num_flags"] = len(flags)
        _set_flags(connection, example_id, flags)
    if "completion" in changes:
        wanted = content_hash(row["messages"], changes["completion"], row["purpose"])
        _refuse_duplicate(connection, example_id, wanted)
        changes["content_hash"] = wanted
    update(connection, "examples", ("example_id", example_id), changes)


def _refuse_duplicate(connection: Connection, example_id: int, wanted: str) -> None:
    twin = fetch_one(
        connection,
        "SELECT example_id FROM examples WHERE content_hash = ? AND example_id <> ?",
        (wanted, example_id),
    )
    if twin:
        raise StoreError(
            "duplicate_example",
            f"Example {twin[0]} already says exactly this. Exclude example {example_id} instead.",
        )


def claim_example(
    connection: Connection,
    filter_: ExampleFilter,
    curator: str,
    skip: Collection[int],
    lease_s: float,
) -> Example | None:
    """The next example that nobody else holds, liked ones first; it is then held for lease_s."""
    where, parameters = _conditions(filter_)
    where.append("(claimed_until IS NULL OR claimed_until < ? OR claimed_by = ?)")
    parameters += [time.time(), curator]
    where.append("example_id NOT IN (SELECT value FROM json_each(?))")
    parameters.append(json.dumps(list(skip)))
    row = fetch_one(
        connection,
        f"SELECT * FROM examples WHERE {' AND '.join(where)} "
        "ORDER BY rating DESC, example_id LIMIT 1",
        parameters,
    )
    if row is None:
        return None
    connection.execute(
        "UPDATE examples SET claimed_by = ?, claimed_until = ? WHERE example_id = ?",
        (curator, time.time() + lease_s, row["example_id"]),
    )
    return from_row(Example, row)


def release_example(connection: Connection, example_id: int, curator: str) -> None:
    """Give a held example free for others."""
    connection.execute(
        "UPDATE examples SET claimed_by = NULL, claimed_until = NULL "
        "WHERE example_id = ? AND claimed_by = ?",
        (example_id, curator),
    )


BATCH: Final = 500  # rows of one read: no long transaction holds back the WAL


def iter_examples(read_batch: Any, filter_: ExampleFilter) -> Iterator[Example]:
    """All examples by id, in batches."""
    last_id = 0
    while batch := read_batch(iter_batch, filter_, last_id, BATCH):
        yield from batch
        last_id = batch[-1].example_id
