"""What the store keeps, as frozen dataclasses: plain values, no behaviour.

Times end in `_at`: UTC, ISO 8601 with milliseconds and "Z". Durations are `_s` or `_ms`. A
`created_at` left empty is filled in by the store when the record is added. An adapter of ""
is the base model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar

Lang = Literal["ko", "en"]
Origin = Literal["studio", "public", "api"]
Mode = Literal["base_info", "free_text"]
TurnStatus = Literal["ok", "truncated", "refused", "stopped", "failed"]
Rating = Literal["like", "dislike"]
ExampleSource = Literal["feedback", "import"]
ExampleState = Literal["pending", "accepted", "excluded"]
Purpose = Literal["train", "regression"]
RunKind = Literal["sft", "dpo", "kto"]
RunState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
AdapterState = Literal["candidate", "refused", "passed", "retired"]
ConsentKind = Literal["keep", "train"]
ExampleSort = Literal["newest", "oldest", "flags", "rating"]
TurnSort = Literal["newest", "oldest"]
ExampleField = Literal["state", "category", "location", "work_type", "lang", "source", "flag"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of many: next_key asks for the following page (None: this was the last)."""

    items: list[Item]
    next_key: str | None
    total: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Ordered turns of one session. first_category is what was picked before the talk moved."""

    conversation_id: str
    person_id: str
    origin: Origin
    lang: Lang
    title: str = ""
    location: str
    work_type: str
    category: str
    first_category: str
    may_train: bool = False
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True, kw_only=True)
class NewTurn:
    """One user message with its reply, and everything that was behind the reply.

    messages is the exact prompt, without the reply; raw_text the reply as generated;
    recommendation the parsed reply, or None with parse_error saying why.
    """

    conversation_id: str
    mode: Mode
    user_text: str
    location: str
    work_type: str
    category: str
    messages: tuple[dict[str, str], ...]
    raw_text: str
    recommendation: dict[str, Any] | None
    parse_error: str | None = None
    status: TurnStatus
    adapter: str = ""
    base_model: str
    prompt_hash: str
    sampling: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    time_to_first_token_ms: float | None = None
    duration_ms: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    retry_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Turn(NewTurn):
    """A stored turn; position counts from 1 within its conversation."""

    turn_id: int
    position: int
    created_at: str


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Of a turn only what a later prompt needs: the question as it was sent, and the answer."""

    turn_id: int
    retry_of: int | None
    status: TurnStatus
    question: str | None
    recommendation: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class NewFeedback:
    """What a person thought of one answer; correction is a better answer as plain JSON."""

    turn_id: int
    person_id: str
    rating: Rating | None
    reasons: tuple[str, ...] = ()
    comment: str = ""
    correction: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Feedback(NewFeedback):
    """Stored feedback; one per person and turn is current, the earlier ones are kept."""

    feedback_id: int
    is_current: bool
    created_at: str


@dataclass(frozen=True, kw_only=True)
class NewExample:
    """One training row to be decided on.

    messages is the prompt only; completion the canonical JSON; original_text what stood there
    before any repair; conversation_id the split key; rejected the worse answer of a pair; a flag
    is {"name", "severity", "evidence", "fix"} and, for other languages, the evidence's "params".
    """

    source: ExampleSource
    messages: tuple[dict[str, str], ...]
    completion: str
    original_text: str
    turn_id: int | None = None
    conversation_id: str
    person_id: str
    lang: Lang
    location: str
    work_type: str
    category: str
    flags: tuple[dict[str, Any], ...] = ()
    repairs: tuple[str, ...] = ()
    purpose: Purpose = "train"
    rejected: str | None = None


@dataclass(frozen=True, kw_only=True)
class Example(NewExample):
    """A stored example and the decision on it."""

    example_id: int
    state: ExampleState
    decided_by: str | None
    decided_at: str | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class ExampleFilter:
    """Which examples; None leaves a field open. since is inclusive, until exclusive; ids are those
    among which to look.
    """

    state: ExampleState | None = None
    purpose: Purpose | None = "train"
    source: ExampleSource | None = None
    rating: Rating | None = None
    category: str | None = None
    location: str | None = None
    work_type: str | None = None
    lang: Lang | None = None
    flag: str | None = None
    adapter: str | None = None
    person_id: str | None = None
    since: str | None = None
    until: str | None = None
    query: str | None = None
    ids: frozenset[int] | None = None


@dataclass(frozen=True, kw_only=True)
class TurnFilter:
    """Which turns; None leaves a field open. since is inclusive, until exclusive."""

    rating: Rating | None = None
    reason: str | None = None
    category: str | None = None
    location: str | None = None
    work_type: str | None = None
    lang: Lang | None = None
    adapter: str | None = None
    status: TurnStatus | None = None
    person_id: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A frozen export; path is its folder, relative to the data folder or absolute."""

    dataset_id: str
    path: str
    num_train: int
    num_validation: int
    manifest: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of training; process_started_at (epoch seconds) tells a reused pid apart."""

    run_id: str
    kind: RunKind
    state: RunState
    dataset_id: str
    base_model: str
    recipe: dict[str, Any]
    pid: int | None = None
    process_started_at: float | None = None
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None


@dataclass(frozen=True)
class RunMetric:
    """One figure of one training step."""

    run_id: str
    step: int
    name: str
    value: float
    created_at: str = ""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA result: its version ("v0001"), its folder, what it scored and what was decided."""

    version: str
    run_id: str | None
    dataset_id: str | None
    base_model: str
    path: str
    report: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    state: AdapterState = "candidate"
    created_at: str = ""


@dataclass(frozen=True, kw_only=True)
class AliasEvent:
    """One move of an alias, such as production; a version of None is the base model."""

    event_id: int
    alias: str
    from_version: str | None
    to_version: str | None
    actor: str
    reason: str
    created_at: str
    share: float | None = None  # of the conversations, where a trial began


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """Who did what: actor is a person's id, "command line" or a part of the application."""

    entry_id: int
    actor: str
    action: str  # accept, exclude, undo, promote, retrain, login, …
    target: str
    detail: dict[str, Any]
    created_at: str


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What a person agreed to, for one conversation or (None) for all of theirs."""

    person_id: str
    conversation_id: str | None
    kind: ConsentKind
    granted: bool
    created_at: str


@dataclass(frozen=True, kw_only=True)
class TurnHit:
    """A turn found by a search, with its current rating."""

    turn: Turn
    rating: Rating | None
    person_id: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Everything on one line of descent; each tuple in the order of its ids."""

    turn_ids: tuple[int, ...] = ()
    example_ids: tuple[int, ...] = ()
    dataset_ids: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What a deletion removed, and which datasets and adapters still contain it."""

    num_conversations: int
    num_turns: int
    num_feedback: int
    num_examples: int
    still_in: Lineage


class ConversationChanges(TypedDict, total=False):
    """What may change on a conversation."""

    title: str
    lang: Lang
    location: str
    work_type: str
    category: str
    may_train: bool


class RunChanges(TypedDict, total=False):
    """What may change on a run."""

    state: RunState
    pid: int | None
    process_started_at: float | None
    error: str | None
    result: dict[str, Any]
    started_at: str | None
    ended_at: str | None


class AdapterChanges(TypedDict, total=False):
    """What may change on an adapter version; its files never do."""

    report: dict[str, Any]
    verdict: dict[str, Any]
    state: AdapterState


EMPTY_FILTER = ExampleFilter()
ANY_TURN = TurnFilter()
