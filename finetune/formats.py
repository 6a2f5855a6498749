"""Training files into the store: read, map, repair, check, add; what does not fit goes to a
rejects file with its line and the reason. The counts add up, and the same file adds nothing twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Final

from feedback_store.errors import StoreError
from feedback_store.store import Store
from finetune.column_preview import check_columns
from finetune.flags import Flag
from finetune.import_rows import Made, MadeExample, Reject, RowSettings, make_rows
from finetune.set_checks import refresh_flags
from finetune.source_files import FormatError, iter_rows, list_files
from finetune.source_row import SourceRow

_CHUNK: Final = 500  # rows that are worked on and added together
_MAX_IN_FLIGHT: Final = 4  # chunks per worker
_MIN_ROWS_FOR_WORKERS: Final = 4_000  # starting a process costs as much as reading so many
_NUM_TOLD: Final = 3  # rejected rows that the result names


DEFAULT_ROWS: Final = RowSettings()


@dataclass(frozen=True)
class ImportSettings:
    """How a file is read; num_workers 0 works in this process. check_set compares all examples with
    each other afterwards, which finds near-duplicates: about a minute and a half for a million.
    """

    rows: RowSettings = DEFAULT_ROWS
    num_workers: int = os.cpu_count() or 1
    check_set: bool = True


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is; is_comparing: all rows are in, and are compared with each other."""

    num_rows: int
    num_new: int
    num_known: int
    num_rejected: int
    is_comparing: bool = False


@dataclass(frozen=True)
class ImportResult:
    """What became of every row: num_rows is num_new + num_known + num_rejected. set_flags is what
    there is to say about all examples together.
    """

    num_rows: int
    num_new: int
    num_known: int  # the store had it already
    num_rejected: int
    num_flagged: int  # of the new ones, for themselves
    num_repaired: int
    kinds: dict[str, int]  # format → rows
    reasons: dict[str, int]  # reason of a rejection → rows
    rejects_path: Path | None
    first_rejects: tuple[str, ...] = ()  # sentences: where the row is and what is wrong with it
    first_lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by reason
    num_similar: int = 0  # of the new ones: nearly the same as another example
    set_flags: tuple[Flag, ...] = ()


