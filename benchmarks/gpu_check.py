"""Everything that only happens on a GPU, measured there: `make gpu-check`.

    python benchmarks/gpu_check.py [--only card,training] [--dry-run] [--out DIR]

Writes gpu-report.md and gpu-report.json into docs/. Each section runs in a process of its own under
a time limit, so that none hides another; what was measured stays, so that a machine lent for ten
minutes at a time fills the report call by call. `--dry-run` runs the same code on the CPU with tiny
shapes. Exit code 0: all that was asked for is measured; 1: something failed or ran out of time;
3: nothing failed, but something cannot run here, and the report says why.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.gpu.report import build_report
from benchmarks.gpu.results import (
    REPORT_FILE,
    RESULTS_FILE,
    SectionResult,
    now,
    read_results,
    state_of,
    write_results,
)
from benchmarks.gpu.section import START_AGAIN
from benchmarks.gpu.sections import NAMES, Section, find_section

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_IMPOSSIBLE: Final = 3
_PACKAGE_NAMES: Final = {"vllm": "vllm (requirements/cuda.txt)"}
_GRACE_S: Final = 15  # to end servers and trainings of its own


def main() -> int:
    """Command line."""
    arguments = _read_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the section too
    out: Path = arguments.out or (
        ROOT / "data" / "gpu-dry-run" if arguments.dry_run else ROOT / "docs"
    )
    out.mkdir(parents=True, exist_ok=True)
    if arguments.dry_run or arguments.again:
        _forget(out, arguments.only if not arguments.dry_run else list(NAMES))
    for name in arguments.only:
        run_section(find_section(name), out, arguments)
        write_report(out, is_dry=arguments.dry_run)
    write_report(out, is_dry=arguments.dry_run)
    return _exit_code(out, arguments)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument(
        "--only", type=_read_names, default=list(NAMES), help=f"some of {','.join(NAMES)}"
    )
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--again", action="store_true", help="forget what was measured of these")
    parser.add_argument("--out", type=Path, help="folder of the report (default: docs)")
    parser.add_argument("--limit", type=int, help="seconds for each section, instead of its own")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "ecoloop-gpu-check",
        help="folder of the random models, kept between calls (default: %(default)s)",
    )
    return parser.parse_args()


def _read_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise argparse.ArgumentTypeError(f"no section {', '.join(unknown)}")
    return names


def _forget(out: Path, names: list[str]) -> None:
    results = read_results(out)
    write_results(out, {name: item for name, item in results.items() if name not in names})


@cache
def has_card() -> bool:
    """Whether torch sees a CUDA GPU; asked in another process, which keeps this one light."""
    if shutil.which("nvidia-smi") is None:
        return False
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def find_obstacle(section: Section, *, is_dry: bool) -> str:
    """Why the section cannot run here; "" when it can."""
    missing = [name for name in section.needs if not _is_installed(name)]
    if missing:
        names = ", ".join(_PACKAGE_NAMES.get(name, name) for name in missing)
        return f"not installed: {names}. `make run` installs it where there is a GPU."
    if not is_dry and not has_card():
        return "torch sees no CUDA GPU here."
    return ""


def _is_installed(name: str) -> bool:
    return find_spec(name) is not None


def run_section(section: Section, out: Path, arguments: argparse.Namespace) -> None:
    """Measure what is open, or write down why that cannot be."""
    print(f"{section.name}: {section.title}", flush=True)
    why = find_obstacle(section, is_dry=arguments.dry_run)
    is_impossible = bool(why)
    if not why:
        why = _run_in_time(section, out, arguments)
    if why:
        print(f"  {why}", flush=True)
        results = read_results(out)
        known = results.get(section.name, SectionResult())
        if is_impossible and known.cells:
            return  # what was measured on another machine says more
        results[section.name] = replace(known, why=why, is_impossible=is_impossible)
        write_results(out, results)


def _run_in_time(section: Section, out: Path, arguments: argparse.Namespace) -> str:
    """Why it ended before its last measurement; "" when it did not."""
    limit_s = arguments.limit or section.limit_s
    deadline = time.monotonic() + limit_s
    command = [sys.executable, "-m", "benchmarks.gpu.section", section.name, "--since", now()]
    command += ["--out", str(out.resolve()), "--work", str(arguments.work.resolve())]
    command += ["--dry-run"] if arguments.dry_run else []
    while True:
        code = _run_until(command, deadline)
        if code is None:
            return f"the time limit of {limit_s} s came first; run it again to go on."
        if code != START_AGAIN:
            return f"its process ended with {code}; its last words are above." if code else ""


def _run_until(command: list[str], deadline: float) -> int | None:
    """The exit code; None when the time was over, and the whole group is gone."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def write_report(out: Path, *, is_dry: bool) -> None:
    """The page as it stands now."""
    text = build_report(read_results(out), is_dry=is_dry)
    (out / REPORT_FILE).write_text(text, encoding="utf-8")


def _exit_code(out: Path, arguments: argparse.Namespace) -> int:
    results = read_results(out)
    states = {
        name: state_of(find_section(name), results.get(name), is_dry=arguments.dry_run)
        for name in arguments.only
    }
    print("RESULT " + ", ".join(f"{name} {state}" for name, state in states.items()))
    print(f"{out / REPORT_FILE} and {RESULTS_FILE}")
    if any(state in ("failed", "partial", "open") for state in states.values()):
        return EXIT_FAILED
    return EXIT_IMPOSSIBLE if "impossible" in states.values() else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
