"""Turns: one user message with its reply, kept and forgotten."""

from __future__ import annotations

from typing import Any

from feedback_store.conversations import (
    add_conversation,
    get_conversation,
    update_conversation,
)
from feedback_store.errors import NotFound
from feedback_store.records import Conversation, Turn
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


def forget_turn(connection: Connection, turn_id: int) -> bool:
    """Remove the turn, its feedback and its place in the search index."""
    unindex_turn(connection, turn_id)
    deleted = connection.execute("DELETE FROM turns WHERE turn_id = ?", (turn_id,))
    return deleted.rowcount > 0
