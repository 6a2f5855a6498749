"""The one format: canonical out, strict in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.recommendation import (
    Challenge,
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    json_schema,
    parse,
    to_dict,
    to_text,
)

text = st.text(min_size=1, max_size=60).filter(str.strip)
recommendations = st.builds(
    Recommendation, text, st.tuples(*[st.builds(Challenge, text, text)] * 3)
)
GOOD = {"recommend": "좋아요", "challenges": [{"title": "가", "description": "나"}] * 3}


@given(recommendations)
def test_canonical_text_parses_back_to_itself(recommendation: Recommendation) -> None:
    assert parse(canonical(recommendation)) == recommendation


def test_canonical_is_compact_with_raw_hangul_and_ordered_keys() -> None:
    answer = from_dict({"challenges": GOOD["challenges"], "recommend": "좋아요"})
    assert canonical(answer).startswith('{"recommend":"좋아요","challenges":[{"title":"가","desc')


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], "wrong_type"),
        ({"recommend": "a"}, "missing_key"),
        ({**GOOD, "text": 1}, "extra_key"),
        ({**GOOD, "recommend": 5}, "wrong_type"),
        ({**GOOD, "recommend": "  "}, "empty_field"),
        ({**GOOD, "recommend": "가" * 301}, "too_long"),
        ({**GOOD, "challenges": {}}, "wrong_type"),
        ({**GOOD, "challenges": GOOD["challenges"][:2]}, "wrong_count"),
        ({**GOOD, "challenges": ["a", "b", "c"]}, "wrong_type"),
    ],
)
def test_each_fault_has_its_code(value: object, code: str) -> None:
    with pytest.raises(RecommendationError) as caught:
        from_dict(value)
    assert caught.value.code == code


@pytest.mark.parametrize("broken", ["", "안녕", '{"recommend"', "[" * 100_000, "```json\n{}\n```"])
def test_what_is_not_json_is_said_to_be_so(broken: str) -> None:
    with pytest.raises(RecommendationError) as caught:
        parse(broken)
    assert caught.value.code == "not_json"


def test_readable_text_has_numbers_and_real_line_breaks() -> None:
    assert to_text(from_dict(GOOD)) == "좋아요\n\n1. 가\n나\n\n2. 가\n나\n\n3. 가\n나"


def test_the_schema_names_the_keys_in_canonical_order() -> None:
    schema = json_schema()
    assert list(schema["properties"]) == list(to_dict(from_dict(GOOD)))
    assert json.dumps(schema)
