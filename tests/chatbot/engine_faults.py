"""Eighteen ways in which a model server goes wrong, each met through the whole way to the client:
a real server that breaks, the real engine client, the service, the API over real HTTP.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from chatbot.api import build_api
from chatbot.engines.base import AdapterRef, EngineError
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import Timeouts, VllmSettings
from chatbot.generation import PaceSettings
from chatbot.identity import Identity
from chatbot.limits import LimitSettings
from chatbot.metrics import Metrics
from chatbot.service import ChatService, ChatSettings
from feedback_store.store import Store
from tests.chatbot.engines.fake_openai import ANSWER, FakeOpenAI
from tests.chatbot.live_server import serve
from tests.tiny_models import build_adapter, build_model

PATH = "/ai/chatbot/recommendation/free-text"
STREAM_FAULTS = (
    "silence", "no_head", "drip", "slow", "stall", "cut", "short", "not_json", "not_utf8",
    "no_choices", "error_event", "engine_dead", "status_500", "status_503", "endless", "one_line",
)  # fmt: skip
FAULTS = (*STREAM_FAULTS, "hung_load", "death")  # 18
LIMIT_S = 35.0


@dataclass(frozen=True)
class Times:
    """How patient everything is, as a share of the product's own patience."""

    share: float = 1.0

    def engine(self) -> Timeouts:
        """Of the client."""
        usual = Timeouts()
        return Timeouts(
            connect_s=usual.connect_s * self.share,
            first_token_s=usual.first_token_s * self.share,
            between_tokens_s=usual.between_tokens_s * self.share,
            load_s=usual.load_s * self.share,
            score_s=usual.score_s * self.share,
            health_every_s=0.2,
            backoff_s=0.05,
        )

    def pace(self) -> PaceSettings:
        """Of the service."""
        usual = PaceSettings()
        return PaceSettings(
            first_token_timeout_s=usual.first_token_timeout_s * self.share,
            stall_timeout_s=usual.stall_timeout_s * self.share,
        )


@dataclass(frozen=True)
class Told:
    """What the client was told, when, and whether the next question was answered."""

    fault: str
    sentence: str
    seconds: float
    comes_back: bool

    def has_survived(self, times: Times) -> bool:
        """A sentence in time, and all is well again after."""
        return bool(self.sentence) and self.seconds <= LIMIT_S * times.share and self.comes_back


@asynccontextmanager
async def _running(fake: FakeOpenAI, times: Times, folder: Path) -> AsyncIterator[tuple[Any, str]]:
    settings = VllmSettings(
        "tiny", log_path=folder / "log", state_path=folder / "state", url=(fake.url,),
        timeouts=times.engine(), shutdown_grace_s=0.2,
    )  # fmt: skip
    engine = VllmEngine(settings)
    with Store.open(folder / "data") as store:
        limits = LimitSettings(num_at_once=10, num_per_minute=1000)
        service = ChatService(
            store, engine, lambda: None,
            ChatSettings(is_constrained=False, pace=times.pace(), limits=limits),
        )  # fmt: skip
        await engine.start()
        await engine.wait_ready(10)
        app = FastAPI()
        app.include_router(build_api(service, Identity("s" * 64), Metrics(service)))
        async with serve(app) as url:
            yield engine, url
        await service.close()
        await engine.stop()


async def _ask(url: str) -> tuple[str, dict[str, Any]]:
    """The name and the data of the last event."""
    params = {"sessionId": "s", "message": "산에서 할 만한 일을 알려 주세요"}
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        response = await client.get(url + PATH, params=params)
    event, data = response.text.strip().split("\n\n")[-1].split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def meet(fault: str, times: Times) -> Told:
    """Let the server go wrong in this way, ask, and ask again when it is sound."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        adapter = AdapterRef("v0001", build_adapter(folder / "a", build_model(folder / "m")))
        fake = FakeOpenAI()
        with fake:
            async with _running(fake, times, folder) as (engine, url):
                fake.behaviour.slow_s = 4.0 * times.share
                started = time.perf_counter()
                sentence = await _provoke(fault, fake, engine, url, adapter)
                seconds = time.perf_counter() - started
                if fault == "death":
                    return Told(fault, sentence, seconds, await _comes_back(fake, url, folder))
                fake.behaviour.fault = fake.behaviour.load_fault = ""
                fake.behaviour.may_go_on.set()
                return Told(fault, sentence, seconds, await _is_answered(url))


async def _provoke(
    fault: str, fake: FakeOpenAI, engine: VllmEngine, url: str, adapter: AdapterRef
) -> str:
    """The sentence that somebody was told."""
    if fault == "hung_load":
        fake.behaviour.load_fault = "hang"
        try:
            await engine.load(adapter)
        except EngineError as error:
            return str(error)
        return ""
    if fault == "death":
        fake.close()
    fake.behaviour.fault = fault
    event, data = await _ask(url)
    return str(data["message"]) if event == "error" and data["data"] is None else ""


async def _comes_back(dead: FakeOpenAI, url: str, _folder: Path) -> bool:
    """Whether all is well once a server listens at the same place again."""
    with FakeOpenAI(dead.port):
        for _ in range(100):
            await asyncio.sleep(0.1)
            if await _is_answered(url):
                return True
    return False


async def _is_answered(url: str) -> bool:
    """The fake's answer is no recommendation, so its readable text came, and was judged so."""
    params = {"sessionId": "s", "message": "산에서 할 만한 일을 알려 주세요"}
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        response = await client.get(url + PATH, params=params)
    events = [part.split("\n") for part in response.text.strip().split("\n\n")]
    said = "".join(
        json.loads(data.removeprefix("data: "))["data"]
        for name, data in events
        if name == "event: challenge"
    )
    return "쓰레기" in said and ANSWER[:3] in said
