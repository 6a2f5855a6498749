"""While every place is taken, whoever asks for one more answer is told so at once.

This stands before everything else: when a thousand come together, a refusal must cost next to
nothing, or the last of them waits for all the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot import wire
from chatbot.limits import describe_busy
from chatbot.route_path import QUESTIONS_PREFIX, route_path

ROUTES: Final = ("base-info", "free-text")  # the questions of the API, below their prefix


@dataclass(frozen=True)
class House:
    """Whether no further answer may begin now, and who is told of a refusal: the route, the method
    and the status that it means.
    """

    is_full: Callable[[], bool]
    count: Callable[[str, str, int], None]


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

    def __init__(self, app: ASGIApp, house: House) -> None:
        self.app = app
        self.house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        is_http = scope["type"] == "http"
        route = _find_route(scope) if is_http and self.house.is_full() else None
        if route is None:
            await self.app(scope, receive, send)
            return
        self.house.count(route, scope["method"], wire.refuse(describe_busy()).status)
        is_get = scope["method"] == "GET"
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        start, body = _refusal(
            is_event_source=is_get and b"text/event-stream" in accept, is_get=is_get
        )
        await send(start)
        await send(body)


def _find_route(scope: Scope) -> str | None:
    """The question's route; None for anything else."""
    path = route_path(scope)
    if scope["method"] not in ("GET", "POST") or not path.startswith(QUESTIONS_PREFIX):
        return None
    route = path.removeprefix(QUESTIONS_PREFIX)
    return route if route in ROUTES else None
