"""Asking the engine: what is asked, how often, and how it stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from finetune.cases import held_out_cases
from finetune.evaluate import (
    Cancelled,
    Candidate,
    EvaluationSettings,
    Generated,
    GenerateRequest,
    Watch,
    evaluate,
    list_questions,
)
from tests.finetune.fake_serving import FakeServing

CASES = held_out_cases(24)
SETTINGS = EvaluationSettings(num_cases=24)


def test_every_case_is_asked_freely_and_every_third_under_the_schema() -> None:
    questions = list_questions(CASES, SETTINGS)
    assert sum(not question.constrained for question in questions) == 24
    assert sum(question.constrained for question in questions) == 8
    assert len({question.answer_id for question in questions}) == 32


def test_a_regression_case_is_asked_both_ways() -> None:
    case = replace(CASES[1], case_id="regression-7", kind="regression")
    questions = list_questions((CASES[0], case), EvaluationSettings(constrained_every=100))
    assert [question.answer_id for question in questions[-2:]] == [
        "regression-7/free",
        "regression-7/schema",
    ]


def test_two_adapters_get_the_same_questions_with_the_same_seeds() -> None:
    first, second = FakeServing(), FakeServing()
    evaluate(first, Candidate(None), CASES, SETTINGS)
    evaluate(second, Candidate(None), CASES, SETTINGS)
    assert first.asked == second.asked
    assert len({request.seed for request in first.asked}) == 32


def test_the_adapter_and_the_sampling_reach_the_engine() -> None:
    serving = FakeServing()
    serving.voices["v0001"] = serving.voices[None]
    report = evaluate(
        serving, Candidate("v0001"), CASES, EvaluationSettings(temperature=0.3, max_tokens=99)
    )
    assert {(r.adapter, r.temperature, r.max_tokens) for r in serving.asked} == {("v0001", 0.3, 99)}
    assert report.adapter == "v0001"
    assert report.sampling == {"max_tokens": 99, "temperature": 0.3, "top_p": 0.9, "seed": 7}


def test_what_is_known_is_not_asked_again() -> None:
    serving = FakeServing()
    before = evaluate(serving, Candidate(None), CASES[:16], SETTINGS)
    serving.asked.clear()
    after = evaluate(serving, Candidate(None, known=before.answers), CASES, SETTINGS)
    fresh = evaluate(FakeServing(), Candidate(None), CASES, SETTINGS)
    assert len(serving.asked) == 8 + 2  # the new cases, and every third of them once more
    assert after.answers == fresh.answers
    assert after.metrics == fresh.metrics


def test_other_sampling_makes_known_answers_useless() -> None:
    serving = FakeServing()
    before = evaluate(serving, Candidate(None), CASES, SETTINGS)
    serving.asked.clear()
    warmer = replace(SETTINGS, temperature=1.0)
    evaluate(serving, Candidate(None, known=before.answers), CASES, warmer)
    assert len(serving.asked) == 32


class Failing(FakeServing):
    """Answers every fourth question with an engine error."""

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        answers = super().generate(requests)
        return [
            Generated("", "error", 1.0) if at % 4 == 0 else answer
            for at, answer in enumerate(answers)
        ]


def test_the_engines_errors_are_missing_answers_and_not_bad_ones() -> None:
    report = evaluate(Failing("good"), Candidate(None), CASES, SETTINGS)
    metric = report.metric("valid_json")
    assert metric is not None
    assert metric.value == 1.0
    assert (len(report.answers), report.num_questions) == (24, 32)


def test_it_tells_how_far_it_is_and_stops_when_asked() -> None:
    told: list[float] = []

    def check() -> None:
        if told and told[-1] >= 0.5:
            raise Cancelled("enough")

    serving = FakeServing()
    with pytest.raises(Cancelled, match="enough"):
        evaluate(
            serving, Candidate(None), CASES, replace(SETTINGS, batch=8), Watch(told.append, check)
        )
    assert told == [0.25, 0.5]
    assert len(serving.asked) == 16


@pytest.mark.parametrize(
    ("field", "value"), [("num_cases", 7), ("num_cases", 177), ("batch", 0), ("max_tokens", 0)]
)
def test_a_bad_setting_is_named(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        EvaluationSettings(**{field: value})
