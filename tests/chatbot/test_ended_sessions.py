import logging
import stat
from pathlib import Path

import pytest

from chatbot import ended_sessions
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


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{", '{"a": 1}', '{"mark": ""}', '{"mark": "", "until": {"a": "soon"}}', "\x00"],
)
def test_a_list_that_cannot_be_read_marks_every_life_from_then_on(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ended.json"
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        first = EndedSessions(path)
    assert "must log in anew" in caplog.text
    assert first.mark != ""
    first.add("a", 60.0)
    second = EndedSessions(path)
    assert (second.mark, "a" in second) == (first.mark, True)
    path.write_text(content)
    assert EndedSessions(path).mark not in ("", first.mark)


def test_a_mark_that_cannot_be_kept_marks_this_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ended.json"
    path.write_text("{")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as full, caplog.at_level(logging.WARNING):
        full.setattr(ended_sessions.tempfile, "mkstemp", refuse)
        first = EndedSessions(path)
    assert "after the next start" in caplog.text
    assert EndedSessions(path).mark not in ("", first.mark)


def test_a_logout_counts_although_the_disk_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = EndedSessions(tmp_path / "missing" / "ended.json")
    ended.add("a", 60.0)
    assert "a" in ended
    assert "could not be kept" in caplog.text
