"""Which candidates may reach people."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import canonical
from finetune.cases import held_out_cases
from finetune.copies import TrainingAnswer
from finetune.evaluate import Candidate, EvaluationSettings, evaluate
from finetune.gate import DEFAULT_LIMITS, Thresholds, Verdict, decide
from finetune.metrics import CHECKS, GOOD_ANSWER
from finetune.report import Answer, Failure, Metric, Report, share_metric
from tests.finetune.fake_serving import PARROT_ANSWER, FakeServing

CASES = held_out_cases(48)
SETTINGS = EvaluationSettings(num_cases=48)
TRAINING = [TrainingAnswer("VEGAN", canonical(PARROT_ANSWER))]


def report_of(voice: str) -> Report:
    return evaluate(FakeServing(voice), Candidate(None, training=TRAINING), CASES, SETTINGS)


@pytest.fixture(scope="module")
def production() -> Report:
    return report_of("sloppy")


@pytest.fixture(scope="module")
def good() -> Report:
    return report_of("good")


def codes(verdict: Verdict) -> list[tuple[str, str]]:
    return [(reason.code, reason.params.get("metric", "")) for reason in verdict.reasons]


def test_a_better_candidate_passes_and_the_gain_is_told(good: Report, production: Report) -> None:
    verdict = decide(good, production, Thresholds())
    assert verdict.outcome == "pass"
    assert codes(verdict) == [("gain", GOOD_ANSWER), ("gain", "valid_json")]
    assert verdict.sentences[0].startswith("Better than production: good_answer 13 gained")


def test_an_identical_copy_is_refused_as_one_that_changes_nothing(good: Report) -> None:
    verdict = decide(replace(good, adapter="copy"), good, Thresholds())
    assert (verdict.outcome, codes(verdict)) == ("fail", [("identical", GOOD_ANSWER)])


def test_not_worse_is_not_enough(good: Report) -> None:
    other = replace(good, answers=tuple(replace(a, text=a.text + " ") for a in good.answers))
    assert codes(decide(other, good, Thresholds())) == [("no_gain", GOOD_ANSWER)]
    assert decide(other, good, Thresholds(require_gain=False)).outcome == "pass"


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        ("stuffed", ("above_limit", "stuffed")),
        ("numbered", ("above_limit", "leading_numbers")),
        ("escaped", ("above_limit", "escaped_newlines")),
        ("looping", ("above_limit", "repetition")),
        ("endless", ("above_limit", "unended")),
        ("endless", ("below_limit", "valid_with_schema")),
        ("parrot", ("above_limit", "parroted")),
        ("parrot", ("above_limit", "repeated_across_prompts")),
        ("off-topic", ("below_limit", "category_fit")),
        ("same-three", ("below_limit", "distinct_challenges")),
        ("foreign", ("below_limit", "pure_language")),
        ("run-together", ("below_limit", "spaced_korean")),
        ("leaking", ("above_limit", "personal_data")),
        ("advertising", ("above_limit", "links")),
        ("plain-text", ("below_limit", "valid_json")),
        ("plain-text", ("below_limit", "canonical_json")),
    ],
)
def test_a_harmful_adapter_is_refused_for_what_is_wrong_with_it(
    voice: str, reason: tuple[str, str], production: Report
) -> None:
    verdict = decide(report_of(voice), production, Thresholds())
    assert verdict.outcome == "fail"
    assert reason in codes(verdict)


def test_every_limit_is_a_figure_and_every_figure_has_a_limit() -> None:
    assert DEFAULT_LIMITS.keys() == {check.name for check in CHECKS}


def test_a_significant_loss_fails_within_all_limits(good: Report, production: Report) -> None:
    """Twelve fits lost of 64: 81% is above the limit, and still a clear loss."""
    lost = sorted(good.outcomes["category_fit"])[:12]
    outcomes = {**good.outcomes["category_fit"], **dict.fromkeys(lost, False)}
    worse = replace(good, outcomes={**good.outcomes, "category_fit": outcomes})
    verdict = decide(worse, good, Thresholds(require_gain=False))
    assert codes(verdict)[0] == ("significant_loss", "category_fit")
    assert "12 lost" in verdict.sentences[0]


@pytest.mark.parametrize("metric", ["copied", "parroted"])
def test_what_the_base_cannot_do_is_no_loss_against_it(
    good: Report, production: Report, metric: str
) -> None:
    """A base never saw the answers; a trained version that copied less has something to lose."""
    keys = sorted(good.outcomes[metric])
    outcomes = {**good.outcomes[metric], **dict.fromkeys(keys[:12], False)}
    copying = replace(good, adapter="v2", outcomes={**good.outcomes, metric: outcomes})
    base = replace(production, adapter="")
    trained = replace(production, adapter="v1")
    lost = ("significant_loss", metric)
    assert lost not in codes(decide(copying, base, Thresholds()))
    assert lost in codes(decide(copying, trained, Thresholds()))


@pytest.mark.parametrize(
    ("name", "num", "count", "told"),
    [
        ("parroted", 3, 29, "parroted is 10.3% of 29 answers; at most 10% is accepted."),
        ("stuffed", 17, 200, "stuffed is 8.5% of 200 answers; at most 8% is accepted."),
        ("links", 1, 200, "links is 0.5% of 200 answers; at most 0% is accepted."),
        ("category_fit", 119, 200, "category_fit is 59.5% of 200 answers; at least 60% is needed."),
    ],
)
def test_a_figure_just_outside_its_limit_is_not_told_as_the_limit(
    good: Report, production: Report, name: str, num: int, count: int, told: str
) -> None:
    metrics = tuple(
        replace(metric, value=num / count, count=count) if metric.name == name else metric
        for metric in good.metrics
    )
    verdict = decide(replace(good, metrics=metrics), production, Thresholds())
    assert verdict.sentences[0] == told


def test_one_answer_lost_is_chance(good: Report) -> None:
    lost = sorted(good.outcomes["category_fit"])[:3]
    outcomes = {**good.outcomes["category_fit"], **dict.fromkeys(lost, False)}
    worse = replace(good, outcomes={**good.outcomes, "category_fit": outcomes})
    assert decide(worse, good, Thresholds(require_gain=False)).outcome == "pass"


@pytest.mark.parametrize("name", sorted(DEFAULT_LIMITS))
def test_a_missing_figure_is_incomplete(name: str, good: Report, production: Report) -> None:
    kept = tuple(metric for metric in good.metrics if metric.name != name)
    verdict = decide(replace(good, metrics=kept), production, Thresholds())
    assert verdict.outcome == "incomplete"
    assert codes(verdict)[0] == ("missing_figure", name)


def test_a_figure_without_a_value_is_incomplete(good: Report, production: Report) -> None:
    metrics = tuple(
        Metric("links", "lower", "share", None, 0) if metric.name == "links" else metric
        for metric in good.metrics
    )
    assert decide(replace(good, metrics=metrics), production, Thresholds()).outcome == "incomplete"


def test_questions_that_the_engine_failed_on_are_incomplete(
    good: Report, production: Report
) -> None:
    cut = replace(production, answers=production.answers[2:])
    verdict = decide(good, cut, Thresholds())
    assert verdict.outcome == "incomplete"
    assert verdict.reasons[0].params == {"who": "production", "count": 2, "of": 64}


def test_too_few_common_questions_are_incomplete(good: Report, production: Report) -> None:
    verdict = decide(good, production, Thresholds(min_pairs=49))
    assert codes(verdict)[0][0] == "too_few_pairs"
    assert verdict.outcome == "incomplete"


def test_an_empty_report_never_passes(production: Report) -> None:
    empty = Report("v0002", "starter", {})
    assert decide(empty, production, Thresholds()).outcome == "incomplete"
    assert decide(empty, empty, Thresholds(require_gain=False)).outcome == "incomplete"


def with_regressions(report: Report, faulty: dict[str, set[str]]) -> Report:
    """Add regression-1 and -2, each asked both ways; faulty names the modes that failed."""
    answers = [
        Answer(f"{case}/{mode}", case, mode == "schema", "k", "?", "text", "stop", 1.0)
        for case in ("regression-1", "regression-2")
        for mode in ("free", "schema")
    ]
    failures = [
        Failure("stuffed", f"{case}/{mode}", "…")
        for case, modes in faulty.items()
        for mode in modes
    ]
    return replace(
        report,
        answers=(*report.answers, *answers),
        failures=(*report.failures, *failures),
        num_questions=report.num_questions + 4,
    )


def test_a_newly_broken_regression_case_is_named(good: Report, production: Report) -> None:
    both = {"free", "schema"}
    candidate = with_regressions(good, {"regression-1": both, "regression-2": both})
    earlier = with_regressions(production, {"regression-2": both})
    verdict = decide(candidate, earlier, Thresholds())
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].params == {"case_id": "regression-1", "metrics": ["stuffed"]}
    lenient = decide(candidate, earlier, Thresholds(max_broken_regressions=1))
    assert lenient.outcome == "pass"
    assert codes(lenient)[-1][0] == "regression_broken"


def test_one_unlucky_draw_breaks_no_regression_case(good: Report, production: Report) -> None:
    candidate = with_regressions(good, {"regression-1": {"free"}})
    assert decide(candidate, with_regressions(production, {}), Thresholds()).outcome == "pass"


def test_a_copied_answer_is_no_broken_regression_case(good: Report, production: Report) -> None:
    candidate = with_regressions(good, {})
    copies = [Failure("copied", f"regression-1/{mode}", "…") for mode in ("free", "schema")]
    candidate = replace(candidate, failures=(*candidate.failures, *copies))
    assert decide(candidate, with_regressions(production, {}), Thresholds()).outcome == "pass"


def test_two_faultless_adapters_are_told_apart_by_what_people_accepted(good: Report) -> None:
    rows = [f"row{number}" for number in range(30)]
    earlier = replace(good, scores=dict.fromkeys(rows, -2.0))
    closer = replace(good, adapter="v2", scores=dict.fromkeys(rows, -1.5))
    verdict = decide(closer, earlier, Thresholds())
    assert (verdict.outcome, codes(verdict)) == ("pass", [("gain", "accepted_likelihood")])
    further = decide(earlier, closer, Thresholds(require_gain=False))
    assert codes(further)[0] == ("significant_loss", "accepted_likelihood")


def test_a_handful_of_accepted_answers_proves_no_gain(good: Report) -> None:
    """Nine of nine are significant, and may still be one person's taste."""
    rows = [f"row{number}" for number in range(9)]
    earlier = replace(good, scores=dict.fromkeys(rows, -2.0))
    closer = replace(good, adapter="v2", scores=dict.fromkeys(rows, -1.5))
    verdict = decide(closer, earlier, Thresholds())
    assert verdict.outcome == "fail"
    closer, earlier = (
        replace(report, scores={**report.scores, "row9": report.scores["row0"]})
        for report in (closer, earlier)
    )
    assert decide(closer, earlier, Thresholds()).outcome == "pass"


