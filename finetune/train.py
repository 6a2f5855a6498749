"""The training process: a run folder with its order in, an adapter folder and result.json out.

`python -m finetune.train --run-dir DIR`, alone or under `accelerate launch`. Everything heavy is
imported inside, after the first line of the log.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from finetune.checkpoints import clear_broken
from finetune.job import (
    ADAPTER_DIR,
    CHECKPOINTS_DIR,
    PREFERENCES_DIR,
    SFT_DIR,
    TrainingJob,
    read_job,
)
from finetune.machine import may_have_card
from finetune.preflight import PreflightRefused, check_all, check_answers
from finetune.run_report import RunReport
from finetune.tracking import choose_mode, make_environment
from finetune.training_rows import read_rows


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
        _choose_libraries(read_job(args.run_dir), args.run_dir)
        result = train(args.run_dir, report)
    except Exception as error:  # noqa: BLE001 - the run's result says what went wrong
        traceback.print_exc()
        return _fail(report, error)
    report.result({"state": "done", **result})
    report.event("done", f"Trained {result['steps']} steps; the adapter is written.")
    return 0


def _fail(report: RunReport, error: Exception) -> int:
    code = str(getattr(error, "code", "unexpected"))
    if _is_disk_full(error):
        code = "disk_full"
        for folder in (CHECKPOINTS_DIR, f"{CHECKPOINTS_DIR}/{PREFERENCES_DIR}"):
            clear_broken(report.run_dir / folder)  # half a checkpoint; the result needs its room
    message = str(error) if code != "unexpected" else f"{type(error).__name__}: {error}"
    preflight = error.report.to_dict() if isinstance(error, PreflightRefused) else None
    values = dict(getattr(error, "values", {}))
    result = {"state": "failed", "error": {"code": code, "message": message, "values": values}}
    found = {"preflight": preflight, "memory": getattr(error, "memory", None)}
    report.result({**result, **{name: value for name, value in found.items() if value}})
    report.event("failed", message, code=code)
    return 1


def _is_disk_full(error: Exception) -> bool:
    """safetensors and torch wrap the system's error; its words stay."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _lower_priority(niceness: int) -> None:
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if niceness else process.nice())
    elif niceness:
        os.nice(niceness)


def _choose_libraries(job: TrainingJob, run_dir: Path) -> None:
    """peft and trl import these two whenever they are installed: two seconds, often for nothing."""
    if job.recipe.quantization != "nf4" and not may_have_card():
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
    mode = choose_mode(job.recipe.tracking, os.environ, Path.home())
    if mode == "off":
        sys.modules.setdefault("wandb", None)  # type: ignore[arg-type]
        os.environ.pop("WANDB_MODE", None)  # somebody's shell may have it; here it means tracking
    else:
        os.environ.update(make_environment(mode, run_dir, job.run_id))


def train(run_dir: Path, report: RunReport) -> dict[str, Any]:
    """All stages; returns the run's result. Raises what people must know, with a code."""
    job = read_job(run_dir)
    rows = {split: read_rows(Path(job.dataset_dir), split) for split in ("train", "validation")}
    answers = [row.completion for row in rows["train"]]
    check_all(check_answers(answers, job.answer_format), figures={})
    from finetune.training_setup import prepare

    setup = prepare(job, run_dir, rows, report)
    result = _run_stages(setup, report)
    if "WANDB_MODE" in os.environ and report.is_writer:
        from finetune.tracking import log_artifacts

        log_artifacts(job, run_dir)
    return {**result, "duration_s": round(time.time() - psutil.Process().create_time(), 2)}


def _run_stages(setup: Any, report: RunReport) -> dict[str, Any]:
    """Imitation first; then, where the recipe says so, preferences on top of it."""
    from finetune.adapter_writing import write_adapter
    from finetune.stages import plan_preferences, plan_sft
    from finetune.training_stage import free_memory, run_stage

    run_dir, recipe = setup.run_dir, setup.recipe
    earlier = Path(setup.job.start_adapter) if setup.job.start_adapter else None
    report_to = "wandb" if "WANDB_MODE" in os.environ else "none"
    preferences = None
    if recipe.kind != "sft":
        preferences = plan_preferences(setup, earlier, report_to)
    result: dict[str, Any] = {}
    stage = None
    if earlier is None and not (run_dir / SFT_DIR).is_dir():
        stage = run_stage(setup, plan_sft(setup, preferences, report_to), report)
        result = _describe(setup, stage)
        if preferences is not None:
            write_adapter(stage.trainer, setup, run_dir / SFT_DIR)
            stage.trainer.accelerator.wait_for_everyone()
            stage = None  # the next stage loads the base again: there is room for one
            free_memory()
    if preferences is not None:
        stage = run_stage(setup, preferences, report)
        result = {"sft": result, **_describe(setup, stage)}
    assert stage is not None
    report.event("saving", "Writing and checking the adapter.")
    result["adapter"] = write_adapter(stage.trainer, setup, run_dir / ADAPTER_DIR)
    return {**result, **_measure_probe(setup, stage.trainer)}


def _describe(setup: Any, stage: Any) -> dict[str, Any]:
    """What a stage's result says."""
    return {
        **stage.figures,
        "recipe": setup.recipe.to_dict(),
        "schedule": asdict(stage.schedule),
        "hardware": asdict(setup.hardware),
        "preflight": stage.preflight.to_dict(),
        "memory": stage.memory,
    }


def _measure_probe(setup: Any, trainer: Any) -> dict[str, float]:
    """What the server must measure, too, when it applies this adapter. One process only: a
    sharded model cannot be asked by one rank alone.
    """
    if trainer.accelerator.num_processes > 1:
        return {}
    from finetune.applied import RESULT_KEY, measure_applied

    model = trainer.accelerator.unwrap_model(trainer.model)
    return {RESULT_KEY: measure_applied(model, setup.tokenizer, setup.template_kwargs)}


if __name__ == "__main__":
    sys.exit(main())
