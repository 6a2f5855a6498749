"""One stage of a training, from the loaded model to its best checkpoint. When memory runs out in
spite of the plan, it goes on with half the rows at once.
"""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune.acceleration import Acceleration, choose_acceleration
from finetune.adapter_checks import check_served_class
from finetune.base_loading import Hardware, find_stop_ids, load_model
from finetune.checkpoints import clear_broken, find_checkpoint
from finetune.memory import Rows, estimate_memory
from finetune.preference_rows import LEAST_AT_ONCE, SEQUENCES
from finetune.preflight import PreflightReport
from finetune.preflight_facts import inspect, inspect_preferences
from finetune.run_report import RunReport
from finetune.sampled_answers import make_sampling, pick_rows
from finetune.schedule import Schedule
from finetune.trainer import Course, Material, build_trainer
from finetune.training_callback import RunCallback, Span, forget_peak, peak_memory_mib
from finetune.training_rows import TrainingRow
from finetune.training_setup import NotEnoughMemory, Setup, correction_for
from finetune.varlen import has_kernel
from finetune.watch import StopReason, Watch, WatchLimits


class TrainingStopped(RuntimeError):
    """The watch ended a training whose adapter would be of no use."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.message)
        self.code, self.values = reason.code, reason.values


@dataclass(frozen=True)
class StagePlan:
    """What one stage trains on, from where, and which part of the whole it is."""

    material: Material
    schedule: Schedule
    longest: Rows
    checkpoints_dir: Path
    span: Span
    start_adapter: Path | None = None
    report_to: str = "none"


@dataclass(frozen=True)
class StageResult:
    """What a stage left behind."""

    trainer: Any
    preflight: PreflightReport
    figures: dict[str, Any]
    schedule: Schedule
    memory: dict[str, Any]  # planned and used


def run_stage(setup: Setup, plan: StagePlan, report: RunReport) -> StageResult:
    """Load, check, train. Raises TrainingStopped, NotEnoughMemory, PreflightRefused."""
    shortages = 0
    while True:
        result = _attempt(setup, plan, report)
        memory = _describe_memory(setup, plan, shortages + (result is None))
        if result is not None:
            return replace(result, memory=memory)
        shortages += 1
        plan = _shrink(setup, plan, memory)
        free_memory()
        count = plan.schedule.per_device_train_batch_size
        report.event(
            "out_of_memory",
            f"Memory ran out; going on with {count} rows at once.",
            rows_at_once=count,
        )


def _attempt(setup: Setup, plan: StagePlan, report: RunReport) -> StageResult | None:
    """None when memory ran out; whatever held it is gone by then."""
    callback = _make_callback(setup, plan, report)
    try:
        trainer, preflight = _train_once(setup, plan, callback, report)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        raise
    if callback.stopped and callback.stopped.is_failure:
        raise TrainingStopped(callback.stopped)
    return StageResult(trainer, preflight, callback.figures(), plan.schedule, memory={})


def _describe_memory(setup: Setup, plan: StagePlan, num_shortages: int) -> dict[str, Any]:
    """The plan for what was tried last, and what that took: the next run plans by it."""
    load = replace(
        setup.memory.load,
        rows_at_once=plan.schedule.per_device_train_batch_size * SEQUENCES[plan.material.kind],
        row_length=plan.longest.longest,
        answer_length=plan.longest.longest_answer,
    )
    correction = correction_for(setup.job, load.device)
    estimate = estimate_memory(setup.shape, setup.recipe, load).scaled(correction)
    return {
        **replace(setup.memory, load=load, estimate=estimate).to_dict(),
        "peak_mib": round(peak_memory_mib()),
        "correction": correction,
        "num_shortages": num_shortages,
    }


def _make_callback(setup: Setup, plan: StagePlan, report: RunReport) -> RunCallback:
    recipe = setup.recipe
    limits = WatchLimits(plan.schedule.warmup_steps, recipe.min_steps, recipe.patience)
    watch = Watch(limits, _prompts_of_answers(setup.train.rows))
    return RunCallback(report, watch, plan.span)


def _prompts_of_answers(rows: Sequence[TrainingRow]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.completion.strip()].add(row.prompt[-1]["content"])
    return {answer: frozenset(prompts) for answer, prompts in found.items()}


def _shrink(setup: Setup, plan: StagePlan, memory: dict[str, Any]) -> StagePlan:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # the other processes know nothing of it
        raise NotEnoughMemory(
            f"Memory ran out in one of several processes. {setup.memory.message} "
            "Try again: it then takes less at once.",
            memory,
        )
    least = LEAST_AT_ONCE[plan.material.kind]
    smaller = plan.schedule.halved(least)
    if smaller is None:
        raise NotEnoughMemory(
            f"Memory ran out with as few rows at once as work ({least}). {setup.memory.message} "
            "Free memory and try again, or start with a lower max_length or r, or with a "
            "smaller base model.",
            memory,
        )
    return replace(plan, schedule=smaller)


def _train_once(
    setup: Setup, plan: StagePlan, callback: RunCallback, report: RunReport
) -> tuple[Any, PreflightReport]:
    forget_peak()
    report.event("loading", f"Loading {setup.job.base.name}.")
    model = load_model(setup.job.base, setup.hardware)
    check_served_class(Path(setup.job.base.path), type(model).__name__)
    course = Course(
        recipe=setup.recipe,
        schedule=plan.schedule,
        hardware=setup.hardware,
        checkpoints_dir=plan.checkpoints_dir,
        gradient_checkpointing=setup.memory.load.gradient_checkpointing,
        start_adapter=plan.start_adapter,
        report_to=plan.report_to,
        acceleration=_accelerate(setup.hardware),
    )
    trainer = build_trainer(course, model, setup.tokenizer, plan.material, callback)
    rows = pick_rows(setup.validation.rows, setup.recipe.num_samples)
    stop_ids = find_stop_ids(setup.tokenizer, model)
    sampling = make_sampling(trainer, setup.tokenizer, rows, setup.template_kwargs, stop_ids)
    callback.follow(trainer, sampling)
    is_sft = plan.material.kind == "sft"
    preflight = inspect(trainer, setup) if is_sft else inspect_preferences(trainer, setup)
    report.event("preflight", preflight.describe(), **preflight.to_dict())
    if is_sft and not trainer.prove_flat():
        message = "Attention without padding gave another loss here; rows are padded instead."
        report.event("reason", message, code="padded")
    if setup.hardware.device == "cuda" and trainer.accelerator.num_processes == 1:
        trainer.rehearse()
        forget_peak()
    checkpoint = _pick_checkpoint(plan.checkpoints_dir, report)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer, preflight


def _pick_checkpoint(checkpoints_dir: Path, report: RunReport) -> Path | None:
    """Where to go on from. A newer one that was not written to its end is in the way."""
    if report.is_writer:
        for name in clear_broken(checkpoints_dir):
            message = f"{name} was not written to its end; it is deleted."
            report.event("broken_checkpoint", message, name=name)
    return find_checkpoint(checkpoints_dir)


def _accelerate(hardware: Hardware) -> Acceleration:
    """What pays on this hardware. The proof of the kernel needs a model that is not sharded."""
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    has_varlen = is_alone and has_kernel()
    return choose_acceleration(hardware.device, hardware.precision, has_varlen=has_varlen)


def is_out_of_memory(error: BaseException) -> bool:
    """torch says it in several ways; the CPU's allocator only in the text."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or "out of memory" in text
    )


def free_memory() -> None:
    """Give back what nothing refers to any more; trainers refer to themselves."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