def test_too_few_accepted_answers_are_said(good: Report) -> None:
    rows = dict.fromkeys("abc", -1.0)
    reworded = tuple(replace(answer, text=f"{answer.text} ") for answer in good.answers)
    candidate = replace(good, adapter="v1", scores=rows, answers=reworded)
    verdict = decide(candidate, good, Thresholds())
    assert "Only 3 accepted answers were kept" in " ".join(verdict.sentences)
    assert "about 4 times as many" in " ".join(verdict.sentences)


def test_learning_the_format_is_a_gain_even_where_other_faults_hide_it(
    good: Report, production: Report
) -> None:
    """Some good answers were lost and some gained, but the format is clearly better."""
    keys = sorted(good.outcomes[GOOD_ANSWER])
    mixed = {key: production.outcomes[GOOD_ANSWER][key] ^ (at < 8) for at, key in enumerate(keys)}
    candidate = replace(good, outcomes={**good.outcomes, GOOD_ANSWER: mixed})
    verdict = decide(candidate, production, Thresholds())
    assert (verdict.outcome, codes(verdict)) == ("pass", [("gain", "valid_json")])


def test_scores_within_the_noise_prove_nothing(good: Report) -> None:
    rows = [f"row{number}" for number in range(30)]
    earlier = replace(good, scores=dict.fromkeys(rows, -2.0))
    nearly = replace(good, scores=dict.fromkeys(rows, -1.99))
    assert codes(decide(nearly, earlier, Thresholds()))[0][0] == "identical"


