import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.lenient_json import TooTangled, read_all

texts = st.text(max_size=20)
values = st.fixed_dictionaries(
    {
        "recommend": texts,
        "challenges": st.lists(
            st.fixed_dictionaries({"title": texts, "description": texts}), max_size=3
        ),
    }
)


@given(values)
def test_valid_json_is_among_its_readings(value: dict[str, object]) -> None:
    assert value in [reading.value for reading in read_all(json.dumps(value))]


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        (
            "{'recommend': 'it's me', }",
            {"recommend": "it's me"},
            "single_quotes unescaped_quotes trailing_comma",
        ),
        ('{recommend: "가"}', {"recommend": "가"}, "bare_keys"),
        ("{“recommend”: “가 ‘나’”}", {"recommend": "가 ‘나’"}, "smart_quotes"),
        ('{"recommend": "그는 "네" 했다"}', {"recommend": '그는 "네" 했다'}, "unescaped_quotes"),
        ('{"recommend": "가\n나"}', {"recommend": "가\n나"}, "raw_newlines"),
        ('{"recommend": "\\ud83c\\udf31\\x41"}', {"recommend": "🌱A"}, ""),
        ('{"text": {"recommend": "가", "challenges": [],},}', None, "trailing_comma"),
    ],
)
def test_what_is_not_json_is_read_and_named(
    text: str, value: dict[str, object] | None, repairs: str
) -> None:
    [reading] = read_all(text)
    assert reading.repairs == set(repairs.split())
    assert reading.value == (value or {"text": {"recommend": "가", "challenges": []}})


def test_a_text_that_can_be_read_in_two_ways_gives_both() -> None:
    readings = read_all("{'recommend': 'a', 'text': 'b'}")
    assert [reading.value for reading in readings] == [
        {"recommend": "a", "text": "b"},
        {"recommend": "a', 'text': 'b"},
    ]


@pytest.mark.parametrize(
    "text", ["", "{", '{"recommend"}', '{"other": "a"}', '{"recommend": 1}', '{"recommend": "\\q"}']
)
def test_what_is_no_answer_gives_nothing(text: str) -> None:
    assert read_all(text) == []


def test_a_hopeless_tangle_is_given_up_quickly() -> None:
    with pytest.raises(TooTangled):
        read_all('{"recommend":"' + '",' * 50_000)
