"""What a model's config.json says of its sizes, read without loading anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

DEFAULT_CONTEXT: Final = 4096  # tokens; models that could take 128k would need memory for it
_WIDE_TYPES: Final = ("gemma2", "gemma3", "gemma3_text", "glm4")


def find_context_window(model: str, max_model_len: int | None) -> int:
    """Tokens that prompt and answer share: as set, else what the model can, up to a default."""
    if max_model_len:
        return max_model_len
    longest = _read_config(model).get("max_position_embeddings")
    return min(int(longest), DEFAULT_CONTEXT) if longest else DEFAULT_CONTEXT


def count_kv_values(model: str) -> int:
    """Numbers that the key-value cache holds for one token; a 7B model's if nothing is known."""
    config = _read_config(model)
    heads = int(config.get("num_attention_heads", 32))
    head_dim = config.get("head_dim") or int(config.get("hidden_size", 4096)) // heads
    kv_heads = int(config.get("num_key_value_heads") or heads)
    return 2 * int(config.get("num_hidden_layers", 32)) * int(head_dim) * kv_heads


def needs_wide_numbers(model: str) -> bool:
    """Whether the model's activations pass what float16 can hold: it needs bfloat16 or float32."""
    return _read_config(model).get("model_type") in _WIDE_TYPES


def _read_config(model: str) -> dict[str, Any]:
    """The text model's part; empty for a hub id or a broken folder."""
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(config, dict):
        return {}
    text_config = config.get("text_config", config)
    return text_config if isinstance(text_config, dict) else {}
