"""Would a server load this adapter, and would it do anything? Reads safetensors files itself, so
that it needs no torch.

An adapter whose tensor names do not fit the served class loads with success and does nothing.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_PREFIX: Final = "base_model.model."
_REFUSED_SETTINGS: Final = ("use_dora", "lora_bias", "modules_to_save", "megatron_config")
_NUMPY_TYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class AdapterError(RuntimeError):
    """An adapter that must not be published. `code` is stable: no_adapter, unreadable_adapter,
    not_servable, rank_too_high, wrong_names, wrong_shapes, not_finite, all_zero, other_base,
    other_class. The message is a sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Tensor:
    """One entry of a safetensors header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int  # offsets in the file
    end: int


@dataclass(frozen=True)
class AdapterFacts:
    """What a checked adapter is."""

    r: int
    num_tensors: int
    num_parameters: int
    largest: float  # absolute value


def read_header(path: Path) -> list[Tensor]:
    """Names, types and shapes of a safetensors file."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(size))
    except (OSError, ValueError, struct.error) as error:
        raise AdapterError("unreadable_adapter", f"{path} cannot be read: {error}.") from error
    header.pop("__metadata__", None)
    start = 8 + size
    return [
        Tensor(name, item["dtype"], tuple(item["shape"]), start + begin, start + end)
        for name, item in header.items()
        for begin, end in [item["data_offsets"]]
    ]


def _read_values(path: Path, tensor: Tensor) -> npt.NDArray[np.float32]:
    with path.open("rb") as file:
        file.seek(tensor.begin)
        raw = np.frombuffer(file.read(tensor.end - tensor.begin), _NUMPY_TYPES[tensor.dtype])
    if tensor.dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def weight_shapes(base_dir: Path) -> dict[str, tuple[int, ...]]:
    """Every tensor of the base's safetensors files with its shape."""
    return {
        tensor.name: tensor.shape
        for path in sorted(base_dir.glob("model*.safetensors"))
        for tensor in read_header(path)
    }


def check_adapter(adapter_dir: Path, base_dir: Path, max_lora_rank: int) -> AdapterFacts:
    """Raise AdapterError unless the adapter fits the base, serves, and changes something."""
    config = _read_config(adapter_dir)
    weights = adapter_dir / "adapter_model.safetensors"
    if not weights.is_file():
        raise AdapterError("no_adapter", f"{adapter_dir} holds no adapter_model.safetensors.")
    _check_settings(config, max_lora_rank)
    tensors = read_header(weights)
    if not tensors:
        raise AdapterError("no_adapter", f"{weights} is empty: nothing was trained.")
    _check_names(tensors, weight_shapes(base_dir), int(config["r"]))
    largest = _check_values(weights, tensors)
    parameters = sum(int(np.prod(tensor.shape)) for tensor in tensors)
    return AdapterFacts(int(config["r"]), len(tensors), parameters, largest)


def _read_config(adapter_dir: Path) -> dict[str, Any]:
    path = adapter_dir / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError("no_adapter", f"{path} cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise AdapterError("not_servable", f"{path} is no LoRA adapter; only LoRA is served.")
    return config


def _check_settings(config: Mapping[str, Any], max_lora_rank: int) -> None:
    refused = [name for name in _REFUSED_SETTINGS if config.get(name)]
    if config.get("bias", "none") != "none":
        refused.append("bias")
    if refused:
        raise AdapterError(
            "not_servable", f"The adapter uses {', '.join(refused)}, which the server refuses."
        )
    ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
    if max(ranks) > max_lora_rank:
        raise AdapterError(
            "rank_too_high",
            f"The adapter's rank is {max(ranks)}, the server takes at most {max_lora_rank}.",
        )
    if not config.get("base_model_name_or_path"):
        raise AdapterError("other_base", "The adapter does not say which base it belongs to.")


def _split_name(name: str) -> tuple[str, str] | None:
    """("model.layers.0.mlp.up_proj", "lora_A") of a full tensor name."""
    for part in ("lora_A", "lora_B"):
        module, found, rest = name.partition(f".{part}.")
        if found and rest == "weight" and module.startswith(_PREFIX):
            return module.removeprefix(_PREFIX), part
    return None


def _check_names(tensors: list[Tensor], base: Mapping[str, tuple[int, ...]], r: int) -> None:
    for tensor in tensors:
        split = _split_name(tensor.name)
        if split is None or f"{split[0]}.weight" not in base:
            raise AdapterError(
                "wrong_names",
                f"The base has no layer for {tensor.name}: the server would load the adapter and "
                "it would do nothing. It was trained on another class of this model.",
            )
        out_features, in_features = base[f"{split[0]}.weight"]
        wanted = (r, in_features) if split[1] == "lora_A" else (out_features, r)
        if tensor.shape != wanted:
            raise AdapterError(
                "wrong_shapes", f"{tensor.name} has shape {tensor.shape}; {wanted} is needed."
            )


def _check_values(path: Path, tensors: list[Tensor]) -> float:
    largest = 0.0
    for tensor, values in _values_of(path, tensors):
        if not np.isfinite(values).all():
            raise AdapterError(
                "not_finite", f"{tensor.name} holds values that are no numbers; retrain with a "
                "lower learning_rate.",
            )  # fmt: skip
        if ".lora_B." in tensor.name and values.size:
            largest = max(largest, float(np.abs(values).max()))
    if largest == 0.0:
        raise AdapterError(
            "all_zero", "Every lora_B of the adapter is zero: it changes nothing. Train longer."
        )
    return largest


def _values_of(
    path: Path, tensors: list[Tensor]
) -> Iterator[tuple[Tensor, npt.NDArray[np.float32]]]:
    for tensor in tensors:
        if tensor.dtype not in _NUMPY_TYPES:
            raise AdapterError("not_servable", f"{tensor.name} is stored as {tensor.dtype}.")
        yield tensor, _read_values(path, tensor)


def check_served_class(base_dir: Path, trained_class: str) -> None:
    """Gemma 3 from 4B on is served as its vision class; an adapter of the text class is no use."""
    config = json.loads((base_dir / "config.json").read_text(encoding="utf-8"))
    served = (config.get("architectures") or [trained_class])[0]
    if served != trained_class:
        raise AdapterError(
            "other_class",
            f"The model is served as {served}, but was trained as {trained_class}: the adapter "
            "would load and do nothing. Use a text-only version of the base model.",
        )
