"""A file whose columns have names of their own: what they hold, and a guess at which is which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from chatbot.themes import UnknownOption, find_option
from finetune.row_mapping import ColumnMapping, RowError, list_columns, map_row
from finetune.source_files import FormatError, iter_rows

NUM_ROWS: Final = 20  # looked at for the guess
NUM_SHOWN: Final = 3
_NUM_CHECKED: Final = 500  # rows in which a chosen column must be found
MAX_COLUMNS: Final = 60
_CELL_CHARS: Final = 160


@dataclass(frozen=True)
class ColumnPreview:
    """The columns of a file, the start of its first rows, and which column probably holds what."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    guess: ColumnMapping


def preview_columns(path: Path) -> ColumnPreview | None:
    """None where rows are understood without a mapping, or are no tables. Raises FormatError."""
    values = [row.value for row in islice(iter_rows(path), NUM_ROWS) if not row.reason]
    tables = [value for value in values if isinstance(value, Mapping) and value]
    if not tables or any(_is_understood(value) for value in tables):
        return None
    columns = tuple(dict.fromkeys(str(name) for table in tables for name in table))[:MAX_COLUMNS]
    texts = {name: [_to_text(table.get(name)) for table in tables] for name in columns}
    rows = tuple(
        {name: _to_text(table.get(name))[:_CELL_CHARS] for name in columns}
        for table in tables[:NUM_SHOWN]
    )
    return ColumnPreview(columns, rows, _guess(texts))


def check_columns(path: Path, columns: ColumnMapping) -> None:
    """Raises FormatError where no row at the start of the file has a chosen column."""
    values = [row.value for row in islice(iter_rows(path), _NUM_CHECKED) if not row.reason]
    tables = [value for value in values if isinstance(value, Mapping) and value]
    known = dict.fromkeys(str(name) for table in tables for name in table)
    missing = [name for name in list_columns(columns) if name not in known]
    if not tables or not missing:
        return
    where = "At the start " if len(values) == _NUM_CHECKED else ""
    has = f"{where}{path.name} has no column {_quote(missing)}."
    raise FormatError("missing_columns", f"{has} Its columns are {_quote(list(known))}.")


def _quote(names: list[str]) -> str:
    more = ", …" if len(names) > MAX_COLUMNS else ""
    return ", ".join(repr(name[:_CELL_CHARS]) for name in names[:MAX_COLUMNS]) + more


def _is_understood(value: Mapping[str, Any]) -> bool:
    """Whether it is a row, or one that says itself what it lacks."""
    try:
        map_row(value)
    except RowError as error:
        return error.code not in ("unknown_columns", "bad_messages")
    return True


def _to_text(value: Any) -> str:
    return "" if value is None else str(value)


def _guess(texts: Mapping[str, list[str]]) -> ColumnMapping:
    """The three choices by their values, the answer as the longest text, the prompt as the next."""
    chosen: dict[str, str] = {}
    for field in ("location", "work_type", "category"):
        found = next(
            (n for n, t in texts.items() if n not in chosen.values() and _fits(field, t)), ""
        )
        chosen[field] = found
    rest = [name for name in texts if name not in chosen.values()]
    rest.sort(key=lambda name: -sum(map(len, texts[name])))
    answer, prompt = (*rest, "", "")[:2]
    return ColumnMapping(prompt=(prompt,) if prompt else (), completion=answer, **chosen)


def _fits(field: str, texts: list[str]) -> bool:
    """Whether most values are options of the field."""
    filled = [text for text in texts if text.strip()]
    return bool(filled) and sum(_is_option(field, text) for text in filled) > len(filled) / 2


def _is_option(field: str, text: str) -> bool:
    try:
        find_option(field, text)
    except UnknownOption:
        return False
    return True
