"""The lines that a training process writes while it runs, and that others read while it does.

metrics.jsonl: {"time", "step", "total_steps", "<name>": value, …}
events.jsonl:  {"time", "kind", "message", …}
A line is written in one call, so that a reader sees whole lines, or one torn line at the end.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def current_time() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add one line with the time in front; figures that are not finite become null."""
    clean = {key: _finite(value) for key, value in values.items()}
    line = json.dumps({"time": current_time(), **clean}, ensure_ascii=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode("utf-8", "replace"))
    finally:
        os.close(handle)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class LineReader:
    """Reads a growing file of JSON lines; each call gives what came since the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read_new(self) -> Iterator[dict[str, Any]]:
        """Whole lines only; a torn one waits for its end, a damaged one is skipped."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Everything written so far."""
    return list(LineReader(path).read_new())


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's object; None where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