def test_a_verdict_survives_json(good: Report, production: Report) -> None:
    verdict = decide(good, production, Thresholds())
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": 0.5}, {"limits": {"links": 2.0}}])
def test_bad_thresholds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"alpha|links"):
        Thresholds(**settings)  # type: ignore[arg-type]


# The simulation of the promise: truly better passes, equal does not.

NAMES = {check.name: check for check in CHECKS}


def simulate(draw: random.Random, validity: float, fault: float) -> Report:
    """An adapter whose free answers are valid with that chance, each with faults now and then."""
    free = [f"case{number}/free" for number in range(48)]
    schema = [f"case{number}/schema" for number in range(0, 48, 3)]
    outcomes: dict[str, dict[str, bool]] = {}
    valid = {key: draw.random() < validity for key in free}
    for name, check in NAMES.items():
        if name in ("valid_json", "canonical_json"):
            outcomes[name] = valid
            continue
        asked = schema if check.mode == "schema" else [*free, *schema]
        chance = 0.0 if name in ("links", "personal_data") else fault
        outcomes[name] = {key: draw.random() >= chance for key in asked if valid.get(key, True)}
    outcomes[GOOD_ANSWER] = {
        key: valid[key] and all(values.get(key, True) for values in outcomes.values())
        for key in free
    }
    metrics = []
    for name, values in outcomes.items():
        better = NAMES[name].better if name in NAMES else "higher"
        num_good = sum(values.values())
        hits = len(values) - num_good if better == "lower" else num_good
        metrics.append(share_metric(name, better, hits, len(values)))
    return Report("simulated", "starter", {}, metrics=tuple(metrics), outcomes=outcomes)


