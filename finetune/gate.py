"""May this candidate reach people? Pure: two reports in, a verdict out.

Three questions, in this order. Is every figure within its absolute limit? Did nothing get
significantly worse than production, metric by metric, and no regression case break? And is the
share of good answers significantly higher: an equal adapter is not promoted, because "not worse"
lets every second do-nothing adapter through. Paired answers to the same questions are compared by
the exact one-sided McNemar test, which is fit for a few dozen of them; Holm's correction keeps
many metrics from finding a loss by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from finetune.metrics import GOOD_ANSWER
from finetune.report import Report

Outcome = Literal["pass", "fail", "incomplete"]

DEFAULT_LIMITS: Final[Mapping[str, float]] = {
    # at least, for those where higher is better
    "valid_json": 0.80,
    "canonical_json": 0.75,
    "valid_with_schema": 0.90,
    "category_fit": 0.60,
    "distinct_challenges": 0.80,
    "pure_language": 0.85,
    "spaced_korean": 0.85,
    # at most, for those where lower is better
    "stuffed": 0.08,
    "leading_numbers": 0.08,
    "unended": 0.10,
    "escaped_newlines": 0.08,
    "repetition": 0.08,
    "repeated_across_prompts": 0.35,
    "parroted": 0.10,
    "copied": 0.60,
    "odd_length": 0.10,
    "personal_data": 0.0,
}


@dataclass(frozen=True)
class Thresholds:
    """When a candidate passes. limits: metric → the worst value that is accepted."""

    limits: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    alpha: float = 0.05  # chance of a false gain, and of any false loss among all metrics
    min_pairs: int = 24  # fewer answers in common prove nothing
    require_gain: bool = True
    max_broken_regressions: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha is {self.alpha}; it must lie between 0 and 0.5.")
        for name, limit in self.limits.items():
            if not 0 <= limit <= 1:
                raise ValueError(f"The limit of {name} is {limit}; a share lies between 0 and 1.")


@dataclass(frozen=True)
class Reason:
    """Why: a stable code, its values, and the sentence in English."""

    code: str
    message: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The decision. reasons: what decided it first; notes at the end."""

    outcome: Outcome
    reasons: tuple[Reason, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The reasons as English sentences."""
        return tuple(reason.message for reason in self.reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Verdict:
        """The verdict that to_dict wrote."""
        return cls(value["outcome"], tuple(Reason(**item) for item in value["reasons"]))


def mcnemar_p(num_for: int, num_against: int) -> float:
    """Exact one-sided p: how likely at least num_for of the differing pairs go that way by
    chance.
    """
    total = num_for + num_against
    hits = sum(math.comb(total, k) for k in range(num_for, total + 1))
    return hits / (1 << total)


def holm_rejects(p_values: Mapping[str, float], alpha: float) -> set[str]:
    """Names whose p is significant after Holm's step-down correction."""
    rejected: set[str] = set()
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        if p_values[name] > alpha / (len(p_values) - rank):
            break
        rejected.add(name)
    return rejected


@dataclass(frozen=True)
class Pairs:
    """The same questions answered by both: where only one of the two was good."""

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


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _check_limits(report: Report, thresholds: Thresholds) -> tuple[list[Reason], list[Reason]]:
    """(broken limits, missing figures)."""
    broken, missing = [], []
    for name, limit in thresholds.limits.items():
        metric = report.metric(name)
        if metric is None or metric.value is None:
            message = f"{name} could not be measured, and nothing passes without it."
            missing.append(Reason("missing_figure", message, {"metric": name}))
            continue
        params = {"metric": name, "value": metric.value, "limit": limit, "count": metric.count}
        if metric.better == "higher" and metric.value < limit:
            message = (
                f"{name} is {_percent(metric.value)} of {metric.count} answers; "
                f"at least {_percent(limit)} is needed."
            )
            broken.append(Reason("below_limit", message, params))
        if metric.better == "lower" and metric.value > limit:
            message = (
                f"{name} is {_percent(metric.value)} of {metric.count} answers; "
                f"at most {_percent(limit)} is accepted."
            )
            broken.append(Reason("above_limit", message, params))
    return broken, missing


def _find_losses(candidate: Report, production: Report, thresholds: Thresholds) -> list[Reason]:
    pairs = {
        name: count_pairs(candidate.outcomes[name], production.outcomes.get(name, {}))
        for name in candidate.outcomes
        if name in thresholds.limits or name == GOOD_ANSWER
    }
    p_values = {name: mcnemar_p(pair.num_lost, pair.num_gained) for name, pair in pairs.items()}
    return [
        Reason(
            "significant_loss",
            f"{name} is worse than production: {pairs[name].num_lost} answers lost, "
            f"{pairs[name].num_gained} gained of {pairs[name].count} (p = {p_values[name]:.4f}).",
            {"metric": name, "p": p_values[name], **asdict(pairs[name])},
        )
        for name in sorted(holm_rejects(p_values, thresholds.alpha), key=p_values.__getitem__)
    ]


def _is_all_good(report: Report, case_id: str) -> bool | None:
    """Whether every answer to the case was good in every way; None where there is none."""
    answer_ids = {answer.answer_id for answer in report.answers if answer.case_id == case_id}
    if not answer_ids:
        return None
    return not any(failure.answer_id in answer_ids for failure in report.failures)


def _is_all_bad(report: Report, case_id: str) -> bool:
    answer_ids = {answer.answer_id for answer in report.answers if answer.case_id == case_id}
    return bool(answer_ids) and answer_ids <= {failure.answer_id for failure in report.failures}


def _find_broken_regressions(candidate: Report, production: Report) -> list[Reason]:
    """Cases that production always answers well and the candidate never does. One unlucky draw
    breaks nothing: both the free and the constrained answer must be bad.
    """
    case_ids = dict.fromkeys(
        answer.case_id for answer in candidate.answers if answer.case_id.startswith("regression-")
    )
    reasons = []
    for case_id in case_ids:
        if not (_is_all_good(production, case_id) and _is_all_bad(candidate, case_id)):
            continue
        metrics = sorted(
            {f.metric for f in candidate.failures if f.answer_id.startswith(f"{case_id}/")}
        )
        message = f"{case_id} was answered well by production and is broken: {', '.join(metrics)}."
        reasons.append(
            Reason("regression_broken", message, {"case_id": case_id, "metrics": metrics})
        )
    return reasons


def _test_gain(
    candidate: Report, production: Report, thresholds: Thresholds
) -> tuple[bool, Reason]:
    pair = count_pairs(
        candidate.outcomes.get(GOOD_ANSWER, {}), production.outcomes.get(GOOD_ANSWER, {})
    )
    p_value = mcnemar_p(pair.num_gained, pair.num_lost)
    params = {"metric": GOOD_ANSWER, "p": p_value, **asdict(pair)}
    told = f"{pair.num_gained} answers gained, {pair.num_lost} lost of {pair.count}"
    if p_value <= thresholds.alpha:
        message = f"Better than production: {told} (p = {p_value:.4f})."
        return True, Reason("gain", message, params)
    theirs = {answer.answer_id: answer.text for answer in production.answers}
    if candidate.answers and all(
        theirs.get(answer.answer_id) == answer.text for answer in candidate.answers
    ):
        message = "Every answer is the same as production's: the adapter changes nothing."
        return False, Reason("identical", message, params)
    message = f"Not shown to be better than production: {told} (p = {p_value:.2f})."
    return False, Reason("no_gain", message, params)


def _too_few(candidate: Report, production: Report, thresholds: Thresholds) -> list[Reason]:
    pair = count_pairs(
        candidate.outcomes.get(GOOD_ANSWER, {}), production.outcomes.get(GOOD_ANSWER, {})
    )
    if pair.count >= thresholds.min_pairs:
        return []
    message = (
        f"Only {pair.count} questions were answered by both; "
        f"{thresholds.min_pairs} are needed to compare."
    )
    params = {"count": pair.count, "needed": thresholds.min_pairs}
    return [Reason("too_few_pairs", message, params)]


def decide(candidate: Report, production: Report, thresholds: Thresholds) -> Verdict:
    """Pass only what is within all limits, loses nothing significantly, and is proven better."""
    broken, missing = _check_limits(candidate, thresholds)
    missing += _too_few(candidate, production, thresholds)
    losses = _find_losses(candidate, production, thresholds)
    regressions = _find_broken_regressions(candidate, production)
    has_gain, gain = _test_gain(candidate, production, thresholds)
    failing: Sequence[Reason] = [*broken, *losses]
    if len(regressions) > thresholds.max_broken_regressions:
        failing = [*failing, *regressions]
        regressions = []
    if failing:
        return Verdict("fail", (*failing, *missing, gain, *regressions))
    if missing:
        return Verdict("incomplete", (*missing, gain, *regressions))
    if thresholds.require_gain and not has_gain:
        return Verdict("fail", (gain, *regressions))
    return Verdict("pass", (gain, *regressions))
