"""Memory plan: what a training needs, what the machine has beside the server, and what to change
if the one does not fit the other. Pure arithmetic on the base's files; no torch.

The counts of stored activations follow the layers of Llama, Mistral, Qwen3 and Gemma3 with LoRA
on frozen weights; docs/gpu.md compares them with simulated steps at real sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from finetune.model_shape import ModelShape, count_trainable
from finetune.recipe import ALL_LINEAR, Recipe

MIB: Final = 2**20
GIB: Final = 2**30
_BYTES: Final[Mapping[str, float]] = {"fp32": 4, "bf16": 2, "fp16": 2}
_NF4_BYTES: Final = 0.5 + 0.127 / 8  # double quantisation keeps 0.127 bits a parameter
_ADAM_TIMES: Final = 4  # weight, gradient and two moments
_MARGIN: Final = 1.15  # fragmentation, and what no formula knows
_FIXED_MARGIN: Final = 1.03  # on a card weights lie in blocks of their own, which leave no holes
_GPU_SPARE: Final = 4 * GIB  # the server beside it must go on breathing
_ASLEEP_REST: Final = GIB  # a sleeping server keeps its context and its graphs
_CPU_SPARE: Final = GIB // 2
CUDA_CONTEXT: Final = 600 * MIB
_CUDA_WORKSPACE: Final = 64 * MIB  # cuBLAS', of one stream
# What adapters on the same tensor share. o_proj's is kept by the attention anyway.
_INPUTS: Final[Mapping[str, str]] = {
    "q_proj": "attention",
    "k_proj": "attention",
    "v_proj": "attention",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "gated",
}
# TRL's loss on a card works on pieces of this many tokens and columns.
_TILE: Final = (4096, 32_768)
# Resident after the imports of torch, transformers, peft and trl, measured with 2.13 and 1.16.
_CPU_PROCESS: Final = 760 * MIB
# What the CPU's allocator holds over what is in use: rows of ever other lengths leave holes.
# Measured on the starter model over 6, 27 and 79 steps: 1.26, 1.38 and 1.47.
_CPU_HEAP: Final = 1.4
_CPU_ROWS: Final = 8  # more at once gain nothing on a few cores
_GPU_ROWS: Final = 16
_BUSY_TOKENS: Final = 2048  # at once; fewer leave a card idle

Choice = Literal["fits", "smaller_batch", "four_bit", "server_asleep", "refused"]


@dataclass(frozen=True)
class Load:
    """What one training step holds."""

    precision: str  # fp32, bf16, fp16
    quantization: str  # none, nf4
    rows_at_once: int
    row_length: int  # tokens of the longest row
    answer_length: int  # tokens of its longest answer; only these reach the output layer
    gradient_checkpointing: bool
    device: str  # cpu, cuda


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by what holds them."""

    process: int
    weights: int
    adapter: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The predicted peak."""
        return self.process + self.weights + self.adapter + self.activations + self.logits

    def scaled(self, factor: float) -> MemoryEstimate:
        """Corrected by what an earlier run really used."""
        return replace(
            self,
            activations=round(self.activations * factor),
            logits=round(self.logits * factor),
        )

    def to_mib(self) -> dict[str, int]:
        """For people and for result.json."""
        parts = {name: round(value / MIB) for name, value in asdict(self).items()}
        return {**parts, "total": round(self.total / MIB)}


def estimate_memory(shape: ModelShape, recipe: Recipe, load: Load) -> MemoryEstimate:
    """The peak of training with this load."""
    is_cpu = load.device == "cpu"
    tokens = load.rows_at_once * load.row_length
    per_layer = _stored_per_token(shape, recipe, load) * tokens
    kept, passing = per_layer * shape.num_layers, 0.0
    if load.gradient_checkpointing:
        kept, passing = _BYTES[load.precision] * tokens * _inputs_of_layers(shape), per_layer
    if not is_cpu:
        passing += _passing_bytes(shape, load)
    held = _CPU_HEAP if is_cpu else 1.0
    logits = _logit_bytes(shape, load)
    if not is_cpu:  # the loss has gone back before the layers do
        logits = max(0.0, logits - passing)
    return MemoryEstimate(
        process=_CPU_PROCESS if is_cpu else CUDA_CONTEXT + _CUDA_WORKSPACE,
        weights=round(_weight_bytes(shape, load)),
        adapter=count_trainable(shape, recipe) * _bytes_per_trained(recipe, load),
        activations=round((kept + passing) * held),
        logits=round(logits * held),
    )


def _weight_bytes(shape: ModelShape, load: Load) -> float:
    size = _BYTES[load.precision]
    if load.quantization == "nf4":
        rest = shape.num_parameters - shape.num_linear
        return shape.num_linear * _NF4_BYTES + rest * size
    return shape.num_parameters * size


def _bytes_per_trained(recipe: Recipe, load: Load) -> int:
    """Adapters are trained in fp32, but TRL turns those of a 4-bit base to bf16. Autocast keeps a
    copy of each in halves, and preferences one to compare with.
    """
    is_half = load.quantization == "nf4" and load.precision == "bf16"
    size = 2 if is_half else 4
    copy = 0 if is_half or load.precision == "fp32" else 2
    return size * (_ADAM_TIMES + (recipe.kind != "sft")) + copy


def _inputs_of_layers(shape: ModelShape) -> int:
    return shape.hidden_size * shape.num_layers


def _stored_per_token(shape: ModelShape, recipe: Recipe, load: Load) -> float:
    """Bytes that one layer keeps per token for the backward pass.

    Each norm keeps its input in fp32; attention its queries, keys, values and output; the MLP its
    gate, the gate's activation and the up-projection. Each adapter keeps its input: with dropout a
    copy of its own and the mask, without it one that adapters on the same tensor share; that of
    o_proj is the attention's output, which is kept already.
    """
    size = _BYTES[load.precision]
    kept = 2 * shape.query_size + 2 * shape.key_size + 3 * shape.intermediate_size
    if _is_padded(load):
        kept += 2 * (shape.query_size - shape.key_size) + load.row_length
    adapted = {
        name: columns
        for name, _, columns in shape.linears
        if recipe.target_modules == ALL_LINEAR or name in recipe.target_modules
    }
    stored = 4 * shape.normed + kept * size + (recipe.r or 16) * len(adapted) * 4
    if recipe.lora_dropout:
        mask = size if load.device == "cpu" else 1  # the CPU keeps the mask in full numbers
        return stored + sum(adapted.values()) * (size + mask)
    inputs = {_INPUTS[name]: columns for name, columns in adapted.items() if name in _INPUTS}
    return stored + sum(inputs.values()) * size


def _is_padded(load: Load) -> bool:
    """Cards without bf16 have no kernel for rows without padding either, and fp32 has none: there
    each query's head gets keys and values of its own, and each layer the mask as numbers.
    """
    return load.device != "cpu" and load.precision != "bf16"


def _passing_bytes(shape: ModelShape, load: Load) -> float:
    """What the backward pass of one layer takes for a moment: the gradients in the MLP, or those
    in the attention, whose kernel sums the queries' up in fp32; of a 4-bit layer its weights.
    """
    tokens = load.rows_at_once * load.row_length
    size = _BYTES[load.precision]
    in_mlp = 4 * shape.intermediate_size * size + 2 * shape.hidden_size * size
    in_attention = shape.query_size * (4 + 5 * size) + 3 * shape.hidden_size * size
    largest = max((rows * columns for _, rows, columns in shape.linears), default=0)
    weight = largest * size if load.quantization == "nf4" else 0
    return tokens * max(in_mlp, in_attention) + weight


def _logit_bytes(shape: ModelShape, load: Load) -> float:
    """On the CPU logits, their log-softmax and the gradient, in fp32; TRL's loss on a card keeps
    one piece of the logits, and of each learnt token its state and the state's gradient in fp32.
    """
    learnt = load.rows_at_once * load.answer_length
    if load.device == "cpu":
        return learnt * shape.vocab_size * 4 * 3
    size = _BYTES[load.precision]
    tile = min(learnt, _TILE[0]) * _TILE[1] * size
    last_norm = load.rows_at_once * load.row_length * shape.hidden_size * (4 + size)
    return tile + learnt * shape.hidden_size * (4 + 2 * size) + last_norm


@dataclass(frozen=True)
class Machine:
    """What is there, in bytes. server: what the model server beside the training holds."""

    device: str  # cpu, cuda
    total: int
    free: int
    server: int = 0
    can_sleep: bool = False  # whether the server can give its memory back for a while
    has_bf16: bool = True


@dataclass(frozen=True)
class MemoryPlan:
    """How the training will fit, in figures and in a sentence."""

    choice: Choice
    load: Load
    estimate: MemoryEstimate
    needed: int  # with margin
    available: int
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types, MiB."""
        return {
            "choice": self.choice,
            "load": asdict(self.load),
            "estimate_mib": self.estimate.to_mib(),
            "needed_mib": round(self.needed / MIB),
            "available_mib": round(self.available / MIB),
        }


