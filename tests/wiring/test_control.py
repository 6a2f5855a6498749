import argparse
import asyncio
import json
import threading
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from wiring.control import CONTROL_PATH, ControlError, _Order, ask_running, build_control, to_plain


def make_client(run_command):
    app = FastAPI()
    app.include_router(build_control("secret", run_command))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")


async def test_a_command_streams_its_lines_and_then_its_exit_code():
    seen = []

    def run_command(name, arguments, say):
        seen.append((name, arguments))
        say("첫 줄")
        say("second line")
        return 3

    async with make_client(run_command) as client:
        response = await client.post(
            CONTROL_PATH,
            json={"command": "retrain", "arguments": {"json": False}},
            headers={"Authorization": "Bearer secret"},
        )
    assert [json.loads(line) for line in response.text.splitlines()] == [
        {"line": "첫 줄"},
        {"line": "second line"},
        {"exit_code": 3},
    ]
    assert seen == [("retrain", {"json": False})]


@pytest.mark.parametrize("header", ["", "Bearer wrong", "secret", "Bearer sécret"])
async def test_without_the_token_nothing_runs(header):
    def run_command(name, arguments, say):
        raise AssertionError("it ran")

    async with make_client(run_command) as client:
        response = await client.post(
            CONTROL_PATH,
            json={"command": "retrain", "arguments": {}},
            headers={"Authorization": header.encode()},
        )
    assert response.status_code == 403


def test_paths_become_absolute_before_they_travel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = to_plain(argparse.Namespace(file=Path("rows.jsonl"), accept=True, name=None))
    assert plain == {"file": str(tmp_path / "rows.jsonl"), "accept": True, "name": None}


def test_an_owner_that_takes_no_commands_is_named():
    with pytest.raises(ControlError, match=r"restore \(pid 12\)"):
        ask_running({"name": "restore", "pid": 12}, "versions", {}, print)


def test_an_application_that_is_gone_is_said_in_a_sentence():
    owner = {"url": "http://127.0.0.1:9", "control_token": "t"}
    with pytest.raises(ControlError, match="did not answer"):
        ask_running(owner, "versions", {}, print)


async def test_a_command_whose_caller_has_left_learns_it_from_its_next_line():
    left, ended, told = threading.Event(), threading.Event(), []

    def run_command(name, arguments, say):
        say("one")
        left.wait(10)
        try:
            say("two")
        except ControlError as error:
            told.append(str(error))
            raise
        finally:
            ended.set()

    app = build_control("secret", run_command)
    [route] = app.routes
    order = _Order(command="sweep", arguments={})
    response = await route.endpoint(order, "Bearer secret")
    lines = response.body_iterator
    assert json.loads(await anext(lines)) == {"line": "one"}
    await lines.aclose()
    left.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert told == ["Whoever gave the command has left."]
