"""The schema as numbered steps, forward only. The number stands in the file (user_version)."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from feedback_store import audit
from feedback_store.errors import NewerSchema
from feedback_store.example_search import reindex_examples
from feedback_store.sqlite import Connection, immediate
from feedback_store.views import VIEWS

if TYPE_CHECKING:
    from sqlite_utils import Database

_TABLES: Final = """
CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY NOT NULL,
    person_id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('studio', 'public', 'api')),
    lang TEXT NOT NULL CHECK (lang IN ('ko', 'en')),
    title TEXT NOT NULL,
    location TEXT NOT NULL,
    work_type TEXT NOT NULL,
    category TEXT NOT NULL,
    first_category TEXT NOT NULL,
    may_train INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE turns (
    turn_id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
    position INTEGER NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('base_info', 'free_text')),
    user_text TEXT NOT NULL,
    location TEXT NOT NULL,
    work_type TEXT NOT NULL,
    category TEXT NOT NULL,
    messages TEXT NOT NULL,
    raw_text TEXT NOT NULL,
    recommendation TEXT,
    parse_error TEXT,
    status TEXT NOT NULL CHECK (status IN ('ok', 'truncated', 'refused', 'stopped', 'failed')),
    adapter TEXT NOT NULL,
    base_model TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    sampling TEXT NOT NULL,
    finish_reason TEXT,
    time_to_first_token_ms REAL,
    duration_ms REAL NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    retry_of INTEGER REFERENCES turns ON DELETE SET NULL,
    created_at TEXT NOT NULL,
    person_id TEXT NOT NULL,
    lang TEXT NOT NULL,
    UNIQUE (conversation_id, position)
) STRICT;

CREATE TABLE feedback (
    feedback_id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn_id INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
    person_id TEXT NOT NULL,
    rating TEXT CHECK (rating IN ('like', 'dislike')),
    reasons TEXT NOT NULL,
    comment TEXT NOT NULL,
    correction TEXT,
    is_current INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE examples (
    example_id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL CHECK (source IN ('feedback', 'import')),
    messages TEXT NOT NULL,
    completion TEXT NOT NULL,
    original_text TEXT NOT NULL,
    turn_id INTEGER REFERENCES turns ON DELETE SET NULL,
    conversation_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    lang TEXT NOT NULL CHECK (lang IN ('ko', 'en')),
    location TEXT NOT NULL,
    work_type TEXT NOT NULL,
    category TEXT NOT NULL,
    flags TEXT NOT NULL,
    repairs TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('train', 'regression')),
    rejected TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'excluded')),
    decided_by TEXT,
    decided_at TEXT,
    created_at TEXT NOT NULL,
    rating TEXT NOT NULL,
    adapter TEXT,
    num_flags INTEGER NOT NULL,
    content_hash TEXT NOT NULL UNIQUE,
    first_hash TEXT NOT NULL UNIQUE,
    claimed_by TEXT,
    claimed_until REAL
) STRICT;

CREATE TABLE decisions (
    decision_id INTEGER PRIMARY KEY AUTOINCREMENT,
    example_id INTEGER NOT NULL REFERENCES examples ON DELETE CASCADE,
    state TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    before TEXT NOT NULL
) STRICT;

CREATE TABLE datasets (
    dataset_id TEXT PRIMARY KEY NOT NULL,
    path TEXT NOT NULL,
    num_train INTEGER NOT NULL,
    num_validation INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE dataset_rows (
    dataset_id TEXT NOT NULL REFERENCES datasets ON DELETE CASCADE,
    example_id INTEGER NOT NULL,
    split TEXT NOT NULL CHECK (split IN ('train', 'validation')),
    PRIMARY KEY (dataset_id, example_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    run_id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sft', 'dpo', 'kto')),
    state TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'interrupted')
    ),
    dataset_id TEXT NOT NULL REFERENCES datasets,
    base_model TEXT NOT NULL,
    recipe TEXT NOT NULL,
    pid INTEGER,
    process_started_at REAL,
    error TEXT,
    result TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT
) STRICT;

