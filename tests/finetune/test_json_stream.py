"""Files that are one JSON array, or one value after another."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import json_stream
from finetune.json_stream import UNREAD_LINE, UNREAD_REST, ValueStream
from finetune.source_files import iter_rows
from finetune.source_row import SourceRow

ROWS = [
    {"instruction": "질문 하나", "input": "", "output": '여러 줄\n"답"'},
    {"instruction": "둘, 쉼표", "input": "더", "output": "답 둘"},
    {"instruction": "셋", "input": "", "output": "답 셋\u2028 줄"},
]


def read(text: str) -> list[SourceRow]:
    return list(ValueStream(io.StringIO(text)))


@given(rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), min_size=1))
def test_a_json_array_streams_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.json"
    path.write_text(json.dumps(rows, indent=1))
    assert [row.value for row in iter_rows(path)] == rows


def test_values_across_the_borders_of_chunks_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 7)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS, ensure_ascii=False, indent=3))
    rows = list(iter_rows(path))
    assert [row.value for row in rows] == ROWS
    assert [row.line for row in rows] == [2, 7, 12]


def test_a_broken_object_in_an_array_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1},\n {"a": oops},\n {"a": 3}]')
    rows = list(iter_rows(path))
    assert [(row.line, row.value, bool(row.reason)) for row in rows] == [
        (1, {"a": 1}, False),
        (2, None, True),
        (3, {"a": 3}, False),
    ]


# An element of the kind that is imported most: it holds a list of objects itself.
CHALLENGES = '"challenges": [{"title": 1}, {"title": 2}, {"title": 3}]'
GOOD = '{"recommend": "a", ' + CHALLENGES + "}"
BROKEN = [
    '{"recommend": oops, ' + CHALLENGES + "}",
    '{"recommend": "no end, ' + CHALLENGES + "}",
    '{"recommend: 1, ' + CHALLENGES + "}",
    '{recommend": 1, ' + CHALLENGES + "}",
    '{"recommend": [1, ' + CHALLENGES + "}",
    '{"recommend": "two\nlines", ' + CHALLENGES + "}",
    '{"recommend": "a"}, ' + CHALLENGES + "}",
    '{"recommend": "a", "recommend": "b", ' + CHALLENGES + "}",
    "{'recommend': 'x', " + CHALLENGES + "}",
    '{"recommend": "{"recommend": "b"}", ' + CHALLENGES + "}",
    "oops",
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("around", ["[\n{}\n]", "[\n  {}\n]\n", '{{"data": [\n\t{}\n\t]}}'])
def test_a_broken_element_costs_only_itself_where_elements_begin_lines(
    around: str, broken: str
) -> None:
    indent = around.partition("{}")[0].rpartition("\n")[2].replace("{{", "{")
    rows = read(around.format(f",\n{indent}".join((GOOD, broken, GOOD, GOOD))))
    assert [bool(row.reason) for row in rows] == [False, True, False, False]
    assert [row.place for row in rows] == [f"element {number}" for number in (1, 2, 3, 4)]
    assert all(row.value in (None, json.loads(GOOD)) for row in rows)


@pytest.mark.parametrize("first", BROKEN)
@pytest.mark.parametrize("second", BROKEN[:-1])
def test_broken_elements_one_behind_the_other_cost_only_themselves(first: str, second: str) -> None:
    rows = read("[\n " + ",\n ".join((GOOD, first, second, GOOD)) + "\n]")
    assert [bool(row.reason) for row in rows] == [False, True, True, False]
    place = 2 + rows[1].reason.count("\n")
    assert rows[1].line == place + 1
    assert f"at line {rows[2].line}." in rows[1].reason
    assert not any(row.code == UNREAD_REST for row in rows)


@pytest.mark.parametrize("broken", BROKEN)
def test_on_one_line_the_rest_is_read_only_where_it_is_certain(broken: str) -> None:
    rows = read(f"[{GOOD}, {broken}, {GOOD}, {GOOD}]")
    assert rows[0].value == json.loads(GOOD)
    assert [row.value for row in rows if not row.reason] == [json.loads(GOOD)] * (len(rows) - 1)
    assert rows[1].reason
    assert len(rows) == (2 if rows[1].code == UNREAD_REST else 4)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("wrong", ['"ask": "no end,', "'ask': 1,", '"ask": oops,', "},"])
def test_elements_that_begin_where_the_one_before_ends_cost_only_themselves(
    number: int, wrong: str
) -> None:
    elements = [
        f'{{\n    "ask": "{name}",\n    "more": [{{"n": 1}}, {{"n": 2}}]\n  }}' for name in "abc"
    ]
    elements[number] = elements[number].replace(f'"ask": "{"abc"[number]}",', wrong)
    rows = read("[\n  " + ", ".join(elements) + "\n]")
    told = [row.value["ask"] if row.value else "" for row in rows]
    assert told == ["" if place == number else "abc"[place] for place in range(3)]


def test_where_elements_share_a_line_those_that_are_not_read_are_told() -> None:
    lost = '{"a": "b, "c": 1}'
    rows = read(f'[\n{{"a": 1}}, {{"a": 2,}}, {{"a": 3}}, {lost}, {{"a": 4}},\n{{"a": 5}}\n]')
    assert [row.value and row.value["a"] for row in rows] == [1, None, 3, None, 5]
    assert [row.code for row in rows if row.reason] == ["unreadable", UNREAD_LINE]


@pytest.mark.parametrize("broken", [BROKEN[0], BROKEN[2], BROKEN[7]])
def test_the_last_element_may_be_broken_too(broken: str) -> None:
    rows = read(f"[\n {GOOD},\n {broken}\n]")
    assert [(bool(row.reason), row.code) for row in rows] == [
        (False, "unreadable"),
        (True, "unreadable"),
    ]


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ('[{"a": 1}]\n[{"a": 2}]', [1, 2], ""),
        ('[{"a": 1}], {"a": 2}]', [1], "More text follows"),
        ('[{"a": 1},\n {"a": 2}\n', [1, 2], "cut off"),
        ('{"data": [{"a": 1}], "test": [{"a": 2}]}', [1], ""),
        (
            '{"data": [\n{"a": 1},\n{"a: 2},\n{"a": 3}\n], "test": [{"a": 4}]}',
            [1, 3],
            "cannot be read",
        ),
    ],
)
def test_what_follows_an_array_is_no_part_of_it(text: str, values: list[int], said: str) -> None:
    rows = read(text)
    assert [row.value["a"] for row in rows if not row.reason] == values
    assert said in "".join(row.reason for row in rows)
    assert bool(said) == any(row.reason for row in rows)


texts = st.text(st.sampled_from('가a "{}[],:\\\n1'), max_size=12)
elements = st.builds(
    lambda ask, titles: {"ask": ask, "answer": [{"ask": title} for title in titles]},
    texts,
    st.lists(texts, max_size=3),
)
marks = st.sampled_from(["", '"', "\\", "}", "]", "{", "[", ",", ":", "\n", "가"])


@settings(max_examples=200)
@given(st.lists(elements, min_size=2, max_size=6), marks, st.data())
def test_a_wrong_character_makes_no_row_and_costs_no_other(
    rows: list[object], mark: str, data: st.DataObject
) -> None:
    """One character is replaced by another, or lost."""
    written = [json.dumps(row, ensure_ascii=False) for row in rows]
    number = data.draw(st.integers(0, len(rows) - 1))
    at = data.draw(st.integers(0, len(written[number]) - 1))
    written[number] = written[number][:at] + mark + written[number][at + 1 :]
    others = [row for place, row in enumerate(rows) if place != number]
    lines = read("[\n" + ",\n".join(written) + "\n]")
    whole = [row.value for row in lines if not row.reason]
    is_ended = mark in tuple("]\n") and any(row.code == UNREAD_REST for row in lines)
    assert is_ended or all(whole.count(row) >= others.count(row) for row in others)
    assert len(whole) <= len(rows)
    one_line = read("[" + ", ".join(written) + "]")
    whole = [row.value for row in one_line if not row.reason]
    assert len(whole) <= len(rows)
    is_told = any(row.reason for row in one_line)
    assert is_told or all(whole.count(row) >= others.count(row) for row in others)


def test_a_broken_element_may_be_longer_than_what_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in (("_CHUNK", 16), ("MAX_ROW_CHARS", 64), ("_OVERLAP", 32), ("_SCAN", 64)):
        monkeypatch.setattr(json_stream, name, size)
    long = '{"a": oops, "b": "' + "x" * 500 + '"}'
    rows = read(f'[{{"a": 1}},\n{long},\n{{"a": 2}},\n{{"a": 3}}]')
    assert [row.value for row in rows] == [{"a": 1}, None, {"a": 2}, {"a": 3}]
    assert [row.line for row in rows] == [1, 2, 3, 4]


def test_where_the_json_breaks_is_counted_from_the_start_of_its_element() -> None:
    first, second = read('[{"a": 1}, {"a": oops}]')
    assert (first.reason, second.line) == ("", 1)
    assert re.search(r"at character 7\.$", second.reason)
