"""Files of training data, row by row and in flat memory: JSON, JSONL, CSV, TSV, XLSX, Parquet.

A row that cannot be read comes out as a reason; none is lost.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from zipfile import BadZipFile

from finetune.encodings import decode_mixed, detect_encoding
from finetune.json_stream import ARRAY_START, ValueStream
from finetune.source_row import DECODER, MAX_ROW_CHARS, SourceRow, tell_json_error

_BLANK: Final = "blank_row"


class FormatError(ValueError):
    """The file cannot be read at all. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def _open_text(path: Path) -> Iterator[tuple[TextIO, bool]]:
    """The file as text, and whether its lines differ in encoding."""
    encoding = detect_encoding(path)
    is_mixed = encoding is None
    errors = "surrogateescape" if is_mixed else "strict"
    with path.open(encoding=encoding or "utf-8-sig", errors=errors, newline="") as file:
        yield file, is_mixed


def _decode_line(line: str) -> str:
    """A line of a file with mixed encodings; raises UnicodeDecodeError."""
    return line if line.isprintable() or not _has_raw_bytes(line) else decode_mixed(line)


def _has_raw_bytes(line: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in line)


def _read_lines(file: TextIO) -> Iterator[tuple[int, str | None]]:
    """Numbered lines; None for one that is too long."""
    number = 0
    while line := file.readline(MAX_ROW_CHARS):
        number += 1
        if len(line) < MAX_ROW_CHARS or line.endswith("\n"):
            yield number, line
            continue
        while line and not line.endswith("\n"):
            line = file.readline(MAX_ROW_CHARS)
        yield number, None


def _iter_jsonl(path: Path) -> Iterator[SourceRow]:
    with _open_text(path) as (file, is_mixed):
        for number, line in _read_lines(file):
            if line is None:
                yield SourceRow(number, reason=f"The line is longer than {MAX_ROW_CHARS:,}.")
            elif line.strip():
                yield _parse_line(number, line, is_mixed)


def _parse_line(number: int, line: str, is_mixed: bool) -> SourceRow:
    try:
        return SourceRow(number, DECODER.decode(_decode_line(line) if is_mixed else line))
    except UnicodeDecodeError:
        return SourceRow(number, reason="The line is neither UTF-8 nor CP949.")
    except (ValueError, RecursionError) as error:
        return SourceRow(number, reason=f"The line cannot be read: {tell_json_error(error)}.")


def _is_jsonl(path: Path) -> bool:
    with _open_text(path) as (file, _):
        first = next((line for _, line in _read_lines(file) if line is None or line.strip()), None)
    if first is None or ARRAY_START.match(first):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _iter_json(path: Path) -> Iterator[SourceRow]:
    if _is_jsonl(path):
        yield from _iter_jsonl(path)
        return
    with _open_text(path) as (file, is_mixed):
        if is_mixed:
            raise FormatError(
                "bad_encoding",
                f"{path.name} is neither UTF-8 nor CP949 throughout. Save it as UTF-8.",
            )
        yield from ValueStream(file)


def _find_delimiter(header: str, suffix: str) -> str:
    if suffix == ".tsv":
        return "\t"
    return max(",\t;|", key=lambda mark: (header.count(mark), mark == ","))


def _iter_csv(path: Path) -> Iterator[SourceRow]:
    csv.field_size_limit(MAX_ROW_CHARS)
    with _open_text(path) as (file, is_mixed):
        first = file.readline(MAX_ROW_CHARS)
        file.seek(0)
        reader = csv.reader(file, delimiter=_find_delimiter(first, path.suffix.lower()))
        header = [name.strip().lstrip("\ufeff") for name in next(reader, [])]
        if not any(header):
            raise FormatError("no_header", f"{path.name} has no first line with column names.")
        yield from _count_blank(_read_cells(reader, header, is_mixed))


def _read_cells(reader: Any, header: list[str], is_mixed: bool) -> Iterator[SourceRow]:
    while True:
        line = reader.line_num + 1
        try:
            yield _row_of_cells(line, header, next(reader), is_mixed)
        except StopIteration:
            return
        except csv.Error as error:
            yield SourceRow(line, reason=f"The row cannot be read: {error}.")


