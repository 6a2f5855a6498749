"""A learning wing that does what it is told, quickly: it implements chatbot.ui.parts.Learning."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chatbot.recommendation import canonical
from chatbot.ui.parts import Blocker
from feedback_store.records import Adapter, Dataset, ExampleFilter, Run
from feedback_store.store import Store
from finetune.canary import CanarySettings, CanaryStatus, read_canary
from finetune.curate import collect_feedback
from finetune.preferences import Offer
from finetune.progress import LoopProgress, Stage
from finetune.recipe import RunKind
from finetune.run_progress import RunEvent, RunProgress, SampleAnswer
from finetune.set_checks import refresh_new_feedback
from finetune.swap import Unserved
from tests.chatbot.ui.records import ANSWER

STAGES: tuple[Stage, ...] = ("dataset", "train", "load", "evaluate", "gate", "publish", "promote")
MIN_EXAMPLES = 2


EVENTS = (
    RunEvent(
        "reason", "", "", {"code": "steps", "rows": 96, "batch": 8, "epochs": 5.0, "steps": 60}
    ),
    RunEvent("reason", "", "", {"code": "rank", "rows": 96, "r": 8}),
    RunEvent("reason", "", "", {"code": "learning_rate", "rows": 96, "learning_rate": 0.001}),
    RunEvent(
        "memory", "", "", {"choice": "fits", "needed_mib": 1900, "available_mib": 21_000}
    ),
    RunEvent(
        "preflight", "", "",
        {
            "figures": {
                "supervised_share": 0.62, "longest_row": 412, "num_train": 96,
                "num_validation": 12, "rows_left_out": 2, "vocabulary": 6144,
                "eos_token": "<|end|>", "pad_token": "<|pad|>", "parameters": 6_600_000,
                "trainable_parameters": 208_896,
            },
            "findings": [
                {"code": "some_too_long", "message": "Long.", "cure": "Shorten.",
                 "values": {"count": "2", "of": "98"}},
            ],
        },
    ),
)  # fmt: skip
SAMPLES = tuple(
    SampleAnswer(25, prompt, canonical(ANSWER), text)
    for prompt, text in (
        ("도시 · 사무직 · 비건", canonical(ANSWER)),
        ("바닷가 · 현장직 · 플로깅", canonical(ANSWER)[:90]),
    )
)


def make_broken_off(recipe: str) -> Run:
    """A retrain that ended before it was done."""
    return Run(
        run_id="r1", kind="sft", state="cancelled", dataset_id="d1", base_model="starter",
        recipe={"name": recipe}, started_at="2026-03-01T09:30:00.000Z",
    )  # fmt: skip


class Refusal(RuntimeError):
    """A button that cannot be obeyed."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Refused: {code}.")
        self.code = code


def make_report(version: str, share: float) -> dict[str, Any]:
    metrics = [
        {"name": name, "better": "higher", "unit": "share", "value": share, "count": 48,
         "low": share - 0.1, "high": min(1.0, share + 0.1)}
        for name in ("good_answer", "valid_json", "category_fit", "distinct_challenges")
    ]  # fmt: skip
    text = json.dumps({"recommend": ANSWER.recommend, "challenges": []}, ensure_ascii=False)
    answer = {"answer_id": "a1", "prompt": "도시 · 사무직 · 비건", "text": text}
    return {"adapter": version, "metrics": metrics, "answers": [answer]}


def make_verdict(outcome: str) -> dict[str, Any]:
    params = {
        "metric": "good_answer", "count": 48, "num_gained": 11, "num_lost": 2, "p": 0.011,
        "value": 0.4, "limit": 0.6,
    }  # fmt: skip
    code = "gain" if outcome == "pass" else "no_gain"
    return {"outcome": outcome, "reasons": [{"code": code, "message": "", "params": params}]}


def add_version(store: Store, outcome: str = "pass", share: float = 0.8) -> str:
    """A version in the registry, without a file."""
    version = store.next_adapter_version()
    dataset = Dataset(dataset_id=f"d-{version}", path="d", num_train=18, num_validation=2)
    store.add_dataset(dataset, [])
    store.add_adapter(
        Adapter(
            version=version,
            run_id=None,
            dataset_id=dataset.dataset_id,
            base_model="starter",
            path=f"adapters/{version}",
            report=make_report(version, share),
            verdict=make_verdict(outcome),
            state="passed" if outcome == "pass" else "refused",
        )
    )
    return version


