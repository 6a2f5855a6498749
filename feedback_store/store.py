"""Store: everything that was said and what people thought of it, in one SQLite file.

Synchronous and safe to use from any thread. A write returns when it is durable; writes that
come together share one commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, Unpack

from feedback_store import (
    adapters,
    audit,
    consents,
    conversations,
    example_search,
    examples,
    feedback,
    lineage,
    privacy,
    training,
    turn_search,
    turns,
    views,
)
from feedback_store.database import DATABASE_NAME, Database
from feedback_store.lock import DataDirLock, read_owner
from feedback_store.records import (
    ANY_TURN,
    EMPTY_FILTER,
    Adapter,
    AdapterChanges,
    AliasEvent,
    AuditEntry,
    Consent,
    ConsentKind,
    Conversation,
    ConversationChanges,
    Dataset,
    Deletion,
    Example,
    ExampleField,
    ExampleFilter,
    ExampleSort,
    ExampleState,
    Exchange,
    Feedback,
    Lineage,
    NewExample,
    NewFeedback,
    NewTurn,
    Page,
    Run,
    RunChanges,
    RunMetric,
    Turn,
    TurnFilter,
    TurnHit,
    TurnSort,
)
from feedback_store.rows import to_row


class Store:
    """One data folder, held by one process. Use Store.open()."""

    def __init__(self, data_dir: Path, lock: DataDirLock, database: Database) -> None:
        self.data_dir = data_dir
        self._lock = lock
        self._db = database

    @classmethod
    def open(cls, data_dir: Path, *, name: str = "ecoloop") -> Self:
        """Take the folder (made if missing) for this process and bring its schema up to date."""
        data_dir = data_dir.absolute()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = DataDirLock(data_dir, name)
        try:
            database = Database(data_dir / DATABASE_NAME)
        except BaseException:
            lock.release()
            raise
        store = cls(data_dir, lock, database)
        try:
            privacy.reapply_tombstones(database, data_dir)
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def owner(data_dir: Path) -> dict[str, Any] | None:
        """Which process holds the folder (pid, name, started_at, …), or None."""
        return read_owner(data_dir)

    def describe_owner(self, **extra: Any) -> None:
        """Add to what owner() tells other processes, such as the page's address."""
        self._lock.describe(**extra)

    def close(self) -> None:
        """Finish the writes that wait, and give the folder free."""
        self._db.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish_index(self) -> None:
        """Take the turns that still wait into the search index."""
        while self._db.read(turn_search.num_waiting):
            self._db.write(turn_search.index_turns)

    # Conversations, turns and feedback

    def add_conversation(self, conversation: Conversation) -> Conversation:
        """Keep a new conversation."""
        return self._db.write(conversations.add_conversation, conversation)

    def get_conversation(self, conversation_id: str) -> Conversation | None:
        """The conversation, or None."""
        return self._db.read(conversations.get_conversation, conversation_id)

    def update_conversation(
        self, conversation_id: str, **changes: Unpack[ConversationChanges]
    ) -> Conversation:
        """Change the named fields."""
        return self._db.write(conversations.update_conversation, conversation_id, dict(changes))

    def list_conversations(
        self,
        person_id: str,
        *,
        query: str | None = None,
        before: str | None = None,
        limit: int = 30,
    ) -> list[Conversation]:
        """A person's conversations, last used first; before is the last id of the page above."""
        if query:
            self._finish_index()
        return self._db.read(conversations.list_conversations, person_id, query, before, limit)

    def search_turns(
        self,
        query: str | None = None,
        filter: TurnFilter = ANY_TURN,  # noqa: A002
        *,
        sort: TurnSort = "newest",
        after: str | None = None,
        limit: int = 50,
    ) -> Page[TurnHit]:
        """One page of turns with all the words and filters; after is the last page's next_key."""
        self._finish_index()
        return self._db.read(turn_search.search_turns, query, filter, sort, after, limit)

    def add_turn(self, turn: NewTurn) -> Turn:
        """Keep a turn at the end of its conversation."""
        return self._db.write(turns.add_turn, to_row(turn))

    def append_turn(
        self,
        turn: NewTurn,
        *,
        begun: Conversation | None = None,
        may_train: bool | None = None,
    ) -> Future[Turn]:
        """Keep a turn and, in the same write, the conversation that it begins and the consent if
        one is given. Does not wait: the future is done when all of it is durable.
        """
        return self._db.write_soon(turns.append_turn, to_row(turn), begun, may_train)

    def get_turn(self, turn_id: int) -> Turn | None:
        """The turn, or None."""
        return self._db.read(turns.get_turn, turn_id)

    def list_turns(self, conversation_id: str) -> list[Turn]:
        """The turns of a conversation, in order."""
        return self._db.read(turns.list_turns, conversation_id)

    def list_exchanges(
        self, conversation_id: str, *, limit: int, before_turn: int | None = None
    ) -> list[Exchange]:
        """What was last asked and answered, in order, without the rest of the turns; before_turn
        leaves out the question of that turn and all after it.
        """
        return self._db.read(turns.list_exchanges, conversation_id, limit, before_turn)

    def set_feedback(self, new: NewFeedback) -> Feedback:
        """The person's feedback on a turn; an earlier one is kept, no longer current."""
        return self._db.write(feedback.set_feedback, new)

    def get_feedback(self, turn_id: int, person_id: str | None = None) -> Feedback | None:
        """The current feedback of the person, or of whoever gave it last."""
        return self._db.read(feedback.get_feedback, turn_id, person_id)

    def list_feedback(self, turn_id: int) -> list[Feedback]:
        """All feedback ever given on a turn, oldest first."""
        return self._db.read(feedback.list_feedback, turn_id)

    def list_rated_turns(
        self, *, after_feedback_id: int = 0, since: str = "", limit: int = 500
    ) -> list[tuple[Turn, Feedback, Conversation]]:
        """Turns with current feedback, in the order in which it was given; since: answered at that
        time or later.
        """
        return self._db.read(feedback.list_rated_turns, after_feedback_id, since, limit)

    # Examples

    def add_examples(self, new: Sequence[NewExample]) -> list[int | None]:
        """Their ids; None where an equal example (messages, completion, purpose) exists."""
        return self._db.write_batches(examples.add_examples, new)

    def get_example(self, example_id: int) -> Example | None:
        """The example, or None."""
        return self._db.read(examples.get_example, example_id)

    def list_turn_examples(self, turn_id: int) -> list[Example]:
        """All examples that came from a turn, in the order of their ids."""
        return self._db.read(examples.list_turn_examples, turn_id)

    def find_examples(
        self,
        filter: ExampleFilter = EMPTY_FILTER,  # noqa: A002 - the word people look for
        *,
        sort: ExampleSort = "newest",
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Example]:
        """One page; after is the next_key of the page before."""
        return self._db.read(example_search.find_examples, filter, sort, after, limit)

    def count_examples(self, filter: ExampleFilter = EMPTY_FILTER) -> int:  # noqa: A002
        """How many examples match."""
        return self._db.read(example_search.count_examples, filter)

    def count_examples_by(
        self,
        field: ExampleField,
        filter: ExampleFilter = EMPTY_FILTER,  # noqa: A002
    ) -> dict[str, int]:
        """Value of the field → how many examples match."""
        return self._db.read(example_search.count_examples_by, field, filter)

    def iter_examples(self, filter: ExampleFilter = EMPTY_FILTER) -> Iterator[Example]:  # noqa: A002
        """All that match, by id, in flat memory."""
        return example_search.iter_examples(self._db.read, filter)

    def decide_examples(
        self,
        example_ids: Iterable[int],
        *,
        state: ExampleState,
        decided_by: str,
        completion: str | None = None,
        flags: Sequence[dict[str, Any]] | None = None,
        repairs: Sequence[str] | None = None,
    ) -> int:
        """Accept, fix, exclude or put back; the number that changed."""
        fixed = {"completion": completion, "flags": flags, "repairs": repairs}
        changes: dict[str, Any] = {"state": state, "decided_by": decided_by}
        changes |= {name: value for name, value in fixed.items() if value is not None}
        ids = list(example_ids)
        num_changed = self._db.write_each(examples.decide_example, ids, changes)
        if num_changed and state != "pending":
            self._db.write(audit.add_decision, decided_by, state, ids, num_changed)
        return num_changed

    def undo_decision(self, example_ids: Iterable[int], *, decided_by: str | None = None) -> int:
        """Back to what stood there before the last decision, where decided_by (None: anyone) took
        it; the number that changed.
        """
        ids = list(example_ids)
        num_changed = self._db.write_each(examples.undo_decision, ids, decided_by)
        if num_changed:
            self._db.write(audit.add_decision, decided_by or "anyone", "undo", ids, num_changed)
        return num_changed

    def claim_example(
        self,
        filter: ExampleFilter = EMPTY_FILTER,  # noqa: A002
        *,
        curator: str,
        skip: Collection[int] = (),
        lease_s: float = 300,
    ) -> Example | None:
        """The next example that no other curator holds, held for this one from now on."""
        return self._db.write(examples.claim_example, filter, curator, skip, lease_s)

    def hold_example(
        self, example_id: int, *, curator: str, lease_s: float = 300
    ) -> Example | None:
        """This very example, held from now on; None where it is gone or another holds it."""
        return self._db.write(examples.hold_example, example_id, curator, lease_s)

    def held_by_others(self, curator: str) -> set[int]:
        """The examples that other curators hold now."""
        return self._db.read(examples.held_by_others, curator)

    def count_accepted_since(self, at: str, *, limit: int) -> int:
        """How many examples were accepted after that time; counts no further than limit."""
        return self._db.read(examples.count_accepted_since, at, limit)

    def release_example(self, example_id: int, curator: str) -> None:
        """Give an example that the curator holds free for others."""
        self._db.write(examples.release_example, example_id, curator)

    # Datasets and runs

    def add_dataset(self, dataset: Dataset, rows: Iterable[tuple[int, str]]) -> Dataset:
        """Keep a dataset; rows are (example_id, split)."""
        return self._db.write(training.add_dataset, dataset, list(rows))

    def get_dataset(self, dataset_id: str) -> Dataset | None:
        """The dataset, or None."""
        return self._db.read(training.get_dataset, dataset_id)

    def list_datasets(self) -> list[Dataset]:
        """All datasets, newest first."""
        return self._db.read(training.list_datasets)

    def list_dataset_rows(self, dataset_id: str) -> list[tuple[int, str]]:
        """(example_id, split) by example_id."""
        return self._db.read(training.list_dataset_rows, dataset_id)

    def add_run(self, run: Run) -> Run:
        """Keep a new run."""
        return self._db.write(training.add_run, run)

    def get_run(self, run_id: str) -> Run | None:
        """The run, or None."""
        return self._db.read(training.get_run, run_id)

    def update_run(self, run_id: str, **changes: Unpack[RunChanges]) -> Run:
        """Change the named fields."""
        return self._db.write(training.update_run, run_id, dict(changes))

    def list_runs(self, limit: int = 50) -> list[Run]:
        """Runs, newest first."""
        return self._db.read(training.list_runs, limit)

    def add_run_metrics(self, metrics: Sequence[RunMetric]) -> None:
        """Keep figures; the same step and name again replaces the earlier figure."""
        self._db.write(training.add_run_metrics, list(metrics))

    def list_run_metrics(self, run_id: str, name: str | None = None) -> list[RunMetric]:
        """Figures of a run by step, all or those of one name."""
        return self._db.read(training.list_run_metrics, run_id, name)

    # Adapters and aliases

    def next_adapter_version(self) -> str:
        """A version that was never handed out before: "v0001", "v0002", …"""
        return self._db.write(adapters.next_adapter_version, adapters.highest_folder(self.data_dir))

    def add_adapter(self, adapter: Adapter) -> Adapter:
        """Keep a new adapter version."""
        return self._db.write(adapters.add_adapter, adapter)

    def get_adapter(self, version: str) -> Adapter | None:
        """The adapter version, or None."""
        return self._db.read(adapters.get_adapter, version)

    def update_adapter(self, version: str, **changes: Unpack[AdapterChanges]) -> Adapter:
        """Change the named fields."""
        return self._db.write(adapters.update_adapter, version, dict(changes))

    def list_adapters(self) -> list[Adapter]:
        """All adapter versions, newest first."""
        return self._db.read(adapters.list_adapters)

    def get_alias(self, alias: str) -> str | None:
        """The version behind the alias; None is the base model."""
        return self._db.read(adapters.get_alias, alias)

    def set_alias(
        self,
        alias: str,
        version: str | None,
        *,
        actor: str,
        reason: str,
        share: float | None = None,
    ) -> AliasEvent:
        """Point the alias at the version and append the event, in one transaction. share: of the
        conversations, where it is a trial.
        """
        return self._db.write(adapters.set_alias, alias, version, actor, reason, share)

    def list_alias_events(self, alias: str | None = None, limit: int = 100) -> list[AliasEvent]:
        """Moves of the alias (or of all), newest first."""
        return self._db.read(adapters.list_alias_events, alias, limit)

    # Consents

    def set_consent(
        self,
        person_id: str,
        *,
        conversation_id: str | None = None,
        kind: ConsentKind,
        granted: bool,
    ) -> Consent:
        """Record what a person agreed to, for one conversation or all of theirs."""
        return self._db.write(consents.set_consent, person_id, conversation_id, kind, granted)

    def get_consent(
        self,
        person_id: str,
        *,
        conversation_id: str | None = None,
        kind: ConsentKind,
    ) -> bool:
        """What counts now; without an answer: keep yes, train no."""
        return self._db.read(consents.get_consent, person_id, conversation_id, kind)

    # Audit

    def record(self, actor: str, action: str, target: str = "", **detail: Any) -> AuditEntry:
        """Append to the audit log. Decisions and promotions are recorded by themselves."""
        return self._db.write(audit.add_entry, actor, action, target, detail)

    def list_audit(
        self, *, before: int | None = None, limit: int = 100, action: str | None = None
    ) -> list[AuditEntry]:
        """Entries of the audit log, newest first; before is the last entry_id of the page above."""
        return self._db.read(audit.list_entries, before, limit, action)

    def list_actor_names(self) -> dict[str, str]:
        """Actor → the name they gave when they last logged in."""
        return self._db.read(audit.list_names)

    # Privacy and lineage

    def export_person(self, person_id: str) -> dict[str, Any]:
        """Everything kept about a person, as plain JSON types."""
        return self._db.read(privacy.export_person, person_id)

    def delete_person(self, person_id: str) -> Deletion:
        """Forget a person for good; tells which datasets and adapters still contain them."""
        deletion = privacy.delete_person(self._db, self.data_dir, person_id)
        self.record("privacy", "delete person", detail=f"{deletion.num_conversations} chats")
        return deletion

    def delete_conversation(self, conversation_id: str) -> Deletion:
        """Forget one conversation for good; tells which datasets and adapters contain it."""
        return privacy.delete_conversation(self._db, self.data_dir, conversation_id)

    def apply_retention(self, days: int = privacy.RETENTION_DAYS) -> int:
        """Delete public chats unused for so many days; how many. Meant to run daily."""
        return privacy.apply_retention(self._db, self.data_dir, days)

    def sources_of_turn(self, turn_id: int) -> Lineage:
        """What stands behind an answer: adapter, run, dataset, examples, turns."""
        return self._db.read(lineage.behind_turn, turn_id)

    def sources_of_adapter(self, version: str) -> Lineage:
        """What stands behind an adapter: run, dataset, examples, turns."""
        return self._db.read(lineage.behind_adapter, version)

    def uses_of_turn(self, turn_id: int) -> Lineage:
        """Every example, dataset, run and adapter that a turn went into."""
        return self._db.read(lineage.uses_of_turn, turn_id)

    def uses_of_person(self, person_id: str) -> Lineage:
        """Every turn, example, dataset, run and adapter that contains a person's words."""
        return self._db.read(lineage.uses_of_person, person_id)

    # What people look at, and repair

    def rebuild_search(self) -> None:
        """Fill the search indexes anew, as the doctor advises when they lack rows."""
        self._db.write(turn_search.reindex_turns)
        self._db.write(example_search.reindex_examples)
        self._finish_index()

    def read_view(self, name: str) -> list[dict[str, Any]]:
        """All rows of a view for a common question; see docs/store.md."""
        return self._db.read(views.read_view, name)
