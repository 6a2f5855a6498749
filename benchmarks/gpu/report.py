"""docs/gpu-report.md from the results: what was measured, where, and what is open and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.gpu.results import Measured, Results, SectionResult, state_of
from benchmarks.gpu.sections import SECTIONS, Cell, Column, Section, cells_of

_GOALS: Final = (("seeds", 4.0), ("trl-packing", 1.1))
_LADDER: Final = "levers"


def build_report(results: Results, *, is_dry: bool = False) -> str:
    """The whole page. Its first line says whether the figures are open."""
    lines = [f"# {_headline(results, is_dry)}", "", *_machines(results), ""]
    for section in SECTIONS:
        lines += [*_describe(section, results.get(section.name), is_dry), ""]
    lines += [
        "`make gpu-check` measures what is open and writes this page; `docs/gpu.md` says how. The "
        "figures themselves: `gpu-report.json`."
    ]
    return "\n".join(lines) + "\n"


def _headline(results: Results, is_dry: bool) -> str:
    if is_dry:
        return "A dry run without a GPU: no figure on this page means anything"
    states = {item.name: state_of(item, results.get(item.name)) for item in SECTIONS}
    measured = [name for name in states if results.get(name) and results[name].cells]
    unfinished = [name for name, state in states.items() if state != "done"]
    if not measured:
        return "The GPU path: the figures are open, no GPU was at hand"
    cards = sorted({results[name].machine.get("card", "a GPU") for name in measured})
    if unfinished:
        return f"The GPU path, measured on {', '.join(cards)}; open: {', '.join(unfinished)}"
    return f"The GPU path, measured on {', '.join(cards)}"


def _machines(results: Results) -> Iterator[str]:
    seen: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, result in results.items():
        if result.machine:
            seen.setdefault(tuple(result.machine.items()), []).append(name)
    for facts, names in seen.items():
        text = " · ".join(f"{key} {value}" for key, value in facts)
        yield f"Measured with ({', '.join(names)}): {text}."
    if not seen:
        yield "Nothing was measured yet. What would be, section by section:"


def _describe(section: Section, result: SectionResult | None, is_dry: bool) -> Iterator[str]:
    yield f"## {section.title}"
    yield section.about
    yield ""
    cells = cells_of(section, is_dry=is_dry)
    rows = _with_factors(section, cells, result.cells if result else {})
    columns = [item for item in section.columns if any(item.key in row for row in rows.values())]
    yield from _table(cells, columns, rows, result)
    if result and result.why:
        yield ""
        yield f"**{_STATES[state_of(section, result, is_dry=is_dry)]}**: {result.why}"
    yield from _verdicts(section, rows)


_STATES: Final[Mapping[str, str]] = {
    "impossible": "Not possible there",
    "failed": "Failed",
    "partial": "Not finished",
    "open": "Open",
    "done": "Note",
}


def _table(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    rows: Mapping[str, Mapping[str, Any]],
    result: SectionResult | None,
) -> Iterator[str]:
    yield "| " + " | ".join(["measurement", *(column.title for column in columns), "state"]) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    for cell in cells:
        found = result.cells.get(cell.name) if result else None
        values = [_write(rows[cell.name].get(column.key), column.form) for column in columns]
        yield "| " + " | ".join([cell.about, *values, _state(found)]) + " |"


def _write(value: Any, form: str) -> str:
    if value is None:
        return ""
    return format(value, form) if isinstance(value, int | float) else str(value).replace("|", "/")


def _state(found: Measured | None) -> str:
    if found is None:
        return "open"
    if not found.error:
        return "measured"
    words = f"failed: {found.error}" if found.is_failure else found.error
    return words.replace("|", "/")


def _with_factors(
    section: Section, cells: Sequence[Cell], known: Mapping[str, Measured]
) -> dict[str, dict[str, Any]]:
    """The figures of each row; on the ladder also what its lever gave beside the row above."""
    rows: dict[str, dict[str, Any]] = {}
    before: float | None = None
    for cell in cells:
        found = known.get(cell.name)
        row = dict(found.figures) if found else {}
        if section.name == _LADDER:
            if cell.predicted:
                row["predicted"] = cell.predicted
            speed = row.get("tokens_per_s")
            if speed and before and cell.predicted:
                row["factor"] = speed / before
            before = speed or before
        rows[cell.name] = row
    return rows


def _verdicts(section: Section, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The goals, beside what was reached."""
    if section.name != "peers":
        return
    ours = rows["ours"].get("tokens_per_s")
    for peer, goal in _GOALS:
        theirs = rows[peer].get("tokens_per_s")
        if ours and theirs:
            times = ours / theirs
            verdict = "reached" if times >= goal else "not reached"
            yield ""
            yield f"Ours against {peer}: {times:.2f} times; the goal is {goal:g}: {verdict}."
