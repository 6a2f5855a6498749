"""May this candidate reach people? Pure: two reports in, a verdict out.

Three questions, in this order. Is every figure within its absolute limit? Did nothing get
significantly worse than production, metric by metric, and no regression case break? And is it
significantly better, in what it answers or in how likely it finds what people accepted? An equal
adapter is not promoted, because "not worse" lets every second do-nothing adapter through. Paired
answers to the same questions are compared by the exact one-sided McNemar test, which is fit for a
few dozen of them; Holm's correction keeps many metrics from finding something by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from finetune.metrics import GOOD_ANSWER, NEEDS_TRAINING, NO_FAULTS
from finetune.paired_tests import Pairs, count_pairs, holm_rejects, mcnemar_p
from finetune.report import Report

Outcome = Literal["pass", "fail", "incomplete"]
ACCEPTED_LIKELIHOOD: Final = "accepted_likelihood"
JUDGED_BETTER: Final = "judged_better"
# What a better adapter is better in: nothing wrong at all, the format, or what it says.
GAIN_METRICS: Final = (GOOD_ANSWER, "valid_json", "category_fit", "distinct_challenges")
SAME_SCORE: Final = 0.02  # nats per token; below that lies the noise of batching and rounding

DEFAULT_LIMITS: Final[Mapping[str, float]] = {
    # at least, for those where higher is better
    "valid_json": 0.80,
    "canonical_json": 0.75,
    "valid_with_schema": 0.90,
    "category_fit": 0.60,
    "distinct_challenges": 0.70,
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
    "links": 0.0,
}


@dataclass(frozen=True)
class Thresholds:
    """When a candidate passes. limits: metric → the worst value that is accepted."""

    limits: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    alpha: float = 0.05  # chance of a false gain, and of any false loss among all metrics
    min_pairs: int = 24  # fewer answers in common prove nothing
    min_scored: int = 10  # fewer accepted answers scored prove no gain, however clear
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


def _describe_shares(value: float, limit: float) -> dict[str, str]:
    """Both in percent, the value with as many decimals as it takes to tell it from the limit."""
    as_told = ((f"{value:.{n}%}", f"{limit:.{n}%}") for n in range(4))
    told = next((ours for ours, theirs in as_told if ours != theirs), f"{value:.3%}")
    return {"value": told, "limit": f"{100 * limit:g}%"}


def _limits_of(report: Report, thresholds: Thresholds) -> Mapping[str, float]:
    """Of free text only what it can be wrong in, and where people's own answers are not."""
    if report.answer_format != "text":
        return thresholds.limits
    measured = {metric.name for metric in report.metrics if metric.value is not None}
    return {name: limit for name, limit in thresholds.limits.items() if name in measured}


def _check_limits(report: Report, thresholds: Thresholds) -> tuple[list[Reason], list[Reason]]:
    """(broken limits, missing figures)."""
    broken, missing = [], []
    for name, limit in _limits_of(report, thresholds).items():
        metric = report.metric(name)
        if metric is None or metric.value is None:
            message = f"{name} could not be measured, and nothing passes without it."
            missing.append(Reason("missing_figure", message, {"metric": name}))
            continue
        shown = _describe_shares(metric.value, limit)
        params = {"metric": name, "value": metric.value, "limit": limit, "count": metric.count}
        params["shown"] = shown
        if metric.better == "higher" and metric.value < limit:
            message = (
                f"{name} is {shown['value']} of {metric.count} answers; "
                f"at least {shown['limit']} is needed."
            )
            broken.append(Reason("below_limit", message, params))
        if metric.better == "lower" and metric.value > limit:
            message = (
                f"{name} is {shown['value']} of {metric.count} answers; "
                f"at most {shown['limit']} is accepted."
            )
            broken.append(Reason("above_limit", message, params))
    return broken, missing


