"""The engine as the learning wing sees it: blocking calls from any thread onto the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, TypeVar

from chatbot.engines.base import AdapterRef, Engine, EngineError, Sampling
from chatbot.recommendation import json_schema
from finetune.evaluate import Generated, GenerateRequest
from finetune.scores import ScoreRequest

_READY_TIMEOUT_S: Final = 600.0
_NUM_AT_ONCE: Final = 16  # leaves room for the people who chat meanwhile
Result = TypeVar("Result")


class EngineServing:
    """Implements finetune.evaluate.Serving over an Engine that lives on `loop`."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        base_name: str,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._base_name = base_name
        self._facts = dict(facts or {})

    @property
    def base_model(self) -> str:
        """Name of the base model, which versions record: folders move, names do not."""
        return self._base_name

    @property
    def engine_facts(self) -> Mapping[str, str]:
        """What besides the question decides an answer; see engine_facts.py."""
        return self._facts

    def _wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Block until the engine answers; raises EngineError when it never does."""
        self._wait(self._engine.wait_ready(timeout_s))

    def load(self, name: str, path: Path) -> float:
        """Load and prove an adapter; see Serving."""
        self.wait_ready()
        return self._wait(self._engine.load(AdapterRef(name, path.resolve()))).mean_abs_logprob_diff

    def unload(self, name: str) -> None:
        """Forget an adapter; see Serving."""
        self._wait(self._engine.unload(name))

    @property
    def can_sleep(self) -> bool:
        """Whether the engine can give the card's memory back for a while."""
        return self._engine.can_sleep

    def sleep(self) -> None:
        """Give the card's memory back until wake()."""
        self._wait(self._engine.sleep())

    def wake(self) -> None:
        """Answer as before; returns when it does."""
        self._wait(self._engine.wake())

    def loaded(self) -> Sequence[str]:
        """Names of the loaded adapters."""
        return tuple(ref.name for ref in self._wait(self._engine.loaded()))

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        """Answer all of them, a few at a time."""
        self.wait_ready()
        return self._wait(self._generate_all(requests))

    def score(self, requests: Sequence[ScoreRequest]) -> list[float | None]:
        """How likely the given answers are, a few at a time; None where the engine refuses one."""
        self.wait_ready()
        return self._wait(self._score_all(requests))

    async def _score_all(self, requests: Sequence[ScoreRequest]) -> list[float | None]:
        places = asyncio.Semaphore(_NUM_AT_ONCE)

        async def score(request: ScoreRequest) -> float | None:
            async with places:
                try:
                    return await self._engine.score(
                        request.messages, request.completion, request.adapter
                    )
                except EngineError:
                    return None

        return list(await asyncio.gather(*(score(request) for request in requests)))

    async def _generate_all(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        places = asyncio.Semaphore(_NUM_AT_ONCE)

        async def answer(request: GenerateRequest) -> Generated:
            async with places:
                return await self._generate_one(request)

        return list(await asyncio.gather(*(answer(request) for request in requests)))

    async def _generate_one(self, request: GenerateRequest) -> Generated:
        sampling = Sampling(request.temperature, request.top_p, request.max_tokens, request.seed)
        schema = json_schema() if request.constrained else None
        started, text, reason = time.monotonic(), "", None
        try:
            stream = self._engine.stream(request.messages, request.adapter, sampling, schema)
            async with aclosing(stream) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    text += chunk.text
                    reason = chunk.finish_reason or reason
        except EngineError:
            reason = "error"
        return Generated(text, reason, (time.monotonic() - started) * 1000)