CREATE TABLE run_metrics (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    value REAL NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE adapters (
    version TEXT PRIMARY KEY NOT NULL,
    run_id TEXT REFERENCES runs,
    dataset_id TEXT REFERENCES datasets,
    base_model TEXT NOT NULL,
    path TEXT NOT NULL,
    report TEXT NOT NULL,
    verdict TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('candidate', 'refused', 'passed', 'retired')),
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE aliases (
    alias TEXT PRIMARY KEY NOT NULL,
    version TEXT REFERENCES adapters
) STRICT;

CREATE TABLE alias_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    alias TEXT NOT NULL,
    from_version TEXT,
    to_version TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE consents (
    consent_id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL,
    conversation_id TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('keep', 'train')),
    granted INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE tombstones (
    kind TEXT NOT NULL CHECK (kind IN ('person', 'conversation')),
    key_hash TEXT NOT NULL,
    deleted_at TEXT NOT NULL,
    PRIMARY KEY (kind, key_hash, deleted_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT;

CREATE INDEX conversations_of_person
    ON conversations (person_id, updated_at DESC, conversation_id DESC);
CREATE INDEX turns_retried ON turns (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX turns_by_time ON turns (created_at);
CREATE INDEX turns_of_person ON turns (person_id);
CREATE UNIQUE INDEX feedback_current ON feedback (turn_id, person_id) WHERE is_current = 1;
CREATE INDEX feedback_of_turn ON feedback (turn_id);
CREATE INDEX feedback_of_person ON feedback (person_id);
CREATE INDEX examples_of_turn ON examples (turn_id) WHERE turn_id IS NOT NULL;
CREATE INDEX examples_by_time ON examples (created_at);
CREATE INDEX examples_claimed ON examples (claimed_until) WHERE claimed_until IS NOT NULL;
CREATE INDEX examples_of_person ON examples (person_id);
CREATE INDEX examples_of_conversation ON examples (conversation_id);
CREATE INDEX decisions_of_example ON decisions (example_id);
CREATE INDEX datasets_of_example ON dataset_rows (example_id);
CREATE INDEX runs_of_dataset ON runs (dataset_id);
CREATE INDEX adapters_of_run ON adapters (run_id);
CREATE INDEX adapters_of_dataset ON adapters (dataset_id);
CREATE INDEX consents_of_person ON consents (person_id, kind);
CREATE INDEX consents_of_conversation ON consents (conversation_id);
CREATE INDEX conversations_by_use ON conversations (updated_at);
"""


_SEARCH: Final = """
CREATE VIRTUAL TABLE {index} USING fts5(
    tokens, content='', detail=none, tokenize="ascii tokenchars '=_'"
);
CREATE VIRTUAL TABLE {index}_terms USING fts5vocab({index}, row);
"""


def _create_records(db: Database) -> None:
    """1: the records."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)


def _create_search(db: Database) -> None:
    """2: the search indexes; see search.py."""
    for index in ("turn_search", "example_search"):
        for statement in _SEARCH.format(index=index).split(";\n"):
            if statement.strip():
                db.execute(statement)
    db.execute("INSERT INTO counters (name, value) VALUES ('turns_indexed', 0)")
    reindex_examples(db.conn)


def _create_views(db: Database) -> None:
    """3: the views; see views.py."""
    for name, query in VIEWS.items():
        db.create_view(name, textwrap.dedent(query).strip(), replace=True)


def _add_share(db: Database) -> None:
    """4: which share of the conversations a trial gets; views over time and of what is new."""
    db.execute("ALTER TABLE alias_events ADD COLUMN share REAL")
    _create_views(db)


def _create_audit(db: Database) -> None:
    """5: the audit log; see audit.py."""
    for statement in audit.SCHEMA:
        db.execute(textwrap.dedent(statement).strip())


MIGRATIONS: Final[tuple[Callable[[Database], None], ...]] = (
    _create_records,
    _create_search,
    _create_views,
    _add_share,
    _create_audit,
)
SCHEMA_VERSION: Final = len(MIGRATIONS)


def read_version(connection: Connection) -> int:
    """The number of the last step that was taken on this file; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(connection: Connection, path: Path) -> None:
    """Raise NewerSchema where a newer version of the application wrote the file."""
    if read_version(connection) > SCHEMA_VERSION:
        raise NewerSchema(path, read_version(connection), SCHEMA_VERSION)


def migrate(connection: Connection) -> None:
    """Take the missing steps, each in one immediate transaction."""
    if read_version(connection) == SCHEMA_VERSION:
        return
    from sqlite_utils import Database  # brings pandas where that is installed: half a second

    while read_version(connection) < SCHEMA_VERSION:
        with immediate(connection):
            number = read_version(connection)  # another starter may have been quicker
            if number < SCHEMA_VERSION:
                MIGRATIONS[number](Database(connection))
                connection.execute(f"PRAGMA user_version = {number + 1}")
