"""What the feedback store promises: durable writes, pages, searches, export and backup, beside raw
sqlite3 doing the same work in the same run, while it grows to a million turns.

    python benchmarks/store.py [--quick] [--folder DIR]

With --folder the filled stores are kept there, and used again by the next run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks import store_raw
from benchmarks.store_corpus import (
    CATEGORIES,
    ENGLISH,
    FLAGS,
    KOREAN,
    LOCATIONS,
    REASONS,
    Corpus,
)
from benchmarks.store_growth import Grower
from feedback_store.backup import backup
from feedback_store.database import DATABASE_NAME
from feedback_store.records import ExampleFilter, NewTurn, TurnFilter
from feedback_store.sqlite import connect
from feedback_store.store import Store

PLOT: Final = ROOT / "docs" / "benchmark-store.png"
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


@dataclass
class Growth:
    """What was measured at each size."""

    num_turns: list[int] = field(default_factory=list)
    page_p95_ms: list[float] = field(default_factory=list)
    search_p95_ms: list[float] = field(default_factory=list)
    counts_p95_ms: list[float] = field(default_factory=list)
    write_p99_ms: list[float] = field(default_factory=list)


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(name: str, value: str, peer: str = "") -> None:
    """One line of the table."""
    print(f"{name:44} {value:>16} {peer:>22}", flush=True)


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


def example_filters(rng: random.Random) -> ExampleFilter:
    """A filter as people put them together in Curate."""
    chosen: dict[str, Any] = {}
    choices: dict[str, Sequence[str]] = {
        "state": ("pending", "pending", "accepted", "excluded"),
        "category": CATEGORIES,
        "location": LOCATIONS,
        "lang": ("ko", "en"),
        "rating": ("like", "dislike"),
        "flag": FLAGS,
        "adapter": ("v0000", "v0001", "v0005"),
        "query": (*KOREAN, *ENGLISH, "쓰", "기"),
    }
    chances = {"state": 0.8, "category": 0.4, "query": 0.25}
    for name, values in choices.items():
        if rng.random() < chances.get(name, 0.15):
            chosen[name] = rng.choice(values)
    return ExampleFilter(**chosen)


def read_pages(store: Store, rng: random.Random) -> Iterator[Callable[[], object]]:
    """Pages of Curate: any filter, any order, the first pages and far behind."""
    total = store.count_examples()
    while True:
        filter_, sort = example_filters(rng), rng.choice(("newest", "oldest", "flags", "rating"))
        bucket = 0 if sort in ("newest", "oldest") else rng.randrange(3)
        after = None if rng.random() < 0.5 else f"{bucket}:{rng.randrange(1, total)}"
        yield lambda f=filter_, s=sort, a=after: store.find_examples(f, sort=s, after=a)  # type: ignore[misc]


def read_searches(store: Store, rng: random.Random) -> Iterator[Callable[[], object]]:
    """Searches from one syllable to three words, alone and with filters."""
    corpus = Corpus(3)
    words = (*KOREAN, *ENGLISH, *corpus.korean[:300], *corpus.english[:100])
    while True:
        query = " ".join(rng.sample(words, rng.choice((1, 1, 1, 2, 3))))
        if rng.random() < 0.2:
            query = rng.choice(rng.choice(KOREAN))  # one syllable
        wanted: dict[str, Any] = {}
        for name, values in {
            "category": CATEGORIES,
            "rating": ("like", "dislike"),
            "reason": REASONS[:1],
            "lang": ("ko", "en"),
            "adapter": ("v0000", "v0004"),
            "person_id": ("p1", "p77"),
        }.items():
            if rng.random() < 0.15:
                wanted[name] = rng.choice(values)
        filter_ = TurnFilter(**wanted)
        yield lambda q=query, f=filter_: store.search_turns(q, f)  # type: ignore[misc]


def read_counts(store: Store, rng: random.Random) -> Iterator[Callable[[], object]]:
    """The numbers beside the filters."""
    while True:
        field_ = rng.choice(("state", "category", "flag"))
        filter_ = example_filters(rng)
        yield lambda n=field_, f=filter_: store.count_examples_by(n, f)  # type: ignore[misc]


def time_each(calls: Iterator[Callable[[], object]], number: int) -> list[float]:
    """Milliseconds of each call."""
    durations = []
    for _ in range(number):
        call = next(calls)
        start = time.perf_counter()
        call()
        durations.append((time.perf_counter() - start) * 1e3)
    return durations


def measure_reads(store: Store, plan: Plan, growth: Growth) -> None:
    """Pages, searches and counts at the present size, beside OFFSET and LIKE."""
    num_turns = store.search_turns(limit=1).total
    pages = time_each(read_pages(store, random.Random(4)), plan.num_queries)
    searches = time_each(read_searches(store, random.Random(5)), plan.num_queries)
    counts = time_each(read_counts(store, random.Random(6)), plan.num_queries // 4)
    raw_pages, raw_searches = measure_raw_reads(store, plan)
    growth.num_turns.append(num_turns)
    growth.page_p95_ms.append(quantile(pages, 0.95))
    growth.search_p95_ms.append(quantile(searches, 0.95))
    growth.counts_p95_ms.append(quantile(counts, 0.95))
    print(f"{num_turns:,} turns, {store.count_examples():,} examples")
    for name, ours, raw in (
        ("page of Curate", pages, raw_pages),
        ("search", searches, raw_searches),
        ("counts by one field", counts, [0.0]),
    ):
        peer = f"{quantile(raw, 0.5):,.0f}" if raw != [0.0] else ""
        row(f"  {name}, ms, median", f"{quantile(ours, 0.5):.1f}", peer)
        row(f"  {name}, ms, p95 (worst)", f"{quantile(ours, 0.95):.1f} ({max(ours):.0f})")


def measure_raw_reads(store: Store, plan: Plan) -> tuple[list[float], list[float]]:
    """The same questions with LIKE and OFFSET."""
    rng = random.Random(7)
    total = store.count_examples()
    with closing(connect(store.data_dir / DATABASE_NAME, read_only=True)) as connection:

        def pages() -> Iterator[Callable[[], object]]:
            while True:
                category, offset = rng.choice(CATEGORIES), rng.randrange(total // 20)
                yield lambda c=category, o=offset: store_raw.page(connection, "pending", c, o)  # type: ignore[misc]

        def searches() -> Iterator[Callable[[], object]]:
            while True:
                query, category = rng.choice(KOREAN), rng.choice((None, *CATEGORIES[:1]))
                yield lambda q=query, c=category: store_raw.search(connection, q, c)  # type: ignore[misc]

        return (
            time_each(pages(), plan.num_raw_queries),
            time_each(searches(), plan.num_raw_queries),
        )


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
            measure_reads(store, plan, growth)
            with writing(store, Corpus(size)) as latencies:
                time.sleep(2)
            growth.write_p99_ms.append(quantile(latencies, 0.99) * 1e3)
    return growth


def draw(growth: Growth) -> None:
    """How the figures move as the store grows."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, label in (
        ("page_p95_ms", "page of Curate, p95"),
        ("search_p95_ms", "search, p95"),
        ("counts_p95_ms", "counts by one field, p95"),
        ("write_p99_ms", "durable write, p99"),
    ):
        axes.plot(growth.num_turns, getattr(growth, name), marker="o", label=label)
    axes.axhline(100, color="0.8", zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="turns in the store", ylabel="milliseconds")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


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
        draw(growth)
    print("RESULT " + json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