def _blank_row(line: int, place: str = "") -> SourceRow:
    return SourceRow(line, reason="The row is blank.", code=_BLANK, place=place)


def _count_blank(rows: Iterable[SourceRow]) -> Iterator[SourceRow]:
    """Blank rows between others are rows that say nothing; behind the last one they are none."""
    waiting: list[SourceRow] = []
    for row in rows:
        if row.code == _BLANK:
            waiting.append(row)
            continue
        yield from waiting
        waiting.clear()
        yield row


def _row_of_cells(line: int, header: list[str], cells: list[str], is_mixed: bool) -> SourceRow:
    if not any(cell.strip() for cell in cells):
        return _blank_row(line)
    if len(cells) != len(header):
        reason = f"The row has {len(cells)} columns, but the header has {len(header)}."
        return SourceRow(line, reason=reason)
    try:
        decoded = [_decode_line(cell) for cell in cells] if is_mixed else cells
    except UnicodeDecodeError:
        return SourceRow(line, reason="The row is neither UTF-8 nor CP949.")
    return SourceRow(line, dict(zip(header, decoded, strict=True)))


def _iter_xlsx(path: Path) -> Iterator[SourceRow]:
    from openpyxl import load_workbook  # needed by few people, and slow to import

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise FormatError("unreadable", f"{path.name} is no readable XLSX: {error}.") from error
    try:
        is_alone = len(book.worksheets) == 1
        for sheet in book.worksheets:
            place = "" if is_alone else f"sheet {sheet.title}"
            yield from _count_blank(_read_sheet(sheet.iter_rows(values_only=True), place))
    finally:
        book.close()


def _read_sheet(rows: Iterator[tuple[Any, ...]], place: str) -> Iterator[SourceRow]:
    header = ["" if name is None else str(name).strip() for name in next(rows, ())]
    for line, cells in enumerate(rows, 2):
        texts = ["" if cell is None else str(cell) for cell in cells]
        if any(text.strip() for text in texts):
            yield SourceRow(line, dict(zip(header, texts, strict=False)), place=place)
        else:
            yield _blank_row(line, place)


def _iter_parquet(path: Path) -> Iterator[SourceRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise FormatError("unreadable", f"{path.name} is no readable Parquet: {error}.") from error
    with file:
        values: Iterable[Any] = (
            value for batch in file.iter_batches(batch_size=512) for value in batch.to_pylist()
        )
        for number, value in enumerate(values, 1):
            yield SourceRow(number, value)


_READERS: Final[Mapping[str, Callable[[Path], Iterator[SourceRow]]]] = {
    ".json": _iter_json,
    ".jsonl": _iter_jsonl,
    ".ndjson": _iter_jsonl,
    ".csv": _iter_csv,
    ".tsv": _iter_csv,
    ".xlsx": _iter_xlsx,
    ".parquet": _iter_parquet,
}
SUFFIXES: Final = tuple(_READERS)


def list_files(path: Path) -> list[Path]:
    """The file itself, or every readable file below the folder; raises FormatError."""
    if not path.exists():
        raise FormatError("no_such_file", f"There is no file or folder {path}.")
    if path.is_file():
        _find_reader(path)
        return [path]
    inside = (found for found in sorted(path.rglob("*")) if found.is_file())
    files = [
        found
        for found in inside
        if found.suffix.lower() in _READERS
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    ]
    if not files:
        raise FormatError("unknown_format", f"The folder {path.name} holds no readable file.")
    return files


def iter_rows(path: Path) -> Iterator[SourceRow]:
    """The rows of one file, in order; raises FormatError where there can be none."""
    return _find_reader(path)(path)


def _find_reader(path: Path) -> Callable[[Path], Iterator[SourceRow]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(SUFFIXES)
        raise FormatError("unknown_format", f"{path.name} is of no known kind; known are {known}.")
    return reader
