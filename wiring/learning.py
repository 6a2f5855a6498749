"""The learning wing as buttons and commands use it: one retrain at a time, in its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from chatbot.ui.parts import Blocker
from feedback_store.records import ExampleFilter, Run
from feedback_store.store import Store
from finetune.bench import Bench
from finetune.canary import CanarySettings
from finetune.checks import DEFAULT_CHECKS, CheckSettings
from finetune.curate import collect_feedback
from finetune.evaluate import EvaluationSettings, Serving
from finetune.gate import Thresholds, Verdict
from finetune.judge import Ask
from finetune.loop import LoopSettings, Outcome, retrain
from finetune.preferences import Offer, offer_preferences
from finetune.progress import Control, LoopProgress
from finetune.recipe import Recipe, RunKind, list_recipes, load_recipe, recipe_from_dict
from finetune.report import Report
from finetune.runs import RunSettings, find_resumable
from finetune.selection import DatasetSettings, make_dataset_settings
from finetune.set_checks import refresh_new_feedback
from wiring.live_versions import LiveVersions

logger = logging.getLogger(__name__)


class LearningError(RuntimeError):
    """A button cannot be obeyed now. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class LearningSettings:
    """What a retrain needs before it may start, and how it decides."""

    recipe: str = "balanced"
    min_examples: int = 20
    auto_promote: bool = True
    tracking: Literal["off", "offline", "online"] = "off"  # Weights & Biases
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    checks: CheckSettings = DEFAULT_CHECKS
    ask_judge: Ask | None = None  # a model that compares answers; counts once people agree with it


def count_accepted(store: Store) -> int:
    """Examples that the next dataset would hold."""
    return store.count_examples(ExampleFilter(state="accepted"))


def count_new(store: Store) -> int:
    """Accepted examples that the newest dataset does not hold; all of them where there is none."""
    return sum(row["num_new"] for row in store.read_view("accepted_by_category"))


