"""What two versions were made from, side by side: their examples and their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from feedback_store.records import Adapter
from feedback_store.store import Store

_NOT_TRAINING: Final = frozenset({"tracking"})  # where figures are sent changes no weights


@dataclass(frozen=True)
class VersionDiff:
    """From one version (None: the base) to a later one. Counts are None where the store no longer
    knows a dataset.
    """

    before: str | None
    after: str
    num_examples: int | None
    num_added: int | None
    num_removed: int | None
    recipe: tuple[tuple[str, Any, Any], ...]  # knob, before, after


def _examples_of(store: Store, adapter: Adapter | None) -> set[int] | None:
    if adapter is None:
        return set()
    if adapter.dataset_id is None or store.get_dataset(adapter.dataset_id) is None:
        return None
    return {example_id for example_id, _ in store.list_dataset_rows(adapter.dataset_id)}


def _recipe_of(store: Store, adapter: Adapter | None) -> Mapping[str, Any]:
    run = store.get_run(adapter.run_id) if adapter and adapter.run_id else None
    return run.recipe if run else {}


def diff_versions(store: Store, before: Adapter | None, after: Adapter) -> VersionDiff:
    """What changed in examples and knobs; against the base, everything is new."""
    old, new = _examples_of(store, before), _examples_of(store, after)
    earlier, later = _recipe_of(store, before), _recipe_of(store, after)
    knobs = [name for name in later if name not in _NOT_TRAINING] if earlier else []
    return VersionDiff(
        before=before.version if before else None,
        after=after.version,
        num_examples=None if new is None else len(new),
        num_added=None if old is None or new is None else len(new - old),
        num_removed=None if old is None or new is None else len(old - new),
        recipe=tuple(
            (name, earlier.get(name), later[name])
            for name in knobs
            if earlier.get(name) != later[name]
        ),
    )
