from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import canonical, parse
from feedback_store.records import NewFeedback
from feedback_store.store import Store
from finetune.curate import collect_feedback
from finetune.dataset import freeze_dataset
from finetune.redaction import redact_answer, redact_example
from tests.finetune.examples import (
    ANSWER,
    add_conversation,
    add_turn,
    make_example,
    make_messages,
)

PHONE = "010-1234-5678"
ASKED = (*make_messages()[:1], {"role": "user", "content": f"제 번호는 {PHONE}인데 추천해 줘요"})


def test_what_holds_no_personal_data_is_the_very_same() -> None:
    example = make_example()
    assert redact_example(example) is example


@pytest.mark.slow  # starts Presidio, which takes seconds
def test_prompt_answer_and_pair_are_redacted_and_the_answer_stays_one() -> None:
    told = canonical(replace(ANSWER, recommend=f"{PHONE}로 연락해 주세요."))
    example = make_example(messages=ASKED, completion=told, original_text=told, rejected=told)
    redacted = redact_example(example)
    assert PHONE not in repr(redacted)
    assert parse(redacted.completion).recommend == "<PHONE_NUMBER>로 연락해 주세요."
    assert redacted.messages[1]["content"] == "제 번호는 <PHONE_NUMBER>인데 추천해 줘요"
    assert redacted.repairs == ("redacted",)
    assert redact_answer(f"그냥 {PHONE}") == "그냥 <PHONE_NUMBER>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "kept"),
    [("여권 M123A4567", "여권 <KR_PASSPORT>"), ("12 Elm Street, Apt 4", "<ADDRESS>")],
)
def test_what_has_few_digits_is_redacted_as_well(said: str, kept: str) -> None:
    example = make_example(messages=(*make_messages()[:1], {"role": "user", "content": said}))
    assert redact_example(example).messages[1]["content"] == kept


@pytest.mark.slow
def test_feedback_is_redacted_before_anyone_sees_it_in_the_queue(store: Store) -> None:
    add_conversation(store)
    turn = add_turn(store, messages=ASKED)
    store.set_feedback(NewFeedback(turn_id=turn.turn_id, person_id="person-1", rating="like"))
    collect_feedback(store)
    [example] = store.find_examples().items
    assert PHONE not in repr(example)
    assert "personal_data" not in [flag["name"] for flag in example.flags]


@pytest.mark.slow
def test_the_dataset_redacts_what_slipped_through(store: Store) -> None:
    store.add_examples([make_example(messages=ASKED)])
    store.decide_examples([1], state="accepted", decided_by="kim")
    dataset = freeze_dataset(store, store.data_dir)
    assert dataset.manifest["num_redacted"] == 1
    text = (Path(dataset.path) / "train.jsonl").read_text("utf-8")
    assert PHONE not in text
