"""Consents: what a person agreed to. The history is kept, the latest counts."""

from __future__ import annotations

from typing import Final

from feedback_store.examples import decide_example
from feedback_store.records import Consent, ConsentKind
from feedback_store.rows import from_row, insert, now, to_row
from feedback_store.sqlite import Connection, fetch_all, fetch_one

# Without an answer, chats are kept (until retention ends) and never used for training.
CONSENT_WITHDRAWN: Final = "consent withdrawn"  # decided_by of examples excluded for it
DEFAULTS: Final = {"keep": True, "train": False}


def set_consent(
    connection: Connection,
    person_id: str,
    conversation_id: str | None,
    kind: ConsentKind,
    granted: bool,
) -> Consent:
    """Record it, and carry it over to the conversations that it covers."""
    consent = Consent(
        person_id=person_id,
        conversation_id=conversation_id,
        kind=kind,
        granted=granted,
        created_at=now(),
    )
    row = {**to_row(consent), "granted": int(granted)}
    insert(connection, "consents", row)
    if kind == "train":
        connection.execute(
            "UPDATE conversations SET may_train = ? WHERE person_id = ? "
            "AND (? IS NULL OR conversation_id = ?)",
            (int(granted), person_id, conversation_id, conversation_id),
        )
        if not granted:
            _exclude_examples(connection, person_id, conversation_id)
    return from_row(Consent, row)


def _exclude_examples(connection: Connection, person_id: str, conversation_id: str | None) -> None:
    """What was said is no longer to be trained on."""
    rows = fetch_all(
        connection,
        "SELECT example_id FROM examples WHERE person_id = ? AND source = 'feedback' "
        "AND (? IS NULL OR conversation_id = ?) AND state <> 'excluded'",
        (person_id, conversation_id, conversation_id),
    )
    changes = {"state": "excluded", "decided_by": CONSENT_WITHDRAWN}
    for row in rows:
        decide_example(connection, row["example_id"], changes)


def get_consent(
    connection: Connection, person_id: str, conversation_id: str | None, kind: ConsentKind
) -> bool:
    """The latest answer for the conversation or for all of the person's, else the default."""
    row = fetch_one(
        connection,
        "SELECT granted FROM consents WHERE person_id = ? AND kind = ? "
        "AND (conversation_id IS NULL OR conversation_id = ?) ORDER BY consent_id DESC LIMIT 1",
        (person_id, kind, conversation_id),
    )
    return DEFAULTS[kind] if row is None else bool(row["granted"])
