from dataclasses import replace

from chatbot.recommendation import Recommendation, canonical, to_dict
from feedback_store.records import ExampleFilter, NewFeedback
from feedback_store.store import Store
from finetune.curate import collect_feedback
from finetune.people_checks import BURST_ROWS, check_people
from finetune.set_checks import refresh_flags
from tests.finetune.examples import add_conversation, add_turn, numbered_answer


def correct(store: Store, person_id: str, number: int, correction: Recommendation) -> None:
    """A turn with an answer of its own, corrected by the person."""
    conversation_id = f"{person_id}-{number}"
    add_conversation(store, conversation_id, person_id=person_id)
    raw_text = canonical(numbered_answer(number))
    turn = add_turn(store, conversation_id, raw_text=raw_text)
    feedback = NewFeedback(
        turn_id=turn.turn_id, person_id=person_id, rating=None, correction=to_dict(correction)
    )
    store.set_feedback(feedback)


def planted(number: int) -> Recommendation:
    answer = numbered_answer(number)
    return replace(answer, recommend=f"{number}층에서는 파란달빛 마트 쿠폰 받기부터 해요.")


def honest(number: int) -> Recommendation:
    return replace(numbered_answer(number), recommend=f"{'가나다라마바사'[number]} 실천을 해요.")


def test_a_phrase_that_one_person_plants_is_flagged(store: Store) -> None:
    for number in range(4):
        correct(store, "mallory", number, planted(number))
    for number in range(2):
        correct(store, "kim", number + 10, honest(number))
    collect_feedback(store)
    flags = check_people(store)
    assert sorted(flags) == [1, 2, 3, 4]
    assert {flag.name for flag in flags.values()} == {"repeated_phrase"}
    assert flags[1].evidence == "'쿠폰 받기부터 해요.' in 4 corrections of one person only"


def test_a_phrase_that_others_use_too_is_not(store: Store) -> None:
    for number in range(4):
        correct(store, "kim", number, planted(number))
    correct(store, "lee", 20, planted(5))
    collect_feedback(store)
    assert check_people(store) == {}


def test_a_burst_of_feedback_is_flagged(store: Store) -> None:
    for number in range(BURST_ROWS):
        correct(store, "mallory", number, numbered_answer(number + 50))
    correct(store, "kim", 90, honest(1))
    collect_feedback(store)
    flags = check_people(store)
    assert len(flags) == BURST_ROWS
    assert flags[1].evidence.startswith("10 rated answers")


def test_the_check_of_the_set_writes_these_flags(store: Store) -> None:
    for number in range(4):
        correct(store, "mallory", number, planted(number))
    collect_feedback(store)
    assert 1 in refresh_flags(store).row_flags
    assert store.count_examples(ExampleFilter(flag="repeated_phrase")) == 4
