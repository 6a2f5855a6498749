"""vLLM through the product's own engine: start, adapters, streams, a swap, a training beside it,
and a sleep. One engine serves all measurements of the section.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.context import Context
from benchmarks.gpu.sections import Cell
from chatbot.base_models import BaseModel, prepare, resolve
from chatbot.engines.base import AdapterRef, EngineError, Sampling
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import VllmSettings, is_cpu_build
from chatbot.prompts import Message, base_info_message, system_message
from chatbot.recommendation import RecommendationError, json_schema, parse
from chatbot.themes import CATEGORIES, BaseInfo
from finetune.job import Base, TrainingJob
from finetune.machine import find_machine
from finetune.memory import MIB
from finetune.recipe import Recipe
from finetune.run_files import read_json
from finetune.run_process import ProcessMark, end_process, is_alive, spawn
from finetune.starter_corpus import make_examples

_MODEL: Final = "kanana-2b"
_START_TIMEOUT_S: Final = 500.0
_BASELINE_S: Final = 10.0  # of streams alone, before something happens to them


@dataclass
class Seen:
    """What a group of streams saw."""

    num_tokens: int = 0
    num_failed: int = 0
    firsts: list[float] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)  # (when, seconds)
    texts: list[str] = field(default_factory=list)

    def figures(self, seconds: float) -> dict[str, Any]:
        """Speed, time to the first text, gaps, failures."""
        return {
            "seconds": seconds,
            "tokens_per_s": self.num_tokens / seconds,
            "first_text_ms": statistics.median(self.firsts or [0.0]) * 1000,
            "gap_p95_ms": gap_p95_ms(self.gaps, 0.0, float("inf")),
            "failed": self.num_failed,
        }


def gap_p95_ms(gaps: Sequence[tuple[float, float]], begin: float, end: float) -> float | None:
    """The 95th percentile of the gaps within a span; None where there is none."""
    found = sorted(gap for at, gap in gaps if begin <= at <= end)
    return found[min(len(found) - 1, int(0.95 * len(found)))] * 1000 if found else None


class _Room:
    """The engine on its event loop, and the adapters made for it."""

    def __init__(self, context: Context) -> None:
        from benchmarks.gpu.models import make_model

        folder = make_model(context.work, _MODEL, is_tiny=context.is_dry, device=context.device)
        self.base: BaseModel = prepare(resolve(str(folder)), context.work / "cured")
        self.context = context
        self.home = context.work / "serving"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.loop = asyncio.new_event_loop()
        self.engine = VllmEngine(self._settings())
        self.start_s = self.run(self._start())

    def _settings(self) -> VllmSettings:
        """As wiring/engines.py makes them; on the CPU a sleep only pauses."""
        return VllmSettings(
            model=self.base.path_or_hub_id,
            model_name=self.base.name,
            log_path=self.home / "vllm.log",
            state_path=self.context.work / "vllm.json",
            chat_template_kwargs=dict(self.base.chat_template_kwargs),
            extra_args=self.base.vllm_args,
            max_lora_rank=16 if self.context.is_dry else 64,
            sleep_level=0 if is_cpu_build() else 1,
        )

    async def _start(self) -> float:
        began = time.monotonic()
        await self.engine.start()
        await self.engine.wait_ready(_START_TIMEOUT_S)
        return time.monotonic() - began

    def run(self, work: Awaitable[Any]) -> Any:
        """Wait for it on the engine's loop."""
        return self.loop.run_until_complete(work)

    def adapter(self, number: int) -> AdapterRef:
        """A random adapter of rank 16 for this model; made once."""
        from tests.tiny_models import LoraShape, build_adapter

        folder = self.home / f"adapter{number}"
        if not folder.exists():
            source = Path(self.base.path_or_hub_id)
            build_adapter(folder, source, LoraShape(r=16, scale=0.05), seed=number)
        return AdapterRef(f"v{number:04}", folder)

    def close(self) -> None:
        """End the server, and whatever still runs beside it."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.run(self.engine.stop())
        self.loop.close()


_rooms: list[_Room] = []


def _enter(context: Context) -> _Room:
    if not _rooms:
        _rooms.append(_Room(context))
    return _rooms[0]


def close() -> None:
    """End what the section started."""
    while _rooms:
        _rooms.pop().close()


def measure(cell: Cell, context: Context) -> Mapping[str, Any]:
    """One measurement on the engine that all share."""
    room = _enter(context)
    if cell.name == "start-up":
        return _start_up(room)
    if "lora" in cell.options:
        return _stream(room, cell)
    kinds: Mapping[str, Callable[[_Room], Awaitable[dict[str, Any]]]] = {
        "hot-load": _hot_load,
        "structured": _structured,
        "swap": _swap,
        "co-resident": _train_beside,
        "sleep": _sleep,
    }
    figures: dict[str, Any] = room.run(kinds[cell.name](room))
    return figures


def _start_up(room: _Room) -> dict[str, Any]:
    """Also when the section goes on from an earlier call: the engine was started just now."""
    began = time.monotonic()
    seen: Seen = room.run(_ask_many(room, 1, 1, None))
    return {"seconds": room.start_s + time.monotonic() - began, "failed": seen.num_failed}


async def _hot_load(room: _Room) -> dict[str, Any]:
    adapter = room.adapter(1)
    began = time.monotonic()
    probe = await room.engine.load(adapter)
    seen = await _ask_many(room, 1, 1, adapter.name)
    note = f"log-probabilities differ by {probe.mean_abs_logprob_diff:.3f}"
    seconds = time.monotonic() - began
    return {"seconds": seconds, "failed": seen.num_failed, "note": note}


async def _structured(room: _Room) -> dict[str, Any]:
    """Noise under the schema must still parse, key by key."""
    await room.engine.load(room.adapter(1))
    began = time.monotonic()
    count = 2 if room.context.is_dry else 16
    seen = await _ask_many(room, count, 1, room.adapter(1).name, is_structured=True)
    parsed = sum(map(_is_parsed, seen.texts))
    figures = seen.figures(time.monotonic() - began)
    figures["failed"] += count - parsed
    return {**figures, "note": f"{parsed} of {count} parsed"}


def _is_parsed(text: str) -> bool:
    try:
        parse(text)
    except RecommendationError:
        return False
    return True


def _stream(room: _Room, cell: Cell) -> dict[str, Any]:
    name = None
    if cell.options["lora"]:
        name = room.adapter(1).name
        room.run(room.engine.load(room.adapter(1)))
    count = 4 if room.context.is_dry and cell.options["streams"] > 4 else cell.options["streams"]
    room.run(_ask_many(room, count, 1, name))  # warm: shapes of this size may be compiled
    began = time.monotonic()
    seen: Seen = room.run(_ask_many(room, count, 1 if room.context.is_dry else 3, name))
    return seen.figures(time.monotonic() - began)


async def _swap(room: _Room) -> dict[str, Any]:
    """What 16 people who talk to one version notice while another is loaded and takes over."""
    await room.engine.load(room.adapter(1))
    async with _talking(room, room.adapter(1).name) as seen:
        before = await _let_talk(room, seen)
        began = time.monotonic()
        await room.engine.load(room.adapter(2))
        done = time.monotonic()
        await _ask_many(room, 1, 1, room.adapter(2).name)
        first = time.monotonic()
    figures = {**seen.figures(done - began), "gap_p95_ms": gap_p95_ms(seen.gaps, began, done)}
    figures.pop("tokens_per_s")
    note = f"{before}; first whole answer of the new one after {first - began:.2f} s"
    return {**figures, "note": note}


async def _train_beside(room: _Room) -> dict[str, Any]:
    """A training of its own process beside 16 people who talk."""
    await room.engine.load(room.adapter(1))
    async with _talking(room, room.adapter(1).name) as seen:
        before = await _let_talk(room, seen)
        tokens, began = seen.num_tokens, time.monotonic()
        result = await _train(room, "beside")
        seconds = time.monotonic() - began
        speed = (seen.num_tokens - tokens) / seconds
    figures = {"gap_p95_ms": gap_p95_ms(seen.gaps, began, began + seconds), "tokens_per_s": speed}
    note = f"alone: {before}; training {_describe_training(result)}"
    return {"seconds": seconds, "failed": seen.num_failed, **figures, "note": note}


async def _sleep(room: _Room) -> dict[str, Any]:
    """Sleep, train with the card to itself, wake; the engine compares its answers itself."""
    await room.engine.load(room.adapter(1))
    server = room.engine.server
    assert server is not None
    leader, free = server.pid, _free_mib(room)
    began = time.monotonic()
    await room.engine.sleep()
    slept, given = time.monotonic(), _free_mib(room) - free
    result = await _train(room, "asleep")
    trained = time.monotonic()
    await room.engine.wake()
    woken = time.monotonic()
    seen = await _ask_many(room, 1, 1, room.adapter(1).name)
    same = "same answers" if server.pid == leader else "answers differed: started afresh"
    note = f"asleep in {slept - began:.2f} s, {given:,.0f} MiB given back; awake again in "
    note += f"{woken - trained:.2f} s, {same}; training {_describe_training(result)}"
    return {"seconds": woken - began, "failed": seen.num_failed, "note": note}


def _free_mib(room: _Room) -> float:
    return find_machine(room.context.device).free / MIB


async def _train(room: _Room, name: str) -> dict[str, Any]:
    """The product's training process on the same base; its result."""
    count, steps = (16, 2) if room.context.is_dry else (480, 30)
    run_dir = room.home / name
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir()
    recipe = Recipe(
        r=16, num_train_epochs=1, min_steps=steps, max_steps=steps, effective_batch_size=16,
        num_samples=0, tracking="off", patience=0,
    )  # fmt: skip
    job = TrainingJob(
        run_id=name,
        recipe=recipe,
        base=Base(room.base.name, room.base.path_or_hub_id, None, room.base.chat_template_kwargs),
        dataset_dir=str(_write_dataset(room.home / "dataset", count)),
        device=room.context.device,
    )
    job.write(run_dir)
    mark = await asyncio.to_thread(spawn, run_dir, 0)
    try:
        await asyncio.to_thread(_wait_for_end, mark)
    finally:
        _end(mark)
    result = read_json(run_dir / "result.json") or {}
    if result.get("state") != "done":
        raise RuntimeError(f"the training failed: {json.dumps(result.get('error'))}")
    return dict(result)


