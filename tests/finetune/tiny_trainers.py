"""The product's own trainer over four rows of one tiny model, on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from finetune.acceleration import Acceleration
from finetune.base_loading import Hardware
from finetune.job import Base
from finetune.recipe import Recipe
from finetune.run_report import RunReport
from finetune.schedule import plan_schedule
from finetune.watch import Watch, WatchLimits
from tests.tiny_models import Kind, build_model

RECIPE = Recipe(
    r=4,
    lora_alpha=8,
    lora_dropout=0.0,
    learning_rate=1e-3,
    min_steps=1,
    max_steps=1,
    num_train_epochs=1,
    effective_batch_size=4,
    eval_steps=9,
)
LENGTHS = (70, 100, 9, 35)  # 100 is beyond the sliding window of the tiny gemma


def build(
    folder: Path,
    kind: Kind = "llama",
    *,
    packing: bool = False,
    gradient_checkpointing: bool = False,
    quantization: Literal["none", "nf4"] = "none",
) -> Any:
    """Without padding between the rows; it evaluates the same four."""
    from datasets import Dataset

    from finetune import trainer as trainers
    from finetune.base_loading import load_model, load_tokenizer
    from finetune.training_callback import RunCallback, Span

    base = Base("tiny", str(build_model(folder / "base", kind)))
    hardware = Hardware("cpu", "fp32", quantization)
    recipe = replace(RECIPE, packing="on", max_length=128) if packing else RECIPE
    course = trainers.Course(
        recipe=recipe,
        schedule=plan_schedule(recipe, len(LENGTHS), most_at_once=4),
        hardware=hardware,
        checkpoints_dir=folder / "checkpoints",
        gradient_checkpointing=gradient_checkpointing,
        acceleration=Acceleration(varlen=True),
    )
    rows = []
    for number, length in enumerate(LENGTHS):
        ids = [(7 * number + 3 * place) % 400 + 10 for place in range(length)]
        rows.append({"input_ids": ids, "labels": [-100] * 4 + ids[4:]})
    callback = RunCallback(RunReport(folder), Watch(WatchLimits(0, 1, 0), {}), Span(0, 1))
    dataset = Dataset.from_list(rows)
    material = trainers.Material("sft", dataset, dataset)
    model = load_model(base, hardware)
    return trainers.build_trainer(course, model, load_tokenizer(base), material, callback)
