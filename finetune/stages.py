"""Which stages a run has: imitation of accepted answers, then preferences where asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from datasets import Dataset

from finetune.job import CHECKPOINTS_DIR, PREFERENCES_DIR, SFT_DIR
from finetune.memory import Rows
from finetune.preference_rows import LEAST_AT_ONCE, SEQUENCES
from finetune.preflight import check_all, check_answers
from finetune.recipe import preference_rate
from finetune.schedule import Schedule, plan_schedule
from finetune.trainer import Material
from finetune.training_callback import Span
from finetune.training_rows import TrainingRow
from finetune.training_setup import Setup
from finetune.training_stage import StagePlan

_PREFERENCE_EPOCHS: Final = 2.0
_PREFERENCE_BATCH: Final = 16
_PREFERENCE_STEPS: Final = 20  # a pass at least, where the rows suffice for it
_SMALLEST_BATCH: Final = 4


def plan_sft(setup: Setup, preferences: StagePlan | None, report_to: str) -> StagePlan:
    """Imitate the accepted answers."""
    kwargs = setup.template_kwargs
    validation = to_dataset(setup.validation.rows, kwargs) if setup.validation.rows else None
    steps = setup.schedule.total_steps
    return StagePlan(
        material=Material("sft", to_dataset(setup.train.rows, kwargs), validation),
        schedule=setup.schedule,
        longest=Rows(max(setup.train.lengths), max(setup.train.answer_lengths)),
        checkpoints_dir=setup.run_dir / CHECKPOINTS_DIR,
        span=Span(0, preferences.span.total if preferences else steps),
        report_to=report_to,
    )


def to_dataset(rows: Sequence[TrainingRow], template_kwargs: dict[str, Any]) -> Dataset:
    """Conversational prompt and completion, as TRL tokenises them."""
    extra = {"chat_template_kwargs": template_kwargs} if template_kwargs else {}
    return Dataset.from_list(
        [
            {
                "prompt": [dict(message) for message in row.prompt],
                "completion": [{"role": "assistant", "content": row.completion}],
                **extra,
            }
            for row in rows
        ]
    )


def plan_preferences(setup: Setup, start_adapter: Path | None, report_to: str) -> StagePlan:
    """Learn from thumbs or pairs, starting from the adapter of the imitation."""
    rows = setup.preferences
    assert rows is not None
    better = [text for row in rows.train if (text := _better_answer(row)) is not None]
    check_all(check_answers(better, setup.job.answer_format), figures={})
    schedule = _preference_schedule(setup, len(rows.train))
    before = 0 if start_adapter else setup.schedule.total_steps
    held = Dataset.from_list(list(rows.validation)) if rows.validation else None
    return StagePlan(
        material=Material(setup.recipe.kind, Dataset.from_list(list(rows.train)), held),
        schedule=schedule,
        longest=Rows(rows.longest, rows.longest_answer),
        checkpoints_dir=setup.run_dir / CHECKPOINTS_DIR / PREFERENCES_DIR,
        span=Span(before, before + schedule.total_steps),
        start_adapter=start_adapter or setup.run_dir / SFT_DIR,
        report_to=report_to,
    )


def _better_answer(row: Mapping[str, Any]) -> str | None:
    """The answer of a row that is to become more likely."""
    if "chosen" in row:
        return str(row["chosen"][0]["content"])
    return str(row["completion"][0]["content"]) if row["label"] else None


def _preference_schedule(setup: Setup, num_rows: int) -> Schedule:
    """Two short passes at a fraction of the rate, as many texts at once as the memory plan has.
    Few rows go in small batches, or there would be a single step, all of it warm-up.
    """
    kind, processes = setup.recipe.kind, int(os.environ.get("WORLD_SIZE", "1"))
    smallest = _SMALLEST_BATCH * processes
    wanted = num_rows // _PREFERENCE_STEPS // smallest * smallest
    recipe = replace(
        setup.recipe,
        num_train_epochs=_PREFERENCE_EPOCHS,
        effective_batch_size=max(smallest, min(_PREFERENCE_BATCH, wanted)),
        per_device_train_batch_size=None,
        min_steps=0,
        max_steps=0,
        eval_steps=None,
    )
    at_once = max(LEAST_AT_ONCE[kind], setup.memory.load.rows_at_once // SEQUENCES[kind])
    schedule = plan_schedule(recipe, num_rows, at_once, processes)
    rate = setup.recipe.preference_learning_rate
    rate = rate or preference_rate(kind, setup.shape.num_parameters)
    return replace(schedule, learning_rate=rate)
