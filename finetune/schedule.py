"""How an adapted recipe becomes steps: warm-up, evaluations, rows at once and accumulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from finetune.recipe import Recipe, count_steps

_FEWEST_EVALUATIONS: Final = 6  # a run at least; each costs time that a short run feels
_MOST_EVALUATIONS: Final = 40


@dataclass(frozen=True)
class Schedule:
    """The course of one run, in optimizer steps."""

    total_steps: int
    warmup_steps: int
    eval_steps: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    epochs: float
    learning_rate: float

    def halved(self, least: int = 1) -> Schedule | None:
        """Half the rows at once, twice the accumulation; None where that is below the least."""
        micro = self.per_device_train_batch_size
        sizes = (size for size in range(micro // 2, least - 1, -1) if micro % size == 0)
        smaller = next(sizes, None)
        if smaller is None:
            return None
        factor = micro // smaller
        return replace(
            self,
            per_device_train_batch_size=smaller,
            gradient_accumulation_steps=self.gradient_accumulation_steps * factor,
        )


def plan_schedule(
    recipe: Recipe, num_rows: int, most_at_once: int, num_processes: int = 1
) -> Schedule:
    """most_at_once: rows that fit a device. The effective batch stays as the recipe says, on any
    number of processes that it can be shared among.
    """
    total = count_steps(recipe, num_rows)
    batch = recipe.effective_batch_size or 1
    share = max(1, batch // num_processes)
    wanted = recipe.per_device_train_batch_size or most_at_once
    micro = next(size for size in range(min(wanted, share), 0, -1) if share % size == 0)
    return Schedule(
        total_steps=total,
        warmup_steps=max(1, round(recipe.warmup_ratio * total)) if recipe.warmup_ratio else 0,
        eval_steps=recipe.eval_steps or _eval_steps(total, num_rows / batch),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        epochs=round(total * batch / num_rows, 2),
        learning_rate=recipe.learning_rate or 0.0,
    )


def _eval_steps(total: int, steps_per_epoch: float) -> int:
    """A quarter epoch, within what is worth its time."""
    quarter = round(steps_per_epoch / 4)
    most, least = math.ceil(total / _FEWEST_EVALUATIONS), math.ceil(total / _MOST_EVALUATIONS)
    rare = most if total <= 200 else least
    return max(1, rare, min(quarter, most))
