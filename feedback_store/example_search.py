"""Finding examples: filters, words, four orders, pages by key, counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from feedback_store.records import Example, ExampleField, ExampleFilter, ExampleSort, Page
from feedback_store.rows import from_row
from feedback_store.search import (
    EVERYTHING,
    Match,
    add_tokens,
    build_match,
    clear_index,
    count,
    facet,
    facet_values,
    find_ids,
    parse_key,
    read_rows,
    text_tokens,
)
from feedback_store.sqlite import Connection, Row
from feedback_store.turn_search import plain_text

_FACETS: Final = (
    "state",
    "purpose",
    "source",
    "rating",
    "category",
    "location",
    "work_type",
    "lang",
    "person_id",
)
_MAX_BUCKET: Final = 9  # examples with more flags are sorted among each other by age only

# Sort → the tokens whose examples come one after the other, and whether newer ones come first.
_SORTS: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "newest": ((EVERYTHING,), True),
    "oldest": ((EVERYTHING,), False),
    "flags": (tuple(facet("num_flags", number) for number in range(_MAX_BUCKET, -1, -1)), True),
    "rating": (tuple(facet("rating", rating) for rating in ("like", "dislike", "")), True),
    "claim": (tuple(facet("rating", rating) for rating in ("like", "dislike", "")), False),
}

BATCH: Final = 500  # rows of one read: no long transaction holds back the WAL


def example_facets(row: Mapping[str, Any] | Row) -> set[str]:
    """The tokens that follow from the columns."""
    tokens = {facet(name, row[name]) for name in _FACETS}
    tokens.add(facet("num_flags", min(row["num_flags"], _MAX_BUCKET)))
    tokens.update(facet("flag", flag.get("name", "")) for flag in json.loads(row["flags"]))
    if row["adapter"] is not None:
        tokens.add(facet("adapter", row["adapter"]))
    return tokens


def example_tokens(row: Mapping[str, Any] | Row) -> set[str]:
    """All tokens: of the filters, of the last user message and of the completion."""
    asked = [
        message.get("content", "")
        for message in json.loads(row["messages"])
        if message.get("role") == "user"
    ]
    text = "\n".join([*asked[-1:], plain_text(row["completion"])])
    return text_tokens(text) | example_facets(row) | {EVERYTHING}


def match_examples(connection: Connection, filter_: ExampleFilter) -> Match | None:
    """The search for a filter."""
    values = {name: getattr(filter_, name) for name in (*_FACETS, "adapter", "flag")}
    facets = [facet(name, value) for name, value in values.items() if value is not None]
    period = (filter_.since, filter_.until)
    match = build_match(connection, "example_search", facets, filter_.query, period)
    return replace(match, ids=filter_.ids) if match else None


def count_examples(connection: Connection, filter_: ExampleFilter) -> int:
    return count(connection, "example_search", match_examples(connection, filter_))


def count_examples_by(
    connection: Connection, field: ExampleField, filter_: ExampleFilter
) -> dict[str, int]:
    """Value of the field → number of examples, for the values that occur."""
    match = match_examples(connection, filter_)
    if match is None:
        return {}
    counts = {}
    for value in facet_values(connection, "example_search", field):
        number = count(connection, "example_search", match.narrowed(facet(field, value)))
        if number:
            counts[value] = number
    return counts


def find_examples(
    connection: Connection,
    filter_: ExampleFilter,
    sort: ExampleSort,
    after: str | None,
    limit: int,
) -> Page[Example]:
    """One page; `after` is the next_key of the page before."""
    match = match_examples(connection, filter_)
    found = _sorted_ids(connection, match, sort, after, limit + 1)
    ids = [id_ for _, id_ in found[:limit]]
    next_key = "{}:{}".format(*found[limit - 1]) if len(found) > limit else None
    items = [from_row(Example, row) for row in read_rows(connection, "example_search", ids)]
    return Page(items, next_key, count(connection, "example_search", match))


def _sorted_ids(
    connection: Connection, match: Match | None, sort: str, after: str | None, limit: int
) -> list[tuple[int, int]]:
    """(bucket, id) of what follows the key, in the order of the sort."""
    buckets, newest_first = _SORTS[sort]
    bucket, last_id = parse_key(after, 2) or (0, None)
    found: list[tuple[int, int]] = []
    while match is not None and bucket < len(buckets) and len(found) < limit:
        ids = find_ids(
            connection,
            "example_search",
            match.narrowed(buckets[bucket]),
            after=last_id,
            newest_first=newest_first,
            limit=limit - len(found),
        )
        found += [(bucket, id_) for id_ in ids]
        bucket, last_id = bucket + 1, None
    return found


def claimable_id(
    connection: Connection, filter_: ExampleFilter, unwanted: Collection[int]
) -> int | None:
    """The next id that is not among the unwanted: liked ones first, then by age."""
    match = match_examples(connection, filter_)
    found = _sorted_ids(connection, match, "claim", None, len(unwanted) + 1)
    return next((id_ for _, id_ in found if id_ not in unwanted), None)


def _read_batch(
    connection: Connection, filter_: ExampleFilter, after_id: int, limit: int
) -> list[Example]:
    match = match_examples(connection, filter_)
    ids = find_ids(
        connection, "example_search", match, after=after_id, newest_first=False, limit=limit
    )
    return [from_row(Example, row) for row in read_rows(connection, "example_search", ids)]


def iter_examples(read: Callable[..., list[Example]], filter_: ExampleFilter) -> Iterator[Example]:
    """All examples by id, in batches; `read` runs a function with a connection."""
    last_id = 0
    while batch := read(_read_batch, filter_, last_id, BATCH):
        yield from batch
        last_id = batch[-1].example_id


def reindex_examples(connection: Connection) -> None:
    """Fill the index anew."""
    clear_index(connection, "example_search")
    for row in connection.execute("SELECT * FROM examples ORDER BY example_id"):
        add_tokens(connection, "example_search", row["example_id"], example_tokens(row))
