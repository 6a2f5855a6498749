"""Load the base model and its tokenizer as they are served; torch is imported where it works."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from chatbot.base_models import find_pad_token
from finetune.job import Base
from finetune.machine import describe_card, find_machine
from finetune.memory import CUDA_CONTEXT, Load, Machine
from finetune.preflight import TokenizerFacts

Device = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Hardware:
    """Where it trains, and in which numbers."""

    device: Device
    precision: Literal["fp32", "bf16", "fp16"]
    quantization: Literal["none", "nf4"] = "none"


def find_device(wanted: str) -> str:
    """cuda only where this torch really sees a card; the plan must be for what will be used."""
    import torch

    return "cuda" if wanted in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def find_training_machine(device: str, *, can_sleep: bool = False) -> Machine:
    """find_machine(), with torch's own figures where it uses a card that the driver's tool does not
    tell of: the tool is not on the PATH, is too slow, or does not know a part of a card (MIG).
    """
    machine = find_machine(device, can_sleep=can_sleep)
    if device != "cuda" or machine.device == "cuda":
        return machine
    import torch

    own_card()
    free, total = torch.cuda.mem_get_info()
    # torch has made its context by then, which the plan counts as the training's.
    card = describe_card(total, min(total, free + CUDA_CONTEXT), _capability()[0])
    return replace(card, can_sleep=can_sleep)


def own_card() -> int:
    """Of several processes each takes the card of its number; alone, the first that it sees."""
    import torch

    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return int(torch.cuda.current_device())


def _capability() -> tuple[int, int]:
    import torch

    found: tuple[int, int] = torch.cuda.get_device_capability()
    return found


def choose_hardware(load: Load, wanted: str) -> Hardware:
    """What the memory plan chose, where torch really has it; torch counts emulated bf16, too."""
    import torch

    nf4: Literal["none", "nf4"] = "nf4" if load.quantization == "nf4" else "none"
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return Hardware("cuda", _precision(load.precision, _capability()), nf4)
    if wanted == "auto" and torch.backends.mps.is_available():
        return Hardware("mps", "fp32")
    return Hardware("cpu", "fp32", nf4)


def _precision(wanted: str, capability: tuple[int, int]) -> Literal["fp32", "bf16", "fp16"]:
    """As planned, but never a bf16 that is only emulated."""
    if wanted == "fp32":
        return "fp32"
    return "bf16" if wanted == "bf16" and capability[0] >= 8 else "fp16"


def load_tokenizer(base: Base) -> Any:
    """The base's tokenizer, with a pad token that is not its end token where it has one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    tokenizer.pad_token = find_pad_token(Path(base.path)) or tokenizer.eos_token
    return tokenizer


def load_model(base: Base, hardware: Hardware) -> Any:
    """The base's weights, in 4 bits where that was chosen."""
    import torch
    from transformers import AutoModelForCausalLM

    names = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = names[hardware.precision]
    options: dict[str, Any] = {"dtype": dtype}
    if hardware.quantization == "nf4":
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    # Under FSDP accelerate deals out the parts itself.
    if hardware.device == "cuda" and os.environ.get("ACCELERATE_USE_FSDP") != "true":
        options["device_map"] = {"": own_card()}
    return AutoModelForCausalLM.from_pretrained(base.path, **options)


def find_stop_ids(tokenizer: Any, model: Any) -> frozenset[int]:
    """The tokens of which any ends an answer in serving."""
    found = {tokenizer.eos_token_id}
    for config in (model.generation_config, model.config.get_text_config()):
        ids = getattr(config, "eos_token_id", None)
        found |= set(ids) if isinstance(ids, list | tuple) else {ids}
    return frozenset(item for item in found if item is not None)


def describe_tokenizer(tokenizer: Any, base: Base, stop_ids: Iterable[int]) -> TokenizerFacts:
    """What the pre-flight asks of a tokenizer; the served template is read anew from the base."""
    from transformers import AutoTokenizer

    served = AutoTokenizer.from_pretrained(base.path).chat_template
    return TokenizerFacts(
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        pad_id=tokenizer.pad_token_id,
        pad_token=tokenizer.pad_token,
        eos_id=tokenizer.eos_token_id,
        eos_token=tokenizer.eos_token,
        stop_ids=frozenset(stop_ids),
        has_template=bool(tokenizer.chat_template),
        is_template_served=tokenizer.chat_template == served,
    )
