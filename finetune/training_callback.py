"""What is written while the trainer runs, and when it is told to stop. Imports transformers."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from transformers import TrainerCallback

from finetune.memory import CUDA_CONTEXT, MIB
from finetune.preflight import is_canonical
from finetune.run_report import RunReport
from finetune.watch import Sampled, StopReason, Watch

# What is written down, by the trainers' names.
_NAMES = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "learning_rate": "learning_rate",
    "rewards/margins": "reward_margin",
    "eval_rewards/margins": "eval_reward_margin",
}


@dataclass(frozen=True)
class Sampling:
    """Answers validation prompts with the model in training."""

    answer: Callable[[], list[str]]
    prompts: tuple[str, ...]
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """Which part of a run's steps a stage is."""

    before: int  # steps of the stages before it
    total: int  # of all stages


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Writes each figure down, samples answers at each evaluation, and asks the watch."""

    def __init__(self, report: RunReport, watch: Watch, span: Span) -> None:
        self.stopped: StopReason | None = None
        self.num_well_formed = 0  # of the last sampled answers
        self._base_loss: float | None = None
        self._first_step_at: float | None = None
        self._report = report
        self._watch = watch
        self._span = span
        self._sampling: Sampling | None = None
        self._trainer: Any = None
        self._seen = (time.monotonic(), 0)
        self._training_s = 0.0
        self._step_began = 0.0

    def follow(self, trainer: Any, sampling: Sampling | None) -> None:
        """Which trainer counts the tokens, and which prompts are answered."""
        self._trainer = trainer
        self._sampling = sampling

    def figures(self) -> dict[str, Any]:
        """What the run's result says of the training."""
        trainer = self._trainer
        state, begun = trainer.state, psutil.Process().create_time()
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        speed = trainer.num_tokens_seen / self._training_s if self._training_s else None
        kept = state.best_global_step
        at_step = {e["step"]: e["eval_loss"] for e in state.log_history if "eval_loss" in e}
        return {
            "steps": state.global_step,
            "total_steps": state.max_steps,
            "train_loss": losses[-1] if losses else None,
            "eval_loss": at_step.get(kept),
            "base_eval_loss": self._base_loss,
            "best_step": kept,
            "stopped_early": asdict(self.stopped) if self.stopped else None,
            "num_tokens": trainer.num_tokens_seen,
            "tokens_per_s": speed,
            "start_to_step1_s": self._first_step_at and round(self._first_step_at - begun, 2),
        }

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Tell that it trains; after a resume the watch hears again what it had seen."""
        for entry in state.log_history:
            if "loss" in entry:
                self._watch.see_loss(entry["step"], entry["loss"])
            if "eval_loss" in entry:
                self._watch.see_evaluation(entry["step"], entry["eval_loss"])
                self._trainer.choice.rank(entry["step"], entry["eval_loss"], 0)
        step = self._span.before + state.global_step
        kind = "resumed" if state.global_step else "training"
        verb = f"Going on from step {step} of" if step else "Training for"
        self._report.event(kind, f"{verb} {self._span.total} steps.", step=step)

    def on_step_begin(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Start the clock of this step."""
        self._step_began = time.monotonic()

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Stop the clock of this step."""
        self._training_s += time.monotonic() - self._step_began
        self._first_step_at = self._first_step_at or time.time()
        self._report.alive()

    def on_substep_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """A step of many micro-batches may take very long; each is a sign of life."""
        self._report.alive()

    def on_prediction_step(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """So may an evaluation."""
        self._report.alive()

    def on_log(
        self, _args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Write the figures of a step, and let the watch look at the loss."""
        logs = logs or {}
        found = {_NAMES[name]: float(logs[name]) for name in _NAMES if name in logs}
        if not found:
            return
        if "loss" in found:
            found |= {"tokens_per_s": self._speed(), "memory_mb": used_memory_mb()}
            self._stop(control, self._watch.see_loss(state.global_step, found["loss"]))
        self._report.metrics(self._span.before + state.global_step, self._span.total, found)

    def _speed(self) -> float:
        """Tokens per second since the last line."""
        tokens = self._trainer.num_tokens_seen
        before_s, before_tokens = self._seen
        self._seen = (self._training_s, tokens)
        if not before_tokens:
            before_s = 0.0
        return float((tokens - before_tokens) / max(self._training_s - before_s, 1e-6))

    def on_evaluate(
        self, _args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Let the watch look at the validation loss and at real answers."""
        step, loss = state.global_step, float((metrics or {}).get("eval_loss", "nan"))
        if step == 0:
            self._base_loss = loss
        self._stop(control, self._watch.see_evaluation(step, loss))
        shown = self._span.before + step
        message = f"Validation loss {loss:.4f} at step {shown}."
        self._report.event("evaluated", message, step=shown, eval_loss=loss)
        if step and self._sampling and not self.stopped:
            self._stop(control, self._watch.see_samples(step, self._sample(step)))

    def _sample(self, step: int) -> list[Sampled]:
        assert self._sampling is not None
        sampling = self._sampling
        answers = sampling.answer()
        self.num_well_formed = sum(map(is_canonical, answers))
        asked = zip(sampling.prompts, answers, sampling.expected, strict=True)
        samples = [Sampled(prompt, answer, expected) for prompt, answer, expected in asked]
        for sample in samples:
            self._report.sample(
                self._span.before + step, sample.prompt, sample.expected, sample.answer
            )
        return samples

    def _stop(self, control: Any, reason: StopReason | None) -> None:
        if reason is None or self.stopped is not None:
            return
        self.stopped = reason
        control.should_training_stop = True
        figures = dict(reason.values)
        self._report.event("stopping", reason.message, reason=reason.code, figures=figures)


def used_memory_mb() -> float:
    """Memory of this process now: on the card where it trains on one, else resident."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return float(torch.cuda.memory_reserved() / MIB)
    return float(psutil.Process().memory_info().rss / MIB)


def forget_peak() -> None:
    """Let peak_memory_mib() tell what is held from now on: a rehearsal, or an attempt for which
    memory did not suffice, says nothing about the training.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # Linux only, and not in every container
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> float:
    """The most that this process held since forget_peak()."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        # What the libraries hold on the card beside torch's own memory is in the plan, too.
        return float((torch.cuda.max_memory_reserved() + CUDA_CONTEXT) / MIB)
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / MIB)
    kib = 1024 if sys.platform == "darwin" else 1
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kib / 1024
