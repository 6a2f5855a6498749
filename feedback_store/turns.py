"""Turns: one user message with its reply, kept, found again and forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from feedback_store.errors import NotFound
from feedback_store.records import NewTurn, Page, Turn, TurnFilter, TurnHit, TurnSort
from feedback_store.rows import from_row, get, insert, now, to_row
from feedback_store.search import (
    EVERYTHING,
    Match,
    build_match,
    count,
    facet,
    find_ids,
    read_rows,
    text_tokens,
    write_tokens,
)
from feedback_store.sqlite import Connection, Row, fetch_all, fetch_one

# Filter → column; what does not change after the turn.
_FACETS: Final = {
    "category": "category",
    "location": "location",
    "work_type": "work_type",
    "lang": "lang",
    "adapter": "adapter",
    "status": "status",
    "person": "person_id",
}


def add_turn(connection: Connection, turn: NewTurn) -> Turn:
    """The turn goes to the end of its conversation, which then counts as just used."""
    row = to_row(turn)
    conversation = fetch_one(
        connection,
        "SELECT person_id, lang, (SELECT max(position) FROM turns AS t "
        "WHERE t.conversation_id = c.conversation_id) AS last "
        "FROM conversations AS c WHERE conversation_id = ?",
        (row["conversation_id"],),
    )
    if conversation is None:
        raise NotFound("conversation", turn.conversation_id)
    row |= {"person_id": conversation["person_id"], "lang": conversation["lang"]}
    row |= {"position": (conversation["last"] or 0) + 1, "created_at": now()}
    row["turn_id"] = insert(connection, "turns", row)
    write_tokens(connection, "turn_search", row["turn_id"], set(), _tokens(row))
    connection.execute(
        "UPDATE conversations SET updated_at = :created_at, location = :location, "
        "work_type = :work_type, category = :category WHERE conversation_id = :conversation_id",
        row,
    )
    return from_row(Turn, row)


def get_turn(connection: Connection, turn_id: int) -> Turn | None:
    return get(connection, Turn, "turns", ("turn_id", turn_id))


def list_turns(connection: Connection, conversation_id: str) -> list[Turn]:
    rows = fetch_all(
        connection,
        "SELECT * FROM turns WHERE conversation_id = ? ORDER BY position",
        (conversation_id,),
    )
    return [from_row(Turn, row) for row in rows]


def search_turns(
    connection: Connection,
    query: str | None,
    filter_: TurnFilter,
    sort: TurnSort,
    after: str | None,
    limit: int,
) -> Page[TurnHit]:
    """One page; `after` is the next_key of the page before."""
    match = match_turns(connection, query, filter_)
    ids = find_ids(
        connection,
        "turn_search",
        match,
        after=None if after is None else int(after),
        newest_first=sort == "newest",
        limit=limit + 1,
    )
    rows = read_rows(connection, "turn_search", ids[:limit])
    next_key = str(ids[limit - 1]) if len(ids) > limit else None
    hits = [_hit(connection, row) for row in rows]
    return Page(hits, next_key, count(connection, "turn_search", match))


def match_turns(connection: Connection, query: str | None, filter_: TurnFilter) -> Match | None:
    """The search for words and filters."""
    values = {name: getattr(filter_, "person_id" if name == "person" else name) for name in _FACETS}
    values |= {"rating": filter_.rating, "reason": filter_.reason}
    facets = [facet(name, value) for name, value in values.items() if value is not None]
    period = (filter_.since, filter_.until)
    return build_match(connection, "turn_search", facets, query, period)


def _hit(connection: Connection, row: Row) -> TurnHit:
    latest = fetch_one(
        connection,
        "SELECT rating FROM feedback WHERE turn_id = ? AND is_current = 1 "
        "ORDER BY feedback_id DESC LIMIT 1",
        (row["turn_id"],),
    )
    rating = None if latest is None else latest["rating"]
    return TurnHit(turn=from_row(Turn, row), person_id=row["person_id"], rating=rating)


def opinion_tokens(connection: Connection, turn_id: int) -> set[str]:
    """The filter tokens that come from the current feedback on a turn."""
    tokens = set()
    for row in fetch_all(
        connection,
        "SELECT rating, reasons FROM feedback WHERE turn_id = ? AND is_current = 1",
        (turn_id,),
    ):
        if row["rating"]:
            tokens.add(facet("rating", row["rating"]))
        tokens.update(facet("reason", reason) for reason in json.loads(row["reasons"]))
    return tokens


def _tokens(row: Mapping[str, Any] | Row) -> set[str]:
    """The tokens of a turn, without those of its feedback."""
    facets = {facet(name, row[column]) for name, column in _FACETS.items()}
    return text_tokens(f"{row['user_text']}\n{_reply_text(row)}") | facets | {EVERYTHING}


def _reply_text(row: Mapping[str, Any] | Row) -> str:
    """What people read of the reply: its values without JSON syntax, or else the raw text."""
    return row["raw_text"] if row["recommendation"] is None else plain_text(row["recommendation"])


def plain_text(json_text: str) -> str:
    """All strings of a JSON value, one per line; text that is no JSON stays as it is."""
    found: list[str] = []
    try:
        waiting = [json.loads(json_text)]
    except ValueError:
        return json_text
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return "\n".join(found)


def forget_turn(connection: Connection, turn_id: int) -> bool:
    """Remove the turn, its feedback and its place in the search index."""
    row = fetch_one(connection, "SELECT * FROM turns WHERE turn_id = ?", (turn_id,))
    if row is None:
        return False
    tokens = _tokens(row) | opinion_tokens(connection, turn_id)
    write_tokens(connection, "turn_search", turn_id, tokens, set())
    connection.execute("DELETE FROM turns WHERE turn_id = ?", (turn_id,))
    return True


def index_turn(connection: Connection, turn_id: int) -> None:
    """Put a turn into an index that does not have it yet."""
    row = fetch_one(connection, "SELECT * FROM turns WHERE turn_id = ?", (turn_id,))
    assert row is not None
    tokens = _tokens(row) | opinion_tokens(connection, turn_id)
    write_tokens(connection, "turn_search", turn_id, set(), tokens)
