import pytest

from chatbot.recommendation import canonical, parse, to_dict, to_text
from feedback_store.records import ExampleFilter, NewFeedback, Rating
from feedback_store.store import Store
from finetune.checks import CheckSettings
from finetune.curate import (
    CollectResult,
    CurateError,
    accept_examples,
    collect_feedback,
    exclude_examples,
    fix_example,
    suggest_fix,
    undo_decision,
)
from tests.finetune.examples import (
    ANSWER,
    BETTER,
    add_conversation,
    add_turn,
    make_example,
    numbered_answer,
)

EVERYTHING = ExampleFilter(purpose=None)


def rate(store: Store, turn_id: int, rating: Rating | None, *, corrected: bool = False) -> None:
    correction = to_dict(BETTER) if corrected else None
    store.set_feedback(
        NewFeedback(turn_id=turn_id, person_id="person-1", rating=rating, correction=correction)
    )


def states(store: Store) -> list[tuple[str, str, str]]:
    """(purpose, state, completion's first sentence), oldest first."""
    found = store.find_examples(EVERYTHING, sort="oldest").items
    return [(e.purpose, e.state, parse(e.completion).recommend) for e in found]


@pytest.fixture
def turn_id(store: Store) -> int:
    add_conversation(store)
    return add_turn(store).turn_id


