"""One section in a process of its own: `python -m benchmarks.gpu.section NAME --out DIR …`.

What is measured already is not measured again. Started by benchmarks/gpu_check.py, which ends it
at its time limit, and starts it again when the card must be opened anew.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from benchmarks.gpu.context import Context, NotPossible
from benchmarks.gpu.results import (
    NOT_POSSIBLE,
    Measured,
    SectionResult,
    now,
    read_results,
    write_results,
)
from benchmarks.gpu.sections import Cell, Section, cells_of, find_section

START_AGAIN: Final = 75  # exit code: the card is unusable in this process
_MODULES: Final = {"peers": "training", "levers": "training"}
# After one of these every further call on the card fails, whatever it is.
_LOST_CARD: Final = ("device-side assert", "illegal memory access", "unspecified launch failure")
_MOST_WORDS: Final = 300


def main() -> int:
    """Measure what is open of one section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--since", required=True, help="failures before it are tried again")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    section = find_section(arguments.name)
    signal.signal(signal.SIGTERM, _end)
    _prepare(arguments.dry_run)
    module = importlib.import_module(f"benchmarks.gpu.{_MODULES.get(section.name, section.name)}")
    _note_machine(arguments.out, section)
    try:
        return _measure_open_cells(section, module, arguments)
    finally:
        if hasattr(module, "close"):
            module.close()


def _measure_open_cells(section: Section, module: Any, arguments: argparse.Namespace) -> int:
    for cell in cells_of(section, is_dry=arguments.dry_run):
        known = _known(arguments.out, section)
        before = known.get(cell.name)
        if before is not None and (not before.error or before.at >= arguments.since):
            continue
        context = Context(arguments.work, arguments.dry_run, known)
        found = _measure(module, cell, context)
        _keep(arguments.out, section, cell, found)
        if any(words in found.error for words in _LOST_CARD):
            return START_AGAIN
    return 0


def _end(*_: Any) -> NoReturn:
    """At the time limit: end what was started, by the way out of main()."""
    sys.exit(128 + signal.SIGTERM)


def _prepare(is_dry: bool) -> None:
    """Offline, silent, and in a dry run blind to whatever card there is."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # one card, whatever else there is
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts them
    if is_dry:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["OMP_NUM_THREADS"] = "1"  # more only wait for each other


def _measure(module: Any, cell: Cell, context: Context) -> Measured:
    print(f"  {cell.name}", end=" ", flush=True)
    try:
        figures = dict(module.measure(cell, context))
    except NotPossible as error:
        print(f"- {error}", flush=True)
        return Measured(now(), error=f"{NOT_POSSIBLE}{error}")
    except Exception as error:  # noqa: BLE001 - the report says what went wrong
        traceback.print_exc()
        words = " ".join(str(error).split())[:_MOST_WORDS]
        return Measured(now(), error=f"{type(error).__name__}: {words}")
    print({key: _short(value) for key, value in figures.items()}, flush=True)
    return Measured(now(), figures)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _known(out: Path, section: Section) -> dict[str, Measured]:
    return dict(read_results(out).get(section.name, SectionResult()).cells)


def _keep(out: Path, section: Section, cell: Cell, found: Measured) -> None:
    results = read_results(out)
    result = results[section.name]
    results[section.name] = replace(result, cells={**result.cells, cell.name: found})
    write_results(out, results)


def _note_machine(out: Path, section: Section) -> None:
    from benchmarks.gpu.card import describe_machine

    results = read_results(out)
    known = results.get(section.name, SectionResult())
    results[section.name] = replace(known, machine=describe_machine(), why="", is_impossible=False)
    write_results(out, results)


if __name__ == "__main__":
    sys.exit(main())
