"""Candidate and production on the same questions, on the engine that serves: the evaluation stage
of a retrain, and what is remembered of it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from feedback_store.records import Run
from feedback_store.store import Store
from finetune.adapter_folder import run_adapter_dir
from finetune.applied import find_mismatch
from finetune.cases import HeldOutCase, held_out_cases, regression_cases, text_cases
from finetune.copies import read_training_answers
from finetune.evaluate import SILENT, Candidate, EvaluationSettings, Serving, Watch, evaluate
from finetune.gate import JUDGED_BETTER, Reason, Thresholds, Verdict, decide
from finetune.judge import Ask, JudgeError, calibrate, compare_reports, read_votes
from finetune.progress import Control
from finetune.registry import PRODUCTION, get_version, production_version
from finetune.report import Metric, Report, mean_metric, share_metric
from finetune.scores import ScoredRow, count_learnt, read_test_rows, score_rows
from finetune.swap import CANDIDATE_PREFIX, find_unserved, is_adapter_fault, load_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exam:
    """What two adapters are compared on: questions to answer, and accepted answers to score.

    num_learnt: rows that were left out, because production was trained on them.
    """

    cases: tuple[HeldOutCase, ...]
    rows: tuple[ScoredRow, ...] = ()
    num_learnt: int = 0


@dataclass(frozen=True)
class Bench:
    """Where adapters are compared: the store and folder that remember, the engine that answers."""

    store: Store
    data_dir: Path
    serving: Serving
    settings: EvaluationSettings
    ask_judge: Ask | None = None

    def make_exam(self, dataset_id: str | None = None) -> Exam:
        """The held-out cases, the regression cases of today, the dataset's test rows. Free text has
        no combinations to ask: there the test rows are the questions, too. What production learnt
        is not among them: it would know by heart what the candidate has never seen.
        """
        if self.settings.answer_format == "text" and dataset_id is None:
            dataset_id = next((known.dataset_id for known in self.store.list_datasets()), None)
        folder, learnt = self._dataset_dir(dataset_id), self._learnt_by_production()
        rows = read_test_rows(folder, learnt)
        if self.settings.answer_format == "text":
            asked = rows[: self.settings.num_cases]
            cases = text_cases([(row.row_id, row.messages, row.completion) for row in asked])
        else:
            cases = held_out_cases(self.settings.num_cases)
        num_learnt = count_learnt(folder, learnt)
        return Exam((*cases, *regression_cases(self.store)), rows, num_learnt)

    def _learnt_by_production(self) -> frozenset[int]:
        """Examples that taught what answers now: rows move from training to the test split where a
        later dataset keeps more for the gate.
        """
        version = production_version(self.store)
        adapter = get_version(self.store, version) if version else None
        if adapter is None or not adapter.dataset_id:
            return frozenset()
        if adapter.base_model != self.serving.base_model:
            return frozenset()  # it cannot answer: the base does
        rows = self.store.list_dataset_rows(adapter.dataset_id)
        return frozenset(example_id for example_id, split in rows if split == "train")

    def evaluate_production(self, exam: Exam, watch: Watch = SILENT) -> Report:
        """The report of what answers now: the base also where production cannot be served."""
        version = production_version(self.store)
        unserved = version and find_unserved(self.store, self.serving, version)
        if version is None or (unserved and not unserved.is_for_good):
            return self.evaluate_base(exam, watch)
        return self.evaluate_version(version, exam, watch)

    def evaluate_base(self, exam: Exam, watch: Watch = SILENT) -> Report:
        """The report of the base model. What it answers is kept in the data folder."""
        path = base_report_path(self.data_dir, self.serving.base_model)
        known = self._comparable(_read_report(path))
        report = self._evaluate(Candidate(None, known.answers if known else ()), exam, known, watch)
        _write_report(path, report)
        return report

    def evaluate_version(self, version: str, exam: Exam, watch: Watch = SILENT) -> Report:
        """The report of a version. A version never changes: what its stored report answers is not
        asked again on the same engine.
        """
        adapter = get_version(self.store, version)
        stored = Report.from_dict(adapter.report) if adapter.report else None
        known = self._comparable(stored)
        load_version(self.store, self.serving, version)
        training = read_training_answers(self._dataset_dir(adapter.dataset_id))
        asked = Candidate(version, known.answers if known else (), training)
        report = self._evaluate(asked, exam, known, watch)
        if stored is not None:
            report = _keep_training_figures(report, stored)
        if known is None or (report.answers, report.scores) != (known.answers, known.scores):
            self.store.update_adapter(version, report=report.to_dict())
        return report

    def _comparable(self, report: Report | None) -> Report | None:
        """What is remembered, unless another engine said it: between vLLM and transformers, two
        precisions or two bases under one name, answers differ without any adapter's doing.
        """
        is_same = report is not None and report.engine == self.serving.engine_facts
        return report if is_same else None

    def _evaluate(self, asked: Candidate, exam: Exam, known: Report | None, watch: Watch) -> Report:
        report = evaluate(self.serving, asked, exam.cases, self.settings, watch)
        scores = score_rows(self.serving, asked.name, exam.rows, known.scores if known else {})
        losses = [-score for score in scores.values()]
        figure = replace(mean_metric("held_out_loss", "loss", losses), better="lower")
        metrics = (*report.metrics, figure)
        return replace(report, scores=scores, metrics=metrics, num_learnt=exam.num_learnt)

    def _add_judgement(self, candidate: Report, production: Report) -> Report:
        """What the judge prefers, if there is one and it agrees with people's votes. A judge that
        cannot be reached has no voice, and stops nothing.
        """
        if self.ask_judge is None:
            return candidate
        try:
            trust = calibrate(self.ask_judge, list(read_votes(self.store)))
            agreed = replace(
                share_metric("judge_agreement", "higher", trust.num_agreed, trust.num_votes),
                better="neither",
            )
            candidate = _with_metric(candidate, agreed)
            if not trust.is_trusted:
                return candidate
            preferred = compare_reports(self.ask_judge, candidate, production)
        except JudgeError as error:
            logger.warning("%s", error)
            return candidate
        share = share_metric(JUDGED_BETTER, "higher", sum(preferred.values()), len(preferred))
        return replace(_with_metric(candidate, share), preferences=preferred)

    def _dataset_dir(self, dataset_id: str | None) -> Path:
        return self.data_dir / "datasets" / str(dataset_id)

    def judge(self, run: Run, thresholds: Thresholds, control: Control) -> tuple[Report, Verdict]:
        """The report and verdict of a run's adapter; one that cannot be served fails by that."""
        name = f"{CANDIDATE_PREFIX}{run.run_id}"
        control.report("load", "Loading the candidate beside production.", 0.70)
        try:
            difference = self.serving.load(name, run_adapter_dir(self.data_dir, run.run_id))
        except Exception as error:
            if not is_adapter_fault(error):
                raise
            return self._refuse(name, error)
        try:
            candidate, production = self._compare(name, run, control)
        finally:
            self.serving.unload(name)
        control.report("gate", "Comparing the candidate with production.", 0.95)
        if mismatch := find_mismatch(run.result, difference):
            return candidate, Verdict("fail", (mismatch,))
        candidate = self._add_judgement(candidate, production)
        candidate = _add_training_figures(candidate, run, difference)
        return candidate, decide(candidate, production, thresholds)

    def judge_version(
        self, version: str, thresholds: Thresholds, control: Control
    ) -> tuple[Report, Verdict | None]:
        """Judge a published version against what answers today; no verdict where that is itself.

        A version that never answered gets the new verdict; one that did keeps what it had then.
        """
        was_loaded = version in self.serving.loaded()
        exam = self.make_exam(get_version(self.store, version).dataset_id)
        try:
            asking = control.watch("evaluate", f"Asking {version}", (0.0, 0.6))
            report = self.evaluate_version(version, exam, asking)
            if version == production_version(self.store):
                return report, None
            asking = control.watch("evaluate", "Asking production", (0.6, 0.95))
            production = self.evaluate_production(exam, asking)
        finally:
            if not was_loaded and version != production_version(self.store):
                self.serving.unload(version)
        report = self._add_judgement(report, production)
        verdict = decide(report, production, thresholds)
        self._keep_verdict(version, report, verdict)
        return report, verdict

    def _keep_verdict(self, version: str, report: Report, verdict: Verdict) -> None:
        moves = self.store.list_alias_events(PRODUCTION, limit=10_000)
        has_answered = any(move.to_version == version for move in moves)
        if has_answered or get_version(self.store, version).state == "retired":
            return
        self.store.update_adapter(
            version,
            report=report.to_dict(),
            verdict=verdict.to_dict(),
            state="passed" if verdict.outcome == "pass" else "refused",
        )

    def _refuse(self, name: str, error: Exception) -> tuple[Report, Verdict]:
        reason = Reason(str(getattr(error, "code", "bad_adapter")), str(error))
        empty = Report(
            name,
            self.serving.base_model,
            self.settings.sampling,
            answer_format=self.settings.answer_format,
        )
        return empty, Verdict("fail", (reason,))

    def _compare(self, name: str, run: Run, control: Control) -> tuple[Report, Report]:
        exam = self.make_exam(run.dataset_id)
        message = f"Asking candidate and production {len(exam.cases)} questions."
        control.report("evaluate", message, 0.72)
        training = read_training_answers(self._dataset_dir(run.dataset_id))
        asking = control.watch("evaluate", "Asking the candidate", (0.72, 0.84))
        candidate = self._evaluate(Candidate(name, training=training), exam, None, asking)
        asking = control.watch("evaluate", "Asking production", (0.84, 0.95))
        return candidate, self.evaluate_production(exam, asking)


