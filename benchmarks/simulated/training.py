"""One step of the product's own trainer on a card that is only imagined: the base at its real size,
peft's adapter, TRL's loss, torch's optimizer, all as they are; what Triton or bitsandbytes'
library would compute is left out, with what it holds.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import bitsandbytes
import torch
from bitsandbytes.functional import quantize_4bit
from datasets import Dataset
from torch.utils._python_dispatch import _disable_current_modes
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Trainer,
)
from transformers.quantizers.auto import AutoHfQuantizer
from trl.kernels import chunked_logprob
from trl.trainer import utils as trl_utils

from benchmarks.gpu.models import list_tensors
from benchmarks.gpu.shapes import model_config
from benchmarks.simulated.card import DEVICE, FakeTensorMode, Meter, autocast
from chatbot.base_models import STARTER_DIR
from finetune.acceleration import choose_acceleration
from finetune.base_loading import Hardware
from finetune.memory import Load
from finetune.model_shape import ModelShape, describe_shape
from finetune.recipe import Recipe
from finetune.run_report import RunReport
from finetune.schedule import plan_schedule
from finetune.trainer import Course, Material, build_trainer
from finetune.training_callback import RunCallback, Span
from finetune.watch import Watch, WatchLimits

_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
_NUM_MICRO_BATCHES: Final = 2  # the second adds to gradients that are there


@dataclass(frozen=True)
class Simulated:
    """Bytes on the card. kept: by the forward pass for the backward pass; passing: on top of that
    at the highest point.
    """

    weights: int
    adapter: int
    kept: int
    passing: int
    sampling: int  # answering questions meanwhile: its highest point, all in all

    @property
    def peak(self) -> int:
        """The most that was alive at once."""
        return self.weights + self.adapter + self.kept + self.passing


@dataclass(frozen=True)
class Case:
    """One configuration. num_layers: fewer than the base has, to be done sooner."""

    name: str
    load: Load
    recipe: Recipe
    num_layers: int | None = None

    def config(self) -> dict[str, Any]:
        """config.json of the base."""
        cut = {"num_hidden_layers": self.num_layers} if self.num_layers else {}
        return model_config(self.name) | cut


def shape_of(case: Case) -> ModelShape:
    """What read_shape() reads from the files of such a base."""
    return describe_shape(case.config(), dict(list_tensors(case.config())))


class _NoKernel:
    """A Triton kernel works in place on what it is given."""

    def __getitem__(self, _: Any) -> Any:
        return lambda *_, **__: None


def leave_hardware_out() -> None:
    """TRL's loss as on CUDA, without the arithmetic of its tiles; no model is moved."""
    names: Any = chunked_logprob
    names._forward_kernel = names._backward_kernel = _NoKernel()
    names._addmm_fp32 = lambda *_: None  # adds in place
    names.triton = SimpleNamespace(cdiv=lambda a, b: -(-a // b))
    for module in (names, trl_utils):
        module._use_triton = lambda _: True
    # The trainer must not bring the model to the device that it knows.
    Trainer._move_model_to_device = lambda *_: None


class _FourBits(bitsandbytes.nn.Linear4bit):  # type: ignore[misc]
    """bitsandbytes' layer, whose weight cannot be of its own class without data."""

    def __init__(self, linear: torch.nn.Linear, dtype: torch.dtype) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = torch.empty(linear.weight.shape, dtype=dtype, device=DEVICE)
        packed, state = quantize_4bit(
            weight, blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self.weight.quant_state = state
        self.weight.compress_statistics, self.weight.quant_type = True, "nf4"
        self.bias, self.compute_dtype = None, dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The library's own product."""
        state = self.weight.quant_state
        found: torch.Tensor = bitsandbytes.matmul_4bit(x, self.weight, quant_state=state)
        return found


def _load(case: Case) -> Any:
    """The base as the loader leaves it on the card."""
    dtype = _DTYPES[case.load.precision]
    options = case.config()
    if options["model_type"] == "llama" and options["hidden_size"] % options["num_attention_heads"]:
        options |= {"model_type": "mistral", "sliding_window": None}  # the cure
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**options), dtype=dtype)
    if case.load.quantization == "nf4":
        _quantize(model, dtype)
    model._apply(_put_on_card)
    model.tie_weights()
    return model


def _put_on_card(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type == DEVICE:
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=DEVICE)


def _quantize(model: Any, dtype: torch.dtype) -> None:
    for path, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and path.endswith("_proj"):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, _FourBits(module, dtype))
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model.is_loaded_in_4bit = model.is_quantized = True
    model.config.quantization_config = config
    model.hf_quantizer = AutoHfQuantizer.from_config(config)
    model.quantization_method = config.quant_method


