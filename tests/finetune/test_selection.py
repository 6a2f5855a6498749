import pytest

from feedback_store.records import Example
from feedback_store.store import Store
from finetune.dataset import is_test, is_validation
from finetune.selection import DatasetSettings, Selection, make_dataset_settings
from tests.finetune.examples import add_conversation, add_turn, make_example, make_messages

SETTINGS = DatasetSettings(max_rows_per_person=2)


def stored(**changes: object) -> Example:
    fields = {**vars(make_example()), "decided_by": "kim", **changes}
    return Example(
        **fields,
        example_id=1,
        state="accepted",
        decided_at="2026-11-21T00:00:00.000Z",
        created_at="2026-11-21T00:00:00.000Z",
    )


def test_an_import_accepted_by_a_named_person_is_trained_on(store: Store) -> None:
    assert Selection(store, SETTINGS).refuse(stored()) is None
    assert Selection(store, SETTINGS).refuse(stored(decided_by=None)) == "no_named_approval"


def test_anonymous_chatters_are_capped_and_the_studio_is_not(store: Store) -> None:
    add_conversation(store, "public")
    add_conversation(store, "studio", origin="studio")
    selection = Selection(store, SETTINGS)
    public = stored(source="feedback", conversation_id="public", person_id="p")
    assert [selection.refuse(public) for _ in range(3)] == [None, None, "too_many_of_one_person"]
    studio = stored(source="feedback", conversation_id="studio", person_id="q")
    assert [selection.refuse(studio) for _ in range(3)] == [None, None, None]


def test_the_turn_of_a_regression_case_is_out_until_the_case_is_excluded(store: Store) -> None:
    add_conversation(store)
    turn = add_turn(store)
    ids = store.add_examples([make_example(purpose="regression", turn_id=turn.turn_id)])
    example = stored(source="feedback", conversation_id="c1", turn_id=turn.turn_id)
    assert Selection(store, SETTINGS).refuse(example) == "regression_case"
    store.decide_examples([i for i in ids if i], state="excluded", decided_by="kim")
    assert Selection(store, SETTINGS).refuse(example) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [("우리 탕비실에서 뭘 할까요?", "regression_case"), (make_messages()[1]["content"], None)],
)
def test_only_a_question_of_ones_own_is_kept_out(
    store: Store, content: str, reason: str | None
) -> None:
    asked = (*make_messages()[:1], {"role": "user", "content": content})
    store.add_examples([make_example(purpose="regression", messages=asked)])
    assert Selection(store, SETTINGS).refuse(stored(messages=asked)) == reason


def test_a_text_project_keeps_what_the_gate_compares_of_two_hundred_conversations() -> None:
    share = make_dataset_settings("text").validation_share
    talks = [f"talk-{number}" for number in range(2000)]
    kept = {talk for talk in talks if is_validation(talk, share)}
    num_asked = sum(map(is_test, kept))
    assert 24 * 0.9 <= num_asked / 10 <= 24 * 1.2
    fewer = make_dataset_settings("recommendation").validation_share
    assert {talk for talk in talks if is_validation(talk, fewer)} < kept
