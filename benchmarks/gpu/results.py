"""What was measured, kept as JSON beside the report, so that several calls can fill it.

Each figure is written as soon as it is known: a section that is ended by its time limit loses only
the measurement it was at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.gpu.sections import Section, cells_of

RESULTS_FILE: Final = "gpu-report.json"
REPORT_FILE: Final = "gpu-report.md"
NOT_POSSIBLE: Final = "not possible: "  # how such an error begins
_FORMAT: Final = 1

# impossible: something is missing here, and `why` says what. partial: the time limit came first.
State = Literal["open", "done", "partial", "failed", "impossible"]


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Measured:
    """One measurement: its figures, or why there are none."""

    at: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether it went wrong; what cannot be tried here did not."""
        return bool(self.error) and not self.error.startswith(NOT_POSSIBLE)


@dataclass(frozen=True)
class SectionResult:
    """What is known of a section, and on which machine it was seen."""

    machine: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, Measured] = field(default_factory=dict)
    why: str = ""  # it cannot run, or ended before its last measurement
    is_impossible: bool = False


Results = Mapping[str, SectionResult]


def state_of(section: Section, result: SectionResult | None, *, is_dry: bool = False) -> State:
    """Where a section stands."""
    if result is None:
        return "open"
    known = [result.cells.get(cell.name) for cell in cells_of(section, is_dry=is_dry)]
    if any(item is not None and item.is_failure for item in known):
        return "failed"
    if all(item is not None for item in known):
        return "done"
    if result.is_impossible:
        return "impossible"
    return "partial" if any(known) or result.why else "open"


def read_results(folder: Path) -> dict[str, SectionResult]:
    """What earlier calls left in the folder; nothing where there is none."""
    try:
        values = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: _read_section(section) for name, section in values["sections"].items()}


def _read_section(values: Mapping[str, Any]) -> SectionResult:
    cells = {name: Measured(**cell) for name, cell in values["cells"].items()}
    return SectionResult(**{**values, "cells": cells})


def write_results(folder: Path, results: Results) -> None:
    """Replace the file in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = {name: _plain(result) for name, result in results.items()}
    text = json.dumps({"format": _FORMAT, "sections": sections}, ensure_ascii=False, indent=1)
    beside = folder / (RESULTS_FILE + ".new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(folder / RESULTS_FILE)


def _plain(result: SectionResult) -> dict[str, Any]:
    cells = {name: vars(cell) for name, cell in result.cells.items()}
    return {**vars(result), "cells": cells}
