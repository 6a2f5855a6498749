"""A comparison of two shares that may be looked at all the time.

Ratings are taken in blocks: one of the canary and a fixed number of production's, in the order in
which they came. For each pair of shares that the two could truly have, the likelihood of what
came is set against that of one common share; the mean over all pairs is an e-process (Turner, Ly,
Grünwald: Generic E-variables for exact sequential k-sample tests, 2021). Whoever stops when it
reaches 1/alpha is wrong in at most alpha of all cases, however often they looked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_GRID: Final = tuple((number + 0.5) / 20 for number in range(20))


@dataclass(frozen=True)
class Thumbs:
    """Complete blocks of ratings: one of the canary's for each `per_block` of production's."""

    per_block: int
    num_blocks: int
    canary_likes: int
    production_likes: int

    @property
    def num_production(self) -> int:
        """Ratings of production that were counted."""
        return self.per_block * self.num_blocks


def take_blocks(canary: list[bool], production: list[bool], per_block: int) -> Thumbs:
    """Count the complete blocks; ratings that fill no block wait."""
    num_blocks = min(len(canary), len(production) // per_block)
    return Thumbs(
        per_block,
        num_blocks,
        sum(canary[:num_blocks]),
        sum(production[: num_blocks * per_block]),
    )


def _log_ratio(thumbs: Thumbs, canary: float, production: float) -> float:
    """Log-likelihood of these two shares against their common one."""
    common = (canary + thumbs.per_block * production) / (1 + thumbs.per_block)

    def arm(share: float, likes: int, count: int) -> float:
        rise, fall = math.log(share / common), math.log((1 - share) / (1 - common))
        return likes * rise + (count - likes) * fall

    return arm(canary, thumbs.canary_likes, thumbs.num_blocks) + arm(
        production, thumbs.production_likes, thumbs.num_production
    )


def _mean_ratio(thumbs: Thumbs, pairs: list[tuple[float, float]]) -> float:
    logs = [_log_ratio(thumbs, canary, production) for canary, production in pairs]
    highest = max(logs)
    total = sum(math.exp(log - highest) for log in logs)
    return math.exp(min(700.0, highest + math.log(total / len(logs))))


def evidence_worse(thumbs: Thumbs) -> float:
    """The e-value for "people like the canary less"; 20 is proof at 5%."""
    return _mean_ratio(thumbs, [(a, b) for a in _GRID for b in _GRID if a < b])


def evidence_better(thumbs: Thumbs) -> float:
    """The e-value for "people like the canary more"."""
    return _mean_ratio(thumbs, [(a, b) for a in _GRID for b in _GRID if a > b])
