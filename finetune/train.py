"""The training process: a run folder with its order in, an adapter folder and result.json out.

`python -m finetune.train --run-dir DIR`, alone or under `accelerate launch`. Everything heavy is
imported inside, after the first line of the log.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import shutil
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from finetune.adapter_checks import check_adapter, check_served_class
from finetune.job import ADAPTER_DIR, CHECKPOINTS_DIR, TrainingJob, read_job
from finetune.machine import find_machine
from finetune.memory import MemoryPlan, ModelShape, Rows, plan_memory, read_shape
from finetune.preflight import (
    PreflightRefused,
    PreflightReport,
    check_all,
    check_answers,
    check_tokenizer,
)
from finetune.recipe import Recipe, explain_recipe
from finetune.run_report import RunReport
from finetune.schedule import Schedule, plan_schedule
from finetune.training_rows import FittingRows, TrainingRow, keep_fitting, read_rows
from finetune.watch import StopReason, Watch, WatchLimits


class TrainingStopped(RuntimeError):
    """The watch ended a training whose adapter would be of no use."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.message)
        self.code = reason.code


class NotEnoughMemory(RuntimeError):
    """Nothing that could be changed makes the training fit; the message has the numbers."""

    code = "not_enough_memory"


@dataclass(frozen=True)
class Setup:
    """Everything known before the model is loaded."""

    job: TrainingJob
    run_dir: Path
    recipe: Recipe  # adapted
    schedule: Schedule
    memory: MemoryPlan
    hardware: Any
    tokenizer: Any
    train: FittingRows
    validation: FittingRows

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """What the chat template gets beside the messages, in training and in serving."""
        return dict(self.job.base.chat_template_kwargs)


def main(argv: Sequence[str] | None = None) -> int:
    """Train; whatever happens stands in result.json at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--niceness", type=int, default=0)
    args = parser.parse_args(argv)
    report = RunReport(args.run_dir)
    _lower_priority(args.niceness)
    report.event("starting", "Loading the training libraries.")
    try:
        _hide_unused(read_job(args.run_dir).recipe)
        result = train(args.run_dir, report)
    except Exception as error:  # noqa: BLE001 - the run's result says what went wrong
        traceback.print_exc()
        return _fail(report, error)
    report.result({"state": "done", **result})
    report.event("done", f"Trained {result['steps']} steps; the adapter is written.")
    return 0


def _fail(report: RunReport, error: Exception) -> int:
    code = str(getattr(error, "code", "unexpected"))
    message = str(error) if code != "unexpected" else f"{type(error).__name__}: {error}"
    preflight = error.report.to_dict() if isinstance(error, PreflightRefused) else None
    result = {"state": "failed", "error": {"code": code, "message": message}}
    report.result({**result, "preflight": preflight})
    report.event("failed", message, code=code)
    return 1


def _lower_priority(niceness: int) -> None:
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if niceness else process.nice())
    elif niceness:
        os.nice(niceness)


def train(run_dir: Path, report: RunReport) -> dict[str, Any]:
    """All stages; returns the run's result. Raises what people must know, with a code."""
    job = read_job(run_dir)
    rows = {split: read_rows(Path(job.dataset_dir), split) for split in ("train", "validation")}
    check_all(check_answers([row.completion for row in rows["train"]]), figures={})
    setup = prepare(job, run_dir, rows, report)
    return _Training(setup, report).run()


def _hide_unused(recipe: Recipe) -> None:
    """peft and trl import these whenever they are installed: two seconds, for nothing here."""
    if recipe.quantization == "none" or not _has_cuda_driver():
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
    if recipe.tracking == "off":
        sys.modules.setdefault("wandb", None)  # type: ignore[arg-type]


def _has_cuda_driver() -> bool:
    return Path("/proc/driver/nvidia").exists() or sys.platform == "win32"


