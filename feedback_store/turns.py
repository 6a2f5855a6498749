"""Turns: one user message with its reply, kept and forgotten."""

from __future__ import annotations

import math
from typing import Any

from feedback_store.conversations import (
    add_conversation,
    get_conversation,
    update_conversation,
)
from feedback_store.errors import NotFound
from feedback_store.records import Conversation, Exchange, Turn
from feedback_store.rows import from_row, get, insert, now
from feedback_store.sqlite import Connection, fetch_all, fetch_one
from feedback_store.turn_search import unindex_turn


def add_turn(connection: Connection, row: dict[str, Any]) -> Turn:
    """The encoded turn goes to the end of its conversation, which then counts as just used.

    It is found by words and filters a moment later: see turn_search.
    """
    conversation = fetch_one(
        connection,
        "SELECT person_id, lang, (SELECT max(position) FROM turns AS t "
        "WHERE t.conversation_id = c.conversation_id) AS last "
        "FROM conversations AS c WHERE conversation_id = ?",
        (row["conversation_id"],),
    )
    if conversation is None:
        raise NotFound("conversation", row["conversation_id"])
    row = {
        **row,
        "person_id": conversation["person_id"],
        "lang": conversation["lang"],
        "position": (conversation["last"] or 0) + 1,
        "created_at": now(),
    }
    row["turn_id"] = insert(connection, "turns", row)
    connection.execute(
        "UPDATE conversations SET updated_at = :created_at, location = :location, "
        "work_type = :work_type, category = :category WHERE conversation_id = :conversation_id",
        row,
    )
    return from_row(Turn, row)


def append_turn(
    connection: Connection, row: dict[str, Any], begun: Conversation | None, may_train: bool | None
) -> Turn:
    """The turn; before it the conversation that it begins, and the consent if one was given."""
    if begun and get_conversation(connection, begun.conversation_id) is None:
        add_conversation(connection, begun)
    if may_train is not None:
        update_conversation(connection, row["conversation_id"], {"may_train": may_train})
    return add_turn(connection, row)


def get_turn(connection: Connection, turn_id: int) -> Turn | None:
    return get(connection, Turn, "turns", ("turn_id", turn_id))


def list_turns(connection: Connection, conversation_id: str) -> list[Turn]:
    rows = fetch_all(
        connection,
        "SELECT * FROM turns WHERE conversation_id = ? ORDER BY position",
        (conversation_id,),
    )
    return [from_row(Turn, row) for row in rows]


def count_turns(connection: Connection, conversation_id: str) -> int:
    row = fetch_one(
        connection,
        "SELECT count(*) AS number FROM turns WHERE conversation_id = ?",
        (conversation_id,),
    )
    return int(row["number"]) if row else 0


_EXCHANGES = """
WITH RECURSIVE asked(turn_id) AS (
    SELECT * FROM (SELECT turn_id FROM turns WHERE conversation_id = :conversation_id
        AND position < :before ORDER BY position DESC LIMIT :limit)
    UNION SELECT t.turn_id FROM turns AS t JOIN asked ON t.retry_of = asked.turn_id
)
SELECT turn_id, retry_of, status, recommendation,
    json_extract(messages, '$[#-1].content') AS question
FROM asked JOIN turns USING (turn_id) ORDER BY position
"""
_FIRST_TRY = """
WITH RECURSIVE tried(turn_id, retry_of, position) AS (
    SELECT turn_id, retry_of, position FROM turns WHERE turn_id = ?
    UNION SELECT t.turn_id, t.retry_of, t.position
        FROM turns AS t JOIN tried ON t.turn_id = tried.retry_of
)
SELECT min(position) AS position FROM tried
"""


def list_exchanges(
    connection: Connection, conversation_id: str, limit: int, before_turn: int | None
) -> list[Exchange]:
    """The last ones of the conversation in order, with later tries of the same questions; or the
    last ones before the question of a turn, which may be a retry of a retry.
    """
    before: float | None = math.inf
    if before_turn is not None:
        first = fetch_one(connection, _FIRST_TRY, (before_turn,))
        before = first["position"] if first else None
    asked = {"conversation_id": conversation_id, "before": before, "limit": limit}
    return [from_row(Exchange, row) for row in fetch_all(connection, _EXCHANGES, asked)]


def forget_turn(connection: Connection, turn_id: int) -> bool:
    """Remove the turn, its feedback and its place in the search index."""
    unindex_turn(connection, turn_id)
    deleted = connection.execute("DELETE FROM turns WHERE turn_id = ?", (turn_id,))
    return deleted.rowcount > 0
