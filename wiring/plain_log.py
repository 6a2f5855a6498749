"""Log lines in which nothing that people or models wrote can pass for another line, or for an order
to the terminal.
"""

from __future__ import annotations

import logging
import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _show(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


class PlainFormatter(logging.Formatter):
    """Shows control characters as their codes; a trace keeps its lines, each one indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """One line."""
        record.message = _CONTROL.sub(_show, record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802  logging's name
        """A trace, whose message may hold anything."""
        trace = _CONTROL_BUT_LINES.sub(_show, super().formatException(ei))  # type: ignore[arg-type]
        return "\n".join(f"  {line}" for line in trace.split("\n"))


def set_up_logging() -> None:
    """Warnings to the terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # kernels that a CPU does not need