def prepare(
    job: TrainingJob, run_dir: Path, rows: dict[str, list[TrainingRow]], report: RunReport
) -> Setup:
    """Tokenizer, rows that fit, the recipe adapted to them, and the steps."""
    from finetune.base_loading import choose_hardware, describe_tokenizer, load_tokenizer

    tokenizer = load_tokenizer(job.base)
    check_all(check_tokenizer(describe_tokenizer(tokenizer, job.base, ())), figures={})
    limit = job.recipe.max_length
    fitting = {
        split: keep_fitting(found, tokenizer, limit, job.base.chat_template_kwargs)
        for split, found in rows.items()
    }
    base_dir, rows_kept = Path(job.base.path), fitting["train"]
    shape = read_shape(base_dir)
    recipe, reasons = explain_recipe(job.recipe, len(rows_kept.rows), shape.num_parameters)
    for reason in reasons:
        report.event("reason", reason.message, code=reason.code, **reason.values)
    plan = _plan_memory(job, shape, recipe, rows_kept)
    report.event("memory", plan.message, **plan.to_dict())
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return Setup(
        job=job,
        run_dir=run_dir,
        recipe=recipe,
        schedule=plan_schedule(recipe, len(rows_kept.rows), plan.load.rows_at_once, processes),
        memory=plan,
        hardware=choose_hardware(plan.load, job.device),
        tokenizer=tokenizer,
        train=rows_kept,
        validation=fitting["validation"],
    )


def _plan_memory(
    job: TrainingJob, shape: ModelShape, recipe: Recipe, rows: FittingRows
) -> MemoryPlan:
    machine = find_machine(job.device)
    if job.is_server_asleep:
        machine = replace(machine, server=0)
    lengths = Rows(max(rows.lengths), max(rows.answer_lengths))
    plan = plan_memory(shape, recipe, lengths, machine, job.memory_correction)
    if plan.choice == "refused":
        raise NotEnoughMemory(plan.message)
    return plan


def _prompts_of_answers(rows: Sequence[TrainingRow]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.completion.strip()].add(row.prompt[-1]["content"])
    return {answer: frozenset(prompts) for answer, prompts in found.items()}


