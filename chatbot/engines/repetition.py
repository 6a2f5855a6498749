"""Answers that go round in circles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MAX_PATTERN_TOKENS: Final = 20
MIN_REPEATS: Final = 8


def goes_round(tokens: Sequence[int]) -> bool:
    """Whether the last tokens are the same pattern of at most 20 tokens, eight times or more."""
    for size in range(1, min(MAX_PATTERN_TOKENS, len(tokens) // MIN_REPEATS) + 1):
        tail = tokens[-size * MIN_REPEATS :]
        # Equal to itself moved by one pattern: every token is the one a pattern earlier.
        if tail[-1] == tail[-1 - size] and tail[size:] == tail[:-size]:
            return True
    return False
