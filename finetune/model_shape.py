"""The sizes of a base model that decide what it costs to train, from its files; no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune.adapter_checks import weight_shapes
from finetune.recipe import ALL_LINEAR, Recipe

_WIDE_TYPES: Final = ("gemma2", "gemma3", "gemma3_text", "glm4")


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide."""

    num_parameters: int
    num_linear: int  # parameters of the layers that nf4 quantises
    hidden_size: int
    intermediate_size: int
    num_layers: int
    query_size: int
    key_size: int
    vocab_size: int
    linears: tuple[tuple[str, int, int], ...]  # name, out, in of one layer's projections
    normed: int  # numbers that the norms of one layer work on, of each token
    is_wide: bool = False  # whether its activations pass what fp16 can hold


def read_shape(base_dir: Path) -> ModelShape:
    """From config.json and the headers of the weights."""
    config = json.loads((base_dir / "config.json").read_text(encoding="utf-8"))
    return describe_shape(config.get("text_config") or config, weight_shapes(base_dir))


def describe_shape(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ModelShape:
    """From what config.json says, and the names and sizes of the weights."""
    heads = config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    of_heads = {"q_norm": heads * head_dim, "k_norm": key_heads * head_dim}
    return ModelShape(
        num_parameters=sum(math.prod(shape) for shape in shapes.values()),
        num_linear=sum(math.prod(s) for name, s in shapes.items() if name.endswith("_proj.weight")),
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        query_size=heads * head_dim,
        key_size=key_heads * head_dim,
        vocab_size=config["vocab_size"],
        linears=tuple(_linears_of_layer(shapes)),
        normed=sum(
            of_heads.get(name.rsplit(".", 2)[1], math.prod(shape))
            for name, shape in shapes.items()
            if ".layers.0." in name and name.endswith("norm.weight")
        ),
        is_wide=config.get("model_type") in _WIDE_TYPES,
    )


def _linears_of_layer(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, int, int]]:
    for name, shape in shapes.items():
        if ".layers.0." in name and name.endswith("_proj.weight"):
            yield name.removesuffix(".weight").rpartition(".")[2], shape[0], shape[1]


def count_trainable(shape: ModelShape, recipe: Recipe) -> int:
    """Parameters of the adapter."""
    wanted = recipe.target_modules
    return sum(
        (recipe.r or 16) * (rows + columns) * shape.num_layers
        for name, rows, columns in shape.linears
        if wanted == ALL_LINEAR or name in wanted
    )
