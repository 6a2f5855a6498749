"""Everything a training decides before a weight is loaded: rows that fit, the recipe adapted to
them, the memory plan, the steps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune.base_loading import (
    Hardware,
    choose_hardware,
    describe_tokenizer,
    find_device,
    find_training_machine,
    load_tokenizer,
)
from finetune.card_lending import NEEDS_CARD, wait_for_card
from finetune.job import TrainingJob
from finetune.memory import GIB, Machine, MemoryPlan, Rows, plan_memory
from finetune.model_shape import ModelShape, read_shape
from finetune.preference_rows import (
    LEAST_AT_ONCE,
    SEQUENCES,
    PreferenceRows,
    read_preferences,
)
from finetune.preflight import check_all, check_tokenizer
from finetune.recipe import Recipe, explain_recipe
from finetune.run_report import RunReport
from finetune.schedule import Schedule, plan_schedule
from finetune.training_rows import FittingRows, TrainingRow, keep_fitting


class NotEnoughMemory(RuntimeError):
    """Nothing that could be changed makes the training fit; the message has the numbers. memory:
    what was planned and used, where it was tried. `code` is stable: not_enough_memory where it ran
    out, no_fit where the plan says so before (`values` are its figures), server_awake.
    """

    def __init__(
        self,
        message: str,
        memory: Mapping[str, Any] | None = None,
        *,
        code: str = "not_enough_memory",
        values: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.memory, self.code, self.values = memory, code, values


@dataclass(frozen=True)
class Setup:
    """What every stage of a training starts from."""

    job: TrainingJob
    run_dir: Path
    recipe: Recipe  # adapted
    schedule: Schedule
    shape: ModelShape
    memory: MemoryPlan
    hardware: Hardware
    tokenizer: Any
    train: FittingRows
    validation: FittingRows
    preferences: PreferenceRows | None = None  # for the stage after the imitation

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """What the chat template gets beside the messages, in training and in serving."""
        return dict(self.job.base.chat_template_kwargs)


def prepare(
    job: TrainingJob,
    run_dir: Path,
    rows: Mapping[str, Sequence[TrainingRow]],
    report: RunReport,
) -> Setup:
    """Decide it all, and tell why. Raises what the pre-flight or the memory plan refuses."""
    tokenizer = load_tokenizer(job.base)
    check_all(check_tokenizer(describe_tokenizer(tokenizer, job.base, ())), figures={})
    fitting = {
        split: keep_fitting(found, tokenizer, job.recipe.max_length, job.base.chat_template_kwargs)
        for split, found in rows.items()
    }
    kept = fitting["train"]
    shape = read_shape(Path(job.base.path))
    recipe, reasons = explain_recipe(job.recipe, len(kept.rows), shape.num_parameters)
    for reason in reasons:
        report.event("reason", reason.message, code=reason.code, **reason.values)
    preferences = _read_preferences(job, run_dir, tokenizer, report)
    plan = _plan_memory(Demand(job, shape, recipe, kept, preferences), run_dir, report)
    report.event("memory", plan.message, **plan.to_dict())
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return Setup(
        job=job,
        run_dir=run_dir,
        recipe=recipe,
        schedule=plan_schedule(recipe, len(kept.rows), plan.load.rows_at_once, processes),
        shape=shape,
        memory=plan,
        hardware=choose_hardware(plan.load, job.device),
        tokenizer=tokenizer,
        train=kept,
        validation=fitting["validation"],
        preferences=preferences,
    )


def _read_preferences(
    job: TrainingJob, run_dir: Path, tokenizer: Any, report: RunReport
) -> PreferenceRows | None:
    if job.recipe.kind == "sft":
        return None
    length = job.recipe.max_length
    found = read_preferences(run_dir, tokenizer, length, job.base.chat_template_kwargs)
    if found.num_left_out:
        left = found.num_left_out
        message = f"{left} preferences are longer than {length} tokens and are left out."
        report.event("reason", message, code="preferences_left_out", left=left, most=length)
    return found


def correction_for(job: TrainingJob, device: str) -> float:
    """What earlier runs of this base used on this device over what was predicted."""
    return float(job.memory_corrections.get(device, 1.0))


@dataclass(frozen=True)
class Demand:
    """What memory is planned for."""

    job: TrainingJob
    shape: ModelShape
    recipe: Recipe
    rows: FittingRows
    preferences: PreferenceRows | None = None

    def plan(self, machine: Machine) -> MemoryPlan:
        """How it fits there; raises NotEnoughMemory when it does not."""
        correction = correction_for(self.job, machine.device)
        plan = plan_memory(self.shape, self.recipe, self.find_rows(), machine, correction)
        if plan.choice == "refused":
            figures = {"needed": plan.needed, "free": machine.free, "total": machine.total}
            values = {name: f"{value / GIB:.1f}" for name, value in figures.items()}
            raise NotEnoughMemory(plan.message, code="no_fit", values=values)
        return plan

    def find_rows(self) -> Rows:
        """The longest of both stages: one plan is for the whole run."""
        rows = Rows(max(self.rows.lengths), max(self.rows.answer_lengths))
        if self.preferences is None:
            return rows
        kind = self.recipe.kind
        return Rows(
            longest=max(rows.longest, self.preferences.longest),
            longest_answer=max(rows.longest_answer, self.preferences.longest_answer),
            least_at_once=LEAST_AT_ONCE[kind] * SEQUENCES[kind],
        )


def _plan_memory(demand: Demand, run_dir: Path, report: RunReport) -> MemoryPlan:
    """Where it fits only without the server beside it, ask for that, and plan again with what is
    really free then.
    """
    device = find_device(demand.job.device)
    plan = demand.plan(find_training_machine(device, can_sleep=demand.job.can_server_sleep))
    if plan.choice != "server_asleep":
        return plan
    report.event(NEEDS_CARD, plan.message)
    if not wait_for_card(run_dir):
        raise NotEnoughMemory(
            "The training needs all of the card, but the model server did not go to sleep. "
            "Start the retrain again, or stop the server meanwhile.",
            code="server_awake",
        )
    asleep = demand.plan(replace(find_training_machine(device), server=0))
    return replace(asleep, choice="server_asleep", message=plan.message)
