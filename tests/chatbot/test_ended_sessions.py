import logging
import stat
from pathlib import Path

import pytest

from chatbot.ended_sessions import EndedSessions


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_ended_is_known_to_the_next_life_and_private(tmp_path: Path) -> None:
    path = tmp_path / "ended.json"
    EndedSessions(path).add("a", 60.0)
    again = EndedSessions(path)
    assert ("a" in again, "b" in again, again.mark) == (True, False, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_would_be_over_anyway_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    ended = EndedSessions(tmp_path / "ended.json", clock)
    ended.add("old", 60.0)
    clock.now += 61
    ended.add("new", 60.0)
    assert ("old" in ended, "new" in ended) == (False, True)
    assert "old" not in (tmp_path / "ended.json").read_text()


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": "soon"}', "\x00"])
def test_a_list_that_cannot_be_read_marks_a_new_life(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ended.json"
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        marks = {EndedSessions(path).mark for _ in range(2)}
    assert (len(marks), "" in marks) == (2, False)
    assert "must log in anew" in caplog.text


def test_a_logout_counts_although_the_disk_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = EndedSessions(tmp_path / "missing" / "ended.json")
    ended.add("a", 60.0)
    assert "a" in ended
    assert "could not be kept" in caplog.text
