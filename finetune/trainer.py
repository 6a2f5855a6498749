"""TRL's trainers on this project's rows. Imports trl, peft and torch: only the training process
loads it.
"""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.nn import functional
from transformers.trainer_utils import EvalLoopOutput
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from finetune.acceleration import Acceleration
from finetune.base_loading import Hardware
from finetune.preflight import IGNORED
from finetune.recipe import Recipe, RunKind
from finetune.schedule import Schedule
from finetune.training_callback import RunCallback
from finetune.varlen import flat_batch, is_varlen, use_repeated_keys, use_varlen
from finetune.watch import CheckpointChoice

logger = logging.getLogger(__name__)

_MAX_EVAL_ROWS = 300  # enough for a stable loss
_ADAPTER = "default"  # peft's own name of the adapter in training
_SAME_LOSS = 0.02  # two ways to compute a loss in half precision differ by less


@dataclass(frozen=True)
class Course:
    """Everything that decides how it trains."""

    recipe: Recipe
    schedule: Schedule
    hardware: Hardware
    checkpoints_dir: Path
    gradient_checkpointing: bool = False
    start_adapter: Path | None = None
    report_to: str = "none"
    acceleration: Acceleration = field(default_factory=Acceleration)


@dataclass(frozen=True)
class Material:
    """What it trains on, in TRL's columns for its kind."""

    kind: RunKind
    train: Dataset
    validation: Dataset | None


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


