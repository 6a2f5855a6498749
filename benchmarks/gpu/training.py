"""Training at real sizes through the product's own loader, plan and trainer; and against peers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from datasets import Dataset

from benchmarks.gpu import peers
from benchmarks.gpu.card import matrix_rate
from benchmarks.gpu.clock import StepClock, start_afresh
from benchmarks.gpu.context import Context, NotPossible
from benchmarks.gpu.flops import Work, step_flops, utilisation
from benchmarks.gpu.ladder import climb
from benchmarks.gpu.models import make_model
from benchmarks.gpu.sections import Cell
from chatbot.base_models import prepare, resolve
from finetune.acceleration import Acceleration, choose_acceleration
from finetune.base_loading import Hardware, choose_hardware, load_model, load_tokenizer
from finetune.job import Base
from finetune.machine import find_machine
from finetune.memory import MIB, MemoryPlan, Rows, plan_memory
from finetune.model_shape import count_trainable, read_shape
from finetune.recipe import Recipe
from finetune.run_report import RunReport
from finetune.schedule import plan_schedule
from finetune.starter_corpus import make_examples
from finetune.trainer import Course, Material, build_trainer
from finetune.training_callback import RunCallback, Span, peak_memory_mib
from finetune.varlen import has_kernel
from finetune.watch import Watch, WatchLimits

ROWS_A_STEP: Final = 16
SEEDS_LENGTH: Final = 512
_WARM_STEPS: Final = 3
_COMPILE_STEPS: Final = 6  # each new length is compiled once
_MEASURED_STEPS: Final = 8
_CONTEST_MODEL: Final = "kanana-2b"
_RECIPE: Final = Recipe(
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    learning_rate=1e-4,
    num_train_epochs=1,
    effective_batch_size=ROWS_A_STEP,
    max_length=1024,
    quantization="none",
    eval_steps=100_000,
    num_samples=0,
    tracking="off",
)


@dataclass(frozen=True)
class Bout:
    """One configuration to time."""

    base: Base
    recipe: Recipe
    rows: Sequence[Mapping[str, Any]]
    hardware: Hardware
    plan: MemoryPlan
    rows_at_once: int
    gradient_checkpointing: bool
    acceleration: Acceleration
    whole_logits: bool = False


def measure(cell: Cell, context: Context) -> Mapping[str, Any]:
    """One of the three training sections' measurements."""
    if "model" in cell.options:
        return _measure_size(cell, context)
    start_afresh()
    if cell.name == "seeds" or cell.name == "trl-packing":
        return _measure_peer(cell, context)
    if cell.name == "ours":
        return _time_bout(_plan_contest(context))
    return _time_bout(_climb(cell, context))