@dataclass(frozen=True)
class Rows:
    """What the plan must know of the data; lengths in tokens."""

    longest: int
    longest_answer: int
    least_at_once: int = 1  # texts without which a step cannot be computed


def plan_memory(
    shape: ModelShape, recipe: Recipe, rows: Rows, machine: Machine, correction: float = 1.0
) -> MemoryPlan:
    """The first of these that fits: as it is; fewer rows at once with recomputed activations; the
    base in 4 bits; the server asleep meanwhile. Else a refusal with the numbers.
    """
    plans = [
        _judge(choice, shape, recipe, load, machine, correction)
        for choice, load in _candidates(shape, recipe, rows, machine)
    ]
    for plan in plans:
        if plan.needed <= machine.free:
            return plan
    asleep = machine.free + machine.server - _ASLEEP_REST
    if machine.can_sleep and machine.server:
        for plan in plans:
            if plan.needed <= asleep:
                text = f"{plan.message} It fits only while the server sleeps: chatting waits."
                return replace(plan, choice="server_asleep", available=asleep, message=text)
    least = min(plans, key=lambda plan: plan.needed)
    return replace(least, choice="refused", message=_explain_refusal(least, machine))


def _candidates(
    shape: ModelShape, recipe: Recipe, rows: Rows, machine: Machine
) -> Iterator[tuple[Choice, Load]]:
    most = _CPU_ROWS if machine.device == "cpu" else _GPU_ROWS
    wanted = recipe.per_device_train_batch_size or min(most, recipe.effective_batch_size or most)
    least = rows.least_at_once
    first = Load(
        precision=_precision(shape, recipe, machine),
        quantization="nf4" if recipe.quantization == "nf4" else "none",
        rows_at_once=max(wanted, least),
        row_length=rows.longest,
        answer_length=rows.longest_answer,
        gradient_checkpointing=recipe.gradient_checkpointing == "on",
        device=machine.device,
    )
    yield "fits", first
    may_recompute = recipe.gradient_checkpointing == "auto"
    smaller = [
        item for item in _smaller(first, may_recompute=may_recompute) if item.rows_at_once >= least
    ]
    yield from (("smaller_batch", load) for load in smaller)
    if recipe.quantization == "auto" and machine.device == "cuda":
        yield from (("four_bit", replace(load, quantization="nf4")) for load in (first, *smaller))


