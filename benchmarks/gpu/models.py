"""Models of real sizes with random weights, made on the device and written where the product's own
loaders, the trainer's and the server's, find them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from benchmarks.gpu.shapes import model_config
from chatbot.base_models import STARTER_DIR

_SHARD_BYTES: Final = 4 * 2**30
_TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def make_model(folder: Path, name: str, *, is_tiny: bool, device: str) -> Path:
    """The folder of this shape; made once."""
    target = folder / (f"tiny-{name}" if is_tiny else name)
    if (target / "config.json").is_file():
        return target
    target.mkdir(parents=True, exist_ok=True)
    for file in _TOKENIZER:
        shutil.copyfile(STARTER_DIR / file, target / file)
    config = model_config(name, is_tiny=is_tiny)
    _fill_vocabulary(target / "tokenizer.json", config["vocab_size"])
    _write_weights(target, config, device)
    (target / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")  # last
    return target


def _fill_vocabulary(path: Path, size: int) -> None:
    """A text for every id: noise draws all of them, and what has none could not be streamed."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    known |= {f"x{number}": number for number in range(len(known), size)}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _write_weights(target: Path, config: Mapping[str, Any], device: str) -> None:
    dtype = getattr(torch, config["dtype"])
    index: dict[str, str] = {}
    for number, shard in enumerate(_shards(config, dtype, device), 1):
        file = f"model-{number:05}.safetensors"
        save_file(shard, target / file, metadata={"format": "pt"})
        index |= dict.fromkeys(shard, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (target / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(
    config: Mapping[str, Any], dtype: torch.dtype, device: str
) -> Iterator[dict[str, torch.Tensor]]:
    """A few GiB at a time, so that a model larger than the memory can be made."""
    generator = torch.Generator(device).manual_seed(1)
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for name, dims in list_tensors(config):
        if len(dims) == 1:  # gemma's norms add one to their weights
            fill = 0.0 if config["model_type"] == "gemma3_text" else 1.0
            tensor = torch.full(dims, fill, dtype=dtype)
        else:
            scale = 0.02 if "embed" in name else dims[-1] ** -0.5
            drawn = torch.randn(dims, generator=generator, device=device, dtype=torch.float32)
            tensor = (drawn * scale).to(dtype).cpu()
        shard[name] = tensor
        size += tensor.nbytes
        if size >= _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
    if shard:
        yield shard


def list_tensors(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes, asked of the architecture itself, without its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    options = dict(config)
    if options["model_type"] == "llama" and options["hidden_size"] % options["num_attention_heads"]:
        options |= {"model_type": "mistral", "sliding_window": None}  # the same tensors
    chosen = AutoConfig.for_model(**options)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(chosen)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not config["tie_word_embeddings"]:
            yield name, tuple(tensor.shape)
