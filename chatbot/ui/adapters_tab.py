"""The Adapters tab: which version answers, what each can do, promote and roll back."""

from __future__ import annotations

from typing import Any

import gradio as gr

from chatbot.ui.adapters_view import AdaptersView, render_adapters, version_name
from chatbot.ui.blocks import SHORT, event_data, html_part, tell
from chatbot.ui.header import Header
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_admin
from finetune.adapter_folder import RegistryError
from finetune.registry import previous_version

MIN_REASON = 8  # characters of a reason to override a verdict


class AdaptersTab:
    """Builds the tab and answers its events, for admins only."""

    def __init__(self, parts: Parts, header: Header) -> None:
        self.parts = parts
        self.header = header

    def build(self) -> None:
        """Lay out the tab inside the current Blocks."""
        with gr.Column(elem_classes="eco-page"):
            self.view = html_part("adapters-view")
        self.outputs = [self.view, self.header.status]
        self.view.act(self.on_act, outputs=self.outputs, **SHORT)

    def wire_select(self, tab: gr.Tab) -> None:
        """Look whenever the tab is opened."""
        tab.select(self.on_look, outputs=self.outputs, **SHORT)

    @needs("admin")
    def on_look(self, request: gr.Request) -> tuple[Any, ...]:
        """Where things stand now."""
        return self._show(require_admin(self.parts, request), request)

    @needs("admin")
    def on_act(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Promote, override or roll back."""
        person = require_admin(self.parts, request)
        try:
            done = self._apply(event_data(event), person)
        except Exception as error:
            code = getattr(error, "code", None)
            if code is None:
                raise
            return self._show(person, request, translate_error(person.lang, code, str(error)))
        if done:
            tell(person.lang, done)
        return self._show(person, request)

    def _apply(self, data: dict[str, Any], person: Person) -> str:
        learning = self.parts.learning
        version = str(data.get("version", ""))
        match data.get("action"):
            case "rollback":
                now = learning.roll_back(actor=person.person_id)
                return t(person.lang, "rolled_back", version=version_name(now, person.lang))
            case "promote":
                learning.promote(version, actor=person.person_id, reason="promoted by hand")
            case "override":
                reason = str((data.get("form") or {}).get("reason", "")).strip()
                if len(reason) < MIN_REASON:
                    return t(person.lang, "override_needs_reason")
                learning.promote(version, actor=person.person_id, reason=reason, override=True)
            case _:
                return ""
        return t(person.lang, "promoted", version=version)

    def _show(self, person: Person, request: gr.Request, message: str = "") -> tuple[Any, ...]:
        store = self.parts.store
        previous, can_roll_back = self._way_back()
        view = AdaptersView(
            lang=person.lang,
            adapters=store.list_adapters(),
            datasets={dataset.dataset_id: dataset for dataset in store.list_datasets()},
            events=store.list_alias_events("production", limit=20),
            production=self.parts.learning.production(),
            previous=previous,
            can_roll_back=can_roll_back,
            base_model=self.parts.engine_status().base_model,
            message=message,
        )
        status, _ = self.header.on_tick(request)
        return render_adapters(view), status

    def _way_back(self) -> tuple[str | None, bool]:
        try:
            return previous_version(self.parts.store), True
        except RegistryError:
            return None, False