def _smaller(load: Load, *, may_recompute: bool) -> Iterator[Load]:
    """Fewer rows at once while a step still keeps the device busy; then activations computed
    again, a third more time; then down to a single row.
    """
    loads = [
        replace(load, rows_at_once=size)
        for size in range(load.rows_at_once, 0, -1)
        if load.rows_at_once % size == 0
    ]
    busy = [item for item in loads if item.rows_at_once * item.row_length >= _BUSY_TOKENS]
    yield from busy[1:]
    if may_recompute:
        yield from (replace(item, gradient_checkpointing=True) for item in loads)
    else:
        yield from (item for item in loads[1:] if item not in busy)


def _precision(shape: ModelShape, recipe: Recipe, machine: Machine) -> str:
    if machine.device == "cpu":
        return "fp32"
    if recipe.precision != "auto":
        return recipe.precision
    if machine.has_bf16:
        return "bf16"
    return "fp32" if shape.is_wide else "fp16"


def _judge(
    choice: Choice,
    shape: ModelShape,
    recipe: Recipe,
    load: Load,
    machine: Machine,
    correction: float,
) -> MemoryPlan:
    estimate = estimate_memory(shape, recipe, load).scaled(correction)
    spare = _CPU_SPARE if machine.device == "cpu" else _GPU_SPARE if machine.server else 0
    needed = round(_with_margin(estimate, machine)) + spare
    return MemoryPlan(choice, load, estimate, needed, machine.free, _explain(load, needed))


def _with_margin(estimate: MemoryEstimate, machine: Machine) -> float:
    if machine.device == "cpu":
        return estimate.total * _MARGIN
    moving = estimate.activations + estimate.logits
    return (estimate.total - moving) * _FIXED_MARGIN + moving * _MARGIN


def _explain(load: Load, needed: int) -> str:
    text = f"{_gib(needed)} with {load.rows_at_once} rows at once in {load.precision}"
    if load.quantization == "nf4":
        text += ", the base in 4 bits"
    if load.gradient_checkpointing:
        text += ", activations computed again"
    return f"Training needs {text}."


def _explain_refusal(least: MemoryPlan, machine: Machine) -> str:
    text = (
        f"At the least {_gib(least.needed)} are needed, but {_gib(machine.free)} of "
        f"{_gib(machine.total)} are free"
    )
    if machine.server:
        text += f" beside the server's {_gib(machine.server)}"
    return f"{text}. Lower max_length or r, choose a smaller base model, or free memory."


def _gib(value: float) -> str:
    return f"{value / GIB:.1f} GiB"
