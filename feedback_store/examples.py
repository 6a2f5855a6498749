"""Examples: training rows, waiting for a person's decision or decided."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from feedback_store.errors import StoreError
from feedback_store.example_search import (
    claimable_id,
    example_facets,
    example_tokens,
)
from feedback_store.records import Example, ExampleFilter, NewExample
from feedback_store.rows import encode, from_row, get, insert, now, to_row, update
from feedback_store.search import add_tokens, change_tokens, remove_tokens
from feedback_store.sqlite import Connection, Row, fetch_all, fetch_one

_DECIDED_FIELDS: Final = ("state", "decided_by", "decided_at", "completion", "flags", "repairs")


def content_hash(messages: str, completion: str, purpose: str) -> str:
    """Equal for equal examples; messages as stored JSON."""
    return hashlib.sha256("\0".join((messages, completion, purpose)).encode()).hexdigest()


def add_example(connection: Connection, example: NewExample) -> int | None:
    """The new id, or None where an equal example exists, or did before it was reworded."""
    row = to_row(example)
    row["content_hash"] = content_hash(row["messages"], row["completion"], row["purpose"])
    row["first_hash"] = row["content_hash"]  # stays when a person rewords the example
    known = "SELECT 1 FROM examples WHERE content_hash = :hash OR first_hash = :hash"
    if fetch_one(connection, known, {"hash": row["content_hash"]}):
        return None
    row |= {"state": "pending", "created_at": now(), "num_flags": len(example.flags)}
    row |= _from_turn(connection, example)
    example_id = insert(connection, "examples", row)
    add_tokens(connection, "example_search", example_id, example_tokens(row))
    return example_id


def add_examples(connection: Connection, new: Sequence[NewExample]) -> list[int | None]:
    """Their ids, in order; None where an equal example exists."""
    return [add_example(connection, example) for example in new]


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


def get_example(connection: Connection, example_id: int) -> Example | None:
    return get(connection, Example, "examples", ("example_id", example_id))


def list_turn_examples(connection: Connection, turn_id: int) -> list[Example]:
    """All examples that came from a turn, in the order of their ids."""
    rows = fetch_all(
        connection, "SELECT * FROM examples WHERE turn_id = ? ORDER BY example_id", (turn_id,)
    )
    return [from_row(Example, row) for row in rows]


def _row(connection: Connection, example_id: int) -> Row | None:
    return fetch_one(connection, "SELECT * FROM examples WHERE example_id = ?", (example_id,))


def decide_example(connection: Connection, example_id: int, changes: dict[str, Any]) -> bool:
    """Set state, decided_by and what was fixed; what stood there before is kept for undo."""
    row = _row(connection, example_id)
    encoded = {name: encode(name, value) for name, value in changes.items()}
    if row is None or all(
        row[name] == value for name, value in encoded.items() if name != "decided_by"
    ):
        return False
    decision = {
        "example_id": example_id,
        "state": changes["state"],
        "decided_by": encoded["decided_by"],
        "decided_at": now(),
        "before": json.dumps({name: row[name] for name in _DECIDED_FIELDS}, ensure_ascii=False),
    }
    insert(connection, "decisions", decision)
    _change(connection, row, {**encoded, "decided_at": decision["decided_at"]})
    return True


def undo_decision(connection: Connection, example_id: int, decided_by: str | None = None) -> bool:
    """Back to what stood there before the last decision; of decided_by only, where given."""
    last = fetch_one(
        connection,
        "SELECT decision_id, decided_by, before FROM decisions WHERE example_id = ? "
        "ORDER BY decision_id DESC LIMIT 1",
        (example_id,),
    )
    row = _row(connection, example_id)
    if last is None or row is None or decided_by not in (None, last["decided_by"]):
        return False
    _change(connection, row, json.loads(last["before"]))
    connection.execute("DELETE FROM decisions WHERE decision_id = ?", (last["decision_id"],))
    return True


def rate_examples(connection: Connection, turn_id: int, person_id: str, rating: str) -> None:
    """Carry a person's rating over to the examples that came from the turn."""
    for row in fetch_all(
        connection,
        "SELECT * FROM examples WHERE turn_id = ? AND person_id = ?",
        (turn_id, person_id),
    ):
        _change(connection, row, {"rating": rating})


