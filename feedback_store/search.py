"""Finding turns and examples: one inverted index (FTS5) for words and for filters alike.

Each row's document is a set of tokens. Text gives words, and for Korean (and other scripts
without sure word ends) every run of one, two and three characters, so that a single syllable
and the inside of a word are found. Each filter gives one token as well, so that any mix of words
and filters is one match: the page comes by id, newest first, without sorting, and a count only
walks the index.

The index holds no text (content=''): a row's tokens are taken out by naming them again. So a
change to `text_tokens` or `facet` needs a migration that rebuilds the index.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from feedback_store.errors import StoreError
from feedback_store.sqlite import Connection, Row, fetch_all, fetch_one
from feedback_store.text import clean_text

Index = Literal["turn_search", "example_search"]

# The table behind each index, and its key.
_TABLES: Final = {"turn_search": ("turns", "turn_id"), "example_search": ("examples", "example_id")}

_JOINED = "가-힣\u3040-\u30ff\u4e00-\u9fff"  # Hangul, kana, Han: searched inside words too
_WORD = re.compile(rf"([{_JOINED}]+)|([^\W_{_JOINED}]+)")

EVERYTHING: Final = "=all"
NO_ID: Final = 2**62  # above every id
MERGE_PAGES: Final = 64  # of one step of erase_deleted(): about 10 ms in which writers wait


@dataclass(frozen=True)
class Match:
    """What to find: a row has all terms, its id lies in low ≤ id < high, and is one of ids."""

    terms: tuple[str, ...]
    low: int = 0
    high: int = NO_ID
    ids: frozenset[int] | None = None  # None: any

    def narrowed(self, term: str) -> Match:
        """The same with one token more."""
        return replace(self, terms=(*self.terms, _quoted(term)))

    @property
    def expression(self) -> str:
        """As FTS5 wants it."""
        return " AND ".join(self.terms)

    @property
    def among(self) -> tuple[str, tuple[str, ...]]:
        """The SQL of ids, and what it is given. The sign keeps SQLite from asking the index anew
        for each of them.
        """
        if self.ids is None:
            return "", ()
        return "AND +rowid IN (SELECT value FROM json_each(?)) ", (json.dumps(list(self.ids)),)


def facet(name: str, value: object) -> str:
    """The token of a filter; hexadecimal, because the tokenizer folds case and splits at signs."""
    return f"={name}={str(value).encode().hex()}"


def text_tokens(text: str) -> set[str]:
    """The tokens under which a text is found."""
    tokens: set[str] = set()
    for joined, other in _WORD.findall(clean_text(text).casefold()):
        if joined:
            tokens.update(_parts(joined))
        else:
            tokens.add(other)
    return tokens


@functools.lru_cache(maxsize=16_384)  # words repeat; this makes a write a third cheaper
def _parts(word: str) -> frozenset[str]:
    """Every run of one, two and three characters."""
    pairs = map("".join, pairwise(word))
    triples = map("".join, zip(word, word[1:], word[2:], strict=False))
    return frozenset((*word, *pairs, *triples))


def _quoted(token: str) -> str:
    return f'"{token}"'


def query_terms(query: str) -> tuple[str, ...]:
    """What a person typed, as terms that must all match; the last letters of a word may lack."""
    terms: dict[str, None] = {}
    for joined, other in _WORD.findall(clean_text(query).casefold()):
        if other:
            terms[_quoted(other) + (" *" if len(other) > 1 else "")] = None
        size = min(len(joined), 3)
        for start in range(len(joined) - size + 1 if joined else 0):
            terms[_quoted(joined[start : start + size])] = None
    return tuple(terms)


def build_match(
    connection: Connection,
    index: Index,
    facets: Iterable[str],
    query: str | None,
    period: tuple[str | None, str | None],
) -> Match | None:
    """The match for filters, words and a period (since, until); None where nothing can match."""
    terms = [_quoted(token) for token in facets]
    if query and query.strip():
        wanted = query_terms(query)
        if not wanted:
            return None  # only signs: no word to look for
        terms += wanted
    since, until = period
    low = 0 if since is None else _first_id(connection, index, since)
    high = NO_ID if until is None else _first_id(connection, index, until)
    return Match(tuple(terms) or (_quoted(EVERYTHING),), low, high) if low < high else None


def _first_id(connection: Connection, index: Index, at: str) -> int:
    """The first id from that time on; ids and times rise together."""
    table, key = _TABLES[index]
    row = fetch_one(
        connection,
        f"SELECT {key} FROM {table} WHERE created_at >= ? ORDER BY created_at, {key} LIMIT 1",
        (at,),
    )
    return int(row[0]) if row else NO_ID


def count(connection: Connection, index: Index, match: Match | None) -> int:
    """How many rows match."""
    if match is None:
        return 0
    if match == Match((_quoted(EVERYTHING),)):
        row = fetch_one(connection, f"SELECT count(*) FROM {_TABLES[index][0]}")
    else:
        among, given = match.among
        row = fetch_one(
            connection,
            f"SELECT count(*) FROM {index} "
            f"WHERE {index} MATCH ? AND rowid >= ? AND rowid < ? {among}",
            (match.expression, match.low, match.high, *given),
        )
    return int(row[0]) if row else 0


def indexed_count(connection: Connection, index: Index) -> int:
    """How many rows the index has."""
    row = fetch_one(
        connection,
        f"SELECT count(*) FROM {index} WHERE {index} MATCH ?",
        (_quoted(EVERYTHING),),
    )
    return int(row[0]) if row else 0


def clear_index(connection: Connection, index: Index) -> None:
    """Empty the index, to fill it anew."""
    connection.execute(f"INSERT INTO {index} ({index}) VALUES ('delete-all')")


def find_ids(
    connection: Connection,
    index: Index,
    match: Match | None,
    *,
    after: int | None = None,
    newest_first: bool = True,
    limit: int,
) -> list[int]:
    """Ids that match, by id, from the one that follows `after`."""
    if match is None:
        return []
    low, high = match.low, match.high
    if after is not None:
        low, high = (low, min(high, after)) if newest_first else (max(low, after + 1), high)
    among, given = match.among
    rows = fetch_all(
        connection,
        f"SELECT rowid FROM {index} WHERE {index} MATCH ? AND rowid >= ? AND rowid < ? {among}"
        f"ORDER BY rowid {'DESC' if newest_first else 'ASC'} LIMIT ?",
        (match.expression, low, high, *given, limit),
    )
    return [row[0] for row in rows]


def parse_key(key: str | None, num_parts: int) -> list[int] | None:
    """The numbers of a page's next_key; raises StoreError for what is no such key."""
    if key is None:
        return None
    parts = key.split(":")
    if len(parts) != num_parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise StoreError("bad_key", f"{key[:40]!r} is no key of a page. Start at the first page.")
    return [int(part) for part in parts]


