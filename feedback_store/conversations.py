"""Conversations, turns and feedback: what was said and what people thought of it."""

from __future__ import annotations

from typing import Any

from feedback_store.errors import NotFound
from feedback_store.records import Conversation, Feedback, NewFeedback, NewTurn, Turn
from feedback_store.rows import from_row, get, insert, now, to_row, update
from feedback_store.sqlite import Connection, fetch_all, fetch_one


def add_conversation(connection: Connection, conversation: Conversation) -> Conversation:
    row = to_row(conversation)
    insert(connection, "conversations", row)
    return from_row(Conversation, row)


def get_conversation(connection: Connection, conversation_id: str) -> Conversation | None:
    return get(connection, Conversation, "conversations", ("conversation_id", conversation_id))


def update_conversation(
    connection: Connection, conversation_id: str, changes: dict[str, Any]
) -> Conversation:
    changes = {**changes, "updated_at": now()}
    if not update(connection, "conversations", ("conversation_id", conversation_id), changes):
        raise NotFound("conversation", conversation_id)
    changed = get_conversation(connection, conversation_id)
    assert changed is not None
    return changed


def list_conversations(
    connection: Connection, person_id: str, query: str | None, before: str | None, limit: int
) -> list[Conversation]:
    """Newest first; `before` is the last conversation_id of the page above."""
    where, parameters = ["person_id = ?"], [person_id]
    if before is not None:
        where.append(
            "(updated_at, conversation_id) < "
            "(SELECT updated_at, conversation_id FROM conversations WHERE conversation_id = ?)"
        )
        parameters.append(before)
    if query:
        where.append(
            "(instr(title, ?) OR EXISTS (SELECT 1 FROM turns AS t WHERE "
            "t.conversation_id = conversations.conversation_id "
            "AND (instr(t.user_text, ?) OR instr(t.raw_text, ?))))"
        )
        parameters += [query] * 3
    sql = (
        f"SELECT * FROM conversations WHERE {' AND '.join(where)} "
        "ORDER BY updated_at DESC, conversation_id DESC LIMIT ?"
    )
    rows = fetch_all(connection, sql, (*parameters, limit))
    return [from_row(Conversation, row) for row in rows]


def add_turn(connection: Connection, turn: NewTurn) -> Turn:
    """The turn goes to the end of its conversation, which then counts as just used."""
    row = to_row(turn)
    last = fetch_one(
        connection,
        "SELECT max(position) FROM turns WHERE conversation_id = ?",
        (row["conversation_id"],),
    )
    row["position"] = ((last and last[0]) or 0) + 1
    row["created_at"] = now()
    touched = connection.execute(
        "UPDATE conversations SET updated_at = ?, location = ?, work_type = ?, category = ? "
        "WHERE conversation_id = ?",
        (
            row["created_at"],
            row["location"],
            row["work_type"],
            row["category"],
            row["conversation_id"],
        ),
    ).rowcount
    if not touched:
        raise NotFound("conversation", turn.conversation_id)
    row["turn_id"] = insert(connection, "turns", row)
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


def set_feedback(connection: Connection, feedback: NewFeedback) -> Feedback:
    """The person's current feedback on the turn; an earlier one is kept as not current."""
    if not fetch_one(connection, "SELECT 1 FROM turns WHERE turn_id = ?", (feedback.turn_id,)):
        raise NotFound("turn", feedback.turn_id)
    row = {**to_row(feedback), "is_current": 1, "created_at": now()}
    connection.execute(
        "UPDATE feedback SET is_current = 0 WHERE turn_id = ? AND person_id = ? AND is_current = 1",
        (row["turn_id"], row["person_id"]),
    )
    row["feedback_id"] = insert(connection, "feedback", row)
    connection.execute(
        "UPDATE examples SET rating = ? WHERE turn_id = ? AND person_id = ?",
        (row["rating"] or "", row["turn_id"], row["person_id"]),
    )
    return from_row(Feedback, row)


def get_feedback(connection: Connection, turn_id: int, person_id: str | None) -> Feedback | None:
    """The current one of the person, or of whoever rated last."""
    row = fetch_one(
        connection,
        "SELECT * FROM feedback WHERE turn_id = ? AND is_current = 1 "
        "AND (? IS NULL OR person_id = ?) ORDER BY feedback_id DESC LIMIT 1",
        (turn_id, person_id, person_id),
    )
    return None if row is None else from_row(Feedback, row)


def list_feedback(connection: Connection, turn_id: int) -> list[Feedback]:
    rows = fetch_all(
        connection, "SELECT * FROM feedback WHERE turn_id = ? ORDER BY feedback_id", (turn_id,)
    )
    return [from_row(Feedback, row) for row in rows]


def list_rated_turns(
    connection: Connection, after_feedback_id: int, limit: int
) -> list[tuple[Turn, Feedback, Conversation]]:
    """Turns with current feedback, in the order in which it was given."""
    rows = fetch_all(
        connection,
        "SELECT * FROM feedback WHERE feedback_id > ? AND is_current = 1 "
        "ORDER BY feedback_id LIMIT ?",
        (after_feedback_id, limit),
    )
    found = []
    for row in rows:
        turn = get_turn(connection, row["turn_id"])
        conversation = turn and get_conversation(connection, turn.conversation_id)
        if turn and conversation:
            found.append((turn, from_row(Feedback, row), conversation))
    return found
