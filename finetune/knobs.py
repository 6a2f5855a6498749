"""The knobs of a recipe: what each means, where its default comes from, and its bounds.

Pages, docs and the checks of Recipe read the same table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Knob:
    """One field of a recipe: its meaning, the source of its default, its bounds or choices."""

    doc: str
    source: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def explain_refusal(self, name: str, value: Any) -> str | None:
        """Why the value cannot be used, in a sentence; None when it can."""
        if self.choices and value not in self.choices:
            return f"{name} is {value!r}; possible are {', '.join(self.choices)}."
        if self.low is None or self.high is None:
            return None
        if not math.isfinite(value) or not self.low <= value <= self.high:
            return f"{name} is {value}; it must lie between {self.low:g} and {self.high:g}."
        return None


MAX_RANK: Final = 64  # what our servers are started for
_MEASURED = "measured on small data, see docs/experiments.md"
_TRAINER = "default of the transformers trainer"
_SWITCH = ("auto", "on", "off")

KNOBS: Final[Mapping[str, Knob]] = {
    "name": Knob("What people call it.", "-"),
    "about": Knob("What it is for, in a sentence.", "-"),
    "about_ko": Knob("The same sentence in Korean.", "-"),
    "kind": Knob(
        "Answers to imitate, pairs of answers, or thumbs.", "TRL", choices=("sft", "dpo", "kto")
    ),
    "r": Knob("Rank of the adapter's matrices; from the data.", _MEASURED, 1, MAX_RANK),
    "lora_alpha": Knob("Scale of the adapter; 2r unless set.", "LoRA Without Regret", 1, 2048),
    "lora_dropout": Knob("Share of adapter inputs dropped in training.", _MEASURED, 0, 0.5),
    "target_modules": Knob(
        "Which layers get an adapter.", "arXiv 2405.09673 and LoRA Without Regret"
    ),
    "learning_rate": Knob("Peak rate; from the size of the base.", _MEASURED, 1e-7, 0.02),
    "lr_scheduler_type": Knob(
        "How the rate falls.", "usual", choices=("cosine", "linear", "constant_with_warmup")
    ),
    "warmup_ratio": Knob("Share of the steps until the peak.", "usual", 0, 0.5),
    "weight_decay": Knob("Pull of the weights towards zero.", "usual", 0, 0.5),
    "max_grad_norm": Knob("Longer gradients are cut to this.", _TRAINER, 0.01, 100),
    "num_train_epochs": Knob("Passes over the data; from the data.", _MEASURED, 0.01, 500),
    "min_steps": Knob("Optimizer steps at least: with 27 nobody learns.", _MEASURED, 0, 100_000),
    "max_steps": Knob("Optimizer steps at most; 0 is no limit.", "time at hand", 0, 10_000_000),
    "effective_batch_size": Knob("Rows behind one optimizer step.", _MEASURED, 1, 4096),
    "per_device_train_batch_size": Knob(
        "Rows at once on one device; from the memory plan.", "memory plan", 1, 1024
    ),
    "max_length": Knob("Longest row in tokens; longer ones are left out.", "TRL", 16, 131_072),
    "packing": Knob("Several rows in one sequence.", "TRL", choices=_SWITCH),
    "precision": Knob(
        "bf16 where the hardware has it, else fp16; fp32 on the CPU.",
        "compute capability 8.0 or newer has bf16",
        choices=("auto", "fp32", "bf16", "fp16"),
    ),
    "quantization": Knob(
        "nf4: the base in 4 bits, double quantisation.",
        "QLoRA, arXiv 2305.14314",
        choices=("auto", "none", "nf4"),
    ),
    "gradient_checkpointing": Knob(
        "Less memory for a third more time.", "memory plan", choices=_SWITCH
    ),
    "eval_steps": Knob("Steps between evaluations; a quarter epoch.", _MEASURED, 1, 100_000),
    "patience": Knob("Evaluations without gain until it stops; 0 is never.", _MEASURED, 0, 100),
    "num_samples": Knob(
        "Validation prompts answered at each evaluation.",
        "a low loss with odd answers is memorisation",
        0,
        32,
    ),
    "preference_learning_rate": Knob(
        "Peak rate of DPO and KTO; from the size of the base.", "TRL and the papers", 1e-8, 0.01
    ),
    "beta": Knob("How close DPO and KTO stay to where they start.", "TRL", 0.001, 5),
    "tracking": Knob(
        "Weights & Biases; auto: online when logged in, else off.",
        "wandb",
        choices=("auto", "online", "offline", "off"),
    ),
    "seed": Knob("Same seed, same data, same machine: same adapter.", "-", 0, 2**31 - 1),
}


def render_knobs() -> str:
    """All knobs as a table in Markdown; docs/recipes.md holds it."""
    lines = [
        "| knob | what it does | from, to, or one of | source of the default |",
        "|---|---|---|---|",
    ]
    for name, knob in KNOBS.items():
        bounds = ", ".join(knob.choices)
        if knob.low is not None:
            bounds = f"{knob.low:g} to {knob.high:g}"
        lines.append(f"| `{name}` | {knob.doc} | {bounds} | {knob.source} |")
    return "\n".join(lines) + "\n"
