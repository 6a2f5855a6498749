"""The Adapters tab: which version answers, what each can do; promote, try, compare, roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import gradio as gr

from chatbot.ui.adapters_view import AdaptersView, render_adapters, version_name
from chatbot.ui.blocks import SHORT, event_data, html_part, tell
from chatbot.ui.compare_view import Comparison
from chatbot.ui.event_input import read_form, read_text
from chatbot.ui.event_view import Reader
from chatbot.ui.header import Header
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_admin
from chatbot.ui.version_card import VersionCard
from feedback_store.records import Adapter, AliasEvent
from finetune.adapter_folder import RegistryError
from finetune.bench import read_base_report
from finetune.registry import previous_version
from finetune.version_diff import VersionDiff, diff_versions

MIN_REASON: Final = 8  # characters of a reason to override a verdict
_NUM_EVENTS: Final = 40


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
        """Whatever was pressed; what cannot be done is said on the page."""
        person, data = require_admin(self.parts, request), event_data(event)
        try:
            if data.get("action") == "compare":
                return self._show(person, request, comparison=self._compare(read_form(data)))
            if data.get("action") == "export":
                return self._show(person, request, notice=self._export(data, person))
            done = self._apply(data, person)
        except Exception as error:
            code = getattr(error, "code", None)
            if code is None:
                raise
            return self._show(person, request, translate_error(person.lang, code, str(error)))
        if done:
            tell(person.lang, done)
        return self._show(person, request)

    def _apply(self, data: dict[str, Any], person: Person) -> str:
        version, form = read_text(data, "version"), read_form(data)
        match data.get("action"):
            case "rollback":
                return self._roll_back(person)
            case "promote":
                return self._promote(version, person)
            case "override":
                return self._override(version, form, person)
            case "start_trial":
                return self._start_trial(version, form, person)
            case "stop_trial":
                return self._stop_trial(person)
            case "retire":
                return self._retire(version, person)
        return ""

    def _roll_back(self, person: Person) -> str:
        now = self.parts.learning.roll_back(actor=person.person_id)
        return t(person.lang, "rolled_back", version=version_name(now, person.lang))

    def _promote(self, version: str, person: Person) -> str:
        reason = "promoted by hand"
        self.parts.learning.promote(version, actor=person.person_id, reason=reason)
        return t(person.lang, "promoted", version=version)

    def _override(self, version: str, form: Mapping[str, Any], person: Person) -> str:
        reason = read_text(form, "reason").strip()
        if len(reason) < MIN_REASON:
            return t(person.lang, "override_needs_reason")
        self.parts.learning.promote(version, actor=person.person_id, reason=reason, override=True)
        return t(person.lang, "promoted", version=version)

    def _start_trial(self, version: str, form: Mapping[str, Any], person: Person) -> str:
        try:
            share = float(read_text(form, "share"))
        except ValueError:
            share = 0.0  # is refused below, as every other share that is none
        reason = "trial begun by hand"
        self.parts.learning.start_canary(version, share, actor=person.person_id, reason=reason)
        return t(person.lang, "trial_began", version=version)

    def _stop_trial(self, person: Person) -> str:
        self.parts.learning.stop_canary(actor=person.person_id, reason="trial ended by hand")
        return t(person.lang, "trial_ended")

    def _retire(self, version: str, person: Person) -> str:
        self.parts.learning.retire(version)
        return t(person.lang, "retired_now", version=version)

    def _export(self, data: Mapping[str, Any], person: Person) -> str:
        adapter = self._find(read_text(data, "version"))
        if adapter is None:
            raise RegistryError("unknown_version", "The base model is exported by nobody.")
        path = self.parts.learning.export(adapter.version)
        return t(person.lang, "exported", version=adapter.version, path=path)

    # --- what is shown --------------------------------------------------------------------------

    def _compare(self, form: Mapping[str, Any]) -> Comparison:
        left, right = read_text(form, "left"), read_text(form, "right")
        before, after = self._find(left), self._find(right)
        return Comparison(
            left=left,
            right=right,
            left_report=self._report_of(before),
            right_report=self._report_of(after),
            diff=self._diff(before, after) if after else None,
        )

    def _find(self, version: str) -> Adapter | None:
        """The version; None is the base."""
        adapter = self.parts.store.get_adapter(version) if version else None
        if version and adapter is None:
            raise RegistryError("unknown_version", f"There is no adapter {version!r}.")
        return adapter

    def _report_of(self, adapter: Adapter | None) -> Mapping[str, Any]:
        if adapter is not None:
            return adapter.report
        known = self.parts.store.list_adapters()
        base_model = known[0].base_model if known else self.parts.engine_status().base_model
        report = read_base_report(self.parts.store.data_dir, base_model)
        return report.to_dict() if report else {}

    def _diff(self, before: Adapter | None, after: Adapter) -> VersionDiff:
        return diff_versions(self.parts.store, before, after)

    def _show(
        self,
        person: Person,
        request: gr.Request,
        message: str = "",
        notice: str = "",
        comparison: Comparison | None = None,
    ) -> tuple[Any, ...]:
        store, learning = self.parts.store, self.parts.learning
        previous, can_roll_back = self._way_back()
        waiting = learning.waiting() if learning.production() else None
        moves = store.list_alias_events(limit=_NUM_EVENTS)
        view = AdaptersView(
            lang=person.lang,
            cards=self._cards(previous, is_waiting=bool(waiting)),
            events=[move for move in moves if move.alias in ("production", "canary")],
            production=learning.production(),
            waiting=waiting,
            previous=previous,
            can_roll_back=can_roll_back,
            base_model=self.parts.engine_status().base_model,
            message=message,
            notice=notice,
            trial=learning.canary(),
            comparison=comparison,
            reader=Reader(person.person_id, store.list_actor_names()),
        )
        status, _ = self.header.on_tick(request)
        return render_adapters(view), status

    def _cards(self, previous: str | None, *, is_waiting: bool) -> list[VersionCard]:
        store, learning = self.parts.store, self.parts.learning
        adapters, production = store.list_adapters(), learning.production()
        on_trial = store.get_alias("canary")
        promotions = _last_promotions(store.list_alias_events("production", limit=10_000))
        cards = []
        for number, adapter in enumerate(adapters):
            before = next((a for a in adapters[number + 1 :] if a.report), None)
            cards.append(
                VersionCard(
                    adapter=adapter,
                    is_production=adapter.version == production,
                    is_waiting=is_waiting and adapter.version == production,
                    is_on_trial=adapter.version == on_trial,
                    is_way_back=adapter.version == previous,
                    can_start_trial=on_trial is None,
                    before=before.version if before else "",
                    before_report=self._report_of(before),
                    diff=self._diff(before, adapter),
                    promotion=promotions.get(adapter.version),
                )
            )
        return cards

    def _way_back(self) -> tuple[str | None, bool]:
        try:
            return previous_version(self.parts.store), True
        except RegistryError:
            return None, False


def _last_promotions(events: Sequence[AliasEvent]) -> dict[str | None, AliasEvent]:
    """Version → when it began to answer last; the events come newest first."""
    found: dict[str | None, AliasEvent] = {}
    for event in events:
        found.setdefault(event.to_version, event)
    return found
