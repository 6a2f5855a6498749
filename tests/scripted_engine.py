"""An Engine that says what it is told, at the pace it is told, and fails where it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatbot.engines.base import (
    AdapterRef,
    Chunk,
    EngineError,
    EngineState,
    EngineStatus,
    FinishReason,
    Probe,
    Sampling,
)
from chatbot.prompts import Message

ANSWER = {
    "recommend": "오늘은 가까운 곳부터 가볍게 시작해 봐요.",
    "challenges": [
        {"title": "텀블러로 커피 받기", "description": "카페에 갈 때 텀블러를 챙겨요."},
        {"title": "장바구니 챙기기", "description": "장 보러 갈 때 가방 하나를 접어 넣어요."},
        {"title": "영수증 거절하기", "description": "종이 영수증 대신 전자 영수증을 받아요."},
    ],
}
ANSWER_TEXT = json.dumps(ANSWER, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Script:
    """What one answer does: `text` in pieces of `piece` characters, then how it ends."""

    text: str = ANSWER_TEXT
    piece: int = 4  # characters a token
    tokens_per_s: float | None = None  # None: as fast as it goes
    first_token_s: float = 0.0
    finish_reason: FinishReason | None = "stop"
    error: EngineError | Exception | None = None  # raised after the text
    hangs: bool = False  # silent for ever after the text


@dataclass(frozen=True)
class Call:
    """What the engine was asked."""

    messages: list[Message]
    adapter: str | None
    sampling: Sampling
    schema: dict[str, Any] | None


@dataclass
class ScriptedEngine:
    """Answers with the scripts in turn, the last one for ever."""

    scripts: list[Script] = field(default_factory=lambda: [Script()])
    base_model: str = "scripted"
    context_window: int = 4096
    state: EngineState = "ready"
    detail: str = "The scripted engine is ready."
    calls: list[Call] = field(default_factory=list)
    keeps_calls: bool = True
    num_running: int = 0
    num_closed_early: int = 0
    adapters: dict[str, AdapterRef] = field(default_factory=dict)

    async def start(self) -> None:
        self.state = "ready"

    async def stop(self) -> None:
        self.state = "stopped"

    def status(self) -> EngineStatus:
        return EngineStatus(self.state, self.detail, self.base_model)

    async def wait_ready(self, timeout_s: float) -> None:
        if self.state != "ready":
            raise EngineError("not_ready", self.detail)

    def stream(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        sampling: Sampling,
        schema: dict[str, Any] | None,
    ) -> AsyncIterator[Chunk]:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if self.keeps_calls:
            self.calls.append(Call(list(messages), adapter, sampling, schema))
        return self._run(script)

    async def _run(self, script: Script) -> AsyncIterator[Chunk]:
        self.num_running += 1
        is_whole = False
        try:
            async for chunk in _speak(script):
                yield chunk
            is_whole = True
        finally:
            self.num_running -= 1
            self.num_closed_early += not is_whole

    async def load(self, adapter: AdapterRef) -> Probe:
        self.adapters[adapter.name] = adapter
        return Probe(0.5, 16)

    async def unload(self, name: str) -> None:
        self.adapters.pop(name, None)

    async def loaded(self) -> tuple[AdapterRef, ...]:
        return tuple(self.adapters.values())

    @property
    def can_sleep(self) -> bool:
        return True

    async def sleep(self) -> None:
        self.state, self.detail = "asleep", "The scripted engine sleeps."

    async def wake(self) -> None:
        self.state, self.detail = "ready", "The scripted engine is ready."

    async def score(
        self, messages: Sequence[Message], completion: str, adapter: str | None
    ) -> float:
        return -1.0 if adapter is None else -0.5


async def _speak(script: Script) -> AsyncIterator[Chunk]:
    loop = asyncio.get_running_loop()
    due_at = loop.time() + script.first_token_s
    num_tokens = 0
    for at in range(0, len(script.text), script.piece):
        await asyncio.sleep(max(0.0, due_at - loop.time()))
        due_at += 1 / script.tokens_per_s if script.tokens_per_s else 0.0
        num_tokens += 1
        yield Chunk(script.text[at : at + script.piece])
    if script.hangs:
        await asyncio.Event().wait()
    if script.error:
        raise script.error
    yield Chunk("", script.finish_reason, prompt_tokens=20, completion_tokens=num_tokens)
