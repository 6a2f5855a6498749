"""Text at the boundary: stored safely, or refused with a sentence."""

import contextlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store.errors import RefusedText, StoreError
from feedback_store.store import Store
from feedback_store.text import MAX_MESSAGE, MAX_TEXT, check_text, clean_text, to_json
from tests.feedback_store import records

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(text=st.text(st.characters()))
def test_clean_text_can_be_encoded_and_stays_clean(text: str) -> None:
    cleaned = clean_text(text)
    assert "\0" not in cleaned.encode().decode()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean_text(cleaned) == cleaned


@given(value=json_values)
def test_json_is_clean_and_reads_back_or_is_refused(value: Any) -> None:
    with contextlib.suppress(RefusedText):
        text = to_json("flags", value)
        assert to_json("flags", json.loads(text)) == text
        assert "\0" not in str(json.loads(text))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("user_text", "가" * (MAX_MESSAGE + 1), "8,001 characters"),
        ("raw_text", "가" * MAX_TEXT, "196,608 bytes"),
        ("person_id", "", "1 to 200"),
        ("person_id", "a" * 201, "1 to 200"),
        ("person_id", "a\0", "without NUL"),
    ],
)
def test_text_over_its_limit_is_refused_with_the_field(name: str, value: str, reason: str) -> None:
    with pytest.raises(RefusedText, match=reason) as caught:
        check_text(name, value)
    assert name in str(caught.value)
    assert caught.value.code == "refused_text"


def test_a_text_at_its_limit_is_stored_whole(store: Store) -> None:
    store.add_conversation(records.conversation())
    turn = store.add_turn(records.turn(user_text="가" * MAX_MESSAGE, raw_text="x" * MAX_TEXT))
    assert store.get_turn(turn.turn_id) == turn


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(RefusedText, match="no JSON"):
        to_json("sampling", {"a": value})


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.text(st.characters(), max_size=5), number=st.integers())
def test_lookups_with_any_key_find_nothing_or_say_why(store: Store, key: str, number: int) -> None:
    for look_up in (
        lambda: store.get_conversation(key),
        lambda: store.list_conversations("ann", query=key) or None,
        lambda: store.get_turn(number),
    ):
        try:
            found = look_up()
        except StoreError as error:
            found = None if error.code == "refused_value" else error
        assert found is None
