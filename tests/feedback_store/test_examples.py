"""Deciding on examples: accept, fix, exclude, undo, and holding one while deciding."""

import time

import pytest

from feedback_store.errors import StoreError
from feedback_store.records import EMPTY_FILTER, ExampleFilter, NewFeedback
from feedback_store.store import Store
from tests.feedback_store import records


def _add(store: Store, *asked: str, **changes: object) -> list[int]:
    ids = store.add_examples([records.example(text, **changes) for text in asked])
    assert None not in ids
    return [id_ for id_ in ids if id_ is not None]


def test_an_example_comes_back_as_it_was_added(store: Store) -> None:
    new = records.example(flags=(records.flag("long"),), repairs=("unescaped",), rejected="worse")
    (example_id,) = store.add_examples([new])
    assert example_id is not None
    example = store.get_example(example_id)
    assert example is not None
    assert {name: getattr(example, name) for name in new.__dataclass_fields__} == vars(new)
    assert (example.state, example.decided_by) == ("pending", None)


def test_an_equal_example_is_not_added_twice(store: Store) -> None:
    first = records.example()
    assert store.add_examples([first, first, records.example(purpose="regression")]) == [1, None, 2]
    assert store.add_examples([first]) == [None]


def test_deciding_counts_what_changed(store: Store) -> None:
    ids = _add(store, "a", "b")
    assert store.decide_examples([*ids, 99], state="accepted", decided_by="bob") == 2
    assert store.decide_examples(ids, state="accepted", decided_by="bob") == 0
    assert store.decide_examples(ids[:1], state="excluded", decided_by="bob") == 1
    assert store.count_examples_by("state") == {"accepted": 1, "excluded": 1}


def test_undo_goes_back_step_by_step_to_the_very_text(store: Store) -> None:
    (example_id,) = _add(store, "a", flags=(records.flag("long"),))
    before = store.get_example(example_id)
    store.decide_examples(
        [example_id], state="accepted", decided_by="bob", completion="{}", flags=(), repairs=("x",)
    )
    store.decide_examples([example_id], state="excluded", decided_by="bob")
    assert store.undo_decision([example_id]) == 1
    fixed = store.get_example(example_id)
    assert fixed is not None
    assert (fixed.state, fixed.completion, fixed.flags) == ("accepted", "{}", ())
    assert store.undo_decision([example_id]) == 1
    assert store.get_example(example_id) == before
    assert store.undo_decision([example_id]) == 0
    assert store.count_examples(ExampleFilter(flag="long")) == 1


def test_a_fix_that_repeats_another_example_is_refused(store: Store) -> None:
    _add(store, "a", completion="{}")
    (other,) = _add(store, "a")
    with pytest.raises(StoreError, match="Example 1 already says exactly this") as caught:
        store.decide_examples([other], state="accepted", decided_by="bob", completion="{}")
    assert caught.value.code == "duplicate_example"
    assert store.count_examples_by("state") == {"pending": 2}


def test_a_fixed_completion_is_found_by_its_new_words_only(store: Store) -> None:
    (example_id,) = _add(store, "a")
    store.decide_examples(
        [example_id], state="accepted", decided_by="bob", completion='{"recommend":"해변 청소"}'
    )
    assert store.count_examples(ExampleFilter(query="해변")) == 1
    assert store.count_examples(ExampleFilter(query="쓰레기")) == 0


def test_two_curators_never_hold_the_same_example(store: Store) -> None:
    first, second = _add(store, "a", "b")
    held = [store.claim_example(EMPTY_FILTER, curator=name) for name in ("ann", "bob", "cho")]
    assert [example and example.example_id for example in held] == [first, second, None]
    store.release_example(first, "bob")  # not bob's to give
    assert store.claim_example(curator="cho") is None
    store.release_example(first, "ann")
    assert store.claim_example(curator="cho") == held[0]


def test_a_held_example_comes_free_when_the_lease_ends_or_a_decision_is_made(store: Store) -> None:
    first, second = _add(store, "a", "b")
    store.claim_example(curator="ann", lease_s=-1)
    pending = ExampleFilter(state="pending")
    again = store.claim_example(pending, curator="bob")
    assert again
    assert again.example_id == first
    skipped = store.claim_example(pending, curator="bob", skip=[first])
    assert skipped
    assert skipped.example_id == second
    store.decide_examples([first], state="accepted", decided_by="bob")
    store.undo_decision([first])
    free = store.claim_example(pending, curator="cho")
    assert free
    assert free.example_id == first


def test_liked_examples_are_claimed_before_older_ones(store: Store) -> None:
    store.add_conversation(records.conversation())
    turn_id = store.add_turn(records.turn()).turn_id
    _add(store, "old")
    (liked,) = _add(store, "b", turn_id=turn_id)
    store.set_feedback(NewFeedback(turn_id=turn_id, person_id="ann", rating="like"))
    claimed = store.claim_example(curator="ann")
    assert claimed
    assert claimed.example_id == liked


def test_a_large_decision_is_made_whole(store: Store) -> None:
    ids = _add(store, *(str(number) for number in range(250)))
    assert store.decide_examples(iter(ids), state="accepted", decided_by="bob") == 250
    assert store.count_examples(ExampleFilter(state="accepted")) == 250


def test_one_example_is_held_unless_another_curator_has_it(store: Store) -> None:
    first, second = _add(store, "a", "b")
    assert store.hold_example(first, curator="ann") == store.get_example(first)
    assert store.hold_example(first, curator="bob") is None
    assert store.hold_example(99, curator="bob") is None
    assert store.held_by_others("bob") == {first}
    assert store.held_by_others("ann") == set()
    store.hold_example(second, curator="ann", lease_s=-1)
    assert store.hold_example(second, curator="bob")


def test_a_curator_undoes_only_what_they_decided(store: Store) -> None:
    (example_id,) = _add(store, "a")
    store.decide_examples([example_id], state="accepted", decided_by="ann")
    store.decide_examples([example_id], state="excluded", decided_by="bob")
    assert store.undo_decision([example_id], decided_by="ann") == 0
    assert store.undo_decision([example_id], decided_by="bob") == 1
    assert store.undo_decision([example_id], decided_by="ann") == 1


def test_what_was_accepted_since_is_counted_from_the_newest(store: Store) -> None:
    ids = _add(store, *"abcde")
    store.decide_examples(ids[:2], state="accepted", decided_by="ann")
    before = store.get_example(ids[1])
    assert before
    at = before.decided_at or ""
    time.sleep(0.002)
    store.decide_examples(ids[2:], state="accepted", decided_by="ann")
    store.decide_examples(ids[4:], state="excluded", decided_by="ann")
    assert store.count_accepted_since(at, limit=99) == 2
    assert store.count_accepted_since(at, limit=1) == 1
    assert store.count_accepted_since("", limit=99) == 4