@dataclass
class ScriptedLearning:
    """Retrains in `duration_s`; the recipe "thorough" fails in the middle."""

    store: Store
    duration_s: float = 12.0
    progress: LoopProgress | None = None
    log_lines: list[str] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    broken_off: Run | None = None
    kinds: list[str] = field(default_factory=list)
    why_waiting: str = ""

    def recipes(self) -> Sequence[str]:
        return ("balanced", "quick", "thorough", "overnight-v2")

    def blockers(self) -> Sequence[Blocker]:
        have = self.store.count_examples(ExampleFilter(state="accepted"))
        if have < MIN_EXAMPLES:
            return [Blocker("too_few_examples", "Too few.", have, MIN_EXAMPLES)]
        return []

    def min_examples(self) -> int:
        return MIN_EXAMPLES

    def preferences(self) -> Sequence[Offer]:
        return (
            Offer("dpo", True, "Enough.", 240, 200),
            Offer("kto", False, "Few.", 81, 300, 12, 50),
        )

    def resumable(self) -> Run | None:
        return self.broken_off if not self._is_running() else None

    def resume_retrain(self, *, actor: str) -> None:
        if self.broken_off is None:
            raise Refusal("not_resumable")
        self.start_retrain("balanced", actor=actor)

    def _is_running(self) -> bool:
        return self.progress is not None and self.progress.stage in STAGES

    def start_retrain(self, recipe: str, *, actor: str, kind: RunKind = "sft") -> None:
        self.kinds.append(kind)
        if self.progress and self.progress.stage in STAGES:
            raise Refusal("already_running")
        self.cancel.clear()
        self.progress = LoopProgress("dataset", "Starting.", 0.0)
        threading.Thread(target=self._run, args=(recipe, actor), daemon=True).start()

    def _run(self, recipe: str, actor: str) -> None:
        started = time.monotonic()
        while (done := (time.monotonic() - started) / self.duration_s) < 1:
            if self.cancel.wait(0.05):
                self.broken_off = make_broken_off(recipe)
                self.progress = LoopProgress("cancelled", "Cancelled.", 1.0)
                return
            if recipe == "thorough" and done > 0.5:
                self.progress = LoopProgress("failed", "No memory.", 1.0, code="training_failed")
                return
            stage = STAGES[min(len(STAGES) - 1, int(done * 8))]
            self.progress = LoopProgress(stage, stage, done, self._training(done))
        self.broken_off = None
        version = add_version(self.store)
        self.store.set_alias("production", version, actor=actor, reason="passed the gate: Better.")
        self.progress = LoopProgress("done", "Done.", 1.0)

    def _training(self, done: float) -> RunProgress:
        step = 1 + int(done * 100)
        losses = [(n, 3.0 / n) for n in range(1, step + 1)]
        return RunProgress(
            "r1", "running", step=step, total_steps=100, loss=3.0 / step, eval_loss=0.5,
            tokens_per_s=1200.0, memory_mb=1400.0, eta_s=42.0, losses=losses,
            eval_losses=losses[::10], events=EVENTS, samples=SAMPLES if step > 25 else (),
        )  # fmt: skip

    def cancel_retrain(self) -> None:
        self.cancel.set()

    def retrain_progress(self) -> LoopProgress | None:
        return self.progress

    def log_tail(self, num_lines: int) -> Sequence[str]:
        return self.log_lines or [f"step {number}" for number in range(num_lines)]

    def collect(self) -> int:
        num_new = collect_feedback(self.store).num_new
        if num_new:
            refresh_new_feedback(self.store)
        return num_new

    def production(self) -> str | None:
        return self.store.get_alias("production")

    def waiting(self) -> Unserved | None:
        if not self.why_waiting:
            return None
        values = {"version": self.production() or "", "trained": "kanana", "serving": "starter"}
        return Unserved(self.why_waiting, False, "wrong_base", values)

    def promote(
        self, version: str | None, *, actor: str, reason: str, override: bool = False
    ) -> None:
        adapter = self.store.get_adapter(version) if version else None
        if adapter and adapter.state != "passed" and not override:
            raise Refusal("not_passed")
        self.store.set_alias("production", version, actor=actor, reason=reason)

    def retire(self, version: str) -> None:
        self.store.update_adapter(version, state="retired")

    def export(self, version: str) -> str:
        return f"/data/exports/{version}"

    def start_canary(self, version: str, share: float, *, actor: str, reason: str) -> None:
        if not 0 < share <= 0.5:
            raise Refusal("bad_share")
        self.store.set_alias("canary", version, actor=actor, reason=reason, share=share)

    def stop_canary(self, *, actor: str, reason: str) -> None:
        self.store.set_alias("canary", None, actor=actor, reason=reason)

    def canary(self) -> CanaryStatus:
        return read_canary(self.store, CanarySettings())

    def roll_back(self, *, actor: str) -> str | None:
        last = self.store.list_alias_events("production", limit=1)[0]
        version = last.from_version
        self.store.set_alias("production", version, actor=actor, reason="rolled back")
        return version
