"""Examples, as part of the Store: kept, found, decided on, held by one curator at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from feedback_store import audit, example_search, examples
from feedback_store.database import Database
from feedback_store.records import (
    EMPTY_FILTER,
    Example,
    ExampleField,
    ExampleFilter,
    ExampleSort,
    ExampleState,
    NewExample,
    Page,
)


class ExampleStore:
    """The Store's methods about examples."""

    _db: Database

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
