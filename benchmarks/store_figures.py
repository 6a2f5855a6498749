"""The table and the plot of benchmarks/store.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Growth:
    """What was measured at each size."""

    num_turns: list[int] = field(default_factory=list)
    page_p95_ms: list[float] = field(default_factory=list)
    search_p95_ms: list[float] = field(default_factory=list)
    counts_p95_ms: list[float] = field(default_factory=list)
    write_p99_ms: list[float] = field(default_factory=list)


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(name: str, value: str, peer: str = "") -> None:
    """One line of the table."""
    print(f"{name:44} {value:>16} {peer:>22}", flush=True)


def draw(growth: Growth, target: Path) -> None:
    """How the figures move as the store grows."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, label in (
        ("page_p95_ms", "page of Curate, p95"),
        ("search_p95_ms", "search, p95"),
        ("counts_p95_ms", "counts by one field, p95"),
        ("write_p99_ms", "durable write, p99"),
    ):
        axes.plot(growth.num_turns, getattr(growth, name), marker="o", label=label)
    axes.axhline(100, color="0.8", zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="turns in the store", ylabel="milliseconds")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
