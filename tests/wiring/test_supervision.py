"""Drills on the real application, over a model server that is a real process but no real model:
the server dies, the disk is full, the application is told to end, the application is killed.
"""

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.chatbot.engines.fake_openai import write_fake_vllm
from tests.running_app import RunningApp, running_app

pytestmark = pytest.mark.slow

PATH = "/ai/chatbot/recommendation/free-text"
FLAGS = ("--engine", "vllm")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder; whatever serves on it finds the fake vLLM."""
    home = tmp_path_factory.mktemp("drill")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(write_fake_vllm(home / "fake"))
    yield home / "data"
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def app(data_dir: Path) -> Iterator[RunningApp]:
    with running_app(data_dir, *FLAGS) as running:
        running.wait_ready(60)
        yield running


def wait_for(is_true: Callable[[], bool], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, f"not within {timeout_s} s"
        time.sleep(0.1)


def model_server(data_dir: Path) -> int:
    return int(json.loads((data_dir / "vllm.json").read_text())["pid"])


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def family(pid: int) -> set[int]:
    return {pid} | {child.pid for child in psutil.Process(pid).children(recursive=True)}


def ask(app: RunningApp, text: str = "산에서 할 만한 일을 알려 주세요") -> tuple[str, dict]:
    """The last event and its data. The fake's answer is no recommendation, and is said to be."""
    params = {"sessionId": f"s{time.monotonic()}", "message": text}
    response = httpx.get(app.url + PATH, params=params, timeout=60, trust_env=False)
    name, data = response.text.strip().split("\n\n")[-1].split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def is_answered(app: RunningApp) -> bool:
    return ask(app)[1]["message"].startswith("답변을 챌린지로 정리하지 못했어요")


def test_a_dead_model_server_is_said_and_comes_back_by_itself(
    app: RunningApp, data_dir: Path
) -> None:
    assert is_answered(app)
    dead = family(model_server(data_dir))
    os.kill(model_server(data_dir), signal.SIGKILL)
    wait_for(lambda: app._get("/health").json()["status"] == "warming", 5)
    name, data = ask(app)
    assert (name, data["status"]) == ("error", 503)
    assert data["message"].endswith("다시 시도해 주세요.")
    assert app._get("/").status_code == 200
    app.wait_ready(30)
    assert is_answered(app)
    assert alive(dead) == set()


def test_a_full_disk_is_said_and_passes(app: RunningApp, data_dir: Path) -> None:
    pid, none = app.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, none))
    try:
        name, data = ask(app)
        assert name == "error"
        assert data["status"] >= 500
        assert "챌린지로 정리하지 못했어요" not in data["message"]
        assert app._get("/").status_code == 200
        assert app._get("/health").status_code == 200
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (none, none))
    assert is_answered(app)


def test_sigterm_ends_everything_in_time_also_in_the_middle_of_answers(
    app: RunningApp, data_dir: Path
) -> None:
    heard: list[str] = []

    def listen() -> None:
        params = {"sessionId": "stalled", "message": "말하다 멈춰 주세요 (stall)"}
        try:
            with httpx.stream(
                "GET", app.url + PATH, params=params, timeout=60, trust_env=False
            ) as response:
                for piece in response.iter_text():
                    heard.append(piece)
        except httpx.HTTPError:
            heard.append("closed")

    listener = threading.Thread(target=listen)
    listener.start()
    wait_for(lambda: app._get("/health").json()["answers_running"] == 1, 10)
    everybody = family(app.process.pid)
    assert len(everybody) >= 3
    started = time.monotonic()
    app.process.send_signal(signal.SIGTERM)
    assert app.process.wait(30) == 0
    assert time.monotonic() - started < 30
    listener.join(10)
    assert not listener.is_alive()
    wait_for(lambda: alive(everybody) == set(), 2)
    assert not (data_dir / "vllm.json").exists()


def test_what_a_killed_application_left_is_found_and_cleaned(data_dir: Path) -> None:
    with running_app(data_dir, *FLAGS) as killed:
        killed.wait_ready(60)
        left = family(model_server(data_dir))
        killed.process.kill()
        killed.process.wait(10)
        assert alive(left) == left
    with running_app(data_dir, *FLAGS) as started:
        started.wait_ready(60)
        assert alive(left) == set()
        assert is_answered(started)
