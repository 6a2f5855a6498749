"""What a path belongs to, wherever a proxy puts the application."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

STUDIO_PREFIX: Final = "/studio"


def route_path(scope: Scope) -> str:
    """The path below root_path, whether or not the proxy in front took that off."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def is_studio(path: str) -> bool:
    """Whether the path belongs to the studio."""
    return path == STUDIO_PREFIX or path.startswith(STUDIO_PREFIX + "/")
