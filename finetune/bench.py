"""Candidate and production on the same questions, on the engine that serves: the evaluation stage
of a retrain, and what is remembered of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from feedback_store.records import Run
from feedback_store.store import Store
from finetune.adapter_folder import run_adapter_dir
from finetune.cases import HeldOutCase, held_out_cases, regression_cases
from finetune.copies import read_training_answers
from finetune.evaluate import SILENT, Candidate, EvaluationSettings, Serving, Watch, evaluate
from finetune.gate import Reason, Thresholds, Verdict, decide
from finetune.progress import Control
from finetune.registry import get_version, locate_version, production_version
from finetune.report import Answer, Metric, Report
from finetune.swap import CANDIDATE_PREFIX, is_adapter_fault


@dataclass(frozen=True)
class Bench:
    """Where adapters are compared: the store and folder that remember, the engine that answers."""

    store: Store
    data_dir: Path
    serving: Serving
    settings: EvaluationSettings

    def list_cases(self) -> tuple[HeldOutCase, ...]:
        """What is asked now: the held-out cases, and the regression cases of today."""
        return (*held_out_cases(self.settings.num_cases), *regression_cases(self.store))

    def evaluate_production(self, cases: Sequence[HeldOutCase], watch: Watch = SILENT) -> Report:
        """The report of what answers now."""
        version = production_version(self.store)
        if version is None:
            return self.evaluate_base(cases, watch)
        return self.evaluate_version(version, cases, watch)

    def evaluate_base(self, cases: Sequence[HeldOutCase], watch: Watch = SILENT) -> Report:
        """The report of the base model. Its answers are kept in the data folder."""
        path = _base_answers_path(self.data_dir, self.serving.base_model)
        known = Candidate(None, _read_answers(path))
        report = evaluate(self.serving, known, cases, self.settings, watch)
        _write_answers(path, report.answers)
        return report

    def evaluate_version(
        self, version: str, cases: Sequence[HeldOutCase], watch: Watch = SILENT
    ) -> Report:
        """The report of a version. A version never changes: what its stored report answers is not
        asked again.
        """
        adapter = get_version(self.store, version)
        stored = Report.from_dict(adapter.report) if adapter.report else None
        training = read_training_answers(self.data_dir / "datasets" / str(adapter.dataset_id))
        self.serving.load(version, locate_version(self.store, version))
        known = Candidate(version, stored.answers if stored else (), training)
        report = evaluate(self.serving, known, cases, self.settings, watch)
        if stored is not None:
            report = _keep_training_figures(report, stored)
            if report.answers == stored.answers:
                return report
        self.store.update_adapter(version, report=report.to_dict())
        return report

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
        candidate = _add_training_figures(candidate, run, difference)
        return candidate, decide(candidate, production, thresholds)

    def _refuse(self, name: str, error: Exception) -> tuple[Report, Verdict]:
        reason = Reason(str(getattr(error, "code", "bad_adapter")), str(error))
        empty = Report(name, self.serving.base_model, self.settings.sampling)
        return empty, Verdict("fail", (reason,))

    def _compare(self, name: str, run: Run, control: Control) -> tuple[Report, Report]:
        cases = self.list_cases()
        message = f"Asking candidate and production {len(cases)} questions."
        control.report("evaluate", message, 0.72)
        training = read_training_answers(self.data_dir / "datasets" / run.dataset_id)
        candidate = evaluate(
            self.serving,
            Candidate(name, training=training),
            cases,
            self.settings,
            control.watch("evaluate", "Asking the candidate", (0.72, 0.84)),
        )
        production = self.evaluate_production(
            cases, control.watch("evaluate", "Asking production", (0.84, 0.95))
        )
        return candidate, production


def _add_training_figures(report: Report, run: Run, difference: float) -> Report:
    """Add what was not measured on answers: the held-out loss, and the proof of application."""
    loss = run.result.get("eval_loss")
    figures = (
        Metric("held_out_loss", "neither", "loss", loss, 1 if loss is not None else 0),
        Metric("logprob_difference", "neither", "nats", difference, 1),
    )
    return replace(report, metrics=(*report.metrics, *figures))


def _keep_training_figures(report: Report, stored: Report) -> Report:
    kept = [metric for metric in stored.metrics if report.metric(metric.name) is None]
    return replace(report, metrics=(*report.metrics, *kept))


def _base_answers_path(data_dir: Path, base_model: str) -> Path:
    key = sha256(base_model.encode()).hexdigest()[:16]
    return data_dir / "reports" / f"base-{key}.json"


def _read_answers(path: Path) -> tuple[Answer, ...]:
    """The cached answers; none where there is no cache, or a damaged one."""
    try:
        return tuple(Answer(**item) for item in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return ()


def _write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Replace the cache in one step; losing it costs time only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    text = json.dumps([vars(answer) for answer in answers], ensure_ascii=False)
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