def facet_values(connection: Connection, index: Index, name: str) -> list[str]:
    """The values of a filter that occur."""
    rows = fetch_all(
        connection,
        f"SELECT term FROM {index}_terms WHERE term >= ? AND term < ?",
        (f"={name}=", f"={name}>"),
    )
    return [bytes.fromhex(row[0].rpartition("=")[2]).decode() for row in rows]


def add_tokens(connection: Connection, index: Index, id_: int, tokens: set[str]) -> None:
    """Put a row into the index."""
    connection.execute(
        f"INSERT INTO {index} (rowid, tokens) VALUES (?, ?)", (id_, " ".join(tokens))
    )


def remove_tokens(connection: Connection, index: Index, id_: int, tokens: set[str]) -> None:
    """Take a row out of the index, by the very tokens it has there."""
    connection.execute(
        f"INSERT INTO {index} ({index}, rowid, tokens) VALUES ('delete', ?, ?)",
        (id_, " ".join(tokens)),
    )


def change_tokens(
    connection: Connection, index: Index, id_: int, before: set[str], after: set[str]
) -> None:
    """Replace some of a row's tokens."""
    if before != after:
        # Always both, even if one of them is empty: FTS5 counts rows by these two.
        remove_tokens(connection, index, id_, before - after)
        add_tokens(connection, index, id_, after - before)


def merge_step(connection: Connection, index: Index, *, is_first: bool) -> bool:
    """One step of rewriting the index without what was deleted; whether more remains.

    Until then a deleted row's tokens still stand in the file, marked as deleted.
    """
    before = connection.total_changes
    pages = -MERGE_PAGES if is_first else MERGE_PAGES
    connection.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('merge', ?)", (pages,))
    return connection.total_changes - before >= 2


def read_rows(connection: Connection, index: Index, ids: Sequence[int]) -> list[Row]:
    """Rows of the table behind the index, in the order of the ids."""
    table, key = _TABLES[index]
    marks = ", ".join("?" * len(ids))
    rows = fetch_all(connection, f"SELECT * FROM {table} WHERE {key} IN ({marks})", tuple(ids))
    by_id = {row[key]: row for row in rows}
    return [by_id[id_] for id_ in ids if id_ in by_id]