def _find_losses(candidate: Report, production: Report, thresholds: Thresholds) -> list[Reason]:
    """Beside the base, the limits alone judge what only a trained model can do: else each version
    that learnt its answers well would lose to the one that never saw them.
    """
    unfair = frozenset() if production.adapter else NEEDS_TRAINING
    pairs = {
        name: count_pairs(candidate.outcomes[name], production.outcomes.get(name, {}))
        for name in candidate.outcomes
        if (name in thresholds.limits and name not in unfair) or name == GOOD_ANSWER
    }
    pairs |= _pair_preferences(candidate, production)
    p_values = {name: mcnemar_p(pair.num_lost, pair.num_gained) for name, pair in pairs.items()}
    return [
        Reason(
            "significant_loss",
            f"{name} is worse than production: {_tell(pairs[name])} ({_tell_p(p_values[name])}).",
            {"metric": name, "p": p_values[name], **asdict(pairs[name])},
        )
        for name in holm_rejects(p_values, thresholds.alpha)
    ]


def _faulty_answers(report: Report) -> set[str]:
    return {fault.answer_id for fault in report.failures if fault.metric not in NO_FAULTS}


def _is_all_good(report: Report, case_id: str) -> bool:
    answer_ids = {answer.answer_id for answer in report.answers if answer.case_id == case_id}
    return bool(answer_ids) and not answer_ids & _faulty_answers(report)


def _is_all_bad(report: Report, case_id: str) -> bool:
    answer_ids = {answer.answer_id for answer in report.answers if answer.case_id == case_id}
    return bool(answer_ids) and answer_ids <= _faulty_answers(report)


def _find_broken_regressions(candidate: Report, production: Report) -> list[Reason]:
    """Cases that production always answers well and the candidate never does. One unlucky draw
    breaks nothing: both the free and the constrained answer must be bad. Free text is asked once,
    so there the cases count among all the others only.
    """
    if candidate.answer_format == "text":
        return []
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


def _pair_good(candidate: Report, production: Report) -> Pairs:
    return count_pairs(
        candidate.outcomes.get(GOOD_ANSWER, {}), production.outcomes.get(GOOD_ANSWER, {})
    )


def _pair_scores(candidate: Report, production: Report) -> Pairs:
    """Accepted answers that became clearly likelier or unlikelier, of those scored for both."""
    common = candidate.scores.keys() & production.scores.keys()
    rises = [candidate.scores[key] - production.scores[key] for key in common]
    return Pairs(
        count=len(rises),
        num_gained=sum(rise > SAME_SCORE for rise in rises),
        num_lost=sum(rise < -SAME_SCORE for rise in rises),
    )


def _pair_preferences(candidate: Report, production: Report) -> dict[str, Pairs]:
    """What else may show a difference, where it was measured."""
    found = {}
    scored = _pair_scores(candidate, production)
    if scored.count:
        found[ACCEPTED_LIKELIHOOD] = scored
    judged = list(candidate.preferences.values())
    if judged:
        found[JUDGED_BETTER] = Pairs(len(judged), sum(judged), len(judged) - sum(judged))
    return found


def _is_identical(candidate: Report, production: Report) -> bool:
    theirs = {answer.answer_id: answer.text for answer in production.answers}
    return bool(candidate.answers) and all(
        theirs.get(answer.answer_id) == answer.text for answer in candidate.answers
    )


def _tell(pair: Pairs) -> str:
    return f"{pair.num_gained} gained, {pair.num_lost} lost of {pair.count}"


def _tell_p(p_value: float) -> str:
    return f"p = {p_value:.3f}" if p_value >= 0.0005 else "p < 0.001"


def _find_gains(
    candidate: Report, production: Report, thresholds: Thresholds
) -> tuple[bool, list[Reason]]:
    """(proven better, what proves it; or the one reason why it is not proven)."""
    pairs = {
        name: count_pairs(candidate.outcomes.get(name, {}), production.outcomes.get(name, {}))
        for name in GAIN_METRICS
    }
    # What neither has any answer for takes no part in Holm's correction.
    pairs = {name: pair for name, pair in pairs.items() if pair.count or name == GOOD_ANSWER}
    pairs |= _pair_preferences(candidate, production)
    if ACCEPTED_LIKELIHOOD in pairs and pairs[ACCEPTED_LIKELIHOOD].count < thresholds.min_scored:
        del pairs[ACCEPTED_LIKELIHOOD]
    p_values = {name: mcnemar_p(pair.num_gained, pair.num_lost) for name, pair in pairs.items()}
    proven = holm_rejects(p_values, thresholds.alpha)
    if proven:
        return True, [_gain(name, pairs[name], p_values[name]) for name in proven]
    params = {"metric": GOOD_ANSWER, "p": p_values[GOOD_ANSWER], **asdict(pairs[GOOD_ANSWER])}
    if _is_identical(candidate, production):
        message = "Every answer is the same as production's: the adapter changes nothing."
        return False, [Reason("identical", message, params)]
    message = (
        f"Not shown to be better than production: {GOOD_ANSWER} {_tell(pairs[GOOD_ANSWER])} "
        f"({_tell_p(p_values[GOOD_ANSWER])})."
    )
    return False, [Reason("no_gain", message, params), *_note_too_few_scored(candidate, thresholds)]


