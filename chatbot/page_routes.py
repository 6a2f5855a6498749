"""Which of the page framework's many routes our two pages use; every other one is closed.

Gradio serves about 90 routes: calling functions by name without the queue, fetching addresses for a
browser, uploads, recordings, editors. The pages need the ones below (seen with a browser), and
what is closed cannot be got wrong in a later version.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot.route_path import GRADIO_API, STUDIO_PREFIX, is_studio, route_path

# Method → exact paths, and beginnings of paths, below the page's own path.
_PAGE: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "GET": (
        ("", "/", "/config", "/theme.css", f"{GRADIO_API}/queue/data", f"{GRADIO_API}/app_id"),
        ("/assets/", "/static/", f"{GRADIO_API}/heartbeat/"),
    ),
    "HEAD": (("", "/"), ("/assets/", "/static/")),
    "POST": ((f"{GRADIO_API}/queue/join",), ()),
}
_STUDIO: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "GET": ((f"{GRADIO_API}/info", f"{GRADIO_API}/upload_progress"), (f"{GRADIO_API}/file=",)),
    "POST": ((f"{GRADIO_API}/upload",), ()),
}


def is_page_route(method: str, path: str) -> bool:
    """Whether a page of ours uses this route; path as below root_path."""
    in_studio = is_studio(path)
    rest = path[len(STUDIO_PREFIX) :] if in_studio else path
    if "://" in rest or rest.startswith(f"{GRADIO_API}/file=http"):
        return False  # never an address to be fetched
    for table in (_PAGE, _STUDIO) if in_studio else (_PAGE,):
        exact, beginnings = table.get(method, ((), ()))
        if rest in exact or rest.startswith(beginnings):
            return True
    return False


class PageRoutes:
    """Answers 404 for what belongs to neither page and to none of our own paths."""

    def __init__(self, app: ASGIApp, own: tuple[re.Pattern[str], ...]) -> None:
        self.app = app
        self.own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        if scope["type"] != "http" or self._is_open(str(scope["method"]), route_path(scope)):
            await self.app(scope, receive, send)
            return
        await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)

    def _is_open(self, method: str, path: str) -> bool:
        return is_page_route(method, path) or any(own.match(path) for own in self.own)