class LearningSide(LiveVersions):
    """Implements chatbot.ui.parts.Learning."""

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        serving: Serving,
        settings: LearningSettings,
        is_engine_ready: Callable[[], bool],
    ) -> None:
        canary = CanarySettings(auto_promote=settings.auto_promote)
        super().__init__(store, data_dir, serving, canary)
        self._settings = settings
        self._is_engine_ready = is_engine_ready
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._progress: LoopProgress | None = None

    # --- retrain --------------------------------------------------------------------------------

    def recipes(self) -> Sequence[str]:
        """The recipe that is set, then the other presets."""
        names = list_recipes()
        first = self._settings.recipe
        return (first, *(name for name in names if name != first))

    def blockers(self) -> Sequence[Blocker]:
        """What is missing before a retrain can start."""
        found = []
        have, need = count_accepted(self._store), self._settings.min_examples
        if have < need:
            message = f"{have} examples are accepted; a retrain needs at least {need}."
            found.append(Blocker("too_few_examples", message, have, need))
        if not self._is_engine_ready():
            found.append(Blocker("engine_not_ready", "The engine is still warming up."))
        if self.is_running():
            found.append(Blocker("already_running", "A retrain is running already."))
        return found

    def min_examples(self) -> int:
        """How many accepted examples the first retrain needs."""
        return self._settings.min_examples

    def is_running(self) -> bool:
        """Whether a retrain runs now."""
        return self._thread is not None and self._thread.is_alive()

    def preferences(self) -> Sequence[Offer]:
        """Whether pairs and thumbs suffice to learn from; counts either way."""
        return offer_preferences(self._store, self._dataset_settings().validation_share)

    def _dataset_settings(self) -> DatasetSettings:
        return make_dataset_settings(self._settings.checks.answer_format)

    def start_retrain(self, recipe: str, *, actor: str, kind: RunKind = "sft") -> None:
        """Begin in the background; raises LearningError or RecipeError when it cannot."""
        with self._start_lock:
            if blockers := self.blockers():
                raise LearningError(blockers[0].code, blockers[0].message)
            chosen = replace(load_recipe(recipe), kind=kind, tracking=self._settings.tracking)
            offer = next((item for item in self.preferences() if item.kind == kind), None)
            if offer and not offer.is_offered:
                raise LearningError("too_few_preferences", offer.message)
            self._store.record(actor, "retrain", recipe)
            self._begin(chosen, actor)

    def resumable(self) -> Run | None:
        """The run of this base that broke off and can go on; None while a retrain runs."""
        run = None if self.is_running() else find_resumable(self._store, self._data_dir)
        return run if run and run.base_model == self._serving.base_model else None

    def resume_retrain(self, *, actor: str) -> None:
        """Go on with it in the background, from its last checkpoint; raises LearningError."""
        with self._start_lock:
            run = self.resumable()
            missing = [item for item in self.blockers() if item.code != "too_few_examples"]
            if missing:
                raise LearningError(missing[0].code, missing[0].message)
            if run is None:
                raise LearningError("not_resumable", "There is no retrain to go on with.")
            self._store.record(actor, "retrain", f"goes on with {run.run_id}")
            self._begin(recipe_from_dict(run.recipe), actor, run.run_id)

    def take_up(self) -> None:
        """At the start: a training that outlived the application is followed to its end."""
        run = self.resumable()
        if run is None or run.state != "running":
            return
        try:
            self.resume_retrain(actor="restart")
        except LearningError as error:  # it trains on, and can be taken up by the button
            logger.warning("The training goes on unwatched: %s", error)

    def _begin(self, recipe: Recipe, actor: str, resume_run_id: str | None = None) -> None:
        self._cancel = threading.Event()
        self._progress = LoopProgress("dataset", "Starting.", 0.0)
        self._thread = threading.Thread(
            target=self._retrain_in_thread,
            args=(recipe, actor, resume_run_id),
            name="retrain",
            daemon=True,
        )
        self._thread.start()

    def _retrain_in_thread(self, recipe: Recipe, actor: str, resume_run_id: str | None) -> None:
        try:
            self.retrain(recipe, actor=actor, resume_run_id=resume_run_id)
        except Exception as error:  # noqa: BLE001
            # The loop has reported it as progress; the button shows it from there.
            logger.info("The retrain ended early: %s", error)

    def retrain(self, recipe: Recipe, *, actor: str, resume_run_id: str | None = None) -> Outcome:
        """The whole loop in this thread; turns follow the alias before it says done."""
        settings = LoopSettings(
            actor=actor,
            auto_promote=self._settings.auto_promote,
            evaluation=self._settings.evaluation,
            ask_judge=self._settings.ask_judge,
            resume_run_id=resume_run_id,
            run=RunSettings(answer_format=self._settings.checks.answer_format),
            dataset=self._dataset_settings(),
        )
        control = Control(self._on_progress, self._cancel)
        return retrain(self._store, self._data_dir, self._serving, recipe, settings, control)

    def evaluate(self, version: str | None, control: Control) -> tuple[Report, Verdict | None]:
        """The report of a version (None: the base), and the verdict against what answers now."""
        settings = self._settings
        bench = Bench(
            self._store, self._data_dir, self._serving, settings.evaluation, settings.ask_judge
        )
        if version is None:
            asking = control.watch("evaluate", "Asking the base model", (0.0, 1.0))
            return bench.evaluate_base(bench.make_exam(), asking), None
        return bench.judge_version(version, Thresholds(), control)

    def _on_progress(self, progress: LoopProgress) -> None:
        if progress.stage == "done":
            # Whoever reads "done" must find the promoted version answering.
            with self._swap_lock:
                self._follow_alias()
                self._step_canary()  # a trial against what was production is over
        self._progress = progress

    def cancel_retrain(self) -> None:
        """Ask the running retrain to end."""
        self._cancel.set()

    def stop(self, timeout_s: float) -> None:
        """End a running retrain before the application ends; its training can be resumed."""
        self.cancel_retrain()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def retrain_progress(self) -> LoopProgress | None:
        """Where the current or the last retrain stands."""
        return self._progress

    def log_tail(self, num_lines: int) -> Sequence[str]:
        """The last lines of the newest training's log."""
        runs = self._store.list_runs(1)
        path = self._data_dir / "runs" / runs[0].run_id / "log.txt" if runs else None
        if path is None or not path.exists():
            return ()
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 64_000))
            lines = log.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
        return lines[-num_lines:]

    def collect(self) -> int:
        """New feedback becomes pending examples, with what is doubtful about them."""
        result = collect_feedback(self._store, settings=self._settings.checks)
        if result.num_new:
            refresh_new_feedback(self._store, self._settings.checks)
        return result.num_new
