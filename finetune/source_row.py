"""One row of a source file, as it was found there."""

from __future__ import annotations

import json
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


class RepeatedKey(ValueError):
    """An object has a key twice: two rows that grew together, or an answer that was replaced."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"the key {twice[:80]!r} comes twice")
    return made


# Of the values of a repeated key json would keep the last one, without a word.
DECODER: Final = json.JSONDecoder(object_pairs_hook=_make_object)


def tell_json_error(error: ValueError | RecursionError, start: int = 0) -> str:
    """What is wrong and where, counted from the start of the row and not of what was read."""
    message = getattr(error, "msg", None)
    if message is None:
        return str(error)
    return f"{message} at character {getattr(error, 'pos', start) - start + 1:,}"
