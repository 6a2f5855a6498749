"""The exact tests behind the gate."""

from __future__ import annotations

import pytest

from finetune.paired_tests import Pairs, count_pairs, holm_rejects, mcnemar_p


def test_only_pairs_that_both_answered_count() -> None:
    candidate = {"a": True, "b": True, "c": False, "only-here": True}
    production = {"a": False, "b": True, "c": True, "only-there": False}
    assert count_pairs(candidate, production) == Pairs(count=3, num_gained=1, num_lost=1)


@pytest.mark.parametrize(
    ("num_for", "num_against", "p_value"),
    [(0, 0, 1.0), (5, 0, 1 / 32), (4, 0, 1 / 16), (7, 1, 9 / 256), (3, 3, 42 / 64)],
)
def test_mcnemar_is_the_exact_binomial_tail(num_for: int, num_against: int, p_value: float) -> None:
    assert mcnemar_p(num_for, num_against) == pytest.approx(p_value)


def test_mcnemar_stands_thousands_of_pairs() -> None:
    assert mcnemar_p(2600, 2400) == pytest.approx(0.0025, abs=0.0005)


def test_holm_asks_more_of_each_when_there_are_many() -> None:
    assert holm_rejects({"a": 0.02}, 0.05) == ["a"]
    assert holm_rejects({"a": 0.02, "b": 0.9, "c": 0.9}, 0.05) == []
    assert holm_rejects({"a": 0.01, "b": 0.02, "c": 0.9}, 0.05) == ["a", "b"]


def test_holm_stops_at_the_first_that_is_not_significant() -> None:
    assert holm_rejects({"a": 0.03, "b": 0.03}, 0.05) == []
