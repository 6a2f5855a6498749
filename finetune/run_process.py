"""The training process seen from outside: start it, see whether it lives, end it.

It runs in its own process group, so that neither Ctrl+C in the terminal nor the end of the app
ends it, and at a lower priority, so that people who chat do not feel it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from finetune.job import LOG_FILE
from finetune.machine import find_freest_card

PROJECT_DIR: Final = Path(__file__).parents[1]
_NICENESS: Final = 10  # people who chat come first
_KILL_S: Final = 4.0  # until what was ended by force is gone
_CLOCK_TOLERANCE_S: Final = 5.0  # a process's start is computed from a clock that may be set

# Measured on two cores: threads that spin while they wait for each other make a step four times
# slower as soon as anything else runs; giving memory back to the system after each large tensor
# costs 40% of a step.
_ENVIRONMENT: Final = {
    "OMP_WAIT_POLICY": "passive",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**27),
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",  # the base is a local folder by then
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts them
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}


@dataclass(frozen=True)
class ProcessMark:
    """A process, told apart from a later one with the same number by when it began."""

    pid: int
    started_at: float  # epoch seconds


# Children of this process; polling them is what lets the system forget an ended one.
_CHILDREN: Final[dict[ProcessMark, subprocess.Popen[bytes]]] = {}
_EXIT_CODES: Final[dict[ProcessMark, int]] = {}  # of children that have ended


def spawn(run_dir: Path, niceness: int = _NICENESS) -> ProcessMark:
    """Start the training of a run folder; its output goes to log.txt."""
    command = [sys.executable, "-m", "finetune.train", "--run-dir", str(run_dir)]
    command += ["--niceness", str(niceness)]
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    with (run_dir / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(
            command, cwd=run_dir, env=make_environment(), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
    mark = ProcessMark(child.pid, psutil.Process(child.pid).create_time())
    _CHILDREN[mark] = child
    return mark


def make_environment() -> dict[str, str]:
    """What a training process needs around it; what people set themselves stays."""
    paths = [str(PROJECT_DIR), os.environ.get("PYTHONPATH", "")]
    python_path = os.pathsep.join(path for path in paths if path)
    environ = {**_ENVIRONMENT, **os.environ, "PYTHONPATH": python_path}
    card = find_freest_card()
    # TRL refuses a process that sees several cards; the freest is the one that nobody talks to.
    return {**environ, "CUDA_VISIBLE_DEVICES": card} if card else environ


def is_alive(mark: ProcessMark) -> bool:
    """Whether that very process still runs."""
    return _find(mark) is not None


def exit_code(mark: ProcessMark) -> int | None:
    """How it ended, where this process started it; negative is the signal."""
    _reap(mark)
    return _EXIT_CODES.get(mark)


def _reap(mark: ProcessMark) -> bool:
    """Whether it was a child of this process and has ended."""
    child = _CHILDREN.get(mark)
    code = child.poll() if child is not None else None
    if code is not None:
        _EXIT_CODES[mark] = code
        _CHILDREN.pop(mark, None)
    return mark in _EXIT_CODES


def _find(mark: ProcessMark) -> psutil.Process | None:
    if _reap(mark):
        return None
    try:
        process = psutil.Process(mark.pid)
        if mark in _CHILDREN:  # a zombie whose threads still end has no exit code to give yet
            return process
        is_same = abs(process.create_time() - mark.started_at) < _CLOCK_TOLERANCE_S
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def end_process(mark: ProcessMark, grace_s: float = 4.0) -> None:
    """Ask it to end, then end it and everything it started by force."""
    process = _find(mark)
    if process is None:
        return
    with contextlib.suppress(psutil.Error):
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _wait(mark, process, grace_s)
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(mark.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        _wait(mark, process, _KILL_S)
        psutil.wait_procs(family[1:], timeout=_KILL_S)


def _wait(mark: ProcessMark, process: psutil.Process, timeout_s: float) -> None:
    """Until it has ended. psutil would take a child's exit code away from us: it reads 0 then."""
    child = _CHILDREN.get(mark)
    try:
        if child is None:
            process.wait(timeout_s)
        else:
            child.wait(timeout_s)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        return
    _reap(mark)
