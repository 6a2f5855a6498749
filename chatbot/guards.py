"""What stands before every route, as plain ASGI that never buffers a stream: headers, the
person cookie, the studio's door, and the greatest body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.full_house import FullHouse, House
from chatbot.identity import PERSON_COOKIE, Identity
from chatbot.route_path import (
    API_PREFIX,
    GRADIO_API,
    LOGIN_PATH,
    LOGOUT_PATH,
    STUDIO_PREFIX,
    UnderPath,
    is_studio,
    route_path,
)

UPLOAD_PATH: Final = f"{STUDIO_PREFIX}{GRADIO_API}/upload"
_OPEN_STUDIO_PATHS: Final = (LOGIN_PATH, LOGOUT_PATH)
_YEAR_S: Final = 365 * 24 * 3600

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class GuardSettings:
    """How much may be sent, and from which other pages the API may be called."""

    cors_origins: tuple[str, ...] = ()  # "*" for any
    max_body: int = 64 * 1024  # bytes, of everything that strangers send
    max_studio_body: int = 1024 * 1024
    max_upload: int = 512 * 1024 * 1024  # examples to import, in the studio


def install_guards(
    app: FastAPI,
    identity: Identity,
    settings: GuardSettings | None = None,
    house: House | None = None,
) -> None:
    """Put all guards before the routes of the app; the last one added is the first one asked."""
    settings = settings or GuardSettings()
    app.add_middleware(StudioDoor, identity=identity)
    app.add_middleware(PersonCookie, identity=identity)
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(OwnPages)
    if house:
        app.add_middleware(FullHouse, house=house)
    if settings.cors_origins:
        app.add_middleware(ApiCors, origins=settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    if app.root_path:
        app.add_middleware(UnderPath, root_path=app.root_path)


class OwnPages:
    """Only our own pages may send something to the page and the studio, or read what they answer.

    Gradio lets any page read its answers, with cookies, wherever it is not asked as localhost. The
    API has rules of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        if scope["type"] != "http" or route_path(scope).startswith(API_PREFIX):
            await self.app(scope, receive, send)
            return
        sends = scope["method"] not in ("GET", "HEAD")
        answers_itself = route_path(scope) in _OPEN_STUDIO_PATHS  # the login, with a page
        if sends and not answers_itself and _is_foreign(HTTPConnection(scope).headers):
            detail = "Requests from other sites are not accepted."
            await JSONResponse({"detail": detail}, 403)(scope, receive, send)
            return

        async def send_to_own(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in [name for name in headers if name.startswith("access-control-")]:
                    del headers[name]
            await send(message)

        await self.app(scope, receive, send_to_own)


def _is_foreign(headers: Headers) -> bool:
    """Whether another site's page sent it. No page can set the second header without being asked
    first whether it may.
    """
    origin = headers.get("origin")
    ours = (headers.get("host"), headers.get("x-forwarded-host"))
    return origin is not None and (origin == "null" or urlsplit(origin).netloc not in ours)


class SecurityHeaders:
    """Adds the headers that keep foreign scripts, frames and types out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class ApiCors:
    """Cross-origin rules for the API alone."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app = app
        self.with_cors = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["content-type", "cache-control", "last-event-id"],
            expose_headers=["retry-after"],
            allow_credentials="*" not in origins,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        is_api = scope["type"] == "http" and route_path(scope).startswith(API_PREFIX)
        await (self.with_cors if is_api else self.app)(scope, receive, send)


class BodyLimits:
    """The greatest body of each part of the application; 413 beyond it. The API limits its own, to
    say so in its own words.
    """

    def __init__(self, app: ASGIApp, settings: GuardSettings) -> None:
        self.app = app
        self.for_all = RequestBodyLimitMiddleware(app, settings.max_body)
        self.for_studio = RequestBodyLimitMiddleware(app, settings.max_studio_body)
        self.for_upload = RequestBodyLimitMiddleware(app, settings.max_upload)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        path = route_path(scope) if scope["type"] == "http" else API_PREFIX
        await self._choose(path)(scope, receive, send)

    def _choose(self, path: str) -> ASGIApp:
        if path.startswith(API_PREFIX):
            return self.app
        if not is_studio(path) or path in _OPEN_STUDIO_PATHS:
            return self.for_all
        return self.for_upload if path == UPLOAD_PATH else self.for_studio


class PersonCookie:
    """Gives everybody on a page a signed cookie, and every request its `state.person_id`.

    The API gives none: its clients keep no cookies, and are told apart by their sessions.
    """

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self.app = app
        self.identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        if scope["type"] != "http" or route_path(scope).startswith(API_PREFIX):
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        person_id = self.identity.read_person(HTTPConnection(scope).cookies)
        if person_id:
            state["person_id"] = person_id
            await self.app(scope, receive, send)
            return
        state["person_id"], cookie = self.identity.new_person()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if not _may_be_shared(headers):
                    headers.append(
                        "set-cookie", make_cookie(scope, PERSON_COOKIE, cookie, _YEAR_S, "Lax")
                    )
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _may_be_shared(headers: MutableHeaders) -> bool:
    """Whether a cache in between may hand the response to somebody else."""
    control = headers.get("cache-control", "")
    return "public" in control or "max-age" in control


def make_cookie(scope: Scope, name: str, value: str, max_age_s: int, same_site: str) -> str:
    """A Set-Cookie value that scripts cannot read, and that only https carries where there is
    https.
    """
    path = str(scope.get("root_path", "")).rstrip("/") or "/"
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return (
        f"{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite={same_site}{secure}"
    )


class StudioDoor:
    """Lets nobody without a role reach the studio: pages go to the login, all else gets 401."""

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self.app = app
        self.identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        if scope["type"] not in ("http", "websocket") or self._may_pass(scope):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._refuse(scope)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        path = route_path(scope)
        if not is_studio(path) or path in _OPEN_STUDIO_PATHS:
            return True
        return self.identity.role_of(HTTPConnection(scope)) is not None

    def _refuse(self, scope: Scope) -> ASGIApp:
        is_page = scope["method"] == "GET" and "text/html" in HTTPConnection(scope).headers.get(
            "accept", ""
        )
        if is_page and self.identity.settings.is_login_required:
            root = quote(str(scope.get("root_path", "")).rstrip("/"))
            return RedirectResponse(f"{root}{LOGIN_PATH}", status_code=303)
        detail = "Log in to the studio first."
        if not self.identity.settings.is_login_required:
            detail = "The studio opens only on this machine, at localhost, until a password is set."
        return JSONResponse({"detail": detail}, status_code=401)
