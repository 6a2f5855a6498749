"""What surrounds the Gradio pages: language, styles and script before the first paint.

An ASGI middleware, because Gradio reads the browser's language before any `head=` script runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.route_path import STUDIO_PREFIX, route_path
from chatbot.ui.i18n import LANG_COOKIE, pick_lang, t, wording

ASSETS_DIR: Final = Path(__file__).parents[2] / "assets"
_BROWSER_WORDS: Final = (
    *("toast_info", "toast_warning", "toast_error", "toast_large_file"),
    *("toast_lost", "error_busy", "error_unexpected", "close", "more_tabs", "import_title"),
)
_PAGES: Final = ("/", STUDIO_PREFIX, f"{STUDIO_PREFIX}/")


@dataclass(frozen=True)
class PageSettings:
    """What the pages are called, and who is led from "/" into the studio."""

    title: str
    default_lang: str
    is_text: bool  # answers are free text: the page does not speak of challenges
    opens_studio: Callable[[Request], bool]


@cache
def asset_version(name: str) -> str:
    """A short hash of an asset, so that browsers may keep it for long."""
    return hashlib.sha256((ASSETS_DIR / name).read_bytes()).hexdigest()[:10]


def request_lang(headers: Headers, cookies: dict[str, str], default: str) -> str:
    """The language of whoever sent the request."""
    return pick_lang(cookies.get(LANG_COOKIE), headers.get("accept-language", ""), default)


def _words(lang: str) -> str:
    """What the browser says by itself, and in the place of Gradio's own English, as JSON."""
    words = {key: t(lang, key) for key in _BROWSER_WORDS}
    return json.dumps(words, ensure_ascii=False).replace("<", "\\u003c")


def _head(lang: str, settings: PageSettings, root: str) -> str:
    def url(name: str) -> str:
        return f"{root}/ui/{name}?v={asset_version(name)}"

    return (
        "<script>for (const [name, value] of [['language', "
        f"'{lang}'], ['languages', ['{lang}']]])"
        "Object.defineProperty(navigator, name, {get: () => value});"
        f"window.ecoWords = {_words(lang)};"
        "try { document.documentElement.dataset.theme = localStorage.getItem('eco-theme') || '' }"
        "catch (error) { document.documentElement.dataset.theme = '' }</script>"
        f'<link rel="stylesheet" href="{url("theme.css")}">'
        f'<link rel="stylesheet" href="{url("studio.css")}">'
        f'<link rel="icon" type="image/svg+xml" href="{url("logo.svg")}">'
        f'<script src="{url("ui.js")}"></script>'
        f'<meta name="description" content="{escape(settings.title)}: '
        f'{escape(_tagline(lang, settings))}">'
    )


def _tagline(lang: str, settings: PageSettings) -> str:
    return t(lang, wording("tagline", is_text=settings.is_text))


def render_page(html: str, lang: str, settings: PageSettings, root: str = "") -> str:
    """Gradio's page with our language, styles and script in front."""
    # The framework's own address, and a manifest that only an installed app needs.
    kept = [
        line
        for line in html.split("\n")
        if "gradio-app/gradio" not in line and 'rel="manifest"' not in line
    ]
    page = "\n".join(kept)
    tagline = escape(_tagline(lang, settings))
    page = page.replace('content="Click to try out the app!"', f'content="{tagline}"')
    page = page.replace('content="Gradio"', f'content="{escape(settings.title)}"')
    page = page.replace('lang="en"', f'lang="{lang}"', 1)
    return page.replace("<head>", f"<head>{_head(lang, settings, root)}", 1)


class PageMiddleware:
    """Rewrites the pages of the two apps."""

    def __init__(self, app: ASGIApp, settings: PageSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on whatever is not one of our pages."""
        path = route_path(scope) if scope["type"] == "http" else ""
        if path not in _PAGES or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        if path == "/" and self.settings.opens_studio(Request(scope)):
            root = str(scope.get("root_path", "")).rstrip("/")
            await RedirectResponse(f"{root}{STUDIO_PREFIX}/", 303)(scope, receive, send)
            return
        await self._rewrite(scope, receive, send)

    async def _rewrite(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        lang = request_lang(request.headers, request.cookies, self.settings.default_lang)
        root = str(scope.get("root_path", "")).rstrip("/")
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
            await self._send_page(start, bytes(body), (lang, root), send)

        await self.app({**scope, "headers": plain}, receive, collect)

    async def _send_page(
        self, start: Message, body: bytes, place: tuple[str, str], send: Send
    ) -> None:
        headers = MutableHeaders(scope=start)
        if headers.get("content-type", "").startswith("text/html"):
            lang, root = place
            body = render_page(body.decode(), lang, self.settings, root).encode()
            headers["content-length"] = str(len(body))
            headers["cache-control"] = "no-store"
        await send(start)
        await send({"type": "http.response.body", "body": body})
