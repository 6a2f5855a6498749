"""The combinations of location, work type and category that the evaluation asks about.

The 16 pairs of location and work type, in the order of a hash of their codes, are dealt out two
to each of the 8 categories: every pair is held out exactly once, no choice is favoured, and no
data moves them. The starter model's corpus leaves them out.
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Final

from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo


def _deal_pairs() -> frozenset[tuple[str, str, str]]:
    pairs = [(place.code, work.code) for place, work in product(LOCATIONS, WORK_TYPES)]
    pairs.sort(key=lambda pair: hashlib.sha256("/".join(pair).encode()).hexdigest())
    return frozenset(
        (*pair, CATEGORIES[number % len(CATEGORIES)].code) for number, pair in enumerate(pairs)
    )


HELD_OUT: Final = _deal_pairs()  # (location, work_type, category)


def is_held_out(info: BaseInfo) -> bool:
    """Whether the evaluation keeps this combination for itself."""
    return (info.location, info.work_type, info.category) in HELD_OUT
