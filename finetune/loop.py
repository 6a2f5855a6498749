"""The whole learning wing in one function: dataset → train → evaluate → gate → publish → promote.

The button and the command both call retrain(). A candidate that the gate refuses becomes a version
all the same, with its verdict, so that people can read why; it only never answers anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chatbot.base_models import prepare, resolve
from feedback_store.records import Adapter, Dataset, Run
from feedback_store.store import Store
from finetune.base_texts import check_base_texts
from finetune.bench import Bench
from finetune.card_lending import lending_card
from finetune.dataset import DatasetSettings, freeze_dataset
from finetune.evaluate import Cancelled, EvaluationSettings, Serving
from finetune.gate import Thresholds, Verdict
from finetune.judge import Ask
from finetune.progress import Control, LoopProgress, Stage
from finetune.recipe import Recipe, recipe_from_dict
from finetune.registry import locate_version, publish_adapter
from finetune.runs import (
    RunSettings,
    cancel_run,
    find_running,
    forget_checkpoints,
    get_run,
    resume_run,
    run_dir_of,
    start_run,
    watch_run,
)
from finetune.selection import DatasetError
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
    """What is trained on, and how. resumed: an earlier run to go on with."""

    dataset: Dataset
    recipe: Recipe
    run: RunSettings
    resumed: Run | None = None


# How the training stage is run; it leaves the adapter in the run's folder.
TrainStage = Callable[[Bench, TrainOrder, Control], Run]


def train_in_own_process(bench: Bench, order: TrainOrder, control: Control) -> Run:
    """Start a training process, follow it, and end it when the caller cancels."""
    store, data_dir = bench.store, bench.data_dir
    run = _begin(bench, order)
    with lending_card(bench.serving, run_dir_of(data_dir, run.run_id)) as on_event:
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


def _begin(bench: Bench, order: TrainOrder) -> Run:
    """A new process; or the earlier run, which may still train, or have ended since."""
    store, data_dir, resumed = bench.store, bench.data_dir, order.resumed
    settings = replace(order.run, can_server_sleep=bench.serving.can_sleep)
    if resumed is None:
        base_model = bench.serving.base_model
        return start_run(store, data_dir, order.dataset, order.recipe, base_model, settings)
    running = find_running(store)
    is_alive = running is not None and running.run_id == resumed.run_id
    if is_alive or resumed.state == "done":
        return resumed
    return resume_run(store, data_dir, resumed.run_id, settings)


class TrainingFailed(RuntimeError):
    """The training process ended without an adapter. Code and message are its own."""

    def __init__(self, run: Run | None) -> None:
        error = (run.result.get("error") if run else None) or {}
        super().__init__((run and run.error) or "The training ended without an adapter.")
        self.code = str(error.get("code", "training_failed"))
        self.values: dict[str, str] = error.get("values") or {}


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
    resume_run_id: str | None = None  # go on with this run instead of a new one


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
        code, values = str(getattr(error, "code", "unexpected")), getattr(error, "values", {})
        failed = LoopProgress("failed", str(error), 1.0, code=code, values=values)
        control.on_progress(failed)
        raise


def _run_stages(bench: Bench, recipe: Recipe, settings: LoopSettings, control: Control) -> Outcome:
    store, data_dir = bench.store, bench.data_dir

    control.report("dataset", "Freezing the accepted examples.", 0.0)
    order = _take_up(bench, settings) if settings.resume_run_id else _order(bench, recipe, settings)

    control.report("train", f"Training on {order.dataset.num_train} examples.", 0.02)
    run = settings.train(bench, order, control)
    _check_base(bench, run)
    report, verdict = bench.judge(run, settings.thresholds, control)

    control.report("publish", "Publishing the adapter as a version.", 0.96)
    adapter = publish_adapter(store, data_dir, run, report, verdict)
    forget_checkpoints(data_dir, run.run_id)

    is_promoted = verdict.outcome == "pass" and settings.auto_promote
    if is_promoted:
        control.report("promote", f"Letting {adapter.version} answer.", 0.98)
        reason = f"passed the gate: {verdict.sentences[0]}"
        promote_live(store, bench.serving, adapter.version, Promotion(settings.actor, reason))
    done = LoopProgress("done", _describe_outcome(adapter, verdict, is_promoted), 1.0)
    control.on_progress(done)
    return Outcome(run, adapter, verdict, is_promoted)


def _order(bench: Bench, recipe: Recipe, settings: LoopSettings) -> TrainOrder:
    """A new dataset; preferences start from an adapter of the same one, where there is one."""
    dataset = freeze_dataset(bench.store, bench.data_dir, settings.dataset)
    start = settings.run.start_adapter
    if recipe.kind != "sft" and start is None:
        start = _find_imitation(bench, dataset)
    return TrainOrder(dataset, recipe, replace(settings.run, start_adapter=start))


def _check_base(bench: Bench, run: Run) -> None:
    """Before anything is published: the base speaks as it did when the adapter was trained."""
    trained = run.result.get("adapter") or {}
    if trained:
        base = prepare(resolve(run.base_model), bench.data_dir.resolve() / "models")
        check_base_texts(trained, Path(base.path_or_hub_id))


def _find_imitation(bench: Bench, dataset: Dataset) -> Path | None:
    """The newest version that learnt this very dataset by imitation; without one, the run does
    that first.
    """
    for adapter in bench.store.list_adapters():
        is_of_it = adapter.dataset_id == dataset.dataset_id and adapter.state != "retired"
        run = bench.store.get_run(adapter.run_id) if is_of_it and adapter.run_id else None
        if run and run.kind == "sft" and run.base_model == bench.serving.base_model:
            return locate_version(bench.store, adapter.version)
    return None


def _take_up(bench: Bench, settings: LoopSettings) -> TrainOrder:
    """An earlier run as it was ordered: its dataset, its recipe."""
    run = get_run(bench.store, settings.resume_run_id or "")
    dataset = bench.store.get_dataset(run.dataset_id) if run.dataset_id else None
    if dataset is None:
        raise DatasetError("missing_dataset", f"The dataset of run {run.run_id} is gone.")
    return TrainOrder(dataset, recipe_from_dict(run.recipe), settings.run, run)


def _describe_outcome(adapter: Adapter, verdict: Verdict, is_promoted: bool) -> str:
    if is_promoted:
        return f"{adapter.version} answers now. {verdict.sentences[0]}"
    if verdict.outcome == "pass":
        return f"{adapter.version} passed and waits for promotion. {verdict.sentences[0]}"
    return f"{adapter.version} does not reach people. {verdict.sentences[0]}"
