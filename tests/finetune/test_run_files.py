"""Lines that one process writes and another reads while it does."""

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from finetune.run_files import LineReader, append_line, read_json, read_lines


def test_lines_come_back_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"step": 1, "loss": 0.5})
    [line] = read_lines(path)
    assert (line["step"], line["loss"]) == (1, 0.5)
    assert line["time"].endswith("Z")


def test_a_reader_gives_each_line_once_and_waits_for_the_end_of_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = LineReader(path)
    assert list(reader.read_new()) == []
    path.write_text('{"a": 1}\n{"b"')
    assert list(reader.read_new()) == [{"a": 1}]
    with path.open("a") as file:
        file.write(": 2}\nnonsense\n[3]\n")
    assert list(reader.read_new()) == [{"b": 2}]
    assert list(reader.read_new()) == []


def test_figures_that_are_not_finite_become_null(tmp_path: Path) -> None:
    append_line(tmp_path / "m", {"loss": math.nan})
    assert read_lines(tmp_path / "m")[0]["loss"] is None


@given(text=st.text(max_size=50))
def test_any_text_survives(tmp_path_factory: object, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "e"  # type: ignore[attr-defined]
    append_line(path, {"message": text})
    [line] = read_lines(path)
    assert isinstance(line["message"], str)


def test_a_missing_or_damaged_object_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None
    (tmp_path / "bad.json").write_text("{")
    assert read_json(tmp_path / "bad.json") is None
