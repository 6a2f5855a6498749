"""Choose and build the engine that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chatbot.base_models import SHORT_NAMES, BaseModel, prepare, resolve
from chatbot.engines.base import Engine
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import VllmSettings, is_cpu_build, is_installed
from settings import Settings, SettingsError

# All of an end must fit into the 30 s that a service manager waits: uvicorn 5 s, a training 10 s,
# answers in flight 3 s, the model server 5 s.
END_GRACE_S: Final = 3.0


def choose_engine(settings: Settings) -> str:
    """What is set, or what this machine has: vllm or transformers."""
    if settings.vllm_urls or settings.engine == "vllm":
        if not settings.vllm_urls and not is_installed():
            raise SettingsError(
                "engine is vllm, but vLLM is not installed here. Use --engine transformers, "
                "or give running servers with --vllm-urls."
            )
        return "vllm"
    if settings.engine == "auto" and is_installed():
        return "vllm"
    return "transformers"


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
    if choose_engine(settings) == "vllm":
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
