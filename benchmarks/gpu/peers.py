"""Two ways that are not ours: what the seeds' scripts did, and TRL's defaults with packing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from finetune.base_loading import Hardware
from finetune.recipe import Recipe
from finetune.trainer import lora_config

_PACKED_ROWS: Final = 8  # at once: TRL's own default
_MOST_PACKED_STEPS: Final = 10


@dataclass(frozen=True)
class Entry:
    """What both get: the same model, tokenizer, rows, adapter and numbers as ours."""

    model: Any
    tokenizer: Any
    rows: Sequence[dict[str, Any]]
    recipe: Recipe
    hardware: Hardware

    @property
    def pad_id(self) -> int:
        """The token that never counts."""
        return int(self.tokenizer.pad_token_id)

    def settings(self, home: Path) -> dict[str, Any]:
        """What is no question of speed."""
        return {
            "output_dir": str(home),
            "learning_rate": self.recipe.learning_rate,
            "bf16": self.hardware.precision == "bf16",
            "fp16": self.hardware.precision == "fp16",
            "use_cpu": self.hardware.device == "cpu",
            "report_to": "none",
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
        }


def build_seeds(entry: Entry, home: Path, pad_to: int, rows_a_step: int) -> Trainer:
    """One row at once, sixteen accumulated, each padded to the longest length there may be, with
    the labels a copy of the ids: the loss covers prompt and padding, too.
    """

    def pad(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = torch.full((len(rows), pad_to), entry.pad_id)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[number, :length] = torch.tensor(row["input_ids"])
            mask[number, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.clone()}

    arguments = TrainingArguments(
        **entry.settings(home),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=rows_a_step,
        max_steps=len(entry.rows) // rows_a_step,
        gradient_checkpointing=False,  # in their favour: one of them had it on
        remove_unused_columns=False,
    )
    model = get_peft_model(entry.model, lora_config(entry.recipe))
    rows = Dataset.from_list(list(entry.rows))
    return Trainer(model=model, args=arguments, train_dataset=rows, data_collator=pad)


def build_trl(entry: Entry, home: Path) -> SFTTrainer:
    """Packing to 1,024 tokens and everything else as TRL has it, checkpointing among it."""
    at_once = _PACKED_ROWS if entry.hardware.device == "cuda" else 1
    packed = sum(len(row["input_ids"]) for row in entry.rows) / 1024
    steps = max(2, min(_MOST_PACKED_STEPS, int(packed / _PACKED_ROWS)))
    arguments = SFTConfig(
        **entry.settings(home),
        packing=True,
        per_device_train_batch_size=at_once,
        max_steps=steps,
    )
    return SFTTrainer(
        model=entry.model,
        args=arguments,
        train_dataset=Dataset.from_list(list(entry.rows)),
        processing_class=entry.tokenizer,
        peft_config=lora_config(entry.recipe),
    )
