"""The building blocks that every tab uses: a part drawn by us, and a short message. The titles of
the messages are put there by assets/ui.js: Gradio's toasts show none but its own English ones.
"""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from chatbot.ui.i18n import t

BIND: Final = "window.eco.bind(element, (data) => trigger('act', data));"
QUIET: Final = {"show_progress": "hidden", "api_visibility": "undocumented"}
SHORT: Final = {**QUIET, "concurrency_limit": 32, "concurrency_id": "short"}


def html_part(elem_id: str, value: str = "", **options: Any) -> gr.HTML:
    """HTML that we draw and escape ourselves; its [data-action] elements trigger `act`."""
    return gr.HTML(
        value, elem_id=elem_id, elem_classes="eco", apply_default_css=False, js_on_load=BIND,
        **options,
    )  # fmt: skip


def event_data(event: gr.EventData) -> dict[str, Any]:
    """What was pressed, as the browser sent it: nothing of it is trusted."""
    return dict(event._data) if isinstance(event._data, dict) else {}


def tell(lang: str, text: str, *, is_warning: bool = False) -> None:
    """A short message that goes away by itself."""
    show = gr.Warning if is_warning else gr.Info
    show(
        text,
        duration=6 if is_warning else 4,
        title=t(lang, "toast_warning" if is_warning else "toast_info"),
    )


def refusal(lang: str, text: str) -> gr.Error:
    """To be raised: nothing is done, and why."""
    return gr.Error(text, title=t(lang, "toast_error"), print_exception=False)
