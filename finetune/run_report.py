"""The training process's own pen: every line that others read. Only the first of several
processes writes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune.job import (
    ALIVE_FILE,
    EVENTS_FILE,
    METRICS_FILE,
    RESULT_FILE,
    SAMPLES_FILE,
    write_json,
)
from finetune.run_files import append_line

_MARK_EVERY_S: Final = 1.0


class RunReport:
    """Writes into one run folder."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.is_writer = int(os.environ.get("RANK", "0")) == 0
        self._marked_at = float("-inf")

    def _append(self, name: str, values: Mapping[str, Any]) -> None:
        if self.is_writer:
            append_line(self.run_dir / name, values)

    def event(self, kind: str, message: str, **values: Any) -> None:
        """Something happened: a stable kind, a sentence, its figures."""
        self._append(EVENTS_FILE, {"kind": kind, "message": message, **values})

    def metrics(self, step: int, total_steps: int, values: Mapping[str, float]) -> None:
        """Figures of one step."""
        self._append(METRICS_FILE, {"step": step, "total_steps": total_steps, **values})

    def alive(self) -> None:
        """Another micro-batch is done; whoever watches sees it by the time of a file."""
        now = time.monotonic()
        if self.is_writer and now - self._marked_at >= _MARK_EVERY_S:
            self._marked_at = now
            with contextlib.suppress(OSError):  # a full disk ends the training elsewhere, or not
                (self.run_dir / ALIVE_FILE).touch()

    def sample(self, step: int, prompt: str, expected: str, answer: str) -> None:
        """One answer of the model in training."""
        values = {"step": step, "prompt": prompt, "expected": expected, "answer": answer}
        self._append(SAMPLES_FILE, values)

    def result(self, values: Mapping[str, Any]) -> None:
        """The end; nothing is written after it."""
        if self.is_writer:
            write_json(self.run_dir / RESULT_FILE, values)