def _note_too_few_scored(candidate: Report, thresholds: Thresholds) -> list[Reason]:
    num, needed = len(candidate.scores), thresholds.min_scored
    if not 0 < num < needed:
        return []
    times = math.ceil(needed / num)
    message = (
        f"Only {num} accepted answers were kept for the gate; {ACCEPTED_LIKELIHOOD} counts from "
        f"{needed} on. With about {times} times as many accepted examples there are enough."
    )
    params = {"count": num, "needed": needed, "times": times}
    return [Reason("too_few_scored", message, params)]


def _gain(name: str, pair: Pairs, p_value: float) -> Reason:
    message = f"Better than production: {name} {_tell(pair)} ({_tell_p(p_value)})."
    return Reason("gain", message, {"metric": name, "p": p_value, **asdict(pair)})


def _find_unanswered(report: Report, who: str) -> list[Reason]:
    num_missing = report.num_questions - len(report.answers)
    if not num_missing:
        return []
    message = (
        f"The engine failed on {num_missing} of {report.num_questions} questions to {who}; "
        "evaluate again."
    )
    params = {"who": who, "count": num_missing, "of": report.num_questions}
    return [Reason("unanswered", message, params)]


def _find_too_few(candidate: Report, production: Report, thresholds: Thresholds) -> list[Reason]:
    pair = _pair_good(candidate, production)
    if pair.count >= thresholds.min_pairs:
        return []
    message = (
        f"Only {pair.count} questions were answered by both; "
        f"{thresholds.min_pairs} are needed to compare."
    )
    if candidate.answer_format == "text":
        message += (
            " In a text project they come from the accepted examples, about one of eight: accept "
            "more, or read the answers and promote it with a reason."
        )
    params = {"count": pair.count, "needed": thresholds.min_pairs}
    return [Reason("too_few_pairs", message, params)]


def _note_text(candidate: Report) -> list[Reason]:
    if candidate.answer_format != "text":
        return []
    message = (
        "Judged as free text: by faults that any text can have, and by how likely it finds what "
        "people accepted. Whether it says the right thing, only people can tell."
    )
    return [Reason("judged_as_text", message)]


def _note_learnt(candidate: Report) -> list[Reason]:
    num = candidate.num_learnt
    if not num:
        return []
    message = (
        f"{num} accepted answers that are kept for the gate were left out: production was trained "
        "on them, from a dataset that kept fewer."
    )
    return [Reason("learnt_left_out", message, {"count": num})]


def decide(candidate: Report, production: Report, thresholds: Thresholds) -> Verdict:
    """Pass only what is within all limits, loses nothing significantly, and is proven better."""
    broken, missing = _check_limits(candidate, thresholds)
    missing += _find_unanswered(candidate, "the candidate")
    missing += _find_unanswered(production, "production")
    missing += _find_too_few(candidate, production, thresholds)
    losses = _find_losses(candidate, production, thresholds)
    regressions = _find_broken_regressions(candidate, production)
    is_better, gains = _find_gains(candidate, production, thresholds)
    notes = [*_note_learnt(candidate), *_note_text(candidate)]
    failing: Sequence[Reason] = [*broken, *losses]
    if len(regressions) > thresholds.max_broken_regressions:
        failing = [*failing, *regressions]
        regressions = []
    if failing:
        return Verdict("fail", (*failing, *missing, *gains, *regressions, *notes))
    if missing:
        return Verdict("incomplete", (*missing, *gains, *regressions, *notes))
    if thresholds.require_gain and not is_better:
        return Verdict("fail", (*gains, *regressions, *notes))
    return Verdict("pass", (*gains, *regressions, *notes))
