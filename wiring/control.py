"""Commands while the application runs: they are carried out by it, since it alone may write.

The running application notes its address and a token in the lock file of the data folder (readable
by its owner only). A command finds it there, sends its arguments, and prints what comes back.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import threading
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

CONTROL_PATH: Final = "/control"
Say = Callable[[str], None]
RunCommand = Callable[[str, dict[str, Any], Say], int]


class ControlError(RuntimeError):
    """The running application could not be asked."""

    code = "not_reached"


class _Order(BaseModel):
    command: str
    arguments: dict[str, Any]


def make_token() -> str:
    """A new random token for one life of the application."""
    return secrets.token_urlsafe(32)


def to_plain(arguments: Namespace) -> dict[str, Any]:
    """Parsed arguments as JSON types; paths become absolute, since the application has its own
    working folder.
    """
    return {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
    }


def build_control(token: str, run_command: RunCommand) -> APIRouter:
    """One route: run a command with the application's own store and engine, stream its lines."""
    router = APIRouter()

    @router.post(CONTROL_PATH, include_in_schema=False)
    async def control(order: _Order, authorization: str = Header("")) -> StreamingResponse:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(403, "This route is for the commands of this application only.")
        return StreamingResponse(
            _stream_lines(run_command, order), media_type="application/x-ndjson"
        )

    return router


async def _stream_lines(run_command: RunCommand, order: _Order) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    is_gone = threading.Event()

    def put(line: str | None) -> None:
        if is_gone.is_set() and line is not None:
            raise ControlError("Whoever gave the command has left.")
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def work() -> int:
        try:
            return run_command(order.command, order.arguments, put)
        finally:
            put(None)

    result = loop.run_in_executor(None, work)
    result.add_done_callback(lambda ended: ended.exception())  # nobody may be there to ask
    try:
        while (line := await lines.get()) is not None:
            yield json.dumps({"line": line}, ensure_ascii=False) + "\n"
    finally:
        is_gone.set()
    yield json.dumps({"exit_code": await result}) + "\n"


def ask_running(owner: dict[str, Any], command: str, arguments: dict[str, Any], say: Say) -> int:
    """Have the running application do it; returns the exit code of the command."""
    url, token = owner.get("url"), owner.get("control_token")
    if not url or not token:
        raise ControlError(
            f"The data folder is in use by {owner.get('name')} (pid {owner.get('pid')}), which "
            "takes no commands yet. Try again in a few seconds, or end it first."
        )
    request = {"command": command, "arguments": arguments}
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.stream(
            "POST", url + CONTROL_PATH, json=request, headers=headers, timeout=None, trust_env=False
        ) as response:
            if response.status_code != 200:
                raise ControlError(f"The application answered {response.status_code}.")
            return _follow(response, say)
    except httpx.HTTPError as error:
        raise ControlError(f"The application at {url} did not answer: {error}.") from error


def _follow(response: httpx.Response, say: Say) -> int:
    for text in response.iter_lines():
        message = json.loads(text)
        if "line" in message:
            say(message["line"])
        else:
            return int(message["exit_code"])
    raise ControlError("The application ended before the command did.")