def _write_dataset(folder: Path, count: int) -> Path:
    """The project's own examples as a dataset folder, for a training process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for example in make_examples(count, seed=4):
            answer = [{"role": "assistant", "content": example.completion}]
            prompt = [dict(message) for message in example.messages]
            file.write(json.dumps({"prompt": prompt, "completion": answer}) + "\n")
    return folder


def _wait_for_end(mark: ProcessMark) -> None:
    while is_alive(mark):
        time.sleep(0.1)


def _end(mark: ProcessMark) -> None:
    if is_alive(mark):
        end_process(mark)


def _describe_training(result: Mapping[str, Any]) -> str:
    memory = result["memory"]
    return (
        f"{result['tokens_per_s']:,.0f} tokens/s, plan {memory['choice']}, peak "
        f"{memory['peak_mib']:,} MiB of {memory['estimate_mib']['total']:,} planned"
    )


# --- people ------------------------------------------------------------------------------------


async def _ask_many(
    room: _Room, streams: int, rounds: int, adapter: str | None, *, is_structured: bool = False
) -> Seen:
    """So many streams at once, each with so many answers one after another."""
    seen = Seen()

    async def talk(first: int) -> None:
        for number in range(rounds):
            await _ask(room, first + number, adapter, seen, is_structured=is_structured)

    await asyncio.gather(*(talk(stream * rounds) for stream in range(streams)))
    return seen


@asynccontextmanager
async def _talking(room: _Room, adapter: str) -> AsyncIterator[Seen]:
    """People who ask again as soon as their answer is there, until the end of the block."""
    seen = Seen()

    async def talk(first: int) -> None:
        for number in itertools.count(first, 1000):
            await _ask(room, number, adapter, seen)
            await asyncio.sleep(0)  # where all are refused at once, others still get a turn

    streams = 4 if room.context.is_dry else 16
    tasks = [asyncio.create_task(talk(number)) for number in range(streams)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _let_talk(room: _Room, seen: Seen) -> str:
    """How they fare when nothing happens."""
    await asyncio.sleep(0.5)
    began, tokens = time.monotonic(), seen.num_tokens
    await asyncio.sleep(2.0 if room.context.is_dry else _BASELINE_S)
    seconds = time.monotonic() - began
    gap = gap_p95_ms(seen.gaps, began, began + seconds) or 0.0
    return f"{(seen.num_tokens - tokens) / seconds:,.0f} tokens/s, gap p95 {gap:.1f} ms before"


async def _ask(
    room: _Room, number: int, adapter: str | None, seen: Seen, *, is_structured: bool = False
) -> None:
    most = 32 if room.context.is_dry else 128
    sampling = Sampling(1.0, 1.0, 900 if is_structured else most, number)
    schema = json_schema() if is_structured else None
    began, before, text = time.monotonic(), None, ""
    try:
        async with aclosing(
            room.engine.stream(_messages(number), adapter, sampling, schema)
        ) as chunks:
            async for chunk in chunks:
                now = time.monotonic()
                text += chunk.text
                if before is None:
                    seen.firsts.append(now - began)
                else:
                    seen.gaps.append((now, now - before))
                before = now
                seen.num_tokens += chunk.completion_tokens or 0
    except EngineError:
        seen.num_failed += 1
    seen.texts.append(text)


def _messages(number: int) -> tuple[Message, ...]:
    category = CATEGORIES[number % len(CATEGORIES)].code
    return (system_message("ko"), base_info_message(BaseInfo("city", "office", category), "ko"))
