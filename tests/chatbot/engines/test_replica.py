"""A server of our own as a real child process: the fake one, started by the real command line."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from chatbot.engines.base import AdapterRef, EngineError, Sampling
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import Timeouts, VllmServer, VllmSettings
from tests.chatbot.engines.fake_openai import ANSWER, write_fake_vllm
from tests.tiny_models import build_adapter, build_model


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VllmSettings:
    monkeypatch.setenv("PYTHONPATH", str(write_fake_vllm(tmp_path / "fake")))
    return VllmSettings(
        str(build_model(tmp_path / "model")),
        log_path=tmp_path / "log.txt",
        state_path=tmp_path / "state.json",
        shutdown_grace_s=1,
        timeouts=Timeouts(backoff_s=0.05),
    )


@pytest.fixture
async def engine(settings: VllmSettings) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(settings)
    await engine.start()
    await engine.wait_ready(20)
    yield engine
    await engine.stop()


async def _until(is_true: Callable[[], bool], timeout_s: float = 20) -> None:
    for _ in range(int(timeout_s / 0.02)):
        if is_true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it did not happen within {timeout_s} s")


def _group(leader: int) -> set[int]:
    return {leader} | {child.pid for child in psutil.Process(leader).children(recursive=True)}


def _alive(pids: set[int]) -> set[int]:
    found = (psutil.Process(pid) for pid in pids if psutil.pid_exists(pid))
    return {process.pid for process in found if process.status() != psutil.STATUS_ZOMBIE}


def _leader(state_path: Path) -> int:
    return int(json.loads(state_path.read_text())["pid"])


async def test_a_server_that_was_killed_comes_back_with_its_adapters(
    engine: VllmEngine, settings: VllmSettings, tmp_path: Path
) -> None:
    adapter = AdapterRef("v0001", build_adapter(tmp_path / "a", Path(settings.model)))
    await engine.load(adapter)
    leader = _leader(settings.state_path)
    group = _group(leader)
    os.kill(leader, signal.SIGKILL)
    await _until(lambda: engine.status().state == "starting")
    assert "stopped" in engine.status().detail
    with pytest.raises(EngineError) as caught:
        await anext(engine.stream([], None, Sampling(), None))
    assert caught.value.code == "not_ready"
    await engine.wait_ready(20)
    assert _alive(group) == set()
    assert _leader(settings.state_path) != leader
    answer = [chunk.text async for chunk in engine.stream([], "v0001", Sampling(), None)]
    assert "".join(answer) == ANSWER


async def test_a_server_that_hangs_is_ended_and_comes_back(settings: VllmSettings) -> None:
    impatient = Timeouts(health_s=0.3, health_every_s=0.1, hung_after_s=0.5, backoff_s=0.05)
    engine = VllmEngine(replace(settings, timeouts=impatient))
    await engine.start()
    await engine.wait_ready(20)
    leader = _leader(settings.state_path)
    os.kill(leader, signal.SIGSTOP)
    await _until(lambda: engine.status().state == "starting")
    assert "hung" in engine.status().detail
    await engine.wait_ready(20)
    assert _alive({leader}) == set()
    assert "".join([c.text async for c in engine.stream([], None, Sampling(), None)]) == ANSWER
    await engine.stop()


async def test_an_adapter_that_does_not_come_back_is_named(
    engine: VllmEngine, settings: VllmSettings, tmp_path: Path
) -> None:
    folder = build_adapter(tmp_path / "a", Path(settings.model))
    await engine.load(AdapterRef("v0001", folder))
    (folder / "adapter_config.json").rename(tmp_path / "gone")
    os.kill(_leader(settings.state_path), signal.SIGKILL)
    await _until(lambda: engine.status().state == "starting")
    await engine.wait_ready(20)
    assert engine.status().state == "degraded"
    assert "v0001" in engine.status().detail
    assert await engine.loaded() == ()


async def test_stopping_ends_the_whole_group(engine: VllmEngine, settings: VllmSettings) -> None:
    group = _group(_leader(settings.state_path))
    assert len(group) == 2
    await engine.stop()
    assert _alive(group) == set()
    assert not settings.state_path.exists()


async def test_a_server_that_cannot_start_fails_with_its_own_reason(
    settings: VllmSettings,
) -> None:
    engine = VllmEngine(replace(settings, extra_args=("--fail",)))
    await engine.start()
    with pytest.raises(EngineError, match="there is no --fail") as caught:
        await engine.wait_ready(30)
    assert caught.value.code == "died"
    assert engine.status().state == "failed"
    await engine.stop()


async def test_the_next_start_ends_what_a_killed_app_left(settings: VllmSettings) -> None:
    forgotten, server = VllmServer(settings), VllmServer(settings)
    forgotten.start()
    leader = forgotten.pid
    assert leader
    await _until(lambda: len(_group(leader)) == 2)
    group = _group(leader)
    os.kill(leader, signal.SIGKILL)
    await _until(lambda: forgotten.exit_code() is not None)
    assert len(_alive(group)) == 1
    server.start()
    assert _alive(group) == set()
    assert server.exit_code() is None
    server.end(grace_s=1)


async def test_it_sleeps_answers_nobody_and_wakes_as_it_was(
    settings: VllmSettings, tmp_path: Path
) -> None:
    engine = VllmEngine(replace(settings, sleep_level=1))
    await engine.start()
    await engine.wait_ready(20)
    await engine.load(AdapterRef("v0001", build_adapter(tmp_path / "a", Path(settings.model))))
    leader = _leader(settings.state_path)
    await engine.sleep()
    assert engine.status().state == "asleep"
    with pytest.raises(EngineError, match="sleeps while a training uses the card"):
        await anext(engine.stream([], None, Sampling(), None))
    await engine.wake()
    assert engine.status().state == "ready"
    assert _leader(settings.state_path) == leader
    answer = [chunk.text async for chunk in engine.stream([], "v0001", Sampling(), None)]
    assert "".join(answer) == ANSWER
    await engine.stop()


async def test_a_server_that_lost_something_in_its_sleep_is_started_afresh(
    settings: VllmSettings, tmp_path: Path
) -> None:
    engine = VllmEngine(replace(settings, sleep_level=1, extra_args=("--forget",)))
    await engine.start()
    await engine.wait_ready(20)
    await engine.load(AdapterRef("v0001", build_adapter(tmp_path / "a", Path(settings.model))))
    leader = _leader(settings.state_path)
    await engine.sleep()
    await engine.wake()
    assert _leader(settings.state_path) != leader
    assert [ref.name for ref in await engine.loaded()] == ["v0001"]
    await engine.stop()


async def test_a_server_that_dies_asleep_is_started_only_when_it_shall_wake(
    settings: VllmSettings,
) -> None:
    engine = VllmEngine(replace(settings, sleep_level=1))
    await engine.start()
    await engine.wait_ready(20)
    await engine.sleep()
    leader = _leader(settings.state_path)
    os.kill(leader, signal.SIGKILL)
    await _until(lambda: engine.status().state == "starting")
    await asyncio.sleep(0.5)  # many times the pause before a start
    assert _leader(settings.state_path) == leader
    await engine.wake()
    assert engine.status().state == "ready"
    assert _leader(settings.state_path) != leader
    await engine.stop()


async def test_an_engine_that_was_not_made_for_it_does_not_sleep(engine: VllmEngine) -> None:
    assert not engine.can_sleep
    with pytest.raises(EngineError) as caught:
        await engine.sleep()
    assert caught.value.code == "refused"
