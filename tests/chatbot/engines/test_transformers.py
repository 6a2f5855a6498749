"""The in-process engine around a model that does as it is told; real models: test_engine_suite."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chatbot.engines.base import AdapterRef, Chunk, EngineError
from chatbot.engines.transformers import GenerateJob, TransformersEngine, TransformersSettings
from chatbot.prompts import Message
from tests.tiny_models import build_adapter, build_model


class ToldModel:
    """Stands for TorchModel; notes which thread asked it."""

    def __init__(self) -> None:
        self.adapters: set[str] = set()
        self.refuses_to_unload = False
        self.may_answer = threading.Event()
        self.threads: set[str] = set()

    def load(self, adapter: AdapterRef) -> None:
        self.adapters.add(adapter.name)

    def unload(self, name: str) -> None:
        if self.refuses_to_unload:
            raise EngineError("died", "The model is busy.")
        self.adapters.discard(name)

    def score(self, adapter: str | None, messages: Sequence[Message] = ()) -> list[float]:
        self.threads.add(threading.current_thread().name)
        return [-2.0 - (adapter in self.adapters)] * 16

    def count_tokens(self, messages: Sequence[Message]) -> int:
        self.threads.add(threading.current_thread().name)
        return 4

    def generate(self, job: GenerateJob) -> Iterator[Chunk]:
        self.may_answer.wait(10)
        yield Chunk("{}")
        yield Chunk("", "stop", 4, 1)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> AdapterRef:
    folder = tmp_path_factory.mktemp("adapter")
    return AdapterRef("v0001", build_adapter(folder / "a", build_model(folder / "m")))


@pytest.fixture
def model() -> ToldModel:
    return ToldModel()


@pytest.fixture
async def engine(model: ToldModel, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr("chatbot.engines.transformers._build_model", lambda _settings: model)
    started = TransformersEngine(TransformersSettings(str(Path("/none")), max_model_len=512))
    await started.start()
    await started.wait_ready(5)
    yield started
    model.may_answer.set()
    await started.stop()


async def test_an_adapter_that_could_not_be_unloaded_can_be_loaded_again(
    engine: TransformersEngine, model: ToldModel, adapter: AdapterRef
) -> None:
    await engine.load(adapter)
    model.refuses_to_unload = True
    with pytest.raises(EngineError):
        await engine.unload(adapter.name)
    assert await engine.loaded() == ()
    await engine.load(adapter)
    assert await engine.loaded() == (adapter,)
