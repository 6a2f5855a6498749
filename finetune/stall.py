"""Whether a training does nothing at all any more: a deadlock, a device that never answers.

Seen from outside by its processor time, which grows with whatever it does. A step may take long,
so that lines that do not come say nothing.
"""

from __future__ import annotations

import time
from typing import Final

import psutil

PATIENCE_S: Final = 600.0
_LEAST_S: Final = 0.5  # of processor time; waiting for a file takes less in all the patience
_LOOK_EVERY_S: Final = 0.5
_ASLEEP_S: Final = 60.0


class StallWatch:
    """Follows one process and its children."""

    def __init__(self, pid: int, patience_s: float | None = None) -> None:
        self._pid = pid
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._used_s = 0.0
        self._changed_at = self._looked_at = time.monotonic()

    def is_stalled(self) -> bool:
        """Whether it did nothing for all the patience; a process that is gone is not stalled."""
        now = time.monotonic()
        since_s = now - self._looked_at
        if since_s < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        if since_s > _ASLEEP_S:  # the machine was, or nobody looked
            self._changed_at += since_s
        try:
            used_s = _processor_time(psutil.Process(self._pid))
        except psutil.Error:
            return False
        if abs(used_s - self._used_s) > _LEAST_S:
            self._used_s, self._changed_at = used_s, now
        return now - self._changed_at > self._patience_s


def _processor_time(process: psutil.Process) -> float:
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total
