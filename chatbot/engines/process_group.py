"""A child process with its own children: started as one group, ended as one group, and found again
after the app that started it was killed.

A group's file says which process led it and when that process began, so that a later process with
the same number is never taken for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_CLOCK_TOLERANCE_S = 5.0  # the start of a process is computed from a clock that may be adjusted
_POLL_S = 0.05


class ProcessGroup:
    """One running group. The leader's exit does not mean that its children are gone."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], log_path: Path, state_path: Path
    ) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._state_path = state_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_at = psutil.Process(self.pid).create_time()
        write_group(state_path, self.pid, self._started_at)

    @property
    def pid(self) -> int:
        """Process id of the leader, which is the id of the group too."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """The leader's exit code, or None while it runs."""
        return self._process.poll()

    def end(self, grace_s: float) -> None:
        """Ask the group to end, then end by force what is left of it. Blocks up to grace_s."""
        if self._process.poll() is None:
            _signal_group(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=grace_s)
        _kill_members(self.pid, self._started_at)
        self._process.wait()
        self._state_path.unlink(missing_ok=True)


def write_group(state_path: Path, pid: int, started_at: float) -> None:
    """Note which group runs, whole or not at all."""
    state_path.parent.mkdir(parents=True, exist_ok=True)
    state = {"pid": pid, "started_at": started_at}
    temporary = state_path.with_suffix(".new")
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(state_path)


def end_orphan_group(state_path: Path) -> list[int]:
    """End what an app that was killed left behind; returns the ids of the processes ended."""
    try:
        state = json.loads(state_path.read_text(encoding="utf-8"))
        group, started_at = int(state["pid"]), float(state["started_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    pids = _kill_members(group, started_at)
    state_path.unlink(missing_ok=True)
    return pids


def _kill_members(group: int, started_at: float) -> list[int]:
    """End by force what is left of the group, and return when it is gone."""
    pids = _members(group, started_at)
    if pids:
        _signal_group(group, signal.SIGKILL)
        _wait_gone(pids)
    return pids


def _members(group: int, started_at: float) -> list[int]:
    """Processes of the group, or none when its number now belongs to someone else."""
    try:
        leader_started_at = psutil.Process(group).create_time()
    except psutil.Error:
        leader_started_at = None
    if leader_started_at and abs(leader_started_at - started_at) > _CLOCK_TOLERANCE_S:
        return []
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            began_later = process.create_time() > started_at - _CLOCK_TOLERANCE_S
            if os.getpgid(process.pid) == group and began_later:
                pids.append(process.pid)
    return pids


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wait_gone(pids: Sequence[int], timeout_s: float = 10.0) -> None:
    """A process ended by force still holds its memory and its port for a moment."""
    deadline = time.monotonic() + timeout_s
    while any(_is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
