"""Finding examples: every filter, four orders, pages that meet each example once, counts."""

import itertools
import random
import time
from typing import Any

import pytest

from feedback_store.records import (
    EMPTY_FILTER,
    Example,
    ExampleFilter,
    ExampleSort,
    NewFeedback,
)
from feedback_store.store import Store
from tests.feedback_store import records


@pytest.fixture
def curated(store: Store) -> Store:
    """40 examples that differ in everything one can filter by."""
    rng = random.Random(5)
    store.add_conversation(records.conversation())
    turns = [store.add_turn(records.turn(adapter=a)).turn_id for a in ("", "v0001", "v0002")]
    store.set_feedback(NewFeedback(turn_id=turns[0], person_id="ann", rating="like"))
    store.set_feedback(NewFeedback(turn_id=turns[1], person_id="ann", rating="dislike"))
    for number in range(40):
        flags = [records.flag(name) for name in ("long", "repeated", "not_korean")]
        new = records.example(
            rng.choice(["바닷가 산책", "텀블러 사용", "recycle more", "전기 절약"]) + f" {number}",
            source=rng.choice(["feedback", "import"]),
            category=rng.choice(["VEGAN", "MEDIA"]),
            location=rng.choice(["city", "beach"]),
            work_type=rng.choice(["office", "remote"]),
            lang=rng.choice(["ko", "en"]),
            person_id=rng.choice(["ann", "Ann"]),
            turn_id=rng.choice([*turns, None]),
            purpose=rng.choice(["train", "train", "regression"]),
            flags=tuple(rng.sample(flags, rng.randrange(4))),
        )
        (example_id,) = store.add_examples([new])
        state = rng.choice(["pending", "accepted", "excluded"])
        store.decide_examples([example_id], state=state, decided_by="bob")  # type: ignore[list-item, arg-type]
    return store


def _all(store: Store) -> list[Example]:
    return list(store.iter_examples(ExampleFilter(purpose=None)))


def _met(store: Store, sort: ExampleSort, filter_: ExampleFilter = EMPTY_FILTER) -> list[Example]:
    """All examples of a filter, page by page."""
    met: list[Example] = []
    key = None
    for _ in itertools.count():
        page = store.find_examples(filter_, sort=sort, after=key, limit=7)
        met += page.items
        key = page.next_key
        if key is None:
            assert page.total == len(met)
            return met
    raise AssertionError


def test_each_filter_finds_what_it_names_and_nothing_else(curated: Store) -> None:
    examples = _all(curated)
    assert len(examples) == 40
    for name in ("state", "source", "category", "location", "work_type", "lang", "person_id"):
        for value in {getattr(example, name) for example in examples}:
            expected = [e.example_id for e in examples if getattr(e, name) == value]
            wanted: dict[str, Any] = {name: value, "purpose": None}
            found = curated.iter_examples(ExampleFilter(**wanted))
            assert [example.example_id for example in found] == expected
    long = [e.example_id for e in examples if "long" in {flag["name"] for flag in e.flags}]
    found = curated.iter_examples(ExampleFilter(flag="long", purpose=None))
    assert [e.example_id for e in found] == long


def test_filters_by_turn_use_its_adapter_and_its_rating(curated: Store) -> None:
    by_turn = {None: 0, 1: 0, 2: 0, 3: 0}
    for example in _all(curated):
        by_turn[example.turn_id] += example.person_id == "ann"

    def count(**wanted: Any) -> int:
        return curated.count_examples(ExampleFilter(purpose=None, person_id="ann", **wanted))

    assert [count(adapter=name) for name in ("", "v0001", "v0002")] == list(by_turn.values())[1:]
    assert (count(rating="like"), count(rating="dislike")) == (by_turn[1], by_turn[2])
    curated.set_feedback(NewFeedback(turn_id=1, person_id="ann", rating=None))
    curated.set_feedback(NewFeedback(turn_id=3, person_id="ann", rating="like"))
    assert count(rating="like") == by_turn[3]