def _shared_settings(course: Course, material: Material) -> dict[str, Any]:
    """Of all three trainers; telemetry, hub and progress bars stay off."""
    recipe, schedule, hardware = course.recipe, course.schedule, course.hardware
    has_validation = material.validation is not None
    return {
        "output_dir": str(course.checkpoints_dir),
        "max_steps": schedule.total_steps,
        "per_device_train_batch_size": schedule.per_device_train_batch_size,
        # Without gradients two rows take less than one with them.
        "per_device_eval_batch_size": max(2, schedule.per_device_train_batch_size),
        "gradient_accumulation_steps": schedule.gradient_accumulation_steps,
        "learning_rate": schedule.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": schedule.warmup_steps,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "bf16": hardware.precision == "bf16",
        "fp16": hardware.precision == "fp16",
        "use_cpu": hardware.device == "cpu",
        "gradient_checkpointing": course.gradient_checkpointing,
        "optim": course.acceleration.optimizer,
        "torch_compile": course.acceleration.torch_compile,
        "logging_steps": max(1, schedule.total_steps // 1000),
        "logging_nan_inf_filter": False,  # the watch must see what is not a number
        "eval_strategy": "steps" if has_validation else "no",
        "eval_steps": schedule.eval_steps,
        "eval_on_start": has_validation,  # the base's loss, which the watch compares with
        "save_steps": schedule.eval_steps,
        "save_total_limit": 2,
        "load_best_model_at_end": has_validation,
        "metric_for_best_model": "eval_rank",
        "greater_is_better": True,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "report_to": course.report_to,
        "disable_tqdm": True,
        "dataloader_pin_memory": hardware.device == "cuda",
        "push_to_hub": False,
    }


def is_packing(recipe: Recipe, hardware: Hardware) -> bool:
    """Packing pays on a card only; on the CPU grouping by length is faster. It also makes few
    steps of small data, so that nothing but the recipe itself turns it on.
    """
    return recipe.packing == "on" and hardware.device == "cuda"


class _Ranked:
    """What all three trainers add: tokens counted, checkpoints ranked, no model cards."""

    num_tokens_seen = 0
    run_callback: RunCallback
    choice: CheckpointChoice
    control: Any  # the library's own: what a callback may ask for

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The usual figures, and the rank by which the best checkpoint is chosen."""
        metrics: dict[str, float] = super().evaluate(*args, **kwargs)  # type: ignore[misc]
        step = self.state.global_step  # type: ignore[attr-defined]
        if step:
            well_formed = self.run_callback.num_well_formed
            metrics["eval_rank"] = self.choice.rank(step, metrics["eval_loss"], well_formed)
        return metrics

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As TRL does it; counts the tokens on the way."""
        if model.training:
            mask = inputs.get("attention_mask")
            self.num_tokens_seen += int(inputs["input_ids"].numel() if mask is None else mask.sum())
        return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints are not for people; the adapter's papers are written by the registry."""

    def rehearse(self) -> None:
        """One step on the longest rows, thrown away: if memory is short, it shows now."""
        trainer: Any = self
        count = trainer.args.per_device_train_batch_size
        rows = sorted(trainer.train_dataset, key=_row_length, reverse=True)[:count]
        inputs = trainer._prepare_inputs(trainer.data_collator(rows))
        trainer.model.train()
        if trainer.args.gradient_checkpointing:  # Trainer.train() turns it on, and is yet to come
            options = dict(trainer.args.gradient_checkpointing_kwargs or {})
            trainer.model.gradient_checkpointing_enable(options or None)
        with trainer.accelerator.autocast():  # Trainer.train() is what gives it to the model
            loss = trainer.compute_loss(trainer.model, inputs)
        loss.backward()
        trainer.model.zero_grad(set_to_none=True)
        trainer.num_tokens_seen = 0
        trainer._metrics["train"].clear()


def _row_length(row: dict[str, Any]) -> int:
    return sum(len(value) for name, value in row.items() if name.endswith("_ids"))


class AnswerTrainer(_Ranked, SFTTrainer):  # type: ignore[misc]
    """SFT, faster on the CPU: TRL scores every position of a row there, although only the answer
    is learnt.
    """

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Mean loss over the answers' tokens of the whole effective batch."""
        if "cu_seq_lens_q" in inputs:
            with flat_batch():
                return super().compute_loss(model, inputs, *args, **kwargs)
        if inputs["labels"].device.type != "cpu" or kwargs.get("return_outputs") or args:
            return super().compute_loss(model, inputs, *args, **kwargs)
        if model.training:
            self.num_tokens_seen += int(inputs["attention_mask"].sum())
        return self._answer_loss(model, inputs, kwargs.get("num_items_in_batch"))

    def _answer_loss(self, model: Any, inputs: dict[str, Any], num_items: Any) -> torch.Tensor:
        losses, targets = self._token_losses(model, inputs)
        if num_items is None:
            return losses.sum() / (targets != IGNORED).sum().clamp(min=1)
        scale = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return losses.sum() * scale / num_items

    def _token_losses(
        self, model: Any, inputs: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and target of each position from the first learnt one of the batch on."""
        labels = inputs["labels"]
        learnt = (labels != IGNORED).any(dim=0).nonzero()
        first = max(1, int(learnt[0])) if len(learnt) else labels.shape[1] - 1
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        # Only the positions from the first learnt token of the batch on reach the output layer.
        keep = labels.shape[1] - first + 1
        logits = model(**rest, use_cache=False, logits_to_keep=keep).logits
        # The last position predicts nothing; ignoring it saves a copy of all logits.
        targets = functional.pad(labels[:, first:], (0, 1), value=IGNORED)
        losses = functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return losses.view_as(targets), targets

    def evaluation_loop(self, dataloader: Any, *_: Any, **__: Any) -> EvalLoopOutput:
        """The mean over all tokens of all answers, on any device. The library's own is a mean over
        batches, and several processes fill up the last one with rows that count twice. Each batch
        is a sign of life, as in the library's own.
        """
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        for inputs in dataloader:
            with torch.no_grad(), self.accelerator.autocast():
                rows = self._score_rows(self._prepare_inputs(inputs))
            total += self.accelerator.gather_for_metrics(rows).cpu().double().sum(dim=0)
            self.control = self.callback_handler.on_prediction_step(
                self.args, self.state, self.control
            )
        loss = float(total[0] / total[1].clamp(min=1))
        return EvalLoopOutput(None, None, {"eval_loss": loss}, len(dataloader.dataset))

    def _score_rows(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Of each row the sum of its losses, and over how many tokens."""
        if inputs["labels"].device.type == "cpu" and "cu_seq_lens_q" not in inputs:
            losses, targets = self._token_losses(self.model, inputs)
            is_learnt = targets != IGNORED
        else:
            with flat_batch() if "cu_seq_lens_q" in inputs else nullcontext():
                scored = self.model(**inputs, use_cache=False, fused_lm_head=True)
            losses, is_learnt = -scored.log_probs, scored.label_mask
        return torch.stack([losses.float().sum(dim=1), is_learnt.sum(dim=1).float()], dim=1)

    def prove_flat(self) -> bool:
        """Whether rows without padding between them have the loss that padded rows have. If not,
        it goes on with padded rows, or with packed ones attended the usual way.
        """
        if not is_varlen(self.model):
            return True
        count = self.args.per_device_train_batch_size
        rows = [self.train_dataset[n] for n in range(min(count, len(self.train_dataset)))]
        try:
            flat = self._loss_of(rows)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError):
            logger.exception("The attention without padding does not run here")
            flat = math.nan
        self._go_back()
        usual = self._loss_of(rows)
        if not abs(flat - usual) <= _SAME_LOSS * abs(usual):  # a NaN is not the same
            return False
        use_varlen(self.model)
        self.data_collator.padding_free = self.padding_free = True
        return True

    def _go_back(self) -> None:
        self.model.set_attn_implementation("sdpa")
        if "seq_lengths" not in self.train_dataset.column_names:  # packed rows have no padding
            self.data_collator.padding_free = self.padding_free = False

    def _loss_of(self, rows: list[dict[str, Any]]) -> float:
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            inputs = self._prepare_inputs(self.data_collator(rows))
            loss = float(self.compute_loss(self.model, inputs))
        self._metrics["eval"].clear()
        return loss


class PairTrainer(_Ranked, DPOTrainer):  # type: ignore[misc]
    """DPO: the better of two answers."""


class ThumbTrainer(_Ranked, KTOTrainer):  # type: ignore[misc]
    """KTO: answers with a thumb up or down."""


def build_trainer(
    course: Course, model: Any, tokenizer: Any, material: Material, callback: RunCallback
) -> Any:
    """The trainer of this kind: with a fresh adapter, or going on with an earlier one."""
    if course.acceleration.repeated_keys:
        use_repeated_keys(model)
    builders = {"sft": _build_sft, "dpo": _build_dpo, "kto": _build_kto}
    kind, config, options = builders[material.kind](course, model, material)
    validation = material.validation
    if validation is not None and len(validation) > _MAX_EVAL_ROWS:
        validation = validation.select(range(_MAX_EVAL_ROWS))
    trainer = kind(
        args=config,
        train_dataset=material.train,
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=[callback],
        **options,
    )
    if course.hardware.precision != "bf16":
        keep_full_numbers(trainer.model)
    if course.hardware.precision != "fp32":
        share_inputs(trainer.model)
    trainer.run_callback, trainer.choice = callback, CheckpointChoice()
    return trainer


def keep_full_numbers(model: Any) -> None:
    """What is trained, in fp32: the loss scale of fp16 cannot be taken off other gradients, and TRL
    turns the adapter of a 4-bit base to bf16, which a card that needs fp32 only emulates.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def share_inputs(model: Any) -> None:
    """peft would turn each adapter's input to fp32, and autocast back to halves: a copy for each
    adapter that is kept until the backward pass. Autocast alone takes the input as it is, so that
    every pass through the model must be under it.
    """
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False


_Built = tuple[type, Any, dict[str, Any]]


def _build_sft(course: Course, model: Any, material: Material) -> _Built:
    packing = is_packing(course.recipe, course.hardware)
    acceleration = course.acceleration
    if acceleration.varlen:
        use_varlen(model)
    is_flat = packing or acceleration.varlen
    config = SFTConfig(
        **_shared_settings(course, material),
        max_length=course.recipe.max_length if packing else None,  # longer rows were left out
        packing=packing,
        eval_packing=False,
        padding_free=acceleration.varlen,
        completion_only_loss=True,
        train_sampling_strategy="random" if is_flat else "group_by_length",
        use_liger_kernel=acceleration.layer_kernels,
    )
    return AnswerTrainer, config, {"model": model, "peft_config": lora_config(course.recipe)}


def _build_dpo(course: Course, model: Any, material: Material) -> _Built:
    config = DPOConfig(
        **_shared_settings(course, material),
        max_length=None,
        beta=course.recipe.beta,
        loss_type=["sigmoid", "sft"],  # the second keeps the better answer likely in itself
    )
    return PairTrainer, config, {"model": _go_on(model, course)}


def _build_kto(course: Course, model: Any, material: Material) -> _Built:
    liked = sum(material.train["label"])
    disliked = len(material.train) - liked
    config = KTOConfig(
        **_shared_settings(course, material),
        max_length=None,
        beta=course.recipe.beta,
        # Both kinds weigh the same in sum, whatever their numbers.
        desirable_weight=max(1.0, disliked / max(1, liked)),
        undesirable_weight=max(1.0, liked / max(1, disliked)),
    )
    return ThumbTrainer, config, {"model": _go_on(model, course)}


def _go_on(model: Any, course: Course) -> Any:
    return PeftModel.from_pretrained(
        model, str(course.start_adapter), adapter_name=_ADAPTER, is_trainable=True
    )
