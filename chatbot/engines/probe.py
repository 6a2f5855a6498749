"""Does an adapter do anything? The same text is scored with the base and with the adapter.

An adapter whose tensors have the wrong names loads without complaint and changes nothing, so every
load ends with this comparison.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from chatbot.engines.base import AdapterRef, EngineError, Probe

# Far below what one training step changes (0.01 and more), far above what is left in float32 when
# the same text is scored in another batch (1e-6).
MIN_EFFECT: Final = 1e-4
# The linear layers of the usual architectures, packed and not: what "all-linear" trains.
LORA_MODULES: Final = (
    *("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj"),
    *("gate_proj", "up_proj", "gate_up_proj", "down_proj"),
)
_REFUSED: Final = {
    "use_dora": "DoRA",
    "lora_bias": "a bias in its LoRA layers",
    "modules_to_save": "fully trained modules (modules_to_save)",
}


def compare(
    adapter: AdapterRef, base_logprobs: Sequence[float], adapter_logprobs: Sequence[float]
) -> Probe:
    """The mean absolute difference; raises EngineError (no_effect) when there is none."""
    if not base_logprobs or len(base_logprobs) != len(adapter_logprobs):
        raise EngineError(
            "bad_adapter",
            f"Adapter {adapter.name} could not be compared with the base: {len(base_logprobs)} and "
            f"{len(adapter_logprobs)} tokens were scored.",
        )
    differences = [abs(a - b) for a, b in zip(base_logprobs, adapter_logprobs, strict=True)]
    probe = Probe(sum(differences) / len(differences), len(differences))
    if not probe.mean_abs_logprob_diff > MIN_EFFECT:  # a NaN is no effect either
        raise EngineError(
            "no_effect",
            f"Adapter {adapter.name} changes nothing: its weights belong to other module names "
            "than this base model has. Train it on this very base model.",
        )
    return probe


def mean_difference(before: Sequence[float], after: Sequence[float]) -> float:
    """The mean absolute difference of two scores of one text; infinite if they do not pair up."""
    if not before or len(before) != len(after):
        return math.inf
    return sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(before)


def mean_of_answer(logprobs: Sequence[float], num_prompt_tokens: int) -> float:
    """The mean over the tokens after the prompt; the very first token has no log-probability."""
    answer = logprobs[num_prompt_tokens - 1 :]
    if not answer:
        raise EngineError("refused", "The answer to score has no tokens of its own.")
    return sum(answer) / len(answer)


def check_adapter_folder(adapter: AdapterRef, max_lora_rank: int) -> None:
    """Raise EngineError (bad_adapter) for what no engine would serve, with a reason to act on."""
    if not adapter.path.is_absolute() or not adapter.path.is_dir():
        raise _bad(adapter, f"there is no folder {adapter.path}")
    if not (adapter.path / "adapter_model.safetensors").is_file():
        raise _bad(adapter, "adapter_model.safetensors is missing")
    config = _read_config(adapter)
    rank = max([config.get("r") or 0, *(config.get("rank_pattern") or {}).values()])
    if not isinstance(rank, int) or not 0 < rank <= max_lora_rank:
        raise _bad(adapter, f"its rank r is {rank}, and the server takes 1 to {max_lora_rank}")
    targets = config.get("target_modules")
    others = set(targets) - set(LORA_MODULES) if isinstance(targets, list) else set()
    if others:
        raise _bad(adapter, f"it adapts {', '.join(sorted(others))}, which cannot be served")
    for key, meaning in _REFUSED.items():
        if config.get(key):
            raise _bad(adapter, f"it uses {meaning}, which cannot be served")


def _read_config(adapter: AdapterRef) -> dict[str, Any]:
    try:
        config = json.loads((adapter.path / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(adapter, "adapter_config.json is missing or no JSON") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _bad(adapter, "adapter_config.json describes no LoRA adapter")
    return config


def _bad(adapter: AdapterRef, reason: str) -> EngineError:
    return EngineError("bad_adapter", f"Adapter {adapter.name} cannot be loaded: {reason}.")