def test_a_liked_answer_becomes_a_pending_example(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    assert collect_feedback(store) == CollectResult(num_new=1, last_feedback_id=1)
    example = store.find_examples().items[0]
    assert (example.completion, example.rejected, example.flags) == (canonical(ANSWER), None, ())
    assert (example.state, example.turn_id, example.conversation_id) == ("pending", turn_id, "c1")


def test_a_correction_becomes_the_better_answer_of_a_pair(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "dislike", corrected=True)
    collect_feedback(store)
    example = store.find_examples().items[0]
    assert (example.completion, example.rejected) == (canonical(BETTER), canonical(ANSWER))
    assert example.original_text == canonical(ANSWER)


def test_in_a_text_project_a_correction_is_text(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "dislike", corrected=True)
    collect_feedback(store, settings=CheckSettings(answer_format="text"))
    (example,) = store.list_turn_examples(turn_id)
    assert example.completion == to_text(BETTER)


def test_a_dislike_without_correction_becomes_a_regression_case(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "dislike")
    assert collect_feedback(store).num_new == 1
    assert states(store) == [("regression", "pending", ANSWER.recommend)]


def test_without_consent_nothing_reaches_the_queue(store: Store) -> None:
    add_conversation(store, may_train=False)
    rate(store, add_turn(store).turn_id, "like")
    assert collect_feedback(store).num_without_consent == 1
    assert store.count_examples(EVERYTHING) == 0


def test_consent_given_later_brings_the_example_and_consent_withdrawn_takes_it_back(
    store: Store,
) -> None:
    add_conversation(store, may_train=False)
    rate(store, add_turn(store).turn_id, "like")
    collect_feedback(store)
    store.set_consent("person-1", kind="train", granted=True)
    assert collect_feedback(store).num_new == 1
    store.set_consent("person-1", kind="train", granted=False)
    assert collect_feedback(store).num_without_consent == 1
    assert states(store) == [("train", "excluded", ANSWER.recommend)]
    store.set_consent("person-1", kind="train", granted=True)
    assert collect_feedback(store).num_new == 1
    assert states(store) == [("train", "pending", ANSWER.recommend)]


def test_a_conversation_that_may_not_be_used_takes_its_pending_example_back(
    store: Store, turn_id: int
) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    store.update_conversation("c1", may_train=False)
    assert collect_feedback(store).num_without_consent == 1
    assert states(store) == [("train", "excluded", ANSWER.recommend)]


def test_collecting_again_changes_nothing(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    assert collect_feedback(store) == CollectResult(last_feedback_id=1)
    assert store.count_examples(EVERYTHING) == 1


def test_a_like_withdrawn_withdraws_the_pending_example_and_a_new_like_brings_it_back(
    store: Store, turn_id: int
) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    rate(store, turn_id, None)
    assert collect_feedback(store).num_withdrawn == 1
    assert states(store) == [("train", "excluded", ANSWER.recommend)]
    rate(store, turn_id, "like")
    assert collect_feedback(store).num_new == 1
    assert states(store) == [("train", "pending", ANSWER.recommend)]


def test_a_changed_mind_replaces_the_pending_example(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    rate(store, turn_id, "dislike")
    collect_feedback(store)
    rate(store, turn_id, "dislike", corrected=True)
    collect_feedback(store)
    assert [entry for entry in states(store) if entry[1] == "pending"] == [
        ("train", "pending", BETTER.recommend)
    ]


def test_an_accepted_example_stays_when_its_rating_goes(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    accept_examples(store, [1], curator="kim")
    rate(store, turn_id, None)
    assert collect_feedback(store).num_withdrawn == 0
    assert states(store) == [("train", "accepted", ANSWER.recommend)]


def test_what_a_curator_changed_is_not_collected_a_second_time(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    collect_feedback(store)
    fix_example(store, 1, canonical(BETTER), curator="kim")
    assert collect_feedback(store) == CollectResult(last_feedback_id=1)
    assert states(store) == [("train", "accepted", BETTER.recommend)]


@pytest.mark.parametrize("status", ["truncated", "refused", "stopped", "failed"])
def test_an_unfinished_answer_is_never_trained_on(store: Store, status: str) -> None:
    add_conversation(store)
    turn = add_turn(store, status=status, raw_text=canonical(ANSWER)[:50])
    rate(store, turn.turn_id, "like")
    assert collect_feedback(store).num_unusable == 1
    assert store.count_examples(EVERYTHING) == 0


def test_a_malformed_liked_answer_is_repaired_and_says_so(store: Store) -> None:
    add_conversation(store)
    raw = f"```json\n{canonical(ANSWER)}\n```"
    rate(store, add_turn(store, raw_text=raw).turn_id, "like")
    collect_feedback(store)
    example = store.find_examples().items[0]
    assert (example.completion, example.repairs) == (canonical(ANSWER), ("code_fence",))
    assert example.original_text == raw


def test_a_liked_answer_that_cannot_be_read_waits_for_a_person(store: Store) -> None:
    add_conversation(store)
    rate(store, add_turn(store, raw_text="텀블러를 쓰세요").turn_id, "like")
    collect_feedback(store)
    example = store.find_examples(ExampleFilter(flag="not_an_answer")).items[0]
    decision = accept_examples(store, [example.example_id], curator="kim")
    assert (decision.num_changed, decision.refused[0].example_id) == (0, example.example_id)
    with pytest.raises(CurateError) as error:
        fix_example(store, example.example_id, "그래도 텀블러", curator="kim")
    assert error.value.code == "not_an_answer"
    fixed = fix_example(store, example.example_id, canonical(ANSWER), curator="kim")
    assert (fixed.state, fixed.flags, fixed.decided_by) == ("accepted", (), "kim")


def test_equal_answers_of_two_turns_make_one_example(store: Store, turn_id: int) -> None:
    other = add_turn(store)
    rate(store, turn_id, "like")
    rate(store, other.turn_id, "like")
    result = collect_feedback(store)
    assert (result.num_new, result.num_known) == (1, 1)


def test_collecting_may_go_on_where_it_stopped(store: Store, turn_id: int) -> None:
    rate(store, turn_id, "like")
    last_id = collect_feedback(store).last_feedback_id
    other = add_turn(store, raw_text=canonical(numbered_answer(2)))
    rate(store, other.turn_id, "like")
    result = collect_feedback(store, after_feedback_id=last_id)
    assert (result.num_new, result.last_feedback_id) == (1, 2)


def test_decisions_can_be_undone(store: Store) -> None:
    store.add_examples([make_example()])
    assert exclude_examples(store, [1], curator="kim").num_changed == 1
    assert undo_decision(store, [1]).num_changed == 1
    assert accept_examples(store, [1], curator="kim").num_changed == 1
    assert states(store) == [("train", "accepted", ANSWER.recommend)]
    assert undo_decision(store, [1]).num_changed == 1
    assert states(store) == [("train", "pending", ANSWER.recommend)]


def test_a_missing_example_is_named(store: Store) -> None:
    with pytest.raises(CurateError, match="no example 7"):
        accept_examples(store, [7], curator="kim")


def test_a_fix_is_suggested_where_no_person_is_needed() -> None:
    numbered = canonical(ANSWER).replace("텀블러 들기", "5. 텀블러\\n들기")
    fix = suggest_fix(make_example(completion=numbered))
    assert fix is not None
    assert (fix.completion, fix.names) == (canonical(ANSWER), ("leading_number", "line_break"))


@pytest.mark.parametrize("completion", [canonical(ANSWER), "그냥 글"])
def test_no_fix_is_suggested_where_there_is_none(completion: str) -> None:
    assert suggest_fix(make_example(completion=completion)) is None
