"""Small line icons as inline SVG. They are decoration: the text beside them carries the name."""

from __future__ import annotations

from functools import cache
from typing import Final

from chatbot.ui.page import ASSETS_DIR

_PATHS: Final = {
    "up": '<path d="M7 11v9H4a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1h3Zm0 0 4-7.5A2 2 0 0 1 13.7 5L13 9h5.6'
    'a2 2 0 0 1 2 2.4l-1.3 7A2 2 0 0 1 17.4 20H7"/>',
    "down": '<path d="M17 13V4h3a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-3Zm0 0-4 7.5a2 2 0 0 1-2.7-1.5l.7-4'
    'H5.4a2 2 0 0 1-2-2.4l1.3-7A2 2 0 0 1 6.6 4H17"/>',
    "edit": '<path d="M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16v4Z"/><path d="m13.5 6.5 4 4"/>',
    "retry": '<path d="M20 11a8 8 0 1 0-2.3 5.7"/><path d="M20 4v7h-7"/>',
    "copy": '<rect x="9" y="9" width="11" height="11" rx="2"/>'
    '<path d="M5 15a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "close": '<path d="m6 6 12 12M18 6 6 18"/>',
    "warn": '<path d="M12 4 2.8 19.5h18.4L12 4Z"/><path d="M12 10v4.5M12 17v.2"/>',
    "moon": '<path d="M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5Z"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h10"/>',
    "leaf": '<path d="M5 19c0-9 5-14 15-14 0 10-5 15-13 13"/><path d="M5 19c2-5 5-8 9-9.5"/>',
    "back": '<path d="M9 7 4 12l5 5"/><path d="M4 12h11a5 5 0 0 1 0 10h-2"/>',
    "next": '<path d="M5 12h14m-6-6 6 6-6 6"/>',
    "down_arrow": '<path d="m6 9.5 6 6 6-6"/>',
    "clock": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.5 2"/>',
    "download": '<path d="M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14"/>',
    "trash": '<path d="M4 7h16M9 7V4h6v3m3 0-1 13H7L6 7"/>',
    "inbox": '<path d="M4 13 7 5h10l3 8v6H4v-6Z"/><path d="M4 13h5l1 3h4l1-3h5"/>',
    "tokens": '<rect x="3" y="8" width="6" height="8" rx="1.5"/><rect x="11" y="8" width="4" '
    'height="8" rx="1.5"/><rect x="17" y="8" width="4" height="8" rx="1.5"/>',
    "scale": '<path d="M12 4v16M7 20h10M5 8l7-2 7 2M5 8l-2.500 6a2.700 2.700 0 0 0 5 0L5 8Z'
    'm14 0-2.500 6a2.700 2.700 0 0 0 5 0L19 8Z"/>',
    "globe": '<circle cx="12" cy="12" r="8.5"/><path d="M3.5 12h17M12 3.5c3 3 3 14 0 17'
    'c-3-3-3-14 0-17"/>',
}


def icon(name: str) -> str:
    """The icon as SVG that takes the size and the colour of the text around it."""
    return (
        '<svg class="eco-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" '
        f'focusable="false">{_PATHS[name]}</svg>'
    )


@cache
def logo(size: int) -> str:
    """The logo as decoration, `size` pixels wide."""
    svg = (ASSETS_DIR / "logo.svg").read_text(encoding="utf-8")
    return svg.replace(
        'role="img" aria-label="EcoLoop"',
        f'class="eco-logo" width="{size}" height="{size}" aria-hidden="true" focusable="false"',
    )
