"""Texts that say nearly the same, among a million: MinHash over character shingles, which suit
Korean, whose endings change words.

Signatures are kept as plain arrays (256 bytes a text), and compared band by band: texts that agree
in a whole band are candidates, and only the rest of their signatures decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NUM_PERM: Final = 64
NUM_BANDS: Final = 8  # of 8 values: texts that share 85% meet in some band 92 times in 100
SHINGLE_CHARS: Final = 5
SIMILAR: Final = 0.8  # share of equal signature values
_BATCH: Final = 2_000  # texts hashed at once
_SEED: Final = 20_261

Signatures = NDArray[np.uint32]


def _shingles(text: str) -> list[str]:
    squeezed = "".join(text.casefold().split())
    last = max(1, len(squeezed) - SHINGLE_CHARS + 1)
    return [squeezed[at : at + SHINGLE_CHARS] for at in range(last)]


def _sign(texts: Sequence[str]) -> Signatures:
    from rensa import RMinHash  # only those who look for duplicates need it

    sets = [_shingles(text) for text in texts]
    return np.array(RMinHash.digests_from_token_sets(sets, NUM_PERM, _SEED), dtype=np.uint32)


class SignatureBook:
    """The signatures of many texts, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._blocks: list[Signatures] = []

    def add(self, text: str) -> None:
        """Add one text."""
        self._waiting.append(text)
        if len(self._waiting) == _BATCH:
            self._sign_waiting()

    def _sign_waiting(self) -> None:
        if self._waiting:
            self._blocks.append(_sign(self._waiting))
            self._waiting = []

    def find_twins(self) -> NDArray[np.int64]:
        """For each text the index of an earlier one nearly the same, or -1. Empties the book."""
        self._sign_waiting()
        if not self._blocks:
            return np.empty(0, dtype=np.int64)
        signatures = np.empty((sum(map(len, self._blocks)), NUM_PERM), dtype=np.uint32)
        at = 0
        while self._blocks:  # block by block, so that they are never all there twice
            block = self._blocks.pop(0)
            signatures[at : at + len(block)] = block
            at += len(block)
        return _find_twins(signatures)


def _candidates(signatures: Signatures, band: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (earlier, later) of texts that agree in a band, each with the first of its group."""
    width = NUM_PERM // NUM_BANDS
    part = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width])
    keys = part.view(np.uint64).copy()
    mixed = keys[:, 0]
    for column in range(1, keys.shape[1]):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + keys[:, column]
    order = np.argsort(mixed, kind="stable")
    ordered = mixed[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    first = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    return first[~starts], order[~starts]


def _similar(signatures: Signatures, left: NDArray[np.int64], right: NDArray[np.int64]) -> Any:
    """Which pairs share enough of their signatures, in pieces that fit the memory."""
    found = np.empty(len(left), dtype=bool)
    for at in range(0, len(left), 50_000):
        piece = slice(at, at + 50_000)
        equal = signatures[left[piece]] == signatures[right[piece]]
        found[piece] = equal.mean(axis=1) >= SIMILAR
    return found


def _find_twins(signatures: Signatures) -> NDArray[np.int64]:
    twins = np.full(len(signatures), -1, dtype=np.int64)
    for band in range(NUM_BANDS):
        earlier, later = _candidates(signatures, band)
        is_open = twins[later] < 0
        earlier, later = earlier[is_open], later[is_open]
        is_twin = _similar(signatures, earlier, later)
        twins[later[is_twin]] = earlier[is_twin]
    return twins