def test_words_and_filters_narrow_each_other(curated: Store) -> None:
    wanted = ExampleFilter(query="닷가", lang="ko", state="accepted")
    found = [example.example_id for example in curated.iter_examples(wanted)]
    expected = [
        example.example_id
        for example in _all(curated)
        if "바닷가" in example.messages[0]["content"]
        and (example.lang, example.state, example.purpose) == ("ko", "accepted", "train")
    ]
    assert found == expected


def test_pages_meet_every_example_once_in_each_order(curated: Store) -> None:
    expected = [e for e in _all(curated) if e.purpose == "train"]
    assert _met(curated, "oldest") == expected
    assert _met(curated, "newest") == expected[::-1]
    by_flags = sorted(expected, key=lambda e: (-len(e.flags), -e.example_id))
    assert _met(curated, "flags") == by_flags
    assert sorted(_met(curated, "rating"), key=lambda e: e.example_id) == expected
    rated = ExampleFilter(rating="like")
    first = _met(curated, "rating")[: curated.count_examples(rated)]
    assert first == _met(curated, "newest", rated)


def test_counts_by_field_add_up(curated: Store) -> None:
    total = curated.count_examples()
    for field in ("state", "category", "location", "work_type", "lang", "source"):
        assert sum(curated.count_examples_by(field).values()) == total  # type: ignore[arg-type]
    pending = ExampleFilter(state="pending")
    assert curated.count_examples_by("state", pending) == {
        "pending": curated.count_examples(pending)
    }
    assert set(curated.count_examples_by("flag")) == {"long", "repeated", "not_korean"}
    assert curated.count_examples_by("flag", ExampleFilter(query="?!")) == {}


def test_a_period_includes_its_start_and_excludes_its_end(store: Store) -> None:
    times = []
    for number in range(3):
        (example_id,) = store.add_examples([records.example(str(number))])
        example = store.get_example(example_id or 0)
        assert example
        times.append(example.created_at)
        time.sleep(0.002)
    assert store.count_examples(ExampleFilter(since=times[1])) == 2
    assert store.count_examples(ExampleFilter(until=times[1])) == 1
    assert store.count_examples(ExampleFilter(since=times[2], until=times[1])) == 0


def test_all_are_read_in_batches_even_while_more_come(store: Store) -> None:
    store.add_examples([records.example(str(number)) for number in range(1200)])
    reading = store.iter_examples()
    first = next(reading)
    store.add_examples([records.example("late")])
    assert [first.example_id, *(e.example_id for e in reading)] == list(range(1, 1202))


@pytest.mark.parametrize("sort", ["newest", "oldest", "flags", "rating"])
def test_only_among_the_ids_that_are_named(curated: Store, sort: ExampleSort) -> None:
    named = frozenset({3, 4, 9, 17, 30, 999})
    wanted = ExampleFilter(purpose=None, state="pending", ids=named)
    pending = {e.example_id for e in _all(curated) if e.state == "pending"}
    assert {e.example_id for e in _met(curated, sort, wanted)} == named & pending != set()
    assert curated.count_examples(wanted) == len(named & pending)
    by_state = curated.count_examples_by("state", ExampleFilter(purpose=None, ids=named))
    assert sum(by_state.values()) == len(named) - 1
    nothing = ExampleFilter(purpose=None, ids=frozenset())
    assert curated.count_examples(nothing) == 0
    assert curated.claim_example(nothing, curator="kim") is None


def test_claiming_keeps_to_the_ids_that_are_named(curated: Store) -> None:
    wanted = ExampleFilter(purpose=None, ids=frozenset({9, 17}))
    claimed = [curated.claim_example(wanted, curator=name) for name in ("kim", "lee", "park")]
    assert [e and e.example_id for e in claimed] in ([9, 17, None], [17, 9, None])
