"""What does nothing is told from what takes long."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune import stall
from finetune.stall import ProgressWatch, StallWatch

IDLE = "import time; time.sleep(60)"
BUSY = "while True: pass"


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", request.param]) as started:
        yield started
        started.kill()


def look(watch: StallWatch, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if watch.is_stalled():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("process", [IDLE], indirect=True)
def test_a_process_that_does_nothing_stands_still(process: subprocess.Popen[bytes]) -> None:
    assert look(StallWatch(process.pid, patience_s=1.0), 5)
    process.kill()
    process.wait()
    assert not look(StallWatch(process.pid, patience_s=0.0), 1)  # gone is not still


@pytest.mark.parametrize("process", [BUSY], indirect=True)
def test_a_process_that_computes_does_not(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        stall, "_LEAST_S", 0.05
    )  # a busy machine gives it little in so short a time
    assert not look(StallWatch(process.pid, patience_s=2.0), 4)


@pytest.mark.parametrize("process", [IDLE], indirect=True)
def test_the_sleep_of_the_machine_is_not_counted(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = StallWatch(process.pid, patience_s=600.0)
    now = time.monotonic()
    monkeypatch.setattr(stall.time, "monotonic", lambda: now + 3600)
    assert not watch.is_stalled()
    for minute in range(1, 10):
        monkeypatch.setattr(stall.time, "monotonic", lambda at=minute: now + 3600 + 59 * at)
        assert not watch.is_stalled()
    monkeypatch.setattr(stall.time, "monotonic", lambda: now + 3600 + 59 * 10)
    assert not watch.is_stalled()
    monkeypatch.setattr(stall.time, "monotonic", lambda: now + 3600 + 59 * 11)
    assert watch.is_stalled()


class Later:
    """A clock that is set, and a file that changes with each mark."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.now = 10_000.0
        self.path = path
        monkeypatch.setattr(stall.time, "monotonic", lambda: self.now)

    def mark(self) -> None:
        self.path.touch()
        os.utime(self.path, (self.now, self.now))

    def is_stuck_within(self, watch: ProgressWatch, seconds: float) -> bool:
        until = self.now + seconds
        while self.now < until:
            self.now += 30
            if watch.is_stuck():
                return True
        return False


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Later:
    return Later(monkeypatch, tmp_path / "alive")


def test_marks_renew_the_patience_with_what_computes(later: Later, tmp_path: Path) -> None:
    watch = ProgressWatch([tmp_path / "metrics.jsonl", later.path])
    for _ in range(5):
        assert not later.is_stuck_within(watch, 3500)
        later.mark()
    later.now += 30
    assert not watch.is_stuck()
    assert watch.patience_s == pytest.approx(3600 + 10 * 3540, abs=60)


def test_what_never_marks_a_batch_is_stuck_after_an_hour(later: Later) -> None:
    watch = ProgressWatch([later.path])
    assert not later.is_stuck_within(watch, 3600)
    assert later.is_stuck_within(watch, 60)


def test_what_was_slow_all_along_is_given_longer(later: Later) -> None:
    watch = ProgressWatch([later.path])
    for _ in range(3):  # a quarter of an hour for each batch
        assert not later.is_stuck_within(watch, 900)
        later.mark()
    assert not later.is_stuck_within(watch, 3600 + 9000)
    assert later.is_stuck_within(watch, 600)


def test_neither_is_the_sleep_of_the_machine_taken_for_computing(later: Later) -> None:
    watch = ProgressWatch([later.path])
    assert not later.is_stuck_within(watch, 600)
    later.now += 8 * 3600
    assert not watch.is_stuck()
    assert not later.is_stuck_within(watch, 2900)
    assert later.is_stuck_within(watch, 200)
