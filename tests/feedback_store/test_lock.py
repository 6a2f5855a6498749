"""One process per data folder, and everybody can see which."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback_store.errors import Locked
from feedback_store.lock import DataDirLock, read_owner

HOLD = """
import sys, time
from pathlib import Path
from feedback_store.lock import DataDirLock
lock = DataDirLock(Path(sys.argv[1]), "holder")
print("held", flush=True)
time.sleep(60)
"""


def test_another_process_is_refused_until_the_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        owner = read_owner(tmp_path)
        assert owner
        assert (owner["pid"], owner["name"]) == (holder.pid, "holder")
        start = time.monotonic()
        with pytest.raises(Locked, match=rf"in use by holder \(pid {holder.pid}\)"):
            DataDirLock(tmp_path, "second")
        assert time.monotonic() - start < 1
        os.kill(holder.pid, signal.SIGKILL)
    assert read_owner(tmp_path) is None
    DataDirLock(tmp_path, "second").release()


def test_looking_for_the_owner_never_hides_or_invents_one(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path, "me")
    with ThreadPoolExecutor(8) as pool:
        assert None not in list(pool.map(lambda _: read_owner(tmp_path), range(200)))
        lock.release()
        assert set(pool.map(lambda _: read_owner(tmp_path), range(200))) == {None}


def test_whoever_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """A look that a busy machine holds up for a second: the folder is free all the same."""
    path = tmp_path / "app.lock"
    path.touch()
    with path.open("r+b") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(1.0, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        assert read_owner(tmp_path) is None
        DataDirLock(tmp_path, "opener").release()
        timer.join()


def test_what_is_added_about_the_owner_replaces_what_was_longer(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path, "me")
    lock.describe(url="http://a-very-long-address.example:7860/", control_token="secret")
    lock.describe(url="", control_token="")
    owner = read_owner(tmp_path)
    assert owner
    assert (owner["url"], owner["name"]) == ("", "me")
    lock.release()
    assert (tmp_path / "app.lock").stat().st_mode & 0o77 == 0
