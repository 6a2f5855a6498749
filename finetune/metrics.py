"""From answers to figures: pure, so that stored answers can be measured again at any time.

People get answers under the schema, so what they read is checked there as well as without it;
whether the adapter learned the format shows only without. The whole answer counts as good
when nothing at all is wrong with it: that one share is what the gate wants to see rise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from chatbot.recommendation import Recommendation, RecommendationError, canonical, parse
from finetune import text_checks
from finetune.cases import HeldOutCase
from finetune.category_fit import catalog_judge
from finetune.checks import AnswerFormat
from finetune.copies import TrainingAnswer, find_copies, find_nearness, find_twins
from finetune.report import (
    Answer,
    Better,
    Failure,
    Metric,
    mean_metric,
    quantile_metric,
    share_metric,
)

GOOD_ANSWER: Final = "good_answer"  # the figure whose rise the gate asks for
SAME_CHALLENGE = 0.6  # bigram similarity; different challenges of the catalog reach 0.28


# A copied answer fits where its own question is nearer to what is asked than so many others: those
# that fitted lay at 0.73 and above, and one for a question taken at random lies anywhere.
_NEAR = 2 / 3
_MIN_PARROTED = 20  # characters
_OF_ANY_TEXT: Final = frozenset(
    {"leading_numbers", "unended", "repetition", "repeated_across_prompts", "copied"}
    | {"pure_language", "spaced_korean", "personal_data", "links"}
)


@dataclass(frozen=True)
class Reading:
    """One answer as people would read it. fields: recommend, then title, description, …

    recommendation is None when the text does not parse; parse_error says why. copied_from and
    twin are what set the answer beside the others and beside the training answers. nearness: share
    of the training questions that are no nearer to what is asked than the one copied from.
    """

    answer: Answer
    case: HeldOutCase
    recommendation: Recommendation | None
    parse_error: str
    fields: tuple[str, ...]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    copied_from: TrainingAnswer | None = None
    twin: str | None = None
    nearness: float = 0.0

    @property
    def whole_text(self) -> str:
        """All fields in one text."""
        return " ".join(self.fields)


@dataclass(frozen=True)
class Check:
    """One yes-or-no metric: find returns the piece that shows the fault, or None.

    needs: "text" is asked of every answer, "object" of those that are a JSON object, "parsed" of
    those that parse. mode: which answers it is asked of.
    """

    name: str
    better: Better
    find: Callable[[Reading], str | None]
    needs: Literal["text", "object", "parsed"] = "object"
    mode: Literal["free", "schema", "both"] = "both"


def _find_invalid(reading: Reading) -> str | None:
    if reading.recommendation is None:
        return f"{reading.parse_error} {reading.answer.text[:80]}"
    return None


def _find_not_canonical(reading: Reading) -> str | None:
    text = reading.answer.text
    if reading.recommendation is None or canonical(reading.recommendation) != text.strip():
        return text[:120]
    return None


def _find_unended(reading: Reading) -> str | None:
    answer = reading.answer
    return None if answer.finish_reason == "stop" else f"… {answer.text[-100:]}"


def _find_loop(reading: Reading) -> str | None:
    if reading.answer.finish_reason == "repetition":
        return reading.answer.text[-120:]
    return text_checks.find_loop(reading.fields)


def _find_misfit(reading: Reading) -> str | None:
    ranking = catalog_judge().rank(reading.whole_text)
    if catalog_judge().fits(reading.whole_text, reading.case.base_info.category):
        return None
    return f"{reading.case.base_info.category} → {ranking[0]}: {' · '.join(reading.titles)}"


def _find_same_challenges(reading: Reading) -> str | None:
    texts = [
        f"{title} {description}"
        for title, description in zip(reading.titles, reading.descriptions, strict=True)
    ]
    for at, text in enumerate(texts):
        for other in texts[at + 1 :]:
            if text_checks.similarity(text, other) >= SAME_CHALLENGE:
                return f"{text} = {other}"
    return None


def _find_parroting(reading: Reading) -> str | None:
    """A training answer to a question about another category."""
    copied = reading.copied_from
    if copied is None or copied.category in (None, reading.case.base_info.category):
        return None
    return f"{copied.category}: {copied.text[:120]}"


def _find_copy(reading: Reading) -> str | None:
    return reading.copied_from.text[:120] if reading.copied_from else None


def _find_text_parroting(reading: Reading) -> str | None:
    """A training answer to quite another question: asked whether it is annoying, it tells of robots
    in ten years. Short answers fit many questions.
    """
    copied = reading.copied_from
    if copied is None or len(reading.whole_text) < _MIN_PARROTED or reading.nearness >= _NEAR:
        return None
    return f"{copied.question[:60]}: {copied.text[:120]}"


def _find_odd_text(reading: Reading) -> str | None:
    length, most = len(reading.whole_text.strip()), reading.case.max_chars
    if length < text_checks.MIN_FIELD or (most and length > most):
        return f"{length}: {reading.whole_text[:120]}"
    return None


CHECKS: Final = (
    Check("valid_json", "higher", _find_invalid, "text", "free"),
    Check("canonical_json", "higher", _find_not_canonical, "text", "free"),
    Check("valid_with_schema", "higher", _find_invalid, "text", "schema"),
    Check("stuffed", "lower", lambda r: text_checks.find_stuffing(r.fields, r.titles)),
    Check("leading_numbers", "lower", lambda r: text_checks.find_leading_number(r.fields)),
    Check("unended", "lower", _find_unended, "text"),
    Check("escaped_newlines", "lower", lambda r: text_checks.find_escape(r.fields)),
    Check("repetition", "lower", _find_loop, "text"),
    Check("category_fit", "higher", _find_misfit),
    Check("distinct_challenges", "higher", _find_same_challenges, "parsed"),
    Check("repeated_across_prompts", "lower", lambda r: r.twin),
    Check("parroted", "lower", _find_parroting, "text"),
    Check("copied", "lower", _find_copy, "text"),
    Check(
        "pure_language",
        "higher",
        lambda r: text_checks.find_foreign(r.fields, r.case.lang),
    ),
    Check("spaced_korean", "higher", lambda r: text_checks.find_missing_spaces(r.fields)),
    Check(
        "odd_length",
        "lower",
        lambda r: text_checks.find_odd_length(r.fields[0], r.titles, r.descriptions),
        "parsed",
    ),
    Check("personal_data", "lower", lambda r: text_checks.find_personal_data(r.fields), "text"),
    Check("links", "lower", lambda r: text_checks.find_link(r.fields), "text"),
)
# Of a text project: what can be wrong with any text. Each is asked only where the accepted answer
# itself is free of it: lists, links or one-word answers may be just what people want.
TEXT_CHECKS: Final = (
    *(replace(check, needs="text") for check in CHECKS if check.name in _OF_ANY_TEXT),
    Check("parroted", "lower", _find_text_parroting, "text"),
    Check("odd_length", "lower", _find_odd_text, "text"),
)
# Copying a training answer of the same category, or answering two people alike, is no fault of
# the single answer.
NO_FAULTS: Final = frozenset({"copied", "repeated_across_prompts"})
# What a base that was never trained here cannot do.
NEEDS_TRAINING: Final = frozenset({"copied", "parroted"})


def _object_fields(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return tuple(text for item in value.values() for text in _object_fields(item))
    if isinstance(value, list):
        return tuple(text for item in value for text in _object_fields(item))
    return ()


def read_answer(answer: Answer, case: HeldOutCase) -> Reading:
    """Parse strictly; what does not parse is read as far as it is JSON at all, else as text."""
    try:
        recommendation = parse(answer.text)
    except RecommendationError as error:
        return Reading(answer, case, None, str(error), _loose_fields(answer.text), (), ())
    titles = tuple(challenge.title for challenge in recommendation.challenges)
    descriptions = tuple(challenge.description for challenge in recommendation.challenges)
    pairs = zip(titles, descriptions, strict=True)
    fields = (recommendation.recommend, *(text for pair in pairs for text in pair))
    return Reading(answer, case, recommendation, "", fields, titles, descriptions)


def _read_text(answer: Answer, case: HeldOutCase) -> Reading:
    return Reading(answer, case, None, "", (answer.text.strip(),), (), ())


def _loose_fields(text: str) -> tuple[str, ...]:
    try:
        return _object_fields(json.loads(text)) or (text,)
    except (ValueError, RecursionError):
        return (text,)


def _is_asked(check: Check, reading: Reading) -> bool:
    mode = "schema" if reading.answer.constrained else "free"
    if check.mode not in ("both", mode):
        return False
    if check.needs == "parsed":
        return reading.recommendation is not None
    is_object = reading.fields != (reading.answer.text,)
    return check.needs == "text" or is_object


@dataclass(frozen=True)
class Measurement:
    """All figures of a set of answers."""

    metrics: tuple[Metric, ...]
    outcomes: dict[str, dict[str, bool]]
    failures: tuple[Failure, ...]


def _set_beside(readings: Sequence[Reading], training: Iterable[TrainingAnswer]) -> list[Reading]:
    """The readings with what each repeats: of the training, and of the other answers."""
    cases = {r.answer.answer_id: r.case for r in readings}
    copies = find_copies(
        {r.answer.answer_id: r.whole_text for r in readings},
        training,
        lambda answer_id, row: _fits(cases[answer_id], row),
    )
    twins: dict[str, str] = {}
    for constrained in (False, True):
        twins |= find_twins(
            (r.answer.answer_id, _what_is_asked(r.case), r.whole_text)
            for r in readings
            if r.answer.constrained is constrained
        )
    return [
        replace(
            reading,
            copied_from=copies.get(reading.answer.answer_id),
            twin=twins.get(reading.answer.answer_id),
        )
        for reading in readings
    ]


def _set_beside_questions(
    readings: Sequence[Reading], training: Sequence[TrainingAnswer]
) -> list[Reading]:
    """The same, with how near the questions are whose answers are repeated."""
    return [
        replace(
            reading, nearness=find_nearness(reading.case.question, reading.copied_from, training)
        )
        if reading.copied_from
        else reading
        for reading in _set_beside(readings, training)
    ]


def _fits(case: HeldOutCase, row: TrainingAnswer) -> float:
    """How well what is asked fits what a training row was asked."""
    if case.accepted:
        return text_checks.similarity(row.question, case.question)
    return float(row.category in (None, case.base_info.category))


def _what_is_asked(case: HeldOutCase) -> Hashable:
    return case.question if case.accepted else case.base_info


def _accepted_readings(cases: Iterable[HeldOutCase]) -> list[Reading]:
    """What people accepted, read as if it had been answered."""
    answers = (
        (
            Answer(case.case_id, case.case_id, False, "", case.question, case.accepted, "stop", 0),
            case,
        )
        for case in cases
        if case.accepted
    )
    return [_read_text(answer, case) for answer, case in answers]


def _find_faults(
    checks: Sequence[Check], readings: Sequence[Reading], accepted: Sequence[Reading]
) -> dict[str, dict[str, str | None]]:
    """check → answer_id → what is wrong, but for checks that the accepted answer fails, too."""
    found = {}
    for check in checks:
        excused = {
            case_id
            for case_id, fault in _measure_check(check, accepted).items()
            if fault is not None
        }
        asked = [reading for reading in readings if reading.case.case_id not in excused]
        found[check.name] = _measure_check(check, asked)
    return found


def _measure_check(check: Check, readings: Sequence[Reading]) -> dict[str, str | None]:
    return {
        reading.answer.answer_id: check.find(reading)
        for reading in readings
        if _is_asked(check, reading)
    }


def _share(name: str, better: Better, outcomes: Mapping[str, bool]) -> Metric:
    num_good = sum(outcomes.values())
    num_hits = len(outcomes) - num_good if better == "lower" else num_good
    return share_metric(name, better, num_hits, len(outcomes))


def _good_answers(
    readings: Sequence[Reading], outcomes: Mapping[str, Mapping[str, bool]]
) -> dict[str, bool]:
    """Of the answers without the schema: whether no check at all found a fault."""
    counted = [values for name, values in outcomes.items() if name not in NO_FAULTS]
    return {
        reading.answer.answer_id: all(
            values.get(reading.answer.answer_id, True) for values in counted
        )
        for reading in readings
        if not reading.answer.constrained
    }


def _size_metrics(readings: Sequence[Reading]) -> list[Metric]:
    lengths = [float(len(reading.whole_text)) for reading in readings]
    durations = [reading.answer.duration_ms for reading in readings]
    return [
        mean_metric("length", "characters", lengths),
        quantile_metric("latency_p50", "ms", durations, 0.5),
        quantile_metric("latency_p95", "ms", durations, 0.95),
    ]


def measure(
    answers: Sequence[Answer],
    cases: Iterable[HeldOutCase],
    training: Iterable[TrainingAnswer] = (),
    answer_format: AnswerFormat = "recommendation",
) -> Measurement:
    """Every figure, every paired outcome and every failure of these answers."""
    known = {case.case_id: case for case in cases}
    is_text = answer_format == "text"
    checks, read = (TEXT_CHECKS, _read_text) if is_text else (CHECKS, read_answer)
    readings = [read(answer, known[answer.case_id]) for answer in answers]
    accepted: list[Reading] = []
    if is_text:
        taught = list(training)
        readings = _set_beside_questions(readings, taught)
        accepted = _set_beside_questions(_accepted_readings(known.values()), taught)
    else:
        readings = _set_beside(readings, training)
    faults = _find_faults(checks, readings, accepted)
    outcomes = {
        name: {answer_id: evidence is None for answer_id, evidence in found.items()}
        for name, found in faults.items()
    }
    outcomes[GOOD_ANSWER] = _good_answers(readings, outcomes)
    betters: dict[str, Better] = {check.name: check.better for check in checks}
    shares = [_share(name, betters.get(name, "higher"), outcomes[name]) for name in outcomes]
    failures = tuple(
        Failure(name, answer_id, evidence)
        for name, found in faults.items()
        for answer_id, evidence in found.items()
        if evidence is not None
    )
    return Measurement((*shares, *_size_metrics(readings)), outcomes, failures)