def _measure_size(cell: Cell, context: Context) -> Mapping[str, Any]:
    rate = matrix_rate(context)
    start_afresh()
    is_nf4 = cell.options["numbers"] == "nf4"
    if is_nf4 and find_spec("bitsandbytes") is None:
        raise NotPossible("bitsandbytes is not installed")
    recipe = replace(_RECIPE, quantization="nf4" if is_nf4 else "none")
    length = 64 if context.is_dry else 1024
    rows = _make_rows(_num_steps(context) * ROWS_A_STEP, length)
    base = find_base(cell.options["model"], context)
    bout = _plan_bout(base, recipe, rows, context)
    figures = _time_bout(bout)
    shape = read_shape(Path(base.path))
    work = Work(ROWS_A_STEP * length, ROWS_A_STEP * length // 4, length)
    flops = step_flops(shape, count_trainable(shape, recipe), work)
    mfu = utilisation(flops, figures["step_ms"] / 1000, rate)
    return {**figures, "mfu": mfu, "tflop_per_step": flops / 1e12}


def find_base(name: str, context: Context) -> Base:
    """The model as the product loads it, cured where it needs a cure."""
    folder = make_model(context.work, name, is_tiny=context.is_dry, device=context.device)
    local = prepare(resolve(str(folder)), context.work / "cured")
    return Base(local.name, local.path_or_hub_id, None, dict(local.chat_template_kwargs))


def _make_rows(count: int, length: int) -> list[dict[str, Any]]:
    """Rows of one length whose last quarter is the answer."""
    generator = torch.Generator().manual_seed(2)
    rows = []
    for _ in range(count):
        ids = torch.randint(100, 6000, (length,), generator=generator).tolist()
        answer = length // 4
        rows.append({"input_ids": ids, "labels": [-100] * (length - answer) + ids[-answer:]})
    return rows


def example_rows(count: int, base: Base) -> list[dict[str, Any]]:
    """The project's own examples as token rows, with their answers as labels."""
    tokenizer = load_tokenizer(base)
    rows = []
    for example in make_examples(count, seed=3):
        messages = [dict(message) for message in example.messages]
        prompt = _encode(tokenizer, messages, add_generation_prompt=True)
        answered = [*messages, {"role": "assistant", "content": example.completion}]
        ids = _encode(tokenizer, answered)
        rows.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
    return rows


def _encode(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _num_steps(context: Context) -> int:
    return 2 if context.is_dry else _WARM_STEPS + _MEASURED_STEPS


def _plan_bout(
    base: Base, recipe: Recipe, rows: Sequence[Mapping[str, Any]], context: Context
) -> Bout:
    """Everything as the product decides it for these rows on this machine."""
    longest = max(len(row["input_ids"]) for row in rows)
    answer = max(sum(label != -100 for label in row["labels"]) for row in rows)
    machine = find_machine("cpu" if context.is_dry else "cuda")
    shape = read_shape(Path(base.path))
    plan = plan_memory(shape, recipe, Rows(longest, answer), machine)
    if plan.choice == "refused":
        raise NotPossible(plan.message)
    hardware = choose_hardware(plan.load, context.device)
    return Bout(
        base=base,
        recipe=recipe,
        rows=rows,
        hardware=hardware,
        plan=plan,
        rows_at_once=plan.load.rows_at_once,
        gradient_checkpointing=plan.load.gradient_checkpointing,
        acceleration=choose_acceleration(
            hardware.device, hardware.precision, has_varlen=has_kernel()
        ),
    )


def _plan_contest(context: Context) -> Bout:
    base = find_base(_CONTEST_MODEL, context)
    num_steps = _num_steps(context) + (0 if context.is_dry else _COMPILE_STEPS)
    return _plan_bout(base, _RECIPE, example_rows(num_steps * ROWS_A_STEP, base), context)


def _time_bout(bout: Bout) -> dict[str, Any]:
    """Train for a few steps as the product does, and time each."""
    num_steps = len(bout.rows) // ROWS_A_STEP
    recipe = replace(bout.recipe, min_steps=num_steps, max_steps=num_steps)
    schedule = plan_schedule(recipe, len(bout.rows), bout.rows_at_once)
    home = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        course = Course(
            recipe=recipe,
            schedule=schedule,
            hardware=bout.hardware,
            checkpoints_dir=home / "checkpoints",
            gradient_checkpointing=bout.gradient_checkpointing,
            acceleration=bout.acceleration,
        )
        tokenizer = load_tokenizer(bout.base)
        watch = Watch(WatchLimits(num_steps, num_steps, 0), {})
        callback = RunCallback(RunReport(home), watch, Span(0, num_steps))
        model = load_model(bout.base, bout.hardware)
        material = Material("sft", Dataset.from_list([dict(row) for row in bout.rows]), None)
        trainer = build_trainer(course, model, tokenizer, material, callback)
        callback.follow(trainer, None)
        is_same = trainer.prove_flat()
        if bout.whole_logits:
            _use_whole_logits(trainer)
        clock = StepClock(_warm_steps(bout, num_steps), tokenizer.pad_token_id)
        clock.attach(trainer)
        trainer.train()
        figures = {**clock.figures(), **_memory_figures(bout), "loss": _mean_loss(trainer)}
        figures["rows_at_once"] = schedule.per_device_train_batch_size
        figures["is_flat"] = bout.acceleration.varlen and is_same
        return figures
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _warm_steps(bout: Bout, num_steps: int) -> int:
    wanted = _COMPILE_STEPS if bout.acceleration.torch_compile else _WARM_STEPS
    return min(wanted, num_steps - 1)


def _use_whole_logits(trainer: Any) -> None:
    """The product's loss on the CPU, which makes the logits of all answers at once."""

    def compute_loss(
        model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None, **_: Any
    ) -> torch.Tensor:
        from finetune.varlen import flat_batch

        if "cu_seq_lens_q" not in inputs:
            return trainer._answer_loss(model, inputs, num_items_in_batch)
        with flat_batch():
            return trainer._answer_loss(model, inputs, num_items_in_batch)

    trainer.compute_loss = compute_loss


def _mean_loss(trainer: Any) -> float:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return sum(losses) / len(losses)


def _memory_figures(bout: Bout) -> dict[str, Any]:
    planned = bout.plan.estimate.total / MIB
    peak = peak_memory_mib()
    return {"peak_mib": peak, "planned_mib": planned, "plan_error": planned / peak - 1}


def _climb(cell: Cell, context: Context) -> Bout:
    """The contest's model and rows with the levers of this rung."""
    options = climb(cell.name, context.known, is_dry=context.is_dry)
    if options["varlen"] and not (context.is_dry or has_kernel()):
        raise NotPossible("this torch or this card has no variable-length kernel")
    if options["layer_kernels"] and find_spec("liger_kernel") is None:
        raise NotPossible("liger-kernel is not installed; `pip install liger-kernel`, then again")
    names = ("rows_at_once", "gradient_checkpointing", "whole_logits")
    chosen = {name: options.pop(name) for name in names}
    return replace(_plan_contest(context), **chosen, acceleration=Acceleration(**options))


def _measure_peer(cell: Cell, context: Context) -> Mapping[str, Any]:
    """Somebody else's way over the same rows on the same model."""
    bout = _plan_contest(context)
    home = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    entry = peers.Entry(
        load_model(bout.base, bout.hardware),
        load_tokenizer(bout.base),
        [dict(row) for row in bout.rows],
        bout.recipe,
        bout.hardware,
    )
    try:
        if cell.name == "seeds":
            length = max(len(row["input_ids"]) for row in bout.rows)
            build, pad_to = peers.build_seeds, max(length, SEEDS_LENGTH)
            trainer = build(entry, home, pad_to, ROWS_A_STEP)
        else:
            trainer = peers.build_trl(entry, home)
        clock = StepClock(min(_WARM_STEPS, trainer.args.max_steps - 1), entry.pad_id)
        clock.attach(trainer)
        trainer.train()
        return {**clock.figures(), "peak_mib": peak_memory_mib()}
    finally:
        shutil.rmtree(home, ignore_errors=True)
