"""Figures from answers: each metric is moved by its own fault and by no other."""

from __future__ import annotations

import pytest

from chatbot.recommendation import canonical
from finetune.cases import held_out_cases
from finetune.copies import TrainingAnswer
from finetune.evaluate import Candidate, EvaluationSettings, evaluate
from finetune.metrics import GOOD_ANSWER, measure, read_answer
from finetune.report import Answer, Report
from tests.finetune.fake_serving import PARROT_ANSWER, FakeServing

CASES = held_out_cases(24)
TRAINING = [TrainingAnswer("VEGAN", canonical(PARROT_ANSWER))]


def report_of(voice: str) -> Report:
    serving = FakeServing(voice)
    asked = Candidate(None, training=TRAINING)
    return evaluate(serving, asked, CASES, EvaluationSettings(num_cases=24))


def answer(text: str, finish_reason: str = "stop") -> Answer:
    case = CASES[0]
    return Answer(f"{case.case_id}/free", case.case_id, False, "k", "?", text, finish_reason, 9.0)


@pytest.mark.parametrize(
    ("voice", "metric", "at_fault"),
    [
        ("plain-text", "valid_json", 0.0),
        ("plain-text", "canonical_json", 0.0),
        ("plain-text", "valid_with_schema", 0.0),
        ("stuffed", "stuffed", 1.0),
        ("numbered", "leading_numbers", 1.0),
        ("escaped", "escaped_newlines", 1.0),
        ("looping", "repetition", 1.0),
        ("endless", "unended", 1.0),
        ("off-topic", "category_fit", 0.3),
        ("same-three", "distinct_challenges", 0.0),
        ("parrot", "repeated_across_prompts", 1.0),
        ("parrot", "parroted", 0.875),
        ("parrot", "copied", 1.0),
        ("foreign", "pure_language", 0.34),
        ("run-together", "spaced_korean", 0.0),
        ("leaking", "personal_data", 1.0),
        ("advertising", "links", 1.0),
    ],
)
def test_each_fault_moves_its_figure(voice: str, metric: str, at_fault: float) -> None:
    faulty, sound = report_of(voice).metric(metric), report_of("good").metric(metric)
    assert faulty is not None
    assert sound is not None
    assert faulty.value is not None
    assert sound.value == (0.0 if sound.better == "lower" else 1.0)
    if faulty.better == "lower":
        assert faulty.value >= at_fault - 1e-9
    else:
        assert faulty.value <= at_fault + 1e-9


def test_every_failure_names_an_answer_and_shows_the_piece() -> None:
    report = report_of("stuffed")
    known = {item.answer_id for item in report.answers}
    stuffed = [failure for failure in report.failures if failure.metric == "stuffed"]
    assert {failure.answer_id for failure in stuffed} == known
    assert all("1. " in failure.evidence for failure in stuffed)


def test_a_good_answer_has_no_fault_at_all() -> None:
    good = report_of("good").metric(GOOD_ANSWER)
    numbered = report_of("numbered").metric(GOOD_ANSWER)
    assert good is not None
    assert numbered is not None
    assert (good.value, good.count, numbered.value) == (1.0, 24, 0.0)


def test_every_figure_carries_its_count_and_interval() -> None:
    for metric in report_of("sloppy").metrics:
        assert metric.count > 0
        if metric.unit == "share":
            assert metric.low is not None
            assert metric.high is not None
            assert metric.value is not None
            assert metric.low <= metric.value <= metric.high


def test_content_is_not_judged_where_there_is_none() -> None:
    metric = report_of("plain-text").metric("category_fit")
    assert metric is not None
    assert (metric.value, metric.count) == (None, 0)


def test_stuffing_is_seen_in_json_that_is_not_a_recommendation() -> None:
    text = '{"recommend":"1. 걷기 2. 줍기 3. 쉬기","challenges":[]}'
    found = measure([answer(text)], CASES)
    assert {failure.metric for failure in found.failures} >= {"valid_json", "stuffed"}


def test_json_with_free_spaces_is_valid_but_not_canonical() -> None:
    text = canonical(PARROT_ANSWER).replace('":', '": ')
    outcomes = measure([answer(text)], CASES).outcomes
    key = f"{CASES[0].case_id}/free"
    assert outcomes["valid_json"] == {key: True}
    assert outcomes["canonical_json"] == {key: False}


@pytest.mark.parametrize("text", ["", "\x00", "[1,2]", '"text"', "{" * 5000, '{"recommend":3}'])
def test_any_text_can_be_measured(text: str) -> None:
    assert read_answer(answer(text), CASES[0]).recommendation is None
    assert measure([answer(text)], CASES).outcomes["valid_json"] == {
        f"{CASES[0].case_id}/free": False
    }


def test_no_answers_give_missing_figures() -> None:
    found = measure([], CASES)
    assert {metric.value for metric in found.metrics} == {None}
