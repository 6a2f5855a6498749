"""Words and filters as tokens, and the index that holds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store.schema import migrate
from feedback_store.search import (
    Match,
    add_tokens,
    change_tokens,
    count,
    facet,
    facet_values,
    find_ids,
    merge_step,
    query_terms,
    remove_tokens,
    text_tokens,
)
from feedback_store.sqlite import Connection, connect, fetch_all, immediate


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    opened = connect(tmp_path / "a.db")
    migrate(opened)
    yield opened
    opened.close()


def _found(connection: Connection, *tokens: str) -> list[int]:
    match = Match(tuple(f'"{token}"' for token in tokens))
    ids = find_ids(connection, "turn_search", match, newest_first=False, limit=99)
    assert count(connection, "turn_search", match) == len(ids)
    return ids


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("쓰레기", {"쓰", "레", "기", "쓰레", "레기", "쓰레기"}),
        ("Zero-Waste 2026!", {"zero", "waste", "2026"}),
        ("CO2를", {"co2", "를"}),
        ("環境 エコ", {"環", "境", "環境", "エ", "コ", "エコ"}),
        ("snake_case", {"snake", "case"}),
        ("=all =person_id=61", {"all", "person", "id", "61"}),  # nobody types a filter
        ("🌊 …", set()),
    ],
)
def test_text_becomes_words_and_korean_becomes_every_part_of_them(
    text: str, tokens: set[str]
) -> None:
    assert text_tokens(text) == tokens


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("쓰", ['"쓰"']),
        ("날씨", ['"날씨"']),
        ("쓰레기통", ['"쓰레기"', '"레기통"']),
        ("zero w", ['"zero" *', '"w"']),
        ('a" OR "b', ['"a"', '"or" *', '"b"']),
        ("쓰레기 쓰레기", ['"쓰레기"']),
    ],
)
def test_a_query_becomes_terms_that_must_all_match(query: str, terms: list[str]) -> None:
    assert list(query_terms(query)) == terms


@given(text=st.text(max_size=60))
def test_any_word_of_a_text_is_among_its_tokens(text: str) -> None:
    tokens = text_tokens(text)
    assert {term.removesuffix(" *")[1:-1] for term in query_terms(text)} <= tokens


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(min_size=1, max_size=40))
def test_the_index_takes_every_token_as_it_is(connection: Connection, text: str) -> None:
    tokens = text_tokens(text) | {facet("person_id", text)}
    with immediate(connection):
        add_tokens(connection, "turn_search", 1, tokens)
        assert _found(connection, *tokens) == [1]
        remove_tokens(connection, "turn_search", 1, tokens)
        assert fetch_all(connection, "SELECT term FROM turn_search_terms") == []


def test_filter_values_come_back_as_they_were(connection: Connection) -> None:
    values = ["VEGAN", "vegan", "문화 공유", "a=b_c", ""]
    for number, value in enumerate(values):
        add_tokens(connection, "turn_search", number, {facet("category", value)})
    assert sorted(facet_values(connection, "turn_search", "category")) == sorted(values)
    assert _found(connection, facet("category", "vegan")) == [1]
    assert facet_values(connection, "turn_search", "cat") == []


def test_tokens_change_one_by_one(connection: Connection) -> None:
    add_tokens(connection, "turn_search", 7, {"a", "b"})
    for _ in range(5):
        change_tokens(connection, "turn_search", 7, {"b"}, {"c"})
        assert (_found(connection, "b"), _found(connection, "a", "c")) == ([], [7])
        change_tokens(connection, "turn_search", 7, {"c"}, {"b"})
        assert (_found(connection, "c"), _found(connection, "a", "b")) == ([], [7])
    remove_tokens(connection, "turn_search", 7, {"a", "b"})
    assert _found(connection, "a") == []


def test_merging_leaves_no_trace_of_what_was_removed(connection: Connection) -> None:
    for numbers, write in ((range(300), add_tokens), (range(299), remove_tokens)):
        for start in range(0, len(numbers), 50):
            with immediate(connection):
                for number in numbers[start : start + 50]:
                    write(connection, "turn_search", number, {"everywhere", f"only{number}"})
    is_first = True
    while merge_step(connection, "turn_search", is_first=is_first):
        is_first = False
    blocks = connection.execute("SELECT block FROM turn_search_data").fetchall()
    content = b"".join(row[0] for row in blocks)
    assert content.count(b"only") <= 1
    assert _found(connection, "everywhere") == [299]
