"""Times the steps of any trainer of transformers, and counts the tokens that are no padding."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback


@dataclass
class Step:
    """One optimizer step."""

    seconds: float = 0.0
    num_tokens: int = 0


@dataclass
class StepClock(TrainerCallback):  # type: ignore[misc]
    """Attach to a built trainer before it trains. The first steps warm up and do not count."""

    warmup: int
    pad_id: int
    steps: list[Step] = field(default_factory=list)
    _began: float = 0.0
    _tokens: int = 0

    def attach(self, trainer: Any) -> None:
        """Count what each forward pass gets, and be called at each step."""
        trainer.add_callback(self)
        compute_loss = trainer.compute_loss

        def counted(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
            # Whatever the mask says: the seeds' padding is in the mask's place, but never counts.
            self._tokens += int((inputs["input_ids"] != self.pad_id).sum())
            return compute_loss(model, inputs, *args, **kwargs)

        trainer.compute_loss = counted

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start when the card has done all that came before."""
        synchronize()
        self._began, self._tokens = time.perf_counter(), 0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop when the card has done the step."""
        synchronize()
        self.steps.append(Step(time.perf_counter() - self._began, self._tokens))

    def figures(self) -> dict[str, float]:
        """Medians over the steps that count."""
        steps = self.steps[self.warmup :]
        return {
            "tokens_per_s": statistics.median(step.num_tokens / step.seconds for step in steps),
            "step_ms": statistics.median(step.seconds for step in steps) * 1000,
            "tokens_per_step": statistics.median(step.num_tokens for step in steps),
            "num_steps": len(steps),
        }


def synchronize() -> None:
    """Wait for the card."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def start_afresh() -> None:
    """Give back what the last measurement held, and forget its peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
