"""What was learned, as part of the Store: datasets, runs, adapters, and the aliases on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from feedback_store import adapters, training
from feedback_store.database import Database
from feedback_store.records import (
    Adapter,
    AdapterChanges,
    AliasEvent,
    Dataset,
    Run,
    RunChanges,
    RunMetric,
)


class LearningStore:
    """The Store's methods about datasets, runs and adapters."""

    _db: Database
    data_dir: Path

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
