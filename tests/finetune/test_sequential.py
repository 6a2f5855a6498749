"""The test that may be looked at all the time."""

from __future__ import annotations

import random

import pytest

from finetune.sequential import Thumbs, evidence_better, evidence_worse, take_blocks


def test_only_complete_blocks_count() -> None:
    canary, production = [True, False, True], [True, False, True, True, False]
    assert take_blocks(canary, production, 2) == Thumbs(2, 2, 1, 3)
    assert take_blocks(canary, [], 2) == Thumbs(2, 0, 0, 0)


def test_no_ratings_are_no_evidence() -> None:
    nothing = Thumbs(9, 0, 0, 0)
    assert evidence_worse(nothing) == pytest.approx(1.0)
    assert evidence_better(nothing) == pytest.approx(1.0)


def test_a_clear_difference_is_evidence_one_way_only() -> None:
    worse = Thumbs(4, 20, 4, 70)
    assert evidence_worse(worse) > 100
    assert evidence_better(worse) < 1
    better = Thumbs(4, 20, 19, 40)
    assert evidence_better(better) > 20
    assert evidence_worse(better) < 1


def test_very_many_ratings_do_not_overflow() -> None:
    assert evidence_worse(Thumbs(9, 100_000, 1_000, 900_000)) > 1e100


def looks_until_proof(canary: float, production: float, seed: int) -> int | None:
    """Look after every block of 1:4; the block at which "worse" is proven, within 60."""
    draw = random.Random(seed)
    canary_likes = production_likes = 0
    for number in range(1, 61):
        canary_likes += draw.random() < canary
        production_likes += sum(draw.random() < production for _ in range(4))
        if evidence_worse(Thumbs(4, number, canary_likes, production_likes)) >= 20:
            return number
    return None


@pytest.mark.parametrize("share", [0.5, 0.85])
def test_equal_adapters_are_told_apart_in_at_most_1_of_20_however_often_one_looks(
    share: float,
) -> None:
    stopped = [looks_until_proof(share, share, seed) is not None for seed in range(60)]
    assert sum(stopped) / len(stopped) <= 0.05


def test_a_clearly_worse_adapter_is_found_within_some_forty_thumbs() -> None:
    found = [looks_until_proof(0.4, 0.8, seed) for seed in range(20)]
    assert sum(number is not None and number <= 40 for number in found) >= 18
