"""The Log tab: who did what in the studio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatbot.ui.blocks import SHORT, event_data, html_part
from chatbot.ui.event_input import read_number
from chatbot.ui.event_view import Reader
from chatbot.ui.log_view import render_csv, render_log
from chatbot.ui.parts import Parts
from chatbot.ui.people import needs, require_admin

NUM_SHOWN: Final = 100
MAX_EXPORT: Final = 100_000  # entries of one file


class LogTab:
    """Builds the tab and answers its events, for admins only."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the tab inside the current Blocks."""
        with gr.Column(elem_classes="eco-page"):
            self.view = html_part("log-view")
        self.view.act(self.on_act, outputs=[self.view], **SHORT)

    def wire_select(self, tab: gr.Tab) -> None:
        """Look whenever the tab is opened."""
        tab.select(self.on_select, outputs=[self.view], **SHORT)

    @needs("admin")
    def on_select(self, request: gr.Request) -> str:
        """The newest entries."""
        return self._show(request, None)

    @needs("admin")
    def on_act(self, event: gr.EventData, request: gr.Request) -> str:
        """Older entries."""
        return self._show(request, read_number(event_data(event), "before"))

    def _show(self, request: gr.Request, before: int | None) -> str:
        person = require_admin(self.parts, request)
        store = self.parts.store
        found = store.list_audit(before=before, limit=NUM_SHOWN + 1)
        return render_log(
            found[:NUM_SHOWN],
            Reader(person.person_id, store.list_actor_names()),
            person.lang,
            self.parts.settings.root_path,
            has_more=len(found) > NUM_SHOWN,
        )


def serve_log(parts: Parts) -> Callable[[Request], Response]:
    """The route of the whole log as CSV; it checks the role itself."""

    def serve(request: Request) -> Response:
        person_id, role = parts.identify(request)
        if role != "admin":
            return JSONResponse({"detail": "Only an admin may read the log."}, 403)
        entries: list[Any] = parts.store.list_audit(limit=MAX_EXPORT)
        parts.store.record(person_id, "export log", f"{len(entries)} entries")
        text = render_csv(entries, parts.store.list_actor_names())
        headers = {"content-disposition": "attachment; filename=log.csv"}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    return serve
