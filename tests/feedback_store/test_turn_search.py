"""Finding turns: words in Korean and English, filters, pages, counts, and any text at all."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store import turn_search
from feedback_store.conversations import add_conversation
from feedback_store.errors import StoreError
from feedback_store.feedback import set_feedback
from feedback_store.records import NewFeedback, TurnFilter
from feedback_store.rows import to_row
from feedback_store.schema import migrate
from feedback_store.search import indexed_count, query_terms
from feedback_store.sqlite import connect
from feedback_store.store import Store
from feedback_store.turn_search import index_turns, num_waiting, search_turns
from feedback_store.turns import add_turn, forget_turn
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


@pytest.mark.parametrize("key", ["", "x", "1:2", "-1", "1.5", "१"])
def test_what_is_no_key_is_refused(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match="no key of a page") as caught:
        store.search_turns(after=key)
    assert caught.value.code == "bad_key"


def test_turns_are_indexed_when_no_write_waits(store: Store) -> None:
    store.add_conversation(records.conversation())
    for _ in range(60):
        store.add_turn(records.turn())
    deadline = time.monotonic() + 10
    while store._db.read(num_waiting) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store._db.read(num_waiting) == 0
    assert store._db.read(indexed_count, "turn_search") == 60


def test_a_turn_may_be_rated_or_deleted_before_it_is_indexed(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.db")) as connection:
        migrate(connection)
        add_conversation(connection, records.conversation())
        for _ in range(3):
            add_turn(connection, to_row(records.turn()))
        set_feedback(connection, NewFeedback(turn_id=1, person_id="ann", rating="like"))
        assert forget_turn(connection, 2)
        index_turns(connection)
        assert indexed_count(connection, "turn_search") == 2
        assert forget_turn(connection, 1)
        assert not forget_turn(connection, 1)
        assert indexed_count(connection, "turn_search") == 1
        (only,) = search_turns(connection, "추천", TurnFilter(), "newest", None, 9).items
        assert only.turn.turn_id == 3


def test_so_many_turns_wait_that_some_are_indexed_under_load(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_search, "MAX_WAITING", 10)
    store.add_conversation(records.conversation())
    for _ in range(100):
        store.add_turn(records.turn())
        assert store._db.read(num_waiting) <= 10 + turn_search.BATCH