def _change(connection: Connection, row: Row, changes: Mapping[str, Any]) -> None:
    """Change columns, and what follows from them."""
    example_id = row["example_id"]
    following: dict[str, Any] = {}
    if "state" in changes:
        following = {"claimed_by": None, "claimed_until": None}
    if "flags" in changes:
        following["num_flags"] = len(json.loads(changes["flags"]))
    is_reworded = changes.get("completion", row["completion"]) != row["completion"]
    if is_reworded:
        wanted = content_hash(row["messages"], changes["completion"], row["purpose"])
        _refuse_duplicate(connection, example_id, wanted)
        following["content_hash"] = wanted
    update(connection, "examples", ("example_id", example_id), {**changes, **following})
    changed = {**row, **changes, **following}
    tokens_of = example_tokens if is_reworded else example_facets
    change_tokens(connection, "example_search", example_id, tokens_of(row), tokens_of(changed))


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


def forget_example(connection: Connection, example_id: int) -> bool:
    """Remove the example and its place in the search index. Its id stays in dataset_rows."""
    row = _row(connection, example_id)
    if row is None:
        return False
    remove_tokens(connection, "example_search", example_id, example_tokens(row))
    connection.execute("DELETE FROM examples WHERE example_id = ?", (example_id,))
    return True


def claim_example(
    connection: Connection,
    filter_: ExampleFilter,
    curator: str,
    skip: Collection[int],
    lease_s: float,
) -> Example | None:
    """The next example that nobody else holds, liked ones first; it is then held for lease_s."""
    unwanted = held_by_others(connection, curator).union(skip)
    example_id = claimable_id(connection, filter_, unwanted)
    if example_id is None:
        return None
    return _hold(connection, example_id, curator, lease_s)


def hold_example(
    connection: Connection, example_id: int, curator: str, lease_s: float
) -> Example | None:
    """This very example, held from now on; None where it is gone or another curator holds it."""
    if example_id in held_by_others(connection, curator):
        return None
    return _hold(connection, example_id, curator, lease_s)


def held_by_others(connection: Connection, curator: str) -> set[int]:
    """The examples that other curators hold now."""
    rows = fetch_all(
        connection,
        "SELECT example_id FROM examples WHERE claimed_until > ? AND claimed_by <> ?",
        (time.time(), curator),
    )
    return {row[0] for row in rows}


def _hold(connection: Connection, example_id: int, curator: str, lease_s: float) -> Example | None:
    connection.execute(
        "UPDATE examples SET claimed_by = ?, claimed_until = ? WHERE example_id = ?",
        (curator, time.time() + lease_s, example_id),
    )
    return get_example(connection, example_id)


def count_accepted_since(connection: Connection, at: str, limit: int) -> int:
    """How many examples were accepted after that time and still are; counts no further than limit.

    Walks the decisions back from the newest, so that it costs what is new and not what there is.
    """
    found: set[int] = set()
    newest_first = connection.execute(
        "SELECT d.example_id, d.decided_at, e.state, e.purpose FROM decisions AS d "
        "JOIN examples AS e USING (example_id) ORDER BY d.decision_id DESC"
    )
    for example_id, decided_at, state, purpose in newest_first:
        if decided_at <= at or len(found) == limit:
            break
        if (state, purpose) == ("accepted", "train"):
            found.add(example_id)
    return len(found)


def release_example(connection: Connection, example_id: int, curator: str) -> None:
    """Give a held example free for others."""
    connection.execute(
        "UPDATE examples SET claimed_by = NULL, claimed_until = NULL "
        "WHERE example_id = ? AND claimed_by = ?",
        (example_id, curator),
    )
