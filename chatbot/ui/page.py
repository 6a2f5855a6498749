"""What surrounds the Gradio pages: language, styles and script before the first paint, security
headers, and the way to the login.

An ASGI middleware, because Gradio reads the browser's language before any `head=` script runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.ui.i18n import LANG_COOKIE, pick_lang, t

ASSETS_DIR: Final = Path(__file__).parents[2] / "assets"
STUDIO_PATH: Final = "/studio"
_PAGES: Final = ("/", STUDIO_PATH, f"{STUDIO_PATH}/")
_CSP: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
_SECURITY_HEADERS: Final = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class PageSettings:
    """What the pages are called and who may see the studio."""

    title: str
    default_lang: str
    login_path: str
    open_studio: bool
    is_admin: Callable[[Request], bool]


@cache
def asset_version(name: str) -> str:
    """A short hash of an asset, so that browsers may keep it for long."""
    return hashlib.sha256((ASSETS_DIR / name).read_bytes()).hexdigest()[:10]


def request_lang(headers: Headers, cookies: dict[str, str], default: str) -> str:
    """The language of whoever sent the request."""
    return pick_lang(cookies.get(LANG_COOKIE), headers.get("accept-language", ""), default)


def _head(lang: str, title: str) -> str:
    return (
        "<script>for (const [name, value] of [['language', "
        f"'{lang}'], ['languages', ['{lang}']]])"
        "Object.defineProperty(navigator, name, {get: () => value});"
        "try { document.documentElement.dataset.theme = localStorage.getItem('eco-theme') || '' }"
        "catch (error) { document.documentElement.dataset.theme = '' }</script>"
        f'<link rel="stylesheet" href="/ui/theme.css?v={asset_version("theme.css")}">'
        f'<link rel="icon" type="image/svg+xml" href="/ui/logo.svg?v={asset_version("logo.svg")}">'
        f'<script src="/ui/ui.js?v={asset_version("ui.js")}"></script>'
        f'<meta name="description" content="{escape(title)}: {escape(t(lang, "tagline"))}">'
    )


def render_page(html: str, lang: str, title: str) -> str:
    """Gradio's page with our language, styles and script in front."""
    kept = [line for line in html.split("\n") if "gradio-app/gradio" not in line]
    page = "\n".join(kept)
    page = page.replace('content="Click to try out the app!"', f'content="{t(lang, "tagline")}"')
    page = page.replace('content="Gradio"', f'content="{escape(title)}"')
    page = page.replace('lang="en"', f'lang="{lang}"', 1)
    return page.replace("<head>", f"<head>{_head(lang, title)}", 1)


class PageMiddleware:
    """Rewrites the pages of the two apps and guards the one of the studio."""

    def __init__(self, app: ASGIApp, settings: PageSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on whatever is not one of our pages."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in _PAGES:
            await self.app(scope, receive, send)
            return
        redirect = self._redirect(Request(scope))
        if redirect:
            await RedirectResponse(redirect, 303)(scope, receive, send)
            return
        await self._rewrite(scope, receive, send)

    def _redirect(self, request: Request) -> str | None:
        is_admin = self.settings.is_admin(request)
        if request.url.path == "/":
            return f"{STUDIO_PATH}/" if self.settings.open_studio and is_admin else None
        if not is_admin:
            return f"{self.settings.login_path}?next={quote(STUDIO_PATH + '/')}"
        return None if request.url.path.endswith("/") else f"{STUDIO_PATH}/"

    async def _rewrite(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        lang = request_lang(request.headers, request.cookies, self.settings.default_lang)
        plain = [item for item in scope["headers"] if item[0] != b"accept-encoding"]
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            await self._send_page(start, bytes(body), lang, send)

        await self.app({**scope, "headers": plain}, receive, collect)

    async def _send_page(self, start: Message, body: bytes, lang: str, send: Send) -> None:
        headers = MutableHeaders(scope=start)
        if headers.get("content-type", "").startswith("text/html"):
            body = render_page(body.decode(), lang, self.settings.title).encode()
            headers["content-length"] = str(len(body))
            headers.update(_SECURITY_HEADERS)
        await send(start)
        await send({"type": "http.response.body", "body": body})
