"""Figures with counts and intervals, and their way to disk and back."""

from __future__ import annotations

import json

import pytest

from finetune.report import (
    Answer,
    Failure,
    Metric,
    Report,
    mean_metric,
    quantile_metric,
    share_metric,
    wilson_interval,
)


def test_wilson_interval_has_the_textbook_values() -> None:
    low, high = wilson_interval(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


@pytest.mark.parametrize("count", [1, 7, 48, 400])
def test_wilson_interval_stays_within_zero_and_one(count: int) -> None:
    assert wilson_interval(0, count)[0] == 0.0
    assert wilson_interval(count, count)[1] == pytest.approx(1.0)


def test_a_share_of_no_answers_is_missing_and_not_zero() -> None:
    assert share_metric("stuffed", "lower", 0, 0) == Metric("stuffed", "lower", "share", None, 0)


def test_a_mean_carries_its_count_and_interval() -> None:
    metric = mean_metric("length", "characters", [10.0, 20.0, 30.0])
    assert (metric.value, metric.count) == (20.0, 3)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < 20.0 < metric.high


def test_a_mean_of_one_value_has_no_interval() -> None:
    assert mean_metric("length", "characters", [5.0]).low is None


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile_metric("latency_p95", "ms", [3.0, 1.0, 2.0], 0.95).value == 3.0
    assert quantile_metric("latency_p50", "ms", [3.0, 1.0, 2.0], 0.5).value == 2.0
    assert quantile_metric("latency_p50", "ms", [], 0.5).value is None


def test_a_report_survives_json() -> None:
    report = Report(
        adapter="v0001",
        base_model="starter",
        sampling={"temperature": 0.7},
        answers=(Answer("a/free", "a", False, "key", "질문", "답", "stop", 12.5),),
        metrics=(share_metric("valid_json", "higher", 1, 1),),
        outcomes={"valid_json": {"a/free": True}},
        failures=(Failure("stuffed", "a/free", "…"),),
        scores={"row": -1.5},
        num_questions=1,
        created_at="2026-11-21T05:14:56.123Z",
        duration_s=1.5,
    )
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
