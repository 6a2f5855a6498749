"""What the feedback store promises: durable writes, pages, searches, export and backup, beside raw
sqlite3 doing the same work in the same run, while it grows to a million turns.

    python benchmarks/store.py [--quick] [--folder DIR]

With --folder the filled stores are kept there, and used again by the next run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks import store_raw
from benchmarks.store_corpus import Corpus
from benchmarks.store_figures import Growth, draw, quantile, row
from benchmarks.store_growth import Grower
from benchmarks.store_reads import measure_reads
from feedback_store.backup import backup
from feedback_store.database import DATABASE_NAME
from feedback_store.records import ExampleFilter, NewTurn
from feedback_store.store import Store

PRODUCERS: Final = 40


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...]  # turns
    num_writes: int
    num_raw_writes: int
    num_queries: int
    num_raw_queries: int
    num_backup_turns: int


FULL: Final = Plan((10_000, 100_000, 1_000_000), 20_000, 4_000, 400, 5, 42_000)
QUICK: Final = Plan((1_000, 8_000), 4_000, 1_000, 100, 3, 2_000)


def measure_writes(folder: Path, plan: Plan) -> dict[str, float]:
    """40 producers: acknowledged writes a second, beside one commit per write."""
    corpus = Corpus(2)

    def shares(total: int) -> list[list[NewTurn]]:
        return [
            [corpus.turn(f"c{number}", "") for _ in range(total // PRODUCERS)]
            for number in range(PRODUCERS)
        ]

    ours, raw = shares(plan.num_writes), shares(plan.num_raw_writes)
    with Store.open(folder) as store:
        for number in range(PRODUCERS):
            store.add_conversation(corpus.conversation(number))
        start = time.perf_counter()
        latencies = produce(store, ours)
        duration = time.perf_counter() - start
        store.search_turns(limit=1)
        indexed = time.perf_counter() - start
    raw_per_s, raw_p99 = measure_raw_writes(folder, raw, is_indexed=False)
    indexed_raw_per_s, _ = measure_raw_writes(folder, raw, is_indexed=True)
    per_s, p99 = len(latencies) / duration, quantile(latencies, 0.99) * 1e3
    row("acknowledged writes/s, 40 producers", f"{per_s:,.0f}", f"{raw_per_s:,.0f}")
    row("  p99 latency, ms", f"{p99:.1f}", f"{raw_p99:,.1f}")
    searchable_per_s = len(latencies) / indexed
    row("  until all can be searched", f"{searchable_per_s:,.0f}", f"{indexed_raw_per_s:,.0f}")
    return {
        "acked_writes_per_s": per_s,
        "write_p99_ms": p99,
        "times_raw_commits": per_s / raw_per_s,
        "searchable_writes_per_s": searchable_per_s,
        "searchable_times_raw": searchable_per_s / indexed_raw_per_s,
    }


def measure_raw_writes(
    folder: Path, shares: Sequence[Sequence[NewTurn]], *, is_indexed: bool
) -> tuple[float, float]:
    """Writes a second and p99 in ms of as many connections, with one commit per write."""
    start = time.perf_counter()
    latencies = store_raw.write_turns(folder / DATABASE_NAME, shares, is_indexed=is_indexed)
    return len(latencies) / (time.perf_counter() - start), quantile(latencies, 0.99) * 1e3


def produce(store: Store, shares: Sequence[Sequence[NewTurn]]) -> list[float]:
    """Every producer writes its share; latencies in seconds."""
    latencies: list[float] = []

    def run(turns: Sequence[NewTurn]) -> None:
        for turn in turns:
            start = time.perf_counter()
            store.add_turn(turn)
            latencies.append(time.perf_counter() - start)

    store_raw.run_threads([lambda share=share: run(share) for share in shares])  # type: ignore[misc]
    return latencies


def export_accepted(data_dir: Path, target: Path, answer: Any) -> None:
    """In a process of its own, so that its memory is its own: rows, seconds, peak MB."""
    num_rows = 0
    with Store.open(data_dir) as store, target.open("w", encoding="utf-8") as file:
        before = peak_mb()
        start = time.perf_counter()
        for example in store.iter_examples(ExampleFilter(state="accepted")):
            file.write(json.dumps(vars(example), ensure_ascii=False) + "\n")
            num_rows += 1
        duration = time.perf_counter() - start
    answer.put((num_rows, duration, peak_mb(), peak_mb() - before))


def peak_mb() -> float:
    """The most memory that this process ever had. Linux inherits getrusage's from the parent."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_export(data_dir: Path, folder: Path) -> dict[str, float]:
    """All accepted examples as JSON lines."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(
        target=export_accepted, args=(data_dir, folder / "export.jsonl", answer)
    )
    process.start()
    num_rows, duration, peak_mb, more_mb = answer.get()
    process.join()
    raw = store_raw.export(data_dir / DATABASE_NAME, folder / "raw.jsonl")
    per_100k = duration * 100_000 / num_rows
    row(f"export of {num_rows:,} accepted examples, s", f"{duration:.1f}", f"{raw:.1f}")
    row("  peak memory, MB (more than before)", f"{peak_mb:.0f} ({more_mb:+.0f})")
    return {"export_100k_s": per_100k, "export_peak_mb": peak_mb}


@contextmanager
def writing(store: Store, corpus: Corpus) -> Iterator[list[float]]:
    """Eight producers write the whole time; their latencies."""
    stop = threading.Event()
    latencies: list[float] = []
    name = store.add_conversation(corpus.conversation(time.time_ns())).conversation_id

    def run() -> None:
        turn = corpus.turn(name, "")
        while not stop.is_set():
            start = time.perf_counter()
            store.add_turn(turn)
            latencies.append(time.perf_counter() - start)
            time.sleep(0.02)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    yield latencies
    stop.set()
    for thread in threads:
        thread.join()


def measure_backup(folder: Path, plan: Plan) -> dict[str, float]:
    """A database of about 150 MB, backed up while eight producers write."""
    corpus = Corpus(8)
    with Store.open(folder / "backed-up") as store:
        Grower(store).grow(plan.num_backup_turns)
        with writing(store, corpus) as latencies:
            time.sleep(0.5)
            ours = backup(store.data_dir)
            time.sleep(0.5)
            raw = store_raw.back_up(store.data_dir / DATABASE_NAME, folder / "raw.db")
    megabytes = ours.num_bytes / 1e6
    row(f"backup of {megabytes:.0f} MB under writes, s", f"{ours.duration_s:.2f}", f"{raw:.2f}")
    row("  writes meanwhile, p99, ms", f"{quantile(latencies, 0.99) * 1e3:.1f}")
    return {"backup_150mb_s": ours.duration_s * 150 / megabytes, "backup_mb": megabytes}


def measure_growth(folder: Path, plan: Plan) -> Growth:
    """Fill a store of each size, and read and write in it."""
    growth = Growth()
    for size in plan.sizes:
        with Store.open(folder / str(size)) as store:
            Grower(store).grow(size)
            measure_reads(store, plan.num_queries, plan.num_raw_queries, growth)
            with writing(store, Corpus(size)) as latencies:
                time.sleep(2)
            growth.write_p99_ms.append(quantile(latencies, 0.99) * 1e3)
    return growth


def main() -> None:
    """Measure, print a table, draw the plot, end with the result line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 50 seconds, 8,000 turns")
    parser.add_argument("--folder", type=Path, help="keep the filled stores here")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row("", "feedback store", "raw sqlite3")
        figures = measure_writes(folder / "written", plan)
        shutil.rmtree(folder / "written")
        figures |= measure_backup(folder, plan)
        grown = arguments.folder or folder / "grown"
        growth = measure_growth(grown, plan)
        figures |= measure_export(grown / str(plan.sizes[-1]), folder)
    figures |= {
        "num_turns": growth.num_turns[-1],
        "page_p95_ms_1m": growth.page_p95_ms[-1],
        "search_p95_ms_1m": growth.search_p95_ms[-1],
    }
    if not arguments.quick:
        draw(growth, ROOT / "docs" / "benchmark-store.png")
    print("RESULT " + json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