class _Training:
    """The stages from the loaded model on."""

    def __init__(self, setup: Setup, report: RunReport) -> None:
        self._setup = setup
        self._report = report
        known = _prompts_of_answers(setup.train.rows)
        recipe, warmup_steps = setup.recipe, setup.schedule.warmup_steps
        self._watch = Watch(WatchLimits(warmup_steps, recipe.min_steps, recipe.patience), known)

    def run(self) -> dict[str, Any]:
        """Load, check, train, save, check again."""
        from finetune.training_callback import RunCallback, peak_memory_mib

        callback = RunCallback(self._report, self._watch)
        trainer, preflight = self._train_with_room(callback)
        setup = self._setup
        if callback.stopped and callback.stopped.is_failure:
            raise TrainingStopped(callback.stopped)
        self._report.event("saving", "Writing and checking the adapter.")
        facts = self._save(trainer)
        return {
            **callback.figures(trainer),
            **self._measure_probe(trainer),
            "recipe": setup.recipe.to_dict(),
            "schedule": asdict(setup.schedule),
            "hardware": asdict(setup.hardware),
            "preflight": preflight.to_dict(),
            "adapter": facts,
            "memory": {**setup.memory.to_dict(), "peak_mib": round(peak_memory_mib())},
            "duration_s": round(time.time() - psutil.Process().create_time(), 2),
        }

    def _measure_probe(self, trainer: Any) -> dict[str, float]:
        """What the server must measure, too, when it applies this adapter. One process only: a
        sharded model cannot be asked by one rank alone.
        """
        if trainer.accelerator.num_processes > 1:
            return {}
        from finetune.applied import RESULT_KEY, measure_applied

        model = trainer.accelerator.unwrap_model(trainer.model)
        kwargs = self._setup.template_kwargs
        return {RESULT_KEY: measure_applied(model, self._setup.tokenizer, kwargs)}

    def _train_with_room(self, callback: Any) -> tuple[Any, PreflightReport]:
        """Train; when memory runs out all the same, go on with half the rows at once."""
        while True:
            try:
                return self._train_once(callback)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self._setup.schedule.halved()
                if smaller is None:
                    raise NotEnoughMemory(
                        f"Memory ran out with one row at once. {self._setup.memory.message} "
                        "Lower max_length or r, or choose a smaller base model."
                    ) from error
            self._setup = replace(self._setup, schedule=smaller)
            free_memory()
            count = smaller.per_device_train_batch_size
            self._report.event(
                "out_of_memory", f"Memory ran out; going on with {count} rows at once."
            )

    def _train_once(self, callback: Any) -> tuple[Any, PreflightReport]:
        from finetune.preflight_facts import inspect

        trainer = self._build(callback)
        preflight = inspect(trainer, self._setup)
        summary = _describe_preflight(preflight.figures)
        self._report.event("preflight", summary, **preflight.to_dict())
        if self._setup.hardware.device == "cuda":
            trainer.rehearse()
        trainer.train(resume_from_checkpoint=_has_checkpoint(self._setup.run_dir))
        return trainer, preflight

    def _build(self, callback: Any) -> Any:
        from finetune.base_loading import find_stop_ids, load_model
        from finetune.sampled_answers import make_sampling, pick_rows
        from finetune.trainer import Course, build_trainer, to_dataset

        setup = self._setup
        self._report.event("loading", f"Loading {setup.job.base.name}.")
        model = load_model(setup.job.base, setup.hardware)
        check_served_class(Path(setup.job.base.path), type(model).__name__)
        course = Course(
            recipe=setup.recipe,
            schedule=setup.schedule,
            hardware=setup.hardware,
            checkpoints_dir=setup.run_dir / CHECKPOINTS_DIR,
            has_validation=bool(setup.validation.rows),
            gradient_checkpointing=setup.memory.load.gradient_checkpointing,
        )
        splits = (setup.train, setup.validation)
        train, validation = (to_dataset(s.rows, setup.template_kwargs) for s in splits)
        datasets = (train, validation if course.has_validation else None)
        trainer = build_trainer(course, model, setup.tokenizer, datasets, callback)
        rows = pick_rows(setup.validation.rows, setup.recipe.num_samples)
        stop_ids = find_stop_ids(setup.tokenizer, model)
        sampling = make_sampling(trainer, setup.tokenizer, rows, setup.template_kwargs, stop_ids)
        callback.follow(trainer, sampling if self._report.is_writer else None)
        return trainer

    def _save(self, trainer: Any) -> dict[str, Any]:
        """The adapter folder, complete or not there; and what a server would make of it."""
        setup = self._setup
        if not self._report.is_writer:
            return {}
        target, building = setup.run_dir / ADAPTER_DIR, setup.run_dir / f"{ADAPTER_DIR}.new"
        for folder in (target, building):
            shutil.rmtree(folder, ignore_errors=True)
        model = trainer.accelerator.unwrap_model(trainer.model)
        model.save_pretrained(building, save_embedding_layers=False)
        (building / "README.md").unlink(missing_ok=True)
        _name_base(building, setup.job)
        facts = check_adapter(building, Path(setup.job.base.path), setup.job.max_lora_rank)
        building.rename(target)
        template = setup.tokenizer.chat_template or ""
        return {
            **asdict(facts),
            "base_model": setup.job.base.name,
            "base_revision": setup.job.base.revision,
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "tokenizer_sha256": _hash_file(Path(setup.job.base.path) / "tokenizer.json"),
        }


def _name_base(adapter_dir: Path, job: TrainingJob) -> None:
    """The adapter names its base, not a folder of the machine that trained it."""
    path = adapter_dir / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = job.base.name
    config["revision"] = job.base.revision
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def _hash_file(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


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
    """Give back what the failed attempt held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _has_checkpoint(run_dir: Path) -> bool:
    return any((run_dir / CHECKPOINTS_DIR).glob("checkpoint-*/trainer_state.json"))


def _describe_preflight(figures: Any) -> str:
    return (
        f"{figures['supervised_share']:.0%} of the tokens are learnt, the longest row has "
        f"{figures['longest_row']}; {figures['trainable_parameters']:,} parameters train."
    )


if __name__ == "__main__":
    sys.exit(main())
