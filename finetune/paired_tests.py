"""Statistics for a few dozen paired answers: exact, without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pairs:
    """The same questions answered by both: how often only one of the two was good."""

    count: int
    num_gained: int
    num_lost: int


def count_pairs(candidate: Mapping[str, bool], production: Mapping[str, bool]) -> Pairs:
    """Compare the outcomes of the answers that both have."""
    common = candidate.keys() & production.keys()
    return Pairs(
        count=len(common),
        num_gained=sum(candidate[key] and not production[key] for key in common),
        num_lost=sum(production[key] and not candidate[key] for key in common),
    )


def mcnemar_p(num_for: int, num_against: int) -> float:
    """Exact one-sided p of McNemar's test (a sign test on the pairs that differ): how likely at
    least num_for of them go that way by chance.
    """
    total = num_for + num_against
    hits = sum(math.comb(total, k) for k in range(num_for, total + 1))
    return hits / (1 << total)


def holm_rejects(p_values: Mapping[str, float], alpha: float) -> list[str]:
    """Names whose p is significant after Holm's step-down correction, the smallest p first."""
    rejected: list[str] = []
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        if p_values[name] > alpha / (len(p_values) - rank):
            break
        rejected.append(name)
    return rejected
