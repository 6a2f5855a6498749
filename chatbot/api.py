"""The HTTP API: the wire contract that existing clients speak, health, metrics and its own page of
documentation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from chatbot import api_docs, wire
from chatbot.engines.base import EngineState
from chatbot.errors import ChatError
from chatbot.event_stream import EventStream, while_connected
from chatbot.identity import Identity
from chatbot.metrics import Metrics
from chatbot.route_path import QUESTIONS_PREFIX
from chatbot.service import ChatService, Failed, Finished, Progress, Started, TurnEvent, TurnRequest
from chatbot.themes import detect_lang

_HEALTH: Final[dict[EngineState, str]] = {
    "ready": "ready",
    "starting": "warming",
    "asleep": "asleep",
    "degraded": "degraded",
    "failed": "degraded",
    "stopped": "degraded",
}
# For those who may not read the engine's own words, which can hold a path or a line of its log.
_WHY: Final[dict[EngineState, str]] = {
    "ready": "The model answers.",
    "starting": "The model is warming up.",
    "asleep": "The model rests while it learns.",
    "degraded": "The service runs in part.",
    "failed": "The model did not start.",
    "stopped": "The model has stopped.",
}
_GONE_STATUS: Final = 499  # nginx's number for a client that closed the connection


@dataclass(frozen=True)
class ApiSettings:
    """What a deployment may want to change."""

    keep_alive_s: float = 15.0  # silence after which a comment shows that the stream lives
    max_body: int = 64 * 1024  # bytes


def build_api(
    service: ChatService,
    identity: Identity,
    metrics: Metrics,
    settings: ApiSettings | None = None,
) -> APIRouter:
    """All routes of the API."""
    api = _Api(service, identity, settings or ApiSettings(), metrics)
    router = APIRouter()
    for name, read, operation in (
        ("base-info", api.read_base_info, api_docs.BASE_INFO),
        ("free-text", api.read_free_text, api_docs.FREE_TEXT),
    ):
        path = f"{QUESTIONS_PREFIX}{name}"
        for method in ("GET", "POST"):
            router.add_api_route(
                path,
                api.route(name, method, read),
                methods=[method],
                response_class=Response,
                name=f"{name} {method}",
                **operation[method],
            )
    router.add_api_route("/health", api.health, **api_docs.HEALTH)
    router.add_api_route("/metrics", api.render_metrics, **api_docs.METRICS)
    router.add_api_route("/docs", api.show_docs, include_in_schema=False)
    return router


Read = Callable[[Request, Mapping[str, Any]], TurnRequest]


class _Api:
    """The routes and what they share."""

    def __init__(
        self, service: ChatService, identity: Identity, settings: ApiSettings, metrics: Metrics
    ) -> None:
        self._service = service
        self._identity = identity
        self._settings = settings
        self._metrics = metrics

    # --- what is asked --------------------------------------------------------------------------

    def read_base_info(self, request: Request, fields: Mapping[str, Any]) -> TurnRequest:
        """The turn of the three choices; raises Refusal."""
        info = wire.read_base_info(fields)
        return TurnRequest(
            **self._who(request, fields), lang="ko", mode="base_info", base_info=info
        )

    def read_free_text(self, request: Request, fields: Mapping[str, Any]) -> TurnRequest:
        """The turn of a free message; raises Refusal."""
        text = wire.read_message(fields)
        lang = detect_lang(text)
        return TurnRequest(**self._who(request, fields), lang=lang, mode="free_text", text=text)

    def _who(self, request: Request, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Person and conversation. A client without our cookie is its session, and nobody reaches
        a session of somebody with a cookie.
        """
        session = wire.read_session(fields)
        person_id = self._identity.read_person(request.cookies)
        person_id = person_id or self._identity.derive_id("s", session)
        conversation_id = self._identity.derive_id("c", person_id, session)
        return {"person_id": person_id, "conversation_id": conversation_id, "origin": "api"}

    # --- how it is answered ---------------------------------------------------------------------

    def route(self, name: str, method: str, read: Read) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of one path and method."""
        names = wire.BASE_INFO_FIELDS if name == "base-info" else wire.FREE_TEXT_FIELDS

        async def stream(request: Request) -> Response:
            try:
                events = self._service.answer(read(request, request.query_params))
                started = await _begin(events)
            except wire.Refusal as refusal:
                self._metrics.count_request(name, method, refusal.status)
                return self._refuse_stream(request, refusal)
            count = self._counter(name, method)
            return EventStream(_to_events(events, started, count), self._settings.keep_alive_s)

        async def answer(request: Request) -> Response:
            try:
                fields = wire.read_body(await _read_body(request, self._settings.max_body), names)
                events = self._service.answer(read(request, fields))
                started = await _begin(events)
                content = await while_connected(request.receive, _collect(events, started))
            except wire.Refusal as refusal:
                self._metrics.count_request(name, method, refusal.status)
                return JSONResponse(refusal.envelope(), refusal.status, refusal.headers())
            self._metrics.count_request(name, method, 200 if content else _GONE_STATUS)
            return JSONResponse(content) if content else Response(status_code=_GONE_STATUS)

        return stream if method == "GET" else answer

    def _counter(self, name: str, method: str) -> Callable[[int], None]:
        return lambda status: self._metrics.count_request(name, method, status)

    def _refuse_stream(self, request: Request, refusal: wire.Refusal) -> Response:
        """A browser's EventSource hides the body of anything but a 200, so what asks for an event
        stream gets the error as an event of a 200; all else also gets the status.
        """
        is_event_source = "text/event-stream" in request.headers.get("accept", "")

        async def one() -> AsyncGenerator[bytes, None]:
            yield wire.to_event("error", refusal.envelope())

        return EventStream(
            one(),
            self._settings.keep_alive_s,
            200 if is_event_source else refusal.status,
            refusal.headers(),
        )

    # --- everything else ------------------------------------------------------------------------

    async def health(self, request: Request) -> dict[str, Any]:
        """Always 200 while the application answers: where the engine stands is in the body. `why`
        is the engine's own sentence for those with a role in the studio, else a general one.
        """
        status = self._service.status()
        production = self._service.production()
        return {
            "status": _HEALTH[status.state],
            "why": status.detail if self._identity.role_of(request) else _WHY[status.state],
            "engine": status.state,
            "base_model": status.base_model,
            "adapter": production.name if production else None,
            "answers_running": self._service.limits.num_running,
        }

    async def render_metrics(self) -> Response:
        """The text format of Prometheus."""
        return Response(self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

    async def show_docs(self, request: Request) -> Response:
        """The OpenAPI description as a page that needs nothing from outside."""
        return HTMLResponse(api_docs.render_page(request.app.openapi()))


async def _read_body(request: Request, max_body: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_body:
            raise wire.Refusal(413, "요청이 너무 커요.", ("body",))
    return bytes(body)


async def _begin(events: AsyncGenerator[TurnEvent, None]) -> Started:
    """The first event; raises Refusal when the turn is not begun."""
    try:
        first = await anext(events)
    except ChatError as error:
        raise wire.refuse(error) from error
    assert isinstance(first, Started)
    return first


def _conclude(event: TurnEvent, category: str) -> dict[str, Any]:
    """The envelope of the last event; raises Refusal when there is no whole answer."""
    if isinstance(event, Failed):
        raise wire.refuse(event)
    if isinstance(event, Finished) and event.recommendation:
        return wire.to_envelope(event.recommendation, category)
    raise wire.unreadable()


async def _collect(events: AsyncGenerator[TurnEvent, None], started: Started) -> dict[str, Any]:
    last: TurnEvent = started
    async with aclosing(events):
        async for event in events:
            last = event
    return _conclude(last, started.base_info.category)


async def _to_events(
    events: AsyncGenerator[TurnEvent, None], started: Started, count: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """The events of the contract: pieces, then exactly one close or error."""
    last: TurnEvent = started
    status = _GONE_STATUS
    try:
        async with aclosing(events):
            async for last in events:
                if isinstance(last, Progress) and last.delta:
                    yield wire.to_event("challenge", wire.to_token(last.delta))
        try:
            content = _conclude(last, started.base_info.category)
            status = 200
            yield wire.to_event("close", content)
        except wire.Refusal as refusal:
            status = refusal.status
            yield wire.to_event("error", refusal.envelope())
    finally:
        count(status)
