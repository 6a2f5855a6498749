"""The client against a server that answers as vLLM does, and goes wrong in every way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatbot import prompts
from chatbot.engines.base import AdapterRef, Chunk, EngineError, Sampling
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import Timeouts, VllmSettings
from tests.chatbot.engines.fake_openai import ANSWER, FakeOpenAI
from tests.tiny_models import build_adapter, build_model

MESSAGES = (prompts.system_message("ko"), {"role": "user", "content": "안녕"})
QUICK = Timeouts(
    connect_s=0.5,
    first_token_s=0.3,
    between_tokens_s=0.3,
    load_s=0.3,
    score_s=0.3,
    health_s=0.5,
    health_every_s=0.1,
    backoff_s=0.05,
)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def second_server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def engine(server: FakeOpenAI, tmp_path: Path) -> AsyncIterator[VllmEngine]:
    async with _started(tmp_path, server.url) as started:
        yield started


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> AdapterRef:
    folder = tmp_path_factory.mktemp("adapter")
    return AdapterRef("v0001", build_adapter(folder / "a", build_model(folder / "m")))


@asynccontextmanager
async def _started(tmp_path: Path, *urls: str) -> AsyncIterator[VllmEngine]:
    """An engine whose servers are all ready."""
    engine = _engine_for(tmp_path, *urls)
    await engine.start()
    await _until(lambda: engine.status().state == "ready")
    await engine.wait_ready(1)
    yield engine
    await engine.stop()


def _engine_for(tmp_path: Path, *urls: str) -> VllmEngine:
    return VllmEngine(
        VllmSettings(
            "tiny",
            log_path=tmp_path / "log",
            state_path=tmp_path / "state",
            url=urls,
            timeouts=QUICK,
            shutdown_grace_s=0.2,
        )
    )


async def _until(is_true: Callable[[], bool]) -> None:
    for _ in range(1500):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 15 s")


async def _answer(
    engine: VllmEngine, adapter: str | None = None, schema: dict[str, Any] | None = None
) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(MESSAGES, adapter, Sampling(), schema)]


async def _error_code(engine: VllmEngine) -> str:
    with pytest.raises(EngineError) as caught:
        await _answer(engine)
    return caught.value.code


@pytest.mark.parametrize("fault", ["", "reordered"])
async def test_an_answer_comes_whole_with_reason_and_counts(
    fault: str, engine: VllmEngine, server: FakeOpenAI
) -> None:
    server.behaviour.fault = fault
    chunks = await _answer(engine)
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    assert chunks[-1] == Chunk("", "stop", 7, 9)
    assert engine.context_window == 1024


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("silence", "timed_out"),
        ("drip", "timed_out"),
        ("stall", "timed_out"),
        ("cut", "died"),
        ("short", "broken_stream"),
        ("not_json", "broken_stream"),
        ("not_utf8", "broken_stream"),
        ("no_choices", "broken_stream"),
        ("error_event", "broken_stream"),
        ("engine_dead", "died"),
        ("engine_gone", "died"),
        ("status_engine_gone", "died"),
        ("status_500", "refused"),
        ("status_503", "not_ready"),
        ("too_long", "too_long"),
    ],
)
async def test_a_fault_ends_the_answer_with_its_code_and_the_engine_goes_on(
    fault: str, code: str, engine: VllmEngine, server: FakeOpenAI
) -> None:
    server.behaviour.fault = fault
    started_at = time.monotonic()
    assert await _error_code(engine) == code
    assert time.monotonic() - started_at < 1.5
    server.behaviour.fault = ""
    assert "".join(chunk.text for chunk in await _answer(engine)) == ANSWER


async def test_only_known_fields_go_upstream(engine: VllmEngine, server: FakeOpenAI) -> None:
    forged: Any = {"role": "user", "content": "안녕", "tool_calls": [1], "name": "admin"}
    schema = {"type": "object"}
    async for _ in engine.stream([forged], None, Sampling(0.5, 0.8, 33, 4), schema):
        pass
    assert server.behaviour.requests == [
        (
            "/v1/chat/completions",
            {
                "model": "base",
                "messages": [{"role": "user", "content": "안녕"}],
                "temperature": 0.5,
                "top_p": 0.8,
                "max_tokens": 33,
                "seed": 4,
                "stream": True,
                "stream_options": {"include_usage": True},
                "repetition_detection": {
                    "max_pattern_size": 20,
                    "min_pattern_size": 1,
                    "min_count": 8,
                },
                "chat_template_kwargs": {},
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": schema},
                },
            },
        )
    ]


async def test_closing_the_answer_closes_the_connection(
    engine: VllmEngine, server: FakeOpenAI
) -> None:
    server.behaviour.fault = "stall"
    chunks = engine.stream(MESSAGES, None, Sampling(), None)
    assert (await anext(chunks)).text == "산"
    await chunks.aclose()
    assert await asyncio.to_thread(server.behaviour.broken_off.wait, 2)


async def test_an_adapter_is_loaded_once_and_answers(
    engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    probe = await engine.load(adapter)
    assert (probe.mean_abs_logprob_diff, probe.num_tokens) == (0.5, 8)
    assert await engine.load(adapter) == probe
    assert await engine.loaded() == (adapter,)
    await _answer(engine, "v0001")
    loads = [body for path, body in server.behaviour.requests if "load_lora" in path]
    assert loads == [{"lora_name": "v0001", "lora_path": str(adapter.path)}]


async def test_an_adapter_without_effect_is_unloaded_and_refused(
    engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    server.behaviour.load_fault = "no_effect"
    with pytest.raises(EngineError) as caught:
        await engine.load(adapter)
    assert caught.value.code == "no_effect"
    assert (await engine.loaded(), server.behaviour.adapters) == ((), {})


@pytest.mark.parametrize(("fault", "code"), [("hang", "timed_out"), ("refuse", "bad_adapter")])
async def test_a_load_that_fails_leaves_nothing_behind(
    fault: str, code: str, engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    server.behaviour.load_fault = fault
    with pytest.raises(EngineError) as caught:
        await engine.load(adapter)
    server.behaviour.may_go_on.set()
    assert caught.value.code == code
    assert await engine.loaded() == ()


async def test_a_name_is_never_used_for_another_folder(
    engine: VllmEngine, adapter: AdapterRef, tmp_path: Path
) -> None:
    await engine.load(adapter)
    with pytest.raises(EngineError, match="taken"):
        await engine.load(AdapterRef("v0001", tmp_path))


async def test_an_unknown_adapter_is_refused_before_anything_is_sent(
    engine: VllmEngine, server: FakeOpenAI
) -> None:
    with pytest.raises(EngineError) as caught:
        await _answer(engine, "v0099")
    assert (caught.value.code, server.behaviour.requests) == ("unknown_adapter", [])


async def test_unloading_waits_for_the_answer_in_flight(
    engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    await engine.load(adapter)
    server.behaviour.fault = "stall"
    chunks = engine.stream(MESSAGES, "v0001", Sampling(), None)
    await anext(chunks)
    unloading = asyncio.create_task(engine.unload("v0001"))
    await asyncio.sleep(0.05)
    assert "v0001" in server.behaviour.adapters
    with pytest.raises(EngineError, match="not loaded"):
        await _answer(engine, "v0001")
    await chunks.aclose()
    await unloading
    assert (await engine.loaded(), server.behaviour.adapters) == ((), {})
    await engine.unload("v0001")


async def test_an_adapter_that_could_not_be_unloaded_can_be_loaded_again(
    engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    """Else the way back to a version would be closed until the next restart."""
    await engine.load(adapter)
    server.behaviour.load_fault = "hang"
    with pytest.raises(EngineError):
        await engine.unload(adapter.name)
    server.behaviour.load_fault = ""
    assert await engine.loaded() == ()
    await engine.load(adapter)
    assert await engine.loaded() == (adapter,)


async def test_an_unloading_that_is_given_up_leaves_the_adapter_answering(
    engine: VllmEngine, server: FakeOpenAI, adapter: AdapterRef
) -> None:
    await engine.load(adapter)
    server.behaviour.fault = "stall"
    answering = asyncio.create_task(_answer(engine, adapter.name))
    await _until(server.behaviour.answering.is_set)
    unloading = asyncio.create_task(engine.unload(adapter.name))
    await asyncio.sleep(0.05)
    unloading.cancel()
    await asyncio.gather(unloading, return_exceptions=True)
    assert await engine.loaded() == (adapter,)
    server.behaviour.may_go_on.set()
    await asyncio.gather(answering, return_exceptions=True)


async def test_an_adapter_is_loaded_on_all_servers_or_on_none(
    server: FakeOpenAI, second_server: FakeOpenAI, adapter: AdapterRef, tmp_path: Path
) -> None:
    async with _started(tmp_path, server.url, second_server.url) as engine:
        second_server.behaviour.load_fault = "no_effect"
        with pytest.raises(EngineError):
            await engine.load(adapter)
        assert (server.behaviour.adapters, second_server.behaviour.adapters) == ({}, {})
        second_server.behaviour.load_fault = ""
        await engine.load(adapter)
        known = {"v0001": str(adapter.path)}
        assert (server.behaviour.adapters, second_server.behaviour.adapters) == (known, known)


async def test_answers_come_from_the_server_with_the_fewest_in_flight(
    server: FakeOpenAI, second_server: FakeOpenAI, tmp_path: Path
) -> None:
    async with _started(tmp_path, server.url, second_server.url) as engine:
        server.behaviour.fault = second_server.behaviour.fault = "stall"
        answers = [engine.stream(MESSAGES, None, Sampling(), None) for _ in range(4)]
        for answer in answers:
            await anext(answer)
        counts = [len(item.behaviour.requests) for item in (server, second_server)]
        for answer in answers:
            await answer.aclose()
        assert counts == [2, 2]


async def test_adapters_that_a_server_has_from_before_are_found_and_proved(
    server: FakeOpenAI, adapter: AdapterRef, tmp_path: Path
) -> None:
    server.behaviour.adapters["v0001"] = str(adapter.path)
    async with _started(tmp_path, server.url) as engine:
        assert await engine.loaded() == (adapter,)
        assert (await engine.load(adapter)).num_tokens == 8


async def test_a_server_that_cannot_be_reached_is_said_so(tmp_path: Path) -> None:
    engine = _engine_for(tmp_path, "http://127.0.0.1:9")
    await engine.start()
    with pytest.raises(EngineError) as caught:
        await engine.wait_ready(0.3)
    assert caught.value.code == "not_ready"
    assert await _error_code(engine) == "not_ready"
    await engine.stop()
    assert engine.status().state == "stopped"


async def test_a_url_of_something_else_is_said_so(server: FakeOpenAI, tmp_path: Path) -> None:
    server.behaviour.is_vllm = False
    engine = _engine_for(tmp_path, server.url)
    await engine.start()
    with pytest.raises(EngineError, match="Check the URL"):
        await engine.wait_ready(0.5)
    server.behaviour.is_vllm = True
    await engine.wait_ready(5)
    await engine.stop()


async def test_a_server_that_goes_away_and_comes_back_is_used_again(
    server: FakeOpenAI, second_server: FakeOpenAI, adapter: AdapterRef, tmp_path: Path
) -> None:
    async with _started(tmp_path, server.url, second_server.url) as engine:
        second_server.behaviour.healthy = False
        await _until(lambda: engine.status().state == "degraded")
        await engine.load(adapter)
        assert second_server.behaviour.adapters == {}
        await asyncio.gather(*(_answer(engine) for _ in range(4)))
        assert not any("chat" in path for path, _ in second_server.behaviour.requests)
        second_server.behaviour.healthy = True
        await _until(lambda: engine.status().state == "ready")
        assert second_server.behaviour.adapters == {"v0001": str(adapter.path)}