def _chunks(path: Path) -> Iterator[list[SourceRow]]:
    rows = iter_rows(path)
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def make_chunks(
    path: Path, settings: ImportSettings, num_workers: int, limit: int | None = None
) -> Iterator[list[Made]]:
    """What becomes of the rows of a file (or of the first ones), in order; made here or by
    workers.
    """
    chunks = islice(_chunks(path), limit and limit // _CHUNK)
    if num_workers == 0:
        for chunk in chunks:
            yield make_rows(chunk, path.name, settings.rows)
        return
    context = multiprocessing.get_context("spawn")  # the app has threads: forking is not safe
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        waiting: deque[Future[list[Made]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(make_rows, chunk, path.name, settings.rows))
            if len(waiting) > _MAX_IN_FLIGHT * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _is_large(path: Path) -> bool:
    return sum(len(chunk) for chunk in islice(_chunks(path), _MIN_ROWS_FOR_WORKERS // _CHUNK)) >= (
        _MIN_ROWS_FOR_WORKERS
    )


class _RejectsFile:
    """Made when the first row is rejected."""

    def __init__(self, folder: Path, name: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self._path = folder / f"{name}-{stamp}.rejects.jsonl"
        self._file: IO[str] | None = None

    @property
    def path(self) -> Path | None:
        """Where it is, or None if nothing was rejected."""
        return self._path if self._file else None

    def write(self, file_name: str, reject: Reject) -> None:
        """Add one row."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", errors="replace")
        row = {
            "file": file_name,
            "line": reject.line,
            "place": reject.place,
            "code": reject.code,
            "reason": reject.message,
            "row": reject.excerpt,
        }
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Make it durable."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def _tell_reject(file_name: str, reject: Reject) -> str:
    line = f"line {reject.line:,}" if reject.line else ""
    return f"{', '.join(filter(None, (file_name, line, reject.place)))}: {reject.message}"


@dataclass
class _Import:
    """One import under way."""

    store: Store
    rejects: _RejectsFile
    num_rows: int = 0
    num_new: int = 0
    num_known: int = 0
    num_flagged: int = 0
    num_repaired: int = 0
    first_id: int | None = None  # of the new examples; the ids rise
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first_rejects: list[str] = field(default_factory=list)
    first_lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, file_name: str, made: list[Made]) -> None:
        """Take in the rows of one chunk."""
        good = [row for row in made if isinstance(row, MadeExample)]
        for row, example_id in self._store_rows(file_name, good):
            self.kinds[row.kind] += 1
            if example_id is not None:
                self.num_new += 1
                self.first_id = self.first_id or example_id
            self.num_known += example_id is None
            self.num_flagged += bool(row.example.flags) and example_id is not None
            self.num_repaired += bool(row.example.repairs) and example_id is not None
        for reject in made:
            if isinstance(reject, Reject):
                self.reject(file_name, reject)
        self.num_rows += len(made)

    def _store_rows(
        self, file_name: str, rows: list[MadeExample]
    ) -> list[tuple[MadeExample, int | None]]:
        """Rows with their ids; where the store refuses one, the others still get in."""
        try:
            ids = self.store.add_examples([row.example for row in rows]) if rows else []
            return list(zip(rows, ids, strict=True))
        except StoreError as error:
            if error.code != "refused_text":
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                halves = (rows[:half], rows[half:])
                return [pair for part in halves for pair in self._store_rows(file_name, part)]
            excerpt = rows[0].example.completion[:200]
            reject = Reject(rows[0].line, error.code, str(error), excerpt, rows[0].place)
            self.reject(file_name, reject)
            return []

    def reject(self, file_name: str, reject: Reject) -> None:
        """Keep a row that was refused."""
        self.reasons[reject.code] += 1
        self.rejects.write(file_name, reject)
        if len(self.first_rejects) < _NUM_TOLD:
            self.first_rejects.append(_tell_reject(file_name, reject))
        lines = self.first_lines.setdefault(reject.code, [])
        if reject.line and len(lines) < _NUM_TOLD and reject.line not in lines:
            lines.append(reject.line)

    def progress(self) -> ImportProgress:
        """How far it is."""
        return ImportProgress(self.num_rows, self.num_new, self.num_known, self.reasons.total())

    def result(self) -> ImportResult:
        """What became of every row."""
        return ImportResult(
            num_rows=self.num_rows,
            num_new=self.num_new,
            num_known=self.num_known,
            num_rejected=self.reasons.total(),
            num_flagged=self.num_flagged,
            num_repaired=self.num_repaired,
            kinds=dict(self.kinds),
            reasons=dict(self.reasons),
            rejects_path=self.rejects.path,
            first_rejects=tuple(self.first_rejects),
            first_lines={code: tuple(lines) for code, lines in self.first_lines.items()},
        )


def import_path(
    store: Store,
    path: Path,
    settings: ImportSettings | None = None,
    *,
    on_progress: Callable[[ImportProgress], None] | None = None,
) -> ImportResult:
    """Import a file or a folder of files as pending examples; raises FormatError where nothing can
    be read.
    """
    settings = settings or ImportSettings()
    with ExitStack() as stack:
        rejects = _RejectsFile(store.data_dir / "imports", path.stem)
        stack.callback(rejects.close)
        work = _Import(store, rejects)
        for file in list_files(path):
            try:
                _import_file(work, file, settings, on_progress)
            except FormatError as error:
                if file == path:
                    raise
                work.add(file.name, [Reject(0, error.code, str(error), "")])
    if work.num_rows == 0:
        raise FormatError("empty_file", f"{path.name} has no rows.")
    result = work.result()
    if work.first_id is None or not settings.check_set:
        return result
    if on_progress:
        on_progress(replace(work.progress(), is_comparing=True))
    report = refresh_flags(store, settings.rows.checks)
    num_similar = sum(example_id >= work.first_id for example_id in report.row_flags)
    return replace(result, num_similar=num_similar, set_flags=report.flags)


def _import_file(
    work: _Import,
    file: Path,
    settings: ImportSettings,
    on_progress: Callable[[ImportProgress], None] | None,
) -> None:
    if settings.rows.columns:
        check_columns(file, settings.rows.columns)
    num_workers = settings.num_workers if _is_large(file) else 0
    for made in make_chunks(file, settings, num_workers):
        work.add(file.name, made)
        if on_progress:
            on_progress(work.progress())
