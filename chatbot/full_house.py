"""While every place is taken, whoever asks for one more answer is told so at once.

This stands before everything else: when a thousand come together, a refusal must cost next to
nothing, or the last of them waits for all the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot import wire
from chatbot.limits import describe_busy
from chatbot.route_path import route_path

_BEGINNING: Final = "/ai/chatbot/"


@cache
def _refusal(*, is_event_source: bool, is_get: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two messages of the answer; see chatbot.api for when it is a stream."""
    refusal = wire.refuse(describe_busy())
    content = refusal.envelope()
    body = wire.to_event("error", content) if is_get else wire.to_json(content).encode()
    kind = b"text/event-stream; charset=utf-8" if is_get else b"application/json"
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *((name.encode(), value.encode()) for name, value in refusal.headers().items()),
    ]
    status = 200 if is_event_source else refusal.status
    start = {"type": "http.response.start", "status": status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


class FullHouse:
    """Refuses questions to the API while no place is free."""

    def __init__(self, app: ASGIApp, is_full: Callable[[], bool]) -> None:
        self.app = app
        self.is_full = is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        if scope["type"] != "http" or not self.is_full() or not _is_question(scope):
            await self.app(scope, receive, send)
            return
        is_get = scope["method"] == "GET"
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        start, body = _refusal(
            is_event_source=is_get and b"text/event-stream" in accept, is_get=is_get
        )
        await send(start)
        await send(body)


def _is_question(scope: Scope) -> bool:
    return scope["method"] in ("GET", "POST") and route_path(scope).startswith(_BEGINNING)
