"""Clients for benchmarks/chat.py: the same questions to raw vLLM and to our API, timed alike."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import httpx

from chatbot.engines.base import Sampling
from chatbot.engines.transport import StreamTransport
from chatbot.engines.upstream import build_chat_request
from chatbot.prompts import base_info_message, system_message
from chatbot.recommendation import json_schema
from chatbot.stream import ReadableStream
from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo

INFOS = [
    BaseInfo(place.code, work.code, theme.code)
    for theme, place, work in product(CATEGORIES, LOCATIONS, WORK_TYPES)
]
API_PATH = "/ai/chatbot/recommendation/base-info"
TIMEOUT = httpx.Timeout(300.0)


@dataclass
class Sample:
    """One answer as its client saw it; times in seconds."""

    first_any_s: float | None = None  # the first token, be it only a brace
    first_s: float | None = None  # the first text that a person can read
    total_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    num_tokens: int = 0  # as the engine counted them; 0 where the client is not told
    text: str = ""
    is_whole: bool = False


@dataclass(frozen=True)
class RawVllm:
    """A client that talks to vLLM directly, with the very request that our engine would send."""

    client: httpx.AsyncClient
    num_prompts: int = len(INFOS)  # different ones

    async def ask(self, number: int) -> Sample:
        """One answer."""
        info = INFOS[number % self.num_prompts]
        messages = [system_message("ko"), base_info_message(info, "ko")]
        body = build_chat_request(messages, None, Sampling(temperature=0.0), json_schema(), {})
        sample, reader = Sample(), ReadableStream()
        started = last = time.perf_counter()
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for data in _events(response):
                if data == "[DONE]":
                    continue
                event = json.loads(data)
                if event.get("usage"):
                    sample.num_tokens = event["usage"]["completion_tokens"]
                for choice in event["choices"]:
                    content = choice["delta"].get("content") or ""
                    now = time.perf_counter()
                    if content and sample.first_any_s is None:
                        sample.first_any_s = now - started
                    shown = reader.feed(content).delta
                    if shown:
                        _note(sample, shown, started, last, now)
                        last = now
                    sample.is_whole = sample.is_whole or choice.get("finish_reason") == "stop"
        sample.total_s = time.perf_counter() - started
        return sample


@dataclass(frozen=True)
class OurApi:
    """A client of our API, as the mobile front end is one."""

    client: httpx.AsyncClient
    session: str
    num_prompts: int = len(INFOS)

    async def ask(self, number: int) -> Sample:
        """One answer."""
        info = INFOS[number % self.num_prompts]
        params = {
            "sessionId": f"{self.session}-{number}",
            "location": info.location,
            "workType": info.work_type,
            "category": info.category,
        }
        sample, num_close = Sample(), 0
        started = last = time.perf_counter()
        async with self.client.stream("GET", API_PATH, params=params) as response:
            async for data in _events(response):
                event = json.loads(data)
                now = time.perf_counter()
                if isinstance(event["data"], str):
                    _note(sample, event["data"], started, last, now)
                    last = now
                else:
                    num_close += event["status"] == 200
        sample.first_any_s = sample.first_s
        sample.is_whole = num_close == 1
        sample.total_s = time.perf_counter() - started
        return sample


def _note(sample: Sample, shown: str, started: float, last: float, now: float) -> None:
    if sample.first_s is None:
        sample.first_s = now - started
    else:
        sample.gaps_s.append(now - last)
    sample.text += shown


async def _events(response: httpx.Response) -> Any:
    """The data of every event; lines end at line feeds only."""
    response.raise_for_status()
    rest = b""
    async for received in response.aiter_raw():
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                yield line[6:].decode()


def open_client(url: str, key: str = "") -> httpx.AsyncClient:
    """Connections enough for every stream, kept open. By our light transport: httpx's own pool
    takes longer to send a request, with 32 streams, than either server to answer it.
    """
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=TIMEOUT,
        transport=StreamTransport(),
        trust_env=False,
    )


async def run_load(
    ask: Callable[[int], Awaitable[Sample]], concurrency: int, num_requests: int, first: int = 0
) -> tuple[list[Sample], float]:
    """(samples, seconds): so many answers, always `concurrency` of them at once."""
    numbers = iter(range(first, first + num_requests))
    samples: list[Sample] = []

    async def work() -> None:
        for number in numbers:
            samples.append(await ask(number))

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return samples, time.perf_counter() - started


async def run_for(
    ask: Callable[[int], Awaitable[Sample]], concurrency: int, seconds: float
) -> list[Sample]:
    """Answers one after the other on every stream until the time is over; a failure counts as an
    answer that is not whole.
    """
    until = time.perf_counter() + seconds
    samples: list[Sample] = []

    async def work(stream: int) -> None:
        await asyncio.sleep(stream / concurrency)  # people do not all begin at once
        number = stream
        while time.perf_counter() < until:
            try:
                samples.append(await ask(number))
            except (httpx.HTTPError, ValueError, KeyError):
                samples.append(Sample())
            number += concurrency

    await asyncio.gather(*(work(stream) for stream in range(concurrency)))
    return samples
