"""CSV for spreadsheets, in which nothing that people wrote becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

# What Excel, LibreOffice and Google Sheets take for the beginning of a formula; blanks before it
# are skipped by some of them, and the full-width forms are the same signs to them.
_FORMULA: Final = re.compile(r"^[\s\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠|%]|^[\t\r\n]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def neutralise(value: object) -> object:
    """The value as a spreadsheet should show it: text stays text."""
    if not isinstance(value, str):
        return value
    text = _CONTROL.sub("\ufffd", value)
    return f"'{text}" if _FORMULA.match(text) else text


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The whole file, with a byte order mark, by which Excel knows that it is UTF-8."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for row in rows:
        writer.writerow([neutralise(value) for value in row])
    return "\ufeff" + file.getvalue()
