"""The whole learning wing in one function: dataset → train → evaluate → gate → publish → promote.

The button and the command both call retrain(). A candidate that the gate refuses becomes a version
all the same, with its verdict, so that people can read why; it only never answers anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from feedback_store.records import Adapter, Dataset, Run
from feedback_store.store import Store
from finetune.bench import Bench
from finetune.card_lending import lending_card
from finetune.dataset import DatasetSettings, freeze_dataset
from finetune.evaluate import Cancelled, EvaluationSettings, Serving
from finetune.gate import Thresholds, Verdict
from finetune.judge import Ask
from finetune.progress import Control, LoopProgress, Stage
from finetune.recipe import Recipe
from finetune.registry import locate_version, production_version, publish_adapter
from finetune.runs import RunSettings, cancel_run, run_dir_of, start_run, watch_run
from finetune.swap import Promotion, promote_live

__all__ = ["Cancelled", "Control", "LoopProgress", "LoopSettings", "Outcome", "Stage", "retrain"]


@dataclass(frozen=True)
class Outcome:
    """What a retrain led to: the version it published, and whether it answers people now."""

    run: Run
    adapter: Adapter
    verdict: Verdict
    is_promoted: bool


@dataclass(frozen=True)
class TrainOrder:
    """What is trained on, and how."""

    dataset: Dataset
    recipe: Recipe
    run: RunSettings


# How the training stage is run; it leaves the adapter in the run's folder.
TrainStage = Callable[[Bench, TrainOrder, Control], Run]


def train_in_own_process(bench: Bench, order: TrainOrder, control: Control) -> Run:
    """Start a training process, follow it, and end it when the caller cancels."""
    store, data_dir, serving = bench.store, bench.data_dir, bench.serving
    settings = replace(order.run, can_server_sleep=serving.can_sleep)
    run = start_run(store, data_dir, order.dataset, order.recipe, serving.base_model, settings)
    with lending_card(serving, run_dir_of(data_dir, run.run_id)) as on_event:
        try:
            for progress in watch_run(store, data_dir, run.run_id):
                on_event(progress.code)
                done = progress.step / progress.total_steps if progress.total_steps else 0.0
                control.report("train", progress.message, 0.02 + 0.68 * done, progress)
        except BaseException:
            cancel_run(store, data_dir, run.run_id)
            raise
    ended = store.get_run(run.run_id)
    if ended is None or ended.state != "done":
        raise TrainingFailed(ended)
    return ended


class TrainingFailed(RuntimeError):
    """The training process ended without an adapter. Code and message are its own."""

    def __init__(self, run: Run | None) -> None:
        error = run.result.get("error") if run else None
        super().__init__((run and run.error) or "The training ended without an adapter.")
        self.code = str((error or {}).get("code", "training_failed"))


@dataclass(frozen=True)
class LoopSettings:
    """How a retrain selects, measures and decides."""

    actor: str = "retrain"
    auto_promote: bool = True
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    run: RunSettings = field(default_factory=RunSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    thresholds: Thresholds = field(default_factory=Thresholds)
    train: TrainStage = train_in_own_process
    ask_judge: Ask | None = None  # an optional model that compares answers; see judge.py


def retrain(
    store: Store,
    data_dir: Path,
    serving: Serving,
    recipe: Recipe,
    settings: LoopSettings | None = None,
    control: Control | None = None,
) -> Outcome:
    """Turn the accepted examples into a version, and let it answer if it is proven better.

    Every stage is reported. What goes wrong is reported as "failed" or "cancelled", and raised.
    """
    settings = settings or LoopSettings()
    control = control or Control()
    try:
        bench = Bench(store, data_dir, serving, settings.evaluation, settings.ask_judge)
        return _run_stages(bench, recipe, settings, control)
    except Cancelled as stopped:
        control.on_progress(LoopProgress("cancelled", str(stopped), 1.0))
        raise
    except Exception as error:
        code = str(getattr(error, "code", "unexpected"))
        control.on_progress(LoopProgress("failed", str(error), 1.0, code=code))
        raise


def _run_stages(bench: Bench, recipe: Recipe, settings: LoopSettings, control: Control) -> Outcome:
    store, data_dir = bench.store, bench.data_dir

    control.report("dataset", "Freezing the accepted examples.", 0.0)
    dataset = freeze_dataset(store, data_dir, settings.dataset)

    control.report("train", f"Training on {dataset.num_train} examples.", 0.02)
    order = TrainOrder(dataset, recipe, _choose_start(store, recipe, settings.run))
    run = settings.train(bench, order, control)
    report, verdict = bench.judge(run, settings.thresholds, control)

    control.report("publish", "Publishing the adapter as a version.", 0.96)
    adapter = publish_adapter(store, data_dir, run, report, verdict)

    is_promoted = verdict.outcome == "pass" and settings.auto_promote
    if is_promoted:
        control.report("promote", f"Letting {adapter.version} answer.", 0.98)
        reason = f"passed the gate: {verdict.sentences[0]}"
        promote_live(store, bench.serving, adapter.version, Promotion(settings.actor, reason))
    done = LoopProgress("done", _describe_outcome(adapter, verdict, is_promoted), 1.0)
    control.on_progress(done)
    return Outcome(run, adapter, verdict, is_promoted)


def _choose_start(store: Store, recipe: Recipe, run: RunSettings) -> RunSettings:
    """Preferences refine what answers now; everything else starts from the base."""
    version = production_version(store)
    if recipe.kind == "sft" or version is None or run.start_adapter is not None:
        return run
    return replace(run, start_adapter=locate_version(store, version))


def _describe_outcome(adapter: Adapter, verdict: Verdict, is_promoted: bool) -> str:
    if is_promoted:
        return f"{adapter.version} answers now. {verdict.sentences[0]}"
    if verdict.outcome == "pass":
        return f"{adapter.version} passed and waits for promotion. {verdict.sentences[0]}"
    return f"{adapter.version} does not reach people. {verdict.sentences[0]}"
