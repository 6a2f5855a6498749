"""TRL's trainer on this project's rows. Imports trl, peft and torch: only train.py loads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn import functional
from trl import SFTConfig, SFTTrainer

from finetune.base_loading import Hardware
from finetune.preflight import IGNORED
from finetune.recipe import Recipe
from finetune.schedule import Schedule
from finetune.training_rows import TrainingRow
from finetune.watch import CheckpointChoice

_MAX_EVAL_ROWS = 300  # enough for a stable loss


@dataclass(frozen=True)
class Course:
    """Everything that decides how it trains."""

    recipe: Recipe
    schedule: Schedule
    hardware: Hardware
    checkpoints_dir: Path
    has_validation: bool
    gradient_checkpointing: bool = False
    report_to: str = "none"


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


def lora_config(recipe: Recipe) -> LoraConfig:
    """What vLLM can serve: no DoRA, no bias, nothing saved beside the two matrices."""
    modules = recipe.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        bias="none",
    )


def sft_config(course: Course) -> SFTConfig:
    """The trainer's settings from the recipe; telemetry, hub and pickles stay off."""
    recipe, schedule, hardware = course.recipe, course.schedule, course.hardware
    packing = is_packing(recipe, hardware)
    return SFTConfig(
        output_dir=str(course.checkpoints_dir),
        max_steps=schedule.total_steps,
        per_device_train_batch_size=schedule.per_device_train_batch_size,
        per_device_eval_batch_size=max(4, schedule.per_device_train_batch_size),
        gradient_accumulation_steps=schedule.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=schedule.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        bf16=hardware.precision == "bf16",
        fp16=hardware.precision == "fp16",
        use_cpu=hardware.device == "cpu",
        gradient_checkpointing=course.gradient_checkpointing,
        max_length=recipe.max_length if packing else None,  # longer rows were left out before
        packing=packing,
        eval_packing=False,
        completion_only_loss=True,
        train_sampling_strategy="random" if packing else "group_by_length",
        logging_steps=max(1, schedule.total_steps // 1000),
        logging_nan_inf_filter=False,  # the watch must see what is not a number
        eval_strategy="steps" if course.has_validation else "no",
        eval_steps=schedule.eval_steps,
        eval_on_start=course.has_validation,  # the base's loss, which the watch compares with
        save_steps=schedule.eval_steps,
        save_total_limit=2,
        load_best_model_at_end=course.has_validation,
        metric_for_best_model="eval_rank",
        greater_is_better=True,
        seed=recipe.seed,
        data_seed=recipe.seed,
        report_to=course.report_to,
        disable_tqdm=True,
        dataloader_pin_memory=hardware.device == "cuda",
        push_to_hub=False,
    )


def is_packing(recipe: Recipe, hardware: Hardware) -> bool:
    """Packing pays on a GPU with many short rows; on the CPU grouping by length is faster."""
    if recipe.packing == "auto":
        return False
    return recipe.packing == "on" and hardware.device == "cuda"


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer, faster on the CPU: TRL scores every position of a row there, although
    only the answer is learnt.
    """

    num_tokens_seen = 0
    run_callback: Any = None  # knows the sampled answers
    choice: CheckpointChoice

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The usual figures, and the rank by which the best checkpoint is chosen."""
        metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        well_formed = self.run_callback.num_well_formed if self.run_callback else 0
        step = self.state.global_step
        if step:
            metrics["eval_rank"] = self.choice.rank(step, metrics["eval_loss"], well_formed)
        return metrics

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean loss over the answers' tokens of the whole effective batch."""
        mask = inputs.get("attention_mask")
        if model.training:
            self.num_tokens_seen += int(inputs["input_ids"].numel() if mask is None else mask.sum())
        if return_outputs or inputs["labels"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return self._answer_loss(model, inputs, num_items_in_batch)

    def _answer_loss(self, model: Any, inputs: dict[str, Any], num_items: Any) -> torch.Tensor:
        labels = inputs["labels"]
        learnt = (labels != IGNORED).any(dim=0).nonzero()
        first = max(1, int(learnt[0])) if len(learnt) else labels.shape[1] - 1
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        # Only the positions from the first learnt token of the batch on reach the output layer.
        keep = labels.shape[1] - first + 1
        logits = model(**rest, use_cache=False, logits_to_keep=keep).logits
        # The last position predicts nothing; ignoring it saves a copy of all logits.
        targets = functional.pad(labels[:, first:], (0, 1), value=IGNORED)
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        if num_items is None:
            return loss / (targets != IGNORED).sum().clamp(min=1)
        if self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return loss / num_items

    def rehearse(self) -> None:
        """One step on the longest rows, thrown away: if memory is short, it shows now."""
        count = self.args.per_device_train_batch_size
        order = sorted(range(len(self.train_dataset)), key=lambda n: -len(self._ids(n)))
        rows = [self.train_dataset[number] for number in order[:count]]
        names = ("input_ids", "labels", "seq_lengths")
        batch = self.data_collator([{k: row[k] for k in names if k in row} for row in rows])
        inputs = self._prepare_inputs(batch)
        self.model.train()
        with self.compute_loss_context_manager():
            loss = self.compute_loss(self.model, inputs)
        loss.backward()
        self.model.zero_grad(set_to_none=True)
        self.num_tokens_seen = 0
        self._metrics["train"].clear()

    def _ids(self, number: int) -> Any:
        return self.train_dataset[number]["input_ids"]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints are not for people; the adapter's papers are written by the registry."""


def build_trainer(
    course: Course,
    model: Any,
    tokenizer: Any,
    datasets: tuple[Dataset, Dataset | None],
    callback: Any,
) -> AnswerTrainer:
    """The trainer with a fresh adapter on the model."""
    train, validation = datasets
    if validation is not None and len(validation) > _MAX_EVAL_ROWS:
        validation = validation.select(range(_MAX_EVAL_ROWS))
    trainer = AnswerTrainer(
        model=model,
        args=sft_config(course),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        peft_config=lora_config(course.recipe),
        callbacks=[callback] if callback else [],
    )
    trainer.run_callback, trainer.choice = callback, CheckpointChoice()
    return trainer
