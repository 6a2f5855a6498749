"""One row of a source file, as it was found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_ROW_CHARS: Final = 1 << 20


@dataclass(frozen=True)
class SourceRow:
    """One row of a file: its value, or the reason why it cannot be read. line counts from 1; place
    is what else finds the row where its line does not: the element of an array, the sheet.
    """

    line: int
    value: Any = None
    reason: str = ""
    code: str = "unreadable"  # of the reason
    place: str = ""


def tell_json_error(error: ValueError | RecursionError, start: int = 0) -> str:
    """What is wrong and where, counted from the start of the row and not of what was read."""
    message = getattr(error, "msg", None)
    if message is None:
        return str(error)
    return f"{message} at character {getattr(error, 'pos', start) - start + 1:,}"
