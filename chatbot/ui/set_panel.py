"""The examples as one set: formats, balance, copies, leakage, signs of poisoning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from chatbot.ui.blocks import QUIET, event_data, html_part
from chatbot.ui.parts import Parts
from chatbot.ui.people import needs, require_curator
from chatbot.ui.set_view import render_set
from finetune.set_checks import SetReport, refresh_flags


@dataclass(frozen=True)
class SetState:
    """What one curator sees of it; kept by Gradio per page."""

    is_open: bool = False
    report: SetReport | None = None


CLOSED = SetState()


class SetPanel:
    """Builds the part and answers its events, for admins and curators."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the part inside the current Blocks."""
        self.state = gr.State(CLOSED)
        self.view = html_part("curate-set")

    def wire(self, after: Any, inputs: list[Any], outputs: list[Any]) -> None:
        """Check when asked, then show the queue again by `after`: its flags have changed."""
        checked = self.view.act(
            self.on_act,
            inputs=[self.state],
            outputs=[self.view, self.state],
            concurrency_limit=2,
            **QUIET,
        )
        checked.then(after, inputs=inputs, outputs=outputs, concurrency_limit=32, **QUIET)

    @needs("curator")
    def on_show(self, state: SetState, request: gr.Request) -> tuple[str, SetState]:
        """The part as it was left."""
        return self._show(state, require_curator(self.parts, request).lang), state

    @needs("curator")
    async def on_act(
        self, state: SetState, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[tuple[str, SetState]]:
        """Fold or unfold; look at all examples as one set."""
        lang = require_curator(self.parts, request).lang
        if event_data(event).get("action") == "fold" and state.is_open:
            state = replace(state, is_open=False)
        else:
            state = replace(state, is_open=True)
            yield self._show(state, lang, is_busy=True), state
            store, checks = self.parts.store, self.parts.checks
            state = replace(state, report=await asyncio.to_thread(refresh_flags, store, checks))
        yield self._show(state, lang), state

    def _show(self, state: SetState, lang: str, *, is_busy: bool = False) -> str:
        return render_set(state.report, lang, is_open=state.is_open, is_busy=is_busy)
