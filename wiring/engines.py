"""Choose and build the engine that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chatbot.base_models import SHORT_NAMES, BaseModel, prepare, resolve
from chatbot.engines.base import Engine
from chatbot.engines.model_config import needs_wide_numbers
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import VllmSettings, is_cpu_build, is_installed
from finetune.machine import find_machine
from settings import Settings, SettingsError

# All of an end must fit into the 30 s that a service manager waits: uvicorn 5 s, a training 10 s,
# answers in flight 3 s, the model server 5 s.
END_GRACE_S: Final = 3.0


def choose_engine(settings: Settings, base: BaseModel) -> str:
    """What is set, or what this machine has and can serve the model: vllm or transformers."""
    if settings.vllm_urls:
        return "vllm"
    if settings.engine == "transformers":
        return "transformers"
    trouble = _find_trouble(base)
    if settings.engine == "vllm" and trouble:
        raise SettingsError(
            f"engine is vllm, but {trouble}. Use --engine transformers, "
            "or give running servers with --vllm-urls."
        )
    return "transformers" if trouble else "vllm"


def _find_trouble(base: BaseModel) -> str:
    """Why vLLM cannot serve this model here, in words; "" if it can.

    A card without bfloat16 computes a Gemma in float32, and vLLM's adapter kernels take 16 bits
    only: the engine would die at its start.
    """
    if not is_installed():
        return "vLLM is not installed here"
    if is_cpu_build() or not needs_wide_numbers(base.path_or_hub_id):
        return ""
    machine = find_machine()
    if machine.device != "cuda" or machine.has_bf16:
        return ""
    return f"vLLM cannot serve {base.name} with adapters on a card without bfloat16"


def name_base(model: str) -> str:
    """What versions record and training resolves: a short name or hub id as it is, else a path."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if model not in SHORT_NAMES and folder.is_dir() else model


def find_base_model(settings: Settings) -> BaseModel:
    """The base model's files, downloaded and cured where needed; raises BaseModelError."""
    return prepare(resolve(settings.model), settings.data_dir / "models")


def build_engine(settings: Settings, base: BaseModel) -> Engine:
    """The engine, not started yet."""
    logs = settings.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    max_model_len = settings.max_model_len or None
    if choose_engine(settings, base) == "vllm":
        return VllmEngine(_vllm_settings(settings, base, logs, max_model_len))
    from chatbot.engines.transformers import TransformersEngine, TransformersSettings

    return TransformersEngine(
        TransformersSettings(
            model=base.path_or_hub_id,
            model_name=base.name,
            max_model_len=max_model_len,
            chat_template_kwargs=dict(base.chat_template_kwargs),
        )
    )


def _vllm_settings(
    settings: Settings, base: BaseModel, logs: Path, max_model_len: int | None
) -> VllmSettings:
    return VllmSettings(
        model=base.path_or_hub_id,
        model_name=base.name,
        log_path=logs / "vllm.log",
        state_path=settings.data_dir / "vllm.json",
        url=settings.vllm_urls,
        max_model_len=max_model_len,
        chat_template_kwargs=dict(base.chat_template_kwargs),
        extra_args=base.vllm_args,
        shutdown_grace_s=END_GRACE_S,
        sleep_level=None if is_cpu_build() else 1,
    )
