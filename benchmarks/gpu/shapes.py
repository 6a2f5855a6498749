"""The configurations of the four architectures at their real sizes, and tiny ones of the same kind.

Only the sizes are theirs; the weights are random. The token ids are those of the starter model's
tokenizer, which each of these vocabularies is wide enough for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_COMMON: Final[Mapping[str, Any]] = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "dtype": "bfloat16",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 8192,
    "head_dim": 128,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
}
SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma-1b": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "rope_local_base_freq": 10_000.0,
        "vocab_size": 262_144,
        "tie_word_embeddings": True,
    },
    "qwen-1.7b": {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    # As it stands on the hub: its heads do not divide the hidden size, which needs a cure.
    "kanana-2b": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 1792,
        "intermediate_size": 8064,
        "num_attention_heads": 24,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
    "mistral-7b": {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
        "sliding_window": None,
        "vocab_size": 32_768,
        "tie_word_embeddings": False,
    },
}
# Widths that every kernel accepts; 224 / 6 heads is no whole number, as Kanana's.
_TINY: Final[Mapping[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 6144,
    "dtype": "float32",
}
_TINY_OF: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma-1b": {"query_pre_attn_scalar": 32, "sliding_window": 64, "sliding_window_pattern": 2},
    "kanana-2b": {"hidden_size": 224, "num_attention_heads": 6, "num_key_value_heads": 2},
}


def model_config(name: str, *, is_tiny: bool = False) -> dict[str, Any]:
    """config.json of this shape."""
    config = {**_COMMON, **SHAPES[name]}
    return config | {**_TINY, **_TINY_OF.get(name, {})} if is_tiny else config
