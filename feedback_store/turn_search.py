"""Finding turns: words, filters, pages by key, counts.

Turns enter the index after they are stored, in their order, when no write waits: a chat is
acknowledged three times as quickly for it. How far the index is stands in the database, so a
crash loses nothing, and a search first takes in what still waits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from feedback_store.records import Page, Turn, TurnFilter, TurnHit, TurnSort
from feedback_store.rows import from_row
from feedback_store.search import (
    EVERYTHING,
    Match,
    add_tokens,
    build_match,
    change_tokens,
    clear_index,
    count,
    facet,
    find_ids,
    parse_key,
    read_rows,
    remove_tokens,
    text_tokens,
)
from feedback_store.sqlite import Connection, Row, fetch_all, fetch_one

# Filters that are columns; none of them changes after the turn.
_FACETS: Final = (
    "category",
    "location",
    "work_type",
    "lang",
    "adapter",
    "status",
    "person_id",
)

BATCH: Final = 16  # turns taken in at once: about 7 ms in which a new write waits
# Turns; where more wait, which a search takes 2 s to take in, some are taken in after every group
# of writes. That cannot keep up with writes at full speed, only slow their lead.
MAX_WAITING: Final = 5_000

INDEXED: Final = "(SELECT value FROM counters WHERE name = 'turns_indexed')"


def num_waiting(connection: Connection) -> int:
    """How many turns (or ids of turns deleted since) the index has yet to take in."""
    row = fetch_one(connection, f"SELECT coalesce(max(turn_id), 0) - {INDEXED} FROM turns")
    return max(0, row[0]) if row else 0


def index_turns(connection: Connection, limit: int = BATCH) -> bool:
    """Take in the next turns; whether there may be more."""
    rows = fetch_all(
        connection,
        f"SELECT * FROM turns WHERE turn_id > {INDEXED} ORDER BY turn_id LIMIT ?",
        (limit,),
    )
    for row in rows:
        add_tokens(connection, "turn_search", row["turn_id"], _tokens(connection, row))
    if rows:
        connection.execute(
            "UPDATE counters SET value = ? WHERE name = 'turns_indexed'", (rows[-1]["turn_id"],)
        )
    return len(rows) == limit


class TurnIndexing:
    """The writer's chore of taking turns into the index."""

    def are_urgent(self, connection: Connection) -> bool:
        """Whether a search would have to wait for too many of them."""
        return num_waiting(connection) > MAX_WAITING

    def do_some(self, connection: Connection) -> bool:
        """Take in a few; whether there may be more."""
        return index_turns(connection)


def reindex_turns(connection: Connection) -> None:
    """Empty the index; it fills anew when no write waits, or at the next search."""
    clear_index(connection, "turn_search")
    connection.execute("UPDATE counters SET value = 0 WHERE name = 'turns_indexed'")


def unindex_turn(connection: Connection, turn_id: int) -> None:
    """Take the turn out of the index, where it is in it."""
    row = fetch_one(
        connection, f"SELECT * FROM turns WHERE turn_id = ? AND turn_id <= {INDEXED}", (turn_id,)
    )
    if row is not None:
        remove_tokens(connection, "turn_search", turn_id, _tokens(connection, row))


def write_opinion(connection: Connection, turn_id: int, before: set[str]) -> None:
    """Bring the index from the opinion tokens before to those that hold now."""
    if fetch_one(connection, f"SELECT 1 WHERE ? <= {INDEXED}", (turn_id,)):
        after = opinion_tokens(connection, turn_id)
        change_tokens(connection, "turn_search", turn_id, before, after)


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


def _tokens(connection: Connection, row: Mapping[str, Any] | Row) -> set[str]:
    words = text_tokens(f"{row['user_text']}\n{_reply_text(row)}")
    facets = {facet(name, row[name]) for name in _FACETS}
    return words | facets | opinion_tokens(connection, row["turn_id"]) | {EVERYTHING}


def _reply_text(row: Mapping[str, Any] | Row) -> str:
    """What people read of the reply: its values without JSON syntax, or else the raw text."""
    recommendation: str | None = row["recommendation"]
    return row["raw_text"] if recommendation is None else plain_text(recommendation)


def plain_text(json_text: str) -> str:
    """All strings of a JSON value, one per line; text that is no JSON stays as it is."""
    found: list[str] = []
    try:
        waiting = [json.loads(json_text)]
    except (ValueError, RecursionError):
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


def match_turns(connection: Connection, query: str | None, filter_: TurnFilter) -> Match | None:
    """The search for words and filters."""
    values = {name: getattr(filter_, name) for name in (*_FACETS, "rating", "reason")}
    facets = [facet(name, value) for name, value in values.items() if value is not None]
    period = (filter_.since, filter_.until)
    return build_match(connection, "turn_search", facets, query, period)


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
    last = parse_key(after, 1)
    ids = find_ids(
        connection,
        "turn_search",
        match,
        after=last[0] if last else None,
        newest_first=sort == "newest",
        limit=limit + 1,
    )
    rows = read_rows(connection, "turn_search", ids[:limit])
    next_key = str(ids[limit - 1]) if len(ids) > limit else None
    hits = [_hit(connection, row) for row in rows]
    return Page(hits, next_key, count(connection, "turn_search", match))


def _hit(connection: Connection, row: Row) -> TurnHit:
    latest = fetch_one(
        connection,
        "SELECT rating FROM feedback WHERE turn_id = ? AND is_current = 1 "
        "ORDER BY feedback_id DESC LIMIT 1",
        (row["turn_id"],),
    )
    rating = None if latest is None else latest["rating"]
    return TurnHit(turn=from_row(Turn, row), person_id=row["person_id"], rating=rating)
