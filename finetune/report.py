"""What an evaluation found: every figure with its count and interval, every answer, and every
failure with the answer that shows it. Plain values; pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Better = Literal["higher", "lower", "neither"]
Unit = Literal["share", "characters", "ms", "loss", "nats"]
Z95 = 1.959964  # two-sided 95% of the normal distribution


@dataclass(frozen=True)
class Answer:
    """One generated answer. constrained: the engine enforced the JSON schema.

    prompt_key names the exact question (messages and sampling), so that an answer of the same
    adapter to the same question need not be generated again.
    """

    answer_id: str
    case_id: str
    constrained: bool
    prompt_key: str
    prompt: str
    text: str
    finish_reason: str | None
    duration_ms: float


@dataclass(frozen=True)
class Metric:
    """One figure: its value, the answers it was counted on, and its 95% interval.

    A value of None says that it could not be measured.
    """

    name: str
    better: Better
    unit: Unit
    value: float | None
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Failure:
    """One answer that failed one metric, and the piece of text that shows it."""

    metric: str
    answer_id: str
    evidence: str


@dataclass(frozen=True)
class Report:
    """The evaluation of one adapter ("" is the base).

    outcomes: metric → answer_id → whether the answer was good, for the paired tests of the gate.
    scores: row of the test split → log-probability per token of the accepted answer.
    preferences: answer_id → whether a trusted judge prefers it to production's.
    engine: what answered (kind, version, dtype, the base's hash); reports of different ones are
    not comparable answer by answer.
    num_questions: how many were asked; the engine may have failed to answer some.
    num_learnt: kept rows that were not asked, because production was trained on them.
    """

    adapter: str
    base_model: str
    sampling: Mapping[str, Any]
    engine: Mapping[str, str] = field(default_factory=dict)
    answer_format: str = "recommendation"  # or text: then measured as free text
    answers: tuple[Answer, ...] = ()
    metrics: tuple[Metric, ...] = ()
    outcomes: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    preferences: Mapping[str, bool] = field(default_factory=dict)
    num_questions: int = 0
    num_learnt: int = 0
    created_at: str = ""
    duration_s: float = 0.0

    def metric(self, name: str) -> Metric | None:
        """The figure of that name, if it was measured."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Report:
        """The report that to_dict wrote."""
        fields = dict(value)
        fields["answers"] = tuple(Answer(**item) for item in fields.get("answers", ()))
        fields["metrics"] = tuple(Metric(**item) for item in fields.get("metrics", ()))
        fields["failures"] = tuple(Failure(**item) for item in fields.get("failures", ()))
        return cls(**fields)


def wilson_interval(num_hits: int, count: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a share; count must be positive."""
    share = num_hits / count
    denominator = 1 + Z95**2 / count
    centre = share + Z95**2 / (2 * count)
    spread = Z95 * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    return (
        max(0.0, (centre - spread) / denominator),
        min(1.0, (centre + spread) / denominator),
    )


def share_metric(name: str, better: Better, num_hits: int, count: int) -> Metric:
    """A share with its Wilson interval; without answers its value is missing."""
    if not count:
        return Metric(name, better, "share", None, 0)
    low, high = wilson_interval(num_hits, count)
    return Metric(name, better, "share", num_hits / count, count, low, high)


def mean_metric(name: str, unit: Unit, values: Sequence[float]) -> Metric:
    """A mean with its normal 95% interval; without values it is missing."""
    count = len(values)
    if not count:
        return Metric(name, "neither", unit, None, 0)
    mean = sum(values) / count
    if count == 1:
        return Metric(name, "neither", unit, mean, 1)
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    spread = Z95 * math.sqrt(variance / count)
    return Metric(name, "neither", unit, mean, count, mean - spread, mean + spread)


def quantile_metric(name: str, unit: Unit, values: Sequence[float], quantile: float) -> Metric:
    """A quantile by nearest rank, without an interval; without values it is missing."""
    if not values:
        return Metric(name, "neither", unit, None, 0)
    ordered = sorted(values)
    rank = max(0, math.ceil(quantile * len(ordered)) - 1)
    return Metric(name, "neither", unit, ordered[rank], len(ordered))
