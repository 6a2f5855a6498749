"""Datasets with their rows, and training runs with their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from feedback_store.errors import NotFound
from feedback_store.records import Dataset, Run, RunMetric
from feedback_store.rows import from_row, get, insert, now, to_row, update
from feedback_store.sqlite import Connection, fetch_all


def add_dataset(
    connection: Connection, dataset: Dataset, rows: Iterable[tuple[int, str]]
) -> Dataset:
    """The dataset and which example lies in which split, in one transaction."""
    row = to_row(dataset)
    insert(connection, "datasets", row)
    connection.executemany(
        "INSERT INTO dataset_rows (dataset_id, example_id, split) VALUES (?, ?, ?)",
        ((dataset.dataset_id, example_id, split) for example_id, split in rows),
    )
    return from_row(Dataset, row)


def get_dataset(connection: Connection, dataset_id: str) -> Dataset | None:
    return get(connection, Dataset, "datasets", ("dataset_id", dataset_id))


def list_datasets(connection: Connection) -> list[Dataset]:
    """Newest first."""
    rows = fetch_all(connection, "SELECT * FROM datasets ORDER BY created_at DESC, dataset_id")
    return [from_row(Dataset, row) for row in rows]


def list_dataset_rows(connection: Connection, dataset_id: str) -> list[tuple[int, str]]:
    rows = fetch_all(
        connection,
        "SELECT example_id, split FROM dataset_rows WHERE dataset_id = ? ORDER BY example_id",
        (dataset_id,),
    )
    return [(row["example_id"], row["split"]) for row in rows]


def add_run(connection: Connection, run: Run) -> Run:
    row = to_row(run)
    insert(connection, "runs", row)
    return from_row(Run, row)


def get_run(connection: Connection, run_id: str) -> Run | None:
    return get(connection, Run, "runs", ("run_id", run_id))


def update_run(connection: Connection, run_id: str, changes: dict[str, Any]) -> Run:
    if changes and not update(connection, "runs", ("run_id", run_id), changes):
        raise NotFound("run", run_id)
    changed = get_run(connection, run_id)
    if changed is None:
        raise NotFound("run", run_id)
    return changed


def list_runs(connection: Connection, limit: int) -> list[Run]:
    """Newest first."""
    rows = fetch_all(
        connection, "SELECT * FROM runs ORDER BY created_at DESC, run_id DESC LIMIT ?", (limit,)
    )
    return [from_row(Run, row) for row in rows]


def add_run_metrics(connection: Connection, metrics: Sequence[RunMetric]) -> None:
    """A figure that came before for the same step and name is replaced: runs resume."""
    connection.executemany(
        "INSERT INTO run_metrics (run_id, name, step, value, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value, created_at = excluded.created_at",
        [(m.run_id, m.name, m.step, m.value, m.created_at or now()) for m in metrics],
    )


def list_run_metrics(connection: Connection, run_id: str, name: str | None) -> list[RunMetric]:
    rows = fetch_all(
        connection,
        "SELECT * FROM run_metrics WHERE run_id = ? AND (? IS NULL OR name = ?) "
        "ORDER BY step, name",
        (run_id, name, name),
    )
    return [from_row(RunMetric, row) for row in rows]
