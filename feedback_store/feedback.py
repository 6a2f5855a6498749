"""Feedback: what people thought of an answer. One is current per person and turn."""

from __future__ import annotations

from feedback_store.conversations import get_conversation
from feedback_store.errors import NotFound
from feedback_store.examples import rate_examples
from feedback_store.records import Conversation, Feedback, NewFeedback, Turn
from feedback_store.rows import from_row, insert, now, to_row
from feedback_store.sqlite import Connection, fetch_all, fetch_one
from feedback_store.turn_search import opinion_tokens, write_opinion
from feedback_store.turns import get_turn


def set_feedback(connection: Connection, feedback: NewFeedback) -> Feedback:
    """The person's current feedback on the turn; an earlier one is kept as not current."""
    if not fetch_one(connection, "SELECT 1 FROM turns WHERE turn_id = ?", (feedback.turn_id,)):
        raise NotFound("turn", feedback.turn_id)
    row = {**to_row(feedback), "is_current": 1, "created_at": now()}
    before = opinion_tokens(connection, row["turn_id"])
    connection.execute(
        "UPDATE feedback SET is_current = 0 WHERE turn_id = ? AND person_id = ? AND is_current = 1",
        (row["turn_id"], row["person_id"]),
    )
    row["feedback_id"] = insert(connection, "feedback", row)
    write_opinion(connection, row["turn_id"], before)
    rate_examples(connection, row["turn_id"], row["person_id"], row["rating"] or "")
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
    """All that was ever given, oldest first."""
    rows = fetch_all(
        connection, "SELECT * FROM feedback WHERE turn_id = ? ORDER BY feedback_id", (turn_id,)
    )
    return [from_row(Feedback, row) for row in rows]


def list_rated_turns(
    connection: Connection, after_feedback_id: int, since: str, limit: int
) -> list[tuple[Turn, Feedback, Conversation]]:
    """Turns with current feedback, in the order in which it was given."""
    rows = fetch_all(
        connection,
        "SELECT * FROM feedback WHERE feedback_id > ? AND is_current = 1 AND created_at >= ? "
        "AND EXISTS (SELECT 1 FROM turns WHERE turns.turn_id = feedback.turn_id "
        "AND turns.created_at >= ?) ORDER BY feedback_id LIMIT ?",
        (after_feedback_id, since, since, limit),
    )
    found = []
    for row in rows:
        turn = get_turn(connection, row["turn_id"])
        assert turn is not None
        conversation = get_conversation(connection, turn.conversation_id)
        assert conversation is not None
        found.append((turn, from_row(Feedback, row), conversation))
    return found
