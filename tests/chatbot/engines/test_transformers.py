"""The in-process engine around a model that does as it is told; real models: test_engine_suite."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chatbot.engines.base import AdapterRef, Chunk, EngineError, Sampling
from chatbot.engines.transformers import GenerateJob, TransformersEngine, TransformersSettings
from chatbot.generation import Generation, PaceSettings
from chatbot.prompts import Message
from tests.tiny_models import build_adapter, build_model


class ToldModel:
    """Stands for TorchModel; notes which thread asked it."""

    def __init__(self) -> None:
        self.adapters: set[str] = set()
        self.refuses_to_unload = False
        self.may_answer = threading.Event()
        self.threads: set[str] = set()
        self.pieces = 1
        self.seconds_a_piece = 0.0

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
        for _ in range(self.pieces):
            time.sleep(self.seconds_a_piece)
            yield Chunk("x")
        yield Chunk("", "stop", 4, self.pieces)


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


async def test_those_in_line_do_not_lose_patience_while_others_are_answered(
    engine: TransformersEngine, model: ToldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come one at a time: the third in line always timed out after the first two."""
    monkeypatch.setattr("chatbot.engines.transformers._SIGN_OF_LIFE_S", 0.02)
    model.pieces, model.seconds_a_piece = 8, 0.05
    model.may_answer.set()
    pace = PaceSettings(first_token_timeout_s=0.25, min_pieces=1)
    generations = [Generation(_ask(engine), pace) for _ in range(3)]
    await asyncio.gather(*map(_read, generations))
    assert [generation.error for generation in generations] == [None] * 3
    assert [generation.raw_text for generation in generations] == ["x" * 8] * 3


async def test_those_in_line_are_told_when_the_engine_stands_still(
    engine: TransformersEngine, model: ToldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.engines.transformers._SIGN_OF_LIFE_S", 0.02)
    pace = PaceSettings(first_token_timeout_s=0.2)
    first, second = (Generation(_ask(engine), pace) for _ in range(2))
    await _read(second)
    assert second.error
    assert second.error.code == "timed_out"
    await first.stop()
    await second.stop()


async def _read(generation: Generation) -> None:
    async for _ in generation.updates():
        pass


def _ask(engine: TransformersEngine) -> AsyncIterator[Chunk]:
    return engine.stream(({"role": "user", "content": "안녕"},), None, Sampling(), None)


async def test_an_answer_is_scored_and_counted_in_the_one_thread(
    engine: TransformersEngine, model: ToldModel
) -> None:
    """The tokenizer fails when two threads use it at once."""
    assert await engine.score(({"role": "user", "content": "안녕"},), "{}", None) == -2.0
    assert len(model.threads) == 1
    assert threading.current_thread().name not in model.threads
