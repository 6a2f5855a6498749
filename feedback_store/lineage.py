"""Lineage both ways: what stands behind an answer, and where a person's words went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feedback_store.errors import NotFound
from feedback_store.records import Lineage
from feedback_store.sqlite import Connection, fetch_all, fetch_one


def behind_turn(connection: Connection, turn_id: int) -> Lineage:
    """The adapter that answered, its run and dataset, and the examples and turns in it."""
    row = fetch_one(connection, "SELECT adapter FROM turns WHERE turn_id = ?", (turn_id,))
    if row is None:
        raise NotFound("turn", turn_id)
    return behind_adapter(connection, row["adapter"]) if row["adapter"] else Lineage()


def behind_adapter(connection: Connection, version: str) -> Lineage:
    """The run and dataset of an adapter, and the examples and turns in it."""
    row = fetch_one(
        connection, "SELECT run_id, dataset_id FROM adapters WHERE version = ?", (version,)
    )
    if row is None:
        raise NotFound("adapter", version)
    example_ids = _column(
        connection,
        "SELECT example_id FROM dataset_rows WHERE dataset_id = ? ORDER BY example_id",
        row["dataset_id"],
    )
    turn_ids = _column(
        connection,
        "SELECT DISTINCT turn_id FROM examples JOIN dataset_rows USING (example_id) "
        "WHERE dataset_id = ? AND turn_id IS NOT NULL ORDER BY turn_id",
        row["dataset_id"],
    )
    return Lineage(
        turn_ids=turn_ids,
        example_ids=example_ids,
        dataset_ids=_given(row["dataset_id"]),
        run_ids=_given(row["run_id"]),
        adapters=(version,),
    )


def uses_of_turn(connection: Connection, turn_id: int) -> Lineage:
    """The examples made from a turn, and every dataset, run and adapter that contains them."""
    example_ids = _column(
        connection, "SELECT example_id FROM examples WHERE turn_id = ? ORDER BY 1", turn_id
    )
    return uses_of_examples(connection, (turn_id,), example_ids)


def uses_of_person(connection: Connection, person_id: str) -> Lineage:
    """The turns and examples of a person, and every dataset, run and adapter with them."""
    turn_ids = _column(
        connection, "SELECT turn_id FROM turns WHERE person_id = ? ORDER BY 1", person_id
    )
    example_ids = _column(
        connection, "SELECT example_id FROM examples WHERE person_id = ? ORDER BY 1", person_id
    )
    return uses_of_examples(connection, turn_ids, example_ids)


def uses_of_examples(
    connection: Connection, turn_ids: Sequence[int], example_ids: Sequence[int]
) -> Lineage:
    """Every dataset, run and adapter that contains one of the examples."""
    datasets: set[str] = set()
    for example_id in example_ids:
        datasets.update(
            _column(
                connection, "SELECT dataset_id FROM dataset_rows WHERE example_id = ?", example_id
            )
        )
    runs: set[str] = set()
    adapters: set[str] = set()
    for dataset_id in datasets:
        runs.update(_column(connection, "SELECT run_id FROM runs WHERE dataset_id = ?", dataset_id))
        adapters.update(
            _column(connection, "SELECT version FROM adapters WHERE dataset_id = ?", dataset_id)
        )
    return Lineage(
        turn_ids=tuple(turn_ids),
        example_ids=tuple(example_ids),
        dataset_ids=tuple(sorted(datasets)),
        run_ids=tuple(sorted(runs)),
        adapters=tuple(sorted(adapters)),
    )


def _column(connection: Connection, sql: str, parameter: object) -> tuple[Any, ...]:
    return tuple(row[0] for row in fetch_all(connection, sql, (parameter,)))


def _given(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