def _with_metric(report: Report, figure: Metric) -> Report:
    """The report with this figure, in the place of an earlier one of that name."""
    others = [metric for metric in report.metrics if metric.name != figure.name]
    return replace(report, metrics=(*others, figure))


def _add_training_figures(report: Report, run: Run, difference: float) -> Report:
    """Add what was not measured on answers: the training's own loss, the proof of application."""
    loss = run.result.get("eval_loss")
    figures = (
        Metric("training_eval_loss", "neither", "loss", loss, 1 if loss is not None else 0),
        Metric("logprob_difference", "neither", "nats", difference, 1),
    )
    return replace(report, metrics=(*report.metrics, *figures))


def _keep_training_figures(report: Report, stored: Report) -> Report:
    kept = [metric for metric in stored.metrics if report.metric(metric.name) is None]
    return replace(report, metrics=(*report.metrics, *kept))


def base_report_path(data_dir: Path, base_model: str) -> Path:
    """Where the answers of a base model are remembered."""
    key = sha256(base_model.encode()).hexdigest()[:16]
    return data_dir / "reports" / f"base-{key}.json"


def read_base_report(data_dir: Path, base_model: str) -> Report | None:
    """What the base model answered when it was evaluated last; None where it never was."""
    return _read_report(base_report_path(data_dir, base_model))


def _read_report(path: Path) -> Report | None:
    """The cached report; None where there is none, or a damaged one."""
    try:
        return Report.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write_report(path: Path, report: Report) -> None:
    """Replace the cache in one step; losing it costs time only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(report.to_dict(), ensure_ascii=False), encoding="utf-8")
    beside.replace(path)
