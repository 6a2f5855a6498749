import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chatbot.engines.process_group import ProcessGroup, end_orphan_group

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def test_a_group_is_noted_while_it_runs_and_its_output_is_logged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('hello'); import time; time.sleep(60)"]
    group = ProcessGroup(command, os.environ, tmp_path / "log" / "l.txt", tmp_path / "state")
    assert json.loads((tmp_path / "state").read_text())["pid"] == group.pid
    assert group.exit_code() is None
    group.end(grace_s=5)
    assert not psutil.pid_exists(group.pid)
    assert not (tmp_path / "state").exists()


def test_an_exit_is_seen(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    group = ProcessGroup(command, os.environ, tmp_path / "log", tmp_path / "state")
    group._process.wait(10)
    assert group.exit_code() == 3
    group.end(grace_s=0)


def test_a_process_that_got_the_number_later_is_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    started_at = psutil.Process(stranger.pid).create_time() - 3600
    (tmp_path / "state").write_text(json.dumps({"pid": stranger.pid, "started_at": started_at}))
    assert end_orphan_group(tmp_path / "state") == []
    assert stranger.poll() is None


def test_an_orphan_is_ended(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    started_at = psutil.Process(stranger.pid).create_time()
    (tmp_path / "state").write_text(json.dumps({"pid": stranger.pid, "started_at": started_at}))
    assert end_orphan_group(tmp_path / "state") == [stranger.pid]
    assert stranger.wait(5) == -9


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_broken_note_is_no_orphan(text: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_text(text)
    assert end_orphan_group(tmp_path / "state") == []