def share_passed(candidate: tuple[float, float], earlier: tuple[float, float], seeds: int) -> float:
    passed = 0
    for seed in range(seeds):
        draw = random.Random(seed)
        verdict = decide(simulate(draw, *candidate), simulate(draw, *earlier), Thresholds())
        passed += verdict.outcome == "pass"
    return passed / seeds


@pytest.mark.parametrize(
    ("candidate", "earlier"),
    [((0.98, 0.002), (0.6, 0.01)), ((0.97, 0.003), (0.5, 0.005)), ((0.99, 0.001), (0.65, 0.01))],
)
def test_a_truly_better_adapter_passes_in_19_of_20_seeds(
    candidate: tuple[float, float], earlier: tuple[float, float]
) -> None:
    assert share_passed(candidate, earlier, 100) >= 0.95


@pytest.mark.parametrize("rates", [(0.98, 0.002), (0.9, 0.01), (0.85, 0.0), (0.6, 0.01)])
def test_an_equal_adapter_passes_in_at_most_1_of_20_seeds(rates: tuple[float, float]) -> None:
    assert share_passed(rates, rates, 200) <= 0.05


@pytest.mark.parametrize("worse", [(0.7, 0.01), (0.98, 0.2), (0.5, 0.0)])
def test_a_truly_worse_adapter_never_passes(worse: tuple[float, float]) -> None:
    assert share_passed(worse, (0.95, 0.005), 100) == 0.0


def test_the_docs_list_every_limit_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    for check in CHECKS:
        word = "at least" if check.better == "higher" else "at most"
        assert f"| {check.name} | {word} {DEFAULT_LIMITS[check.name]:.0%} |" in page
