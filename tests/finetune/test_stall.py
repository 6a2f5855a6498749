"""What does nothing is told from what takes long."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from finetune import stall
from finetune.stall import StallWatch

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
def test_a_process_that_computes_does_not(process: subprocess.Popen[bytes]) -> None:
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
