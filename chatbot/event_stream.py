"""Server-sent events as plain ASGI: sent at once, kept alive by comments, and stopped when the
client is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")

KEEP_ALIVE: Final = b": keep-alive\n\n"
_HEADERS: Final = {
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",  # nginx must not gather events
}


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of the work, or None when the client left first and the work was cancelled."""
    worker = asyncio.create_task(work)
    watcher = asyncio.create_task(_wait_gone(receive))
    try:
        await asyncio.wait({worker, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return worker.result() if worker.done() else None
    finally:
        worker.cancel()
        watcher.cancel()
        await asyncio.gather(worker, watcher, return_exceptions=True)


class EventStream(Response):
    """Sends events as they come. Headers go out at once, so that a client knows it is heard."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        keep_alive_s: float,
        status_code: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = None
        self.body = b""
        self.events = events
        self.keep_alive_s = keep_alive_s
        self.init_headers({**_HEADERS, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything; closes the events whatever happens."""
        try:
            await while_connected(receive, self._send_all(send))
        finally:
            await self.events.aclose()

    async def _send_all(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        keeper = asyncio.create_task(self._keep_alive(send))
        try:
            async with aclosing(self.events) as events:
                async for event in events:
                    self._is_quiet = False
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            keeper.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            self._is_quiet = True
            await asyncio.sleep(self.keep_alive_s)
            if self._is_quiet:
                await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
