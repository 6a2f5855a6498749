"""What a path belongs to, wherever a proxy puts the application."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

API_PREFIX: Final = "/ai/"
QUESTIONS_PREFIX: Final = f"{API_PREFIX}chatbot/recommendation/"  # of the API's questions
STUDIO_PREFIX: Final = "/studio"
LOGIN_PATH: Final = f"{STUDIO_PREFIX}/login"
LOGOUT_PATH: Final = f"{STUDIO_PREFIX}/logout"
GRADIO_API: Final = "/gradio_api"  # below each page's own path


def route_path(scope: Scope) -> str:
    """The path below root_path, whether or not the proxy in front took that off."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def is_studio(path: str) -> bool:
    """Whether the path belongs to the studio."""
    return path == STUDIO_PREFIX or path.startswith(STUDIO_PREFIX + "/")


class UnderPath:
    """Gives every request its whole path, whether or not the proxy in front took root_path off:
    mounted pages are found by the whole of it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        if scope["type"] in ("http", "websocket"):
            path = "/" + route_path({**scope, "root_path": self.root_path}).lstrip("/")
            path = self.root_path + ("/" if path == self.root_path else path)
            scope = {**scope, "path": path, "raw_path": path.encode(), "root_path": self.root_path}
        await self.app(scope, receive, send)
