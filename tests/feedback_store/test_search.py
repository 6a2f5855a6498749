"""Finding turns: words in Korean and English, filters, pages, counts, and any text at all."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store.records import NewFeedback, TurnFilter
from feedback_store.search import query_terms, text_tokens
from feedback_store.store import Store
from tests.feedback_store import records


@pytest.fixture
def said(store: Store) -> Store:
    store.add_conversation(records.conversation("c1", "ann"))
    store.add_conversation(records.conversation("c2", "bob", lang="en"))
    store.add_turn(records.turn("c1", "재활용쓰레기는 어디에", category="UPCYCLING"))
    store.add_turn(records.turn("c1", "날씨 좋은 날", adapter="v0001", recommendation=None))
    store.add_turn(records.turn("c2", "Recycling at the beach", raw_text="", recommendation=None))
    return store


def _found(store: Store, query: str | None = None, **filters: object) -> list[int]:
    page = store.search_turns(query, TurnFilter(**filters), sort="oldest")  # type: ignore[arg-type]
    assert page.total == len(page.items)
    return [hit.turn.turn_id for hit in page.items]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("쓰", [1]),  # one syllable
        ("날씨", [2]),  # two
        ("쓰레기", [1]),  # inside a word
        ("용쓰", [1]),
        ("활용쓰레기는", [1]),
        ("레쓰", []),
        ("recyc", [3]),  # a word not finished
        ("BEACH recycling", [3]),
        ("cycling", []),
        ("each", []),
        ("텀블러", [1]),  # in the reply
        ("recommend", []),  # a key of the reply's JSON is no word of it
        ("\u1102\u1161\u11af\u110a\u1175", [2]),  # 날씨, decomposed as a Mac types it
        ("🌊", []),
        ("'\"*(^ OR NEAR", []),
        ("  ", [1, 2, 3]),
    ],
)
def test_words_are_found_from_one_syllable_on(said: Store, query: str, expected: list[int]) -> None:
    assert _found(said, query) == expected


def test_filters_and_words_narrow_each_other(said: Store) -> None:
    assert _found(said, category="UPCYCLING") == [1]
    assert _found(said, adapter="") == [1, 3]
    assert _found(said, adapter="v0001", query="날") == [2]
    assert _found(said, person_id="ann") == [1, 2]
    assert _found(said, lang="en") == [3]
    assert _found(said, lang="en", query="날") == []
    assert _found(said, person_id="Ann") == []


def test_ratings_and_reasons_are_found_as_they_are_now(said: Store) -> None:
    like = NewFeedback(turn_id=1, person_id="ann", rating="like", reasons=("clear", "짧아요"))
    said.set_feedback(like)
    said.set_feedback(NewFeedback(turn_id=2, person_id="ann", rating="dislike"))
    assert _found(said, rating="like") == [1]
    assert _found(said, rating="like", reason="짧아요") == [1]
    said.set_feedback(NewFeedback(turn_id=1, person_id="ann", rating="dislike"))
    assert _found(said, rating="like") == []
    assert _found(said, rating="dislike") == [1, 2]
    assert _found(said, reason="clear") == []
    assert [hit.rating for hit in said.search_turns().items] == [None, "dislike", "dislike"]


def test_two_people_may_rate_one_answer(said: Store) -> None:
    for person, rating in (("ann", "like"), ("bob", "dislike")):
        said.set_feedback(NewFeedback(turn_id=1, person_id=person, rating=rating))  # type: ignore[arg-type]
    assert _found(said, rating="like") == _found(said, rating="dislike") == [1]


def test_a_period_includes_its_start_and_excludes_its_end(store: Store) -> None:
    store.add_conversation(records.conversation())
    times = []
    for _ in range(3):
        times.append(store.add_turn(records.turn()).created_at)
        time.sleep(0.002)
    assert _found(store, since=times[1]) == [2, 3]
    assert _found(store, until=times[1]) == [1]
    assert _found(store, since=times[1], until=times[2]) == [2]
    assert _found(store, since="9999") == []
    assert _found(store, "추천", until="0000") == []


def test_pages_by_key_meet_every_turn_once(store: Store) -> None:
    store.add_conversation(records.conversation())
    for _ in range(7):
        store.add_turn(records.turn())
    met: list[int] = []
    key = None
    while True:
        page = store.search_turns("추천", after=key, limit=3)
        met += [hit.turn.turn_id for hit in page.items]
        assert page.total == 7
        key = page.next_key
        if key is None:
            break
        store.add_turn(records.turn(user_text="new and unrelated"))
    assert met == [7, 6, 5, 4, 3, 2, 1]


@given(text=st.text(max_size=60))
def test_any_word_of_a_text_is_among_its_tokens(text: str) -> None:
    tokens = text_tokens(text)
    for term in query_terms(text):
        word = term.removesuffix(" *")[1:-1]
        assert word in tokens


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(), min_size=1, max_size=40))
def test_any_text_can_be_stored_and_searched_for(store: Store, text: str) -> None:
    name = f"c{time.time_ns()}"
    store.add_conversation(records.conversation(name))
    turn = store.add_turn(records.turn(name, text, recommendation=None, raw_text=text))
    assert store.get_turn(turn.turn_id) == turn
    if query_terms(text):
        assert turn in [hit.turn for hit in store.search_turns(text).items]
