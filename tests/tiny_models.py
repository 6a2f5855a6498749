"""Tiny random models of the architectures that people bring, their tokenizer, and LoRA adapters.

Written straight as config.json and safetensors, so that building one costs milliseconds and no
torch import. What they say is noise; what they prove is that real loading, serving and training
code works on their shapes. `build_model(folder, "kanana")` writes the config as it stands on the
hub, the one that needs a cure before it loads.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from chatbot import prompts, themes

Kind = Literal["llama", "mistral", "kanana", "qwen3", "gemma3"]
KINDS: tuple[Kind, ...] = ("llama", "mistral", "kanana", "qwen3", "gemma3")
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """The sizes of a tiny model; the default has what every architecture and kernel accepts."""

    hidden_size: int = 64
    intermediate_size: int = 128
    num_layers: int = 2
    num_heads: int = 2
    num_kv_heads: int = 1
    head_dim: int = 32
    max_position_embeddings: int = 1024
    vocab_size: int = 512


KANANA = Shape(hidden_size=224, num_heads=6, num_kv_heads=2)  # 224 / 6 is no whole number
STARTER = Shape(256, 704, 8, 4, 2, 64, 1024, 8192)  # the shape of assets/starter-model


@dataclass(frozen=True)
class LoraShape:
    """How an adapter is made. A wrong prefix loads without complaint and changes nothing."""

    r: int = 8
    scale: float = 0.5  # standard deviation of both factors: large enough to be seen
    prefix: str = "base_model.model.model.layers"
    config: dict[str, Any] = field(default_factory=dict)


NO_EFFECT = LoraShape(prefix="base_model.model.wrong.layers")


def build_model(folder: Path, kind: Kind = "llama", shape: Shape | None = None) -> Path:
    """Write a random model with its tokenizer into the folder; the same call gives equal bytes."""
    shape = shape or (KANANA if kind == "kanana" else Shape())
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(folder, shape)
    _write_json(folder / "config.json", _config(kind, shape))
    rng = np.random.default_rng(7)
    weights = {name: _random(rng, dims) for name, dims in _tensors(kind, shape)}
    if _ties_embeddings(kind):  # small, else every token is followed by itself
        weights["model.embed_tokens.weight"] *= 0.1
    _save(weights, folder / "model.safetensors")
    return folder


def build_adapter(folder: Path, model: Path, lora: LoraShape | None = None, seed: int = 1) -> Path:
    """Write a random all-linear PEFT adapter for a model that build_model wrote."""
    lora = lora or LoraShape()
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    targets = set()
    for name, dims in _tensors("llama", _shape_of(config)):
        path, _, module = name.removesuffix(".weight").rpartition(".")
        if not module.endswith("_proj"):
            continue
        targets.add(module)
        path = path.replace("model.layers", lora.prefix, 1)
        out_features, in_features = dims
        weights[f"{path}.{module}.lora_A.weight"] = _random(rng, (lora.r, in_features), lora.scale)
        weights[f"{path}.{module}.lora_B.weight"] = _random(rng, (out_features, lora.r), lora.scale)
    _save(weights, folder / "adapter_model.safetensors")
    _write_json(folder / "adapter_config.json", _adapter_config(model, lora, sorted(targets)))
    return folder


def build_tokenizer(folder: Path, shape: Shape) -> None:
    """A byte-level BPE trained on the product's own prompts, with a chat template and an eos."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    # Ids that the short texts left unused still need a text, else half of the noise is silent.
    filler = [f"‹{number}›" for number in range(shape.vocab_size - tokenizer.get_vocab_size())]
    tokenizer.add_tokens(filler)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(shape))


def _texts() -> Iterator[str]:
    for lang in ("ko", "en"):
        yield prompts.system_message(lang)["content"]
        for category in themes.CATEGORIES:
            info = themes.BaseInfo("city", "office", category.code)
            yield prompts.base_info_message(info, lang)["content"]


def _tokenizer_config(shape: Shape) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": shape.max_position_embeddings,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


_ARCHITECTURES: dict[Kind, tuple[str, str]] = {
    "llama": ("llama", "LlamaForCausalLM"),
    "mistral": ("mistral", "MistralForCausalLM"),
    "kanana": ("llama", "LlamaForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
}


def _config(kind: Kind, shape: Shape) -> dict[str, Any]:
    model_type, architecture = _ARCHITECTURES[kind]
    config: dict[str, Any] = {
        "model_type": model_type,
        "architectures": [architecture],
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.max_position_embeddings,
        "vocab_size": shape.vocab_size,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": _ties_embeddings(kind),
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "dtype": "float32",
    }
    if kind == "mistral":
        config["sliding_window"] = None
    if kind == "gemma3":
        window = {"sliding_window": 64, "sliding_window_pattern": 2, "rope_local_base_freq": 1e4}
        config |= {"query_pre_attn_scalar": shape.head_dim, **window}
    return config


def _adapter_config(model: Path, lora: LoraShape, targets: list[str]) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": lora.r,
        "lora_alpha": 2 * lora.r,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": targets,
        "inference_mode": True,
        **lora.config,
    }


def _shape_of(config: dict[str, Any]) -> Shape:
    return Shape(
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
    )


def _ties_embeddings(kind: Kind) -> bool:
    return kind in ("kanana", "gemma3")


def _tensors(kind: Kind, shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of all tensors, as the hub's checkpoints have them."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    yield "model.embed_tokens.weight", (shape.vocab_size, hidden)
    for number in range(shape.num_layers):
        layer = f"model.layers.{number}"
        yield f"{layer}.self_attn.q_proj.weight", (queries, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
        for norm in _norms(kind):
            size = shape.head_dim if norm.startswith("self_attn") else hidden
            yield f"{layer}.{norm}.weight", (size,)
    yield "model.norm.weight", (hidden,)
    if not _ties_embeddings(kind):
        yield "lm_head.weight", (shape.vocab_size, hidden)


def _norms(kind: Kind) -> tuple[str, ...]:
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    if kind in ("qwen3", "gemma3"):
        norms += ("self_attn.q_norm", "self_attn.k_norm")
    if kind == "gemma3":
        norms += ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    return norms


def _random(
    rng: np.random.Generator, dims: tuple[int, ...], scale: float | None = None
) -> npt.NDArray[np.float32]:
    if len(dims) == 1:
        return np.ones(dims, dtype=np.float32)
    scale = 2.0 / dims[-1] ** 0.5 if scale is None else scale / dims[-1] ** 0.5
    return rng.normal(0.0, scale, dims).astype(np.float32)


def _save(weights: Weights, path: Path) -> None:
    """The safetensors format: the header's length, a JSON header, the numbers one after another.

    By hand, because the fast tests run where neither torch nor safetensors is installed.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, values in weights.items():
        end = offset + values.nbytes
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in weights.values():
            file.write(values.tobytes())


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
