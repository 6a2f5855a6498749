"""Files that are one JSON array, or one value after another."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import json_stream
from finetune.json_stream import ValueStream
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


@pytest.mark.parametrize(
    "broken",
    [
        '{"recommend": oops, ' + CHALLENGES + "}",
        '{"recommend": "no end, ' + CHALLENGES + "}",
        '{"recommend: 1, ' + CHALLENGES + "}",
        '{recommend": 1, ' + CHALLENGES + "}",
        '{"recommend": [1, ' + CHALLENGES + "}",
        '{"recommend": "two\nlines", ' + CHALLENGES + "}",
        "{'recommend': 'x', " + CHALLENGES + "}",
        "oops",
    ],
)
def test_lists_inside_a_broken_element_are_not_taken_for_elements(broken: str) -> None:
    good = '{"recommend": "a", ' + CHALLENGES + "}"
    rows = read(f"[{good}, {broken}, {good}, {good}]")
    assert [bool(row.reason) for row in rows] == [False, True, False, False]
    assert [row.place for row in rows] == [f"element {number}" for number in (1, 2, 3, 4)]


texts = st.text(st.sampled_from('가a "{}[],:\\\n1'), max_size=12)
elements = st.builds(
    lambda ask, titles: {"ask": ask, "answer": [{"title": title} for title in titles]},
    texts,
    st.lists(texts, max_size=3),
)


@settings(max_examples=100)
@given(st.lists(elements, min_size=3, max_size=6), st.data())
def test_a_lost_character_costs_no_other_element(rows: list[object], data: st.DataObject) -> None:
    written = [json.dumps(row, ensure_ascii=False) for row in rows]
    broken = data.draw(st.integers(1, len(rows) - 1))
    at = data.draw(st.integers(0, len(written[broken]) - 1))
    written[broken] = written[broken][:at] + written[broken][at + 1 :]
    found = [row.value for row in read("[" + ", ".join(written) + "]")]
    for number, row in enumerate(rows):
        assert number == broken or found.count(row) >= rows.count(row) - (row == rows[broken])


def test_nothing_behind_a_broken_first_element_is_lost() -> None:
    rows = read('[{a: "no end, "b": [{"c": 1}, {"c": 2}]}, {"a": 3}, {"a": 4}]')
    assert [row.value for row in rows if not row.reason][-2:] == [{"a": 3}, {"a": 4}]


def test_a_broken_element_may_be_longer_than_what_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in (("_CHUNK", 16), ("MAX_ROW_CHARS", 64), ("_OVERLAP", 32), ("_SCAN", 64)):
        monkeypatch.setattr(json_stream, name, size)
    long = '{"a": oops, "b": "' + "x" * 500 + '"}'
    rows = read(f'[{{"a": 1}}, {long}, {{"a": 2}}, {{"a": 3}}]')
    assert [row.value for row in rows] == [{"a": 1}, None, {"a": 2}, {"a": 3}]


def test_where_the_json_breaks_is_counted_from_the_start_of_its_element() -> None:
    first, second = read('[{"a": 1}, {"a": oops}]')
    assert (first.reason, second.line) == ("", 1)
    assert re.search(r"at character 7\.$", second.reason)