@cache
def _fake_mode() -> FakeTensorMode:
    return FakeTensorMode()  # one: bitsandbytes keeps tensors from one case to the next


def simulate(case: Case) -> Simulated:
    """What two micro-batches and an optimizer step hold on the card."""
    load = case.load
    meter = Meter(load.rows_at_once * load.answer_length)
    home = Path(tempfile.mkdtemp(prefix="simulated-"))
    try:
        with _fake_mode(), meter:
            model = _load(case)
            weights = meter.live
            trainer = _build(case, model, home)
            return _step(case, trainer, meter, weights)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _build(case: Case, model: Any, home: Path) -> Any:
    load = case.load
    row = [5] * load.row_length
    labels = [-100] * (load.row_length - load.answer_length) + row[: load.answer_length]
    rows = [{"input_ids": row, "labels": labels} for _ in range(load.rows_at_once)]
    recipe = replace(
        case.recipe, effective_batch_size=len(rows), min_steps=1, max_steps=1, num_samples=0
    )
    course = Course(
        recipe=recipe,
        schedule=plan_schedule(recipe, len(rows), len(rows)),
        hardware=Hardware("cpu", load.precision, load.quantization),  # type: ignore[arg-type]
        checkpoints_dir=home / "checkpoints",
        gradient_checkpointing=load.gradient_checkpointing,
        acceleration=choose_acceleration(
            "cuda", load.precision, has_varlen=load.precision == "bf16"
        ),
    )
    callback = RunCallback(RunReport(home), Watch(WatchLimits(1, 1, 0), {}), Span(0, 1))
    tokenizer = AutoTokenizer.from_pretrained(STARTER_DIR)
    material = Material("sft", Dataset.from_list(rows), None)
    return build_trainer(course, model, tokenizer, material, callback)


def _step(case: Case, trainer: Any, meter: Meter, weights: int) -> Simulated:
    model = trainer.model.train()
    if case.load.gradient_checkpointing:  # as Trainer.train() does
        model.gradient_checkpointing_enable(None)
    trainer.create_optimizer()
    inputs = _collate(trainer, case.load.rows_at_once)
    _micro_batch(case, trainer, inputs, meter)
    _optimize(trainer)
    found = None
    for _ in range(_NUM_MICRO_BATCHES):
        found = _micro_batch(case, trainer, inputs, meter)
    assert found is not None
    start, kept, peak = found
    meter.forget_peak()
    _optimize(trainer)
    peak = max(peak, meter.peak)
    passing = peak - start - kept
    sampling = _sample(case, trainer, meter)
    return Simulated(weights, start - weights, kept, passing, sampling)


def _sample(case: Case, trainer: Any, meter: Meter) -> int:
    """Read the longest prompts, as many at once as a step takes, and keep their cache."""
    shape = (trainer.args.per_device_train_batch_size, case.load.row_length)
    inputs = {
        "input_ids": torch.empty(shape, dtype=torch.int64, device=DEVICE),
        "attention_mask": torch.empty(shape, dtype=torch.int64, device=DEVICE),
    }
    meter.forget_peak()
    model = trainer.model.eval()
    with torch.no_grad(), autocast(_DTYPES[case.load.precision]):
        model.base_model(**inputs, use_cache=True, logits_to_keep=1)
    return meter.peak


def _collate(trainer: Any, count: int) -> dict[str, Any]:
    with _disable_current_modes():
        batch = trainer.data_collator([trainer.train_dataset[n] for n in range(count)])
        if "attention_mask" in batch:
            batch["attention_mask"][0, :1] = 0  # one row is shorter than the others
    return {name: _move(value) for name, value in batch.items()}


def _move(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device=DEVICE)
    return value


def _micro_batch(
    case: Case, trainer: Any, inputs: dict[str, Any], meter: Meter
) -> tuple[int, int, int]:
    """What was alive before, what the forward pass kept, the highest point."""
    start = meter.forget_peak()
    with autocast(_DTYPES[case.load.precision]):
        loss = trainer.compute_loss(trainer.model, inputs)
    kept = meter.live - start
    loss.backward()
    return start, kept, meter.peak


def _optimize(trainer: Any) -> None:
    torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
    trainer.optimizer.step()
    trainer.model.zero_grad(set_to_none=True)
