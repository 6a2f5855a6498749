"""Candidate and production on the same questions, and what is remembered of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.prompts import Message, base_info_message, system_message
from chatbot.recommendation import canonical
from chatbot.themes import BaseInfo
from feedback_store.store import Store
from finetune.bench import Bench, base_report_path, read_base_report
from finetune.evaluate import Cancelled, EvaluationSettings
from finetune.gate import Thresholds
from finetune.judge import JudgeError
from finetune.progress import Control, LoopProgress
from finetune.registry import promote
from finetune.report import Report
from finetune.scores import ScoreRequest
from tests.finetune.fake_serving import PARROT_ANSWER, AdapterRefused, FakeServing
from tests.finetune.published import add_run, publish
from tests.finetune.test_judge import add_vote, likes_variety


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


def make_bench(store: Store, serving: FakeServing | None = None) -> Bench:
    return Bench(store, store.data_dir, serving or FakeServing(), EvaluationSettings())


def test_the_base_is_asked_once_and_remembered(store: Store) -> None:
    serving = FakeServing()
    bench = make_bench(store, serving)
    first = bench.evaluate_production(bench.make_exam())
    assert len(serving.asked) == 128
    again = bench.evaluate_production(bench.make_exam())
    assert len(serving.asked) == 128
    assert (again.answers, again.metrics) == (first.answers, first.metrics)
    assert read_base_report(store.data_dir, "starter") == again
    assert read_base_report(store.data_dir, "kanana") is None


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"answers": 3}', '{"adapter": ""}'])
def test_a_damaged_memory_of_the_base_costs_time_only(store: Store, damage: str) -> None:
    bench = make_bench(store)
    first = bench.evaluate_production(bench.make_exam())
    remembered = base_report_path(store.data_dir, "starter")
    remembered.write_text(damage)
    assert bench.evaluate_production(bench.make_exam()).answers == first.answers


def test_another_base_model_is_asked_anew(store: Store) -> None:
    bench = make_bench(store)
    bench.evaluate_production(bench.make_exam())
    other = FakeServing(base_model="kanana")
    bench = make_bench(store, other)
    bench.evaluate_production(bench.make_exam())
    assert len(other.asked) == 128


def test_what_another_engine_answered_is_asked_anew(store: Store) -> None:
    """Of the base and of a version, answers and scores alike, and only once."""
    write_test_rows(store.data_dir, 4)
    publish(store, "r1")
    promote(store, "v0001", "admin", "good")
    for facts in ({"engine": "vllm"}, {"engine": "vllm", "base": "changed weights"}):
        serving = Scoring()
        serving.engine_facts = facts
        bench = make_bench(store, serving)
        exam = bench.make_exam("d1")
        for _ in range(2):
            assert bench.evaluate_base(exam).engine == facts
            assert bench.evaluate_production(exam).engine == facts
        assert (len(serving.asked), len(serving.scored)) == (2 * 128, 2 * len(exam.rows))


def test_a_versions_stored_answers_are_not_asked_again(store: Store) -> None:
    publish(store, "r1")
    promote(store, "v0001", "admin", "good")
    serving = FakeServing()
    bench = make_bench(store, serving)
    first = bench.evaluate_production(bench.make_exam())
    assert {request.adapter for request in serving.asked} == {"v0001"}
    serving.asked.clear()
    assert bench.evaluate_production(bench.make_exam()).answers == first.answers
    assert serving.asked == []
    adapter = store.get_adapter("v0001")
    assert adapter is not None
    assert Report.from_dict(adapter.report).answers == first.answers


def test_a_production_of_another_base_gives_way_to_the_base_that_answers(store: Store) -> None:
    publish(store, "r1")
    promote(store, "v0001", "admin", "good")
    other = FakeServing(base_model="kanana")
    bench = make_bench(store, other)
    assert bench.evaluate_production(bench.make_exam()).adapter == ""
    assert {request.adapter for request in other.asked} == {None}


def test_a_good_candidate_passes_and_leaves_the_engine_as_it_was(store: Store) -> None:
    run = add_run(store, "r1")
    serving = FakeServing()
    report, verdict = make_bench(store, serving).judge(run, Thresholds(), Control())
    assert verdict.outcome == "pass"
    assert serving.loaded() == ()
    applied, loss = report.metric("logprob_difference"), report.metric("training_eval_loss")
    assert applied is not None
    assert loss is not None
    assert (applied.value, loss.value) == (0.25, 1.25)


@pytest.mark.parametrize(("voice", "code"), [("no-op", "no_effect"), ("noise", "bad_adapter")])
def test_a_candidate_that_cannot_be_served_fails_by_that(
    store: Store, voice: str, code: str
) -> None:
    report, verdict = make_bench(store).judge(add_run(store, "r1", voice), Thresholds(), Control())
    assert (verdict.outcome, verdict.reasons[0].code) == ("fail", code)
    assert report.answers == ()


def test_an_adapter_that_is_served_otherwise_than_trained_fails(store: Store) -> None:
    run = add_run(store, "r1")
    run = store.update_run(run.run_id, result={"probe_logprob_diff": 0.9})
    _, verdict = make_bench(store).judge(run, Thresholds(), Control())
    assert (verdict.outcome, verdict.reasons[0].code) == ("fail", "differs_from_training")


class Dying(FakeServing):
    """An engine that is going down."""

    def load(self, name: str, path: Path) -> float:
        raise AdapterRefused("died", "The engine has died.")


def test_a_dying_engine_judges_nothing(store: Store) -> None:
    with pytest.raises(AdapterRefused, match="died"):
        make_bench(store, Dying()).judge(add_run(store, "r1"), Thresholds(), Control())


def test_a_cancelled_comparison_unloads_the_candidate(store: Store) -> None:
    told: list[LoopProgress] = []
    control = Control(told.append)
    serving = FakeServing()

    def on_progress(progress: LoopProgress) -> None:
        told.append(progress)
        if progress.stage == "evaluate" and "50%" in progress.message:
            control.cancel.set()

    control = Control(on_progress, control.cancel)
    with pytest.raises(Cancelled):
        make_bench(store, serving).judge(add_run(store, "r1"), Thresholds(), control)
    assert serving.loaded() == ()
    assert told[-1].stage == "evaluate"


class Scoring(FakeServing):
    """Finds accepted answers likelier with an adapter than without."""

    def __init__(self) -> None:
        super().__init__("good")
        self.scored: list[ScoreRequest] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[float]:
        self.scored += requests
        return [-2.0 if request.adapter is None else -1.0 for request in requests]


def write_test_rows(data_dir: Path, num_rows: int) -> None:
    info = BaseInfo("city", "office", "VEGAN")
    folder = data_dir / "datasets" / "d1"
    folder.mkdir(parents=True)
    with (folder / "test.jsonl").open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            prompt = [system_message("ko"), base_info_message(info, "ko")]
            prompt.append({"role": "user", "content": str(number)})
            answer = [{"role": "assistant", "content": canonical(PARROT_ANSWER)}]
            row = {"prompt": prompt, "completion": answer, "example_id": number}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def test_where_answers_are_equally_good_the_accepted_ones_decide(store: Store) -> None:
    write_test_rows(store.data_dir, 30)
    serving = Scoring()
    bench = make_bench(store, serving)
    report, verdict = bench.judge(add_run(store, "r1"), Thresholds(), Control())
    loss = report.metric("held_out_loss")
    assert loss is not None
    assert (loss.value, loss.count, loss.better) == (1.0, 30, "lower")
    assert verdict.outcome == "pass"
    assert verdict.reasons[0].params["metric"] == "accepted_likelihood"


def test_scores_of_the_base_are_remembered_too(store: Store) -> None:
    write_test_rows(store.data_dir, 30)
    serving = Scoring()
    bench = make_bench(store, serving)
    bench.evaluate_production(bench.make_exam("d1"))
    bench.evaluate_production(bench.make_exam("d1"))
    assert len(serving.scored) == 30


def test_a_trusted_judge_has_a_voice_in_the_gate(store: Store) -> None:
    for number in range(25):
        add_vote(store, number)
    bench = replace(make_bench(store, FakeServing("same-three")), ask_judge=likes_variety)
    report, verdict = bench.judge(add_run(store, "r1"), Thresholds(), Control())
    judged, agreed = report.metric("judged_better"), report.metric("judge_agreement")
    assert judged is not None
    assert agreed is not None
    assert (judged.value, judged.count, agreed.count) == (1.0, 32, 25)
    assert verdict.outcome == "pass"


def test_a_judge_without_votes_of_people_has_none(store: Store) -> None:
    bench = replace(make_bench(store, FakeServing("same-three")), ask_judge=likes_variety)
    report, _ = bench.judge(add_run(store, "r1"), Thresholds(), Control())
    assert report.metric("judged_better") is None
    assert report.preferences == {}


def test_a_judge_that_fails_stops_nothing(store: Store) -> None:
    def fail(messages: Sequence[Message]) -> str:
        raise JudgeError("no answer")

    for number in range(25):
        add_vote(store, number)
    bench = replace(make_bench(store), ask_judge=fail)
    report, verdict = bench.judge(add_run(store, "r1"), Thresholds(), Control())
    assert verdict.outcome == "pass"
    assert report.metric("judged_better") is None
