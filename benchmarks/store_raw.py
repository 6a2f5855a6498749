"""The peer of benchmarks/store.py: plain sqlite3 calls doing the same work on the same schema."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from feedback_store.records import NewTurn
from feedback_store.rows import to_row
from feedback_store.sqlite import Connection, connect, immediate
from feedback_store.turn_search import index_turns
from feedback_store.turns import add_turn


def write_turns(
    path: Path, shares: Sequence[Sequence[NewTurn]], *, is_indexed: bool
) -> list[float]:
    """One connection per producer, one commit per write, with or without the index; latencies."""
    latencies: list[float] = []

    def produce(turns: Sequence[NewTurn]) -> None:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA busy_timeout = 60000")
            for turn in turns:
                start = time.perf_counter()
                with immediate(connection):
                    add_turn(connection, to_row(turn))
                    if is_indexed:
                        index_turns(connection, 1)
                latencies.append(time.perf_counter() - start)

    run_threads([lambda share=share: produce(share) for share in shares])  # type: ignore[misc]
    return latencies


def run_threads(functions: Sequence[Callable[[], None]]) -> None:
    """Run all at once and wait for the last."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def search(connection: Connection, query: str, category: str | None) -> None:
    """The first page and the count, as LIKE finds them."""
    where, parameters = "(user_text LIKE ? OR raw_text LIKE ?)", [f"%{query}%"] * 2
    if category:
        where, parameters = f"{where} AND category = ?", [*parameters, category]
    connection.execute(
        f"SELECT * FROM turns WHERE {where} ORDER BY turn_id DESC LIMIT 50", parameters
    ).fetchall()
    connection.execute(f"SELECT count(*) FROM turns WHERE {where}", parameters).fetchall()


def page(connection: Connection, state: str, category: str, offset: int) -> None:
    """A page by OFFSET, most flags first, and the count."""
    where, parameters = "state = ? AND category = ?", (state, category)
    connection.execute(
        f"SELECT * FROM examples WHERE {where} ORDER BY num_flags DESC, example_id DESC "
        "LIMIT 50 OFFSET ?",
        (*parameters, offset),
    ).fetchall()
    connection.execute(f"SELECT count(*) FROM examples WHERE {where}", parameters).fetchall()


def export(path: Path, target: Path) -> float:
    """All accepted examples as JSON lines; the seconds."""
    start = time.perf_counter()
    with closing(connect(path, read_only=True)) as connection, target.open("w") as file:
        for row in connection.execute("SELECT * FROM examples WHERE state = 'accepted'"):
            values: dict[str, Any] = dict(row)
            for name in ("messages", "flags", "repairs"):
                values[name] = json.loads(values[name])
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
    return time.perf_counter() - start


def back_up(path: Path, target: Path) -> float:
    """SQLite's own backup call, all pages at once, without a check; the seconds."""
    start = time.perf_counter()
    with closing(connect(path, read_only=True)) as source, closing(connect(target)) as copy:
        source.backup(copy, pages=-1)
    return time.perf_counter() - start
