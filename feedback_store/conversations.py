"""Conversations: ordered turns of one session, and whose they are."""

from __future__ import annotations

from typing import Any

from feedback_store.consents import set_consent
from feedback_store.errors import NotFound
from feedback_store.records import Conversation
from feedback_store.rows import from_row, get, insert, now, to_row, update
from feedback_store.search import build_match, facet
from feedback_store.sqlite import Connection, fetch_all
from feedback_store.text import clean_text


def add_conversation(connection: Connection, conversation: Conversation) -> Conversation:
    row = to_row(conversation)
    insert(connection, "conversations", row)
    if conversation.may_train:
        _set_may_train(connection, conversation, True)
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
    if "may_train" in changes:
        _set_may_train(connection, changed, changes["may_train"])
    return changed


def _set_may_train(connection: Connection, conversation: Conversation, granted: bool) -> None:
    """The switch on a conversation is a consent, and is recorded as one."""
    set_consent(connection, conversation.person_id, conversation.conversation_id, "train", granted)


def list_conversations(
    connection: Connection, person_id: str, query: str | None, before: str | None, limit: int
) -> list[Conversation]:
    """Last used first; a query meets the title or the words of a turn."""
    where, parameters = ["person_id = ?"], [person_id]
    if before is not None:
        where.append(
            "(updated_at, conversation_id) < "
            "(SELECT updated_at, conversation_id FROM conversations WHERE conversation_id = ?)"
        )
        parameters.append(before)
    if query and query.strip():
        owner = facet("person_id", person_id)
        match = build_match(connection, "turn_search", [owner], query, (None, None))
        where.append(
            "(instr(lower(title), ?) OR conversation_id IN (SELECT conversation_id FROM turns "
            "WHERE turn_id IN (SELECT rowid FROM turn_search WHERE turn_search MATCH ?)))"
        )
        parameters += [clean_text(query).strip().lower(), match.expression if match else '""']
    sql = (
        f"SELECT * FROM conversations WHERE {' AND '.join(where)} "
        "ORDER BY updated_at DESC, conversation_id DESC LIMIT ?"
    )
    rows = fetch_all(connection, sql, (*parameters, limit))
    return [from_row(Conversation, row) for row in rows]
