"""The reads that benchmarks/store.py measures: pages of Curate, searches, counts; each beside the
same question in plain sqlite3.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

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
from benchmarks.store_figures import Growth, quantile, row
from feedback_store.database import DATABASE_NAME
from feedback_store.records import ExampleFilter, TurnFilter
from feedback_store.sqlite import connect
from feedback_store.store import Store


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


def measure_reads(store: Store, num_queries: int, num_raw_queries: int, growth: Growth) -> None:
    """Pages, searches and counts at the present size, beside OFFSET and LIKE."""
    num_turns = store.search_turns(limit=1).total
    pages = time_each(read_pages(store, random.Random(4)), num_queries)
    searches = time_each(read_searches(store, random.Random(5)), num_queries)
    counts = time_each(read_counts(store, random.Random(6)), num_queries // 4)
    raw_pages, raw_searches = measure_raw_reads(store, num_raw_queries)
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


def measure_raw_reads(store: Store, num_raw_queries: int) -> tuple[list[float], list[float]]:
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
            time_each(pages(), num_raw_queries),
            time_each(searches(), num_raw_queries),
        )
