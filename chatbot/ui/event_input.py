"""What an event brought, read as what it should be: a browser sends what somebody made it send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from feedback_store.text import clean_text

_MAX_DIGITS: Final = 18  # more do not fit a row number of SQLite


def to_text(value: object) -> str:
    """The text; empty for anything else. What cannot be stored or sought is replaced."""
    return clean_text(value) if isinstance(value, str) else ""


def read_text(data: Mapping[str, Any], name: str) -> str:
    """The text under this name; empty where there is none."""
    return to_text(data.get(name))


def read_number(data: Mapping[str, Any], name: str) -> int | None:
    """The number of a row, as a button names it; None for anything else."""
    named = str(data.get(name, ""))
    is_number = named.isascii() and named.isdecimal() and len(named) <= _MAX_DIGITS
    return int(named) if is_number else None


def read_form(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form; none where there is no form."""
    form = data.get("form")
    return dict(form) if isinstance(form, dict) else {}
