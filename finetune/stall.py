"""Whether a training does nothing at all any more (a deadlock, a device that never answers), or
computes for ever and gets nowhere. Seen from outside, by two signs.

Its processor time grows with whatever it does: a process that needs none for ten minutes has
stopped. And it marks every micro-batch: where neither a mark nor a line comes for an hour and ten
times the longest pause so far, no batch will end any more. A large model on a slow processor may
need a quarter of an hour for each, and long for its first answers; that is why the pauses count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

PATIENCE_S: Final = 600.0
QUIET_S: Final = 3600.0
_TIMES_LONGEST: Final = 10
_LEAST_S: Final = 0.5  # of processor time; waiting for a file takes less in all the patience
_LOOK_EVERY_S: Final = 0.5
_ASLEEP_S: Final = 60.0


class _Pause:
    """How long nothing has changed, but for the time that the machine was asleep."""

    def __init__(self) -> None:
        self._changed_at = self._looked_at = time.monotonic()

    def is_time_to_look(self) -> bool:
        """Whether the last look was long enough ago."""
        now = time.monotonic()
        since_s = now - self._looked_at
        if since_s < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        if since_s > _ASLEEP_S:  # the machine was, or nobody looked
            self._changed_at += since_s
        return True

    @property
    def lasts_s(self) -> float:
        """At the last look."""
        return self._looked_at - self._changed_at

    def end(self) -> None:
        """Something has changed."""
        self._changed_at = self._looked_at


class StallWatch:
    """Follows one process and its children."""

    def __init__(self, pid: int, patience_s: float | None = None) -> None:
        self._pid = pid
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._used_s = 0.0
        self._pause = _Pause()

    def is_stalled(self) -> bool:
        """Whether it did nothing for all the patience; a process that is gone is not stalled."""
        if not self._pause.is_time_to_look():
            return False
        try:
            used_s = _processor_time(psutil.Process(self._pid))
        except psutil.Error:
            return False
        if abs(used_s - self._used_s) > _LEAST_S:
            self._used_s = used_s
            self._pause.end()
        return self._pause.lasts_s > self._patience_s


class ProgressWatch:
    """Follows the files that a training writes."""

    def __init__(self, files: Sequence[Path], quiet_s: float | None = None) -> None:
        self._files = files
        self._quiet_s = QUIET_S if quiet_s is None else quiet_s
        self._longest_s = 0.0
        self._seen = _list_states(files)
        self._pause = _Pause()

    @property
    def patience_s(self) -> float:
        """How long no file may change."""
        return self._quiet_s + _TIMES_LONGEST * self._longest_s

    def is_stuck(self) -> bool:
        """Whether none changed for all the patience."""
        if not self._pause.is_time_to_look():
            return False
        found = _list_states(self._files)
        if found != self._seen:
            self._seen = found
            self._longest_s = max(self._longest_s, self._pause.lasts_s)
            self._pause.end()
        return self._pause.lasts_s > self.patience_s


def _list_states(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    states: list[tuple[int, int] | None] = []
    for path in files:
        try:
            found = path.stat()
        except OSError:
            states.append(None)
        else:
            states.append((found.st_mtime_ns, found.st_size))
    return states


def _processor_time(process: psutil.Process) -> float:
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total
