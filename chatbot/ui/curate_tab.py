"""The Curate tab: decide on one example after the other, with the keyboard if one likes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import gradio as gr

from chatbot.recommendation import RecommendationError, canonical
from chatbot.ui.blocks import SHORT, event_data, html_part, tell
from chatbot.ui.curate_view import (
    QueueCounts,
    QueueFilter,
    QueueView,
    read_answer,
    render_bulk,
    render_counts,
    render_filter,
    render_queue,
)
from chatbot.ui.feedback_view import read_fields
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.import_panel import ImportPanel
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator
from feedback_store.errors import StoreError
from feedback_store.records import Example, ExampleFilter
from finetune.curate import (
    CurateError,
    Decision,
    accept_examples,
    exclude_examples,
    fix_example,
    suggest_fix,
    undo_decision,
)

NO_FILTER: Final = QueueFilter()
MAX_UNDO: Final = 50
MAX_BULK: Final = 2000  # examples decided on at once


@dataclass(frozen=True)
class Queue:
    """Where one curator stands; kept by Gradio per page."""

    filter: QueueFilter = NO_FILTER
    example_id: int | None = None
    skipped: tuple[int, ...] = ()
    decided: tuple[tuple[int, ...], ...] = ()  # for undo, the last one at the end
    is_fixing: bool = False
    message: str = ""


class CurateTab:
    """Builds the tab and answers its events, for admins and curators."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the tab inside the current Blocks."""
        self.state = gr.State(Queue())
        with gr.Column(elem_classes="eco-page"):
            self.counts = html_part("curate-counts")
            self.filter = html_part("curate-filter")
            self.queue = html_part("curate-queue")
            self.bulk = html_part("curate-bulk")
            self.imports = ImportPanel(self.parts)
            self.imports.build()
        outputs = [self.counts, self.filter, self.queue, self.bulk, self.state]
        for part in (self.filter, self.queue, self.bulk):
            part.act(
                self.on_act,
                inputs=[self.state],
                outputs=outputs,
                trigger_mode="multiple",
                **SHORT,
            )
        self.imports.wire(self.on_select, [self.state], outputs)
        self.outputs = outputs

    def wire_select(self, tab: gr.Tab) -> None:
        """Fetch new feedback and show the queue whenever the tab is opened."""
        tab.select(self.on_select, inputs=[self.state], outputs=self.outputs, **SHORT)

    # ---- events

    @needs("curator")
    def on_select(self, state: Queue, request: gr.Request) -> tuple[Any, ...]:
        """New feedback becomes pending examples, then the queue is shown."""
        person = require_curator(self.parts, request)
        self.parts.learning.collect()
        return self._show(replace(state, message=""), person)

    @needs("curator")
    def on_act(self, state: Queue, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """A button, a key, or a filter."""
        person = require_curator(self.parts, request)
        data = event_data(event)
        state = replace(state, message="")
        try:
            state = self._apply(data, state, person)
        except (CurateError, RecommendationError, StoreError) as error:
            sentence = translate_error(person.lang, error.code, str(error))
            state = replace(state, message=sentence)
        return self._show(state, person)

    def _apply(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        match data.get("action"):
            case "filter":
                return self._filter(data, state, person)
            case "next":
                return self._skip(state, person)
            case "undo":
                return self._undo(state)
            case "fix":
                return replace(state, is_fixing=True)
            case "cancel":
                return replace(state, is_fixing=False)
            case "bulk-accept" | "bulk-exclude":
                return self._decide_all(str(data["action"]), state, person)
        return self._decide(data, state, person)

    def _filter(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        name = str(data.get("name", ""))
        if name not in {field.name for field in fields(QueueFilter)}:
            return state
        self._release(state, person)
        chosen = replace(state.filter, **{name: str(data.get("value", ""))})
        return replace(state, filter=chosen, example_id=None, skipped=(), is_fixing=False)

    def _skip(self, state: Queue, person: Person) -> Queue:
        if state.example_id is None:
            return state
        self._release(state, person)
        skipped = (*state.skipped, state.example_id)
        return replace(state, skipped=skipped, example_id=None, is_fixing=False)

    def _undo(self, state: Queue) -> Queue:
        if not state.decided:
            return state
        last = state.decided[-1]
        undo_decision(self.parts.store, last)
        return replace(state, decided=state.decided[:-1], example_id=last[0], is_fixing=False)

    def _decide(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        if state.example_id is None:
            return state
        ids = (state.example_id,)
        done = Decision(1)
        match data.get("action"):
            case "accept":
                done = self._accept(ids[0], person)
            case "exclude":
                exclude_examples(self.parts.store, ids, curator=person.person_id)
            case "save":
                form = data.get("form") or {}
                text = read_answer(form) or canonical(read_fields(form))
                fix_example(self.parts.store, ids[0], text, curator=person.person_id)
            case _:
                return state
        if done.refused:
            return replace(state, message=done.refused[0][1])
        decided = (*state.decided, ids)[-MAX_UNDO:]
        return replace(state, decided=decided, example_id=None, is_fixing=False)

    def _accept(self, example_id: int, person: Person) -> Decision:
        """Accept what stands on the screen: the suggestion where there is one."""
        store = self.parts.store
        example = store.get_example(example_id)
        fix = suggest_fix(example) if example else None
        if fix:
            fix_example(store, example_id, fix.completion, curator=person.person_id)
            return Decision(1)
        return accept_examples(store, [example_id], curator=person.person_id)

    def _decide_all(self, action: str, state: Queue, person: Person) -> Queue:
        store = self.parts.store
        found = store.find_examples(_to_filter(state.filter), limit=MAX_BULK).items
        ids = tuple(example.example_id for example in found)
        decide = accept_examples if action == "bulk-accept" else exclude_examples
        done = decide(store, ids, curator=person.person_id)
        refused = {example_id for example_id, _ in done.refused}
        changed = tuple(example_id for example_id in ids if example_id not in refused)
        tell(person.lang, t(person.lang, "bulk_done", num=done.num_changed, left=len(refused)))
        decided = (*state.decided, changed) if changed else state.decided
        return replace(state, decided=decided, example_id=None, is_fixing=False)

    def _release(self, state: Queue, person: Person) -> None:
        if state.example_id is not None:
            self.parts.store.release_example(state.example_id, person.person_id)

    # ---- showing

    def _show(self, state: Queue, person: Person) -> tuple[Any, ...]:
        example = self._current(state, person)
        state = replace(state, example_id=example.example_id if example else None)
        counts = self._count(state.filter)
        view = QueueView(
            lang=person.lang,
            counts=counts,
            filter=state.filter,
            example=example,
            feedback=self._feedback(example),
            suggestion=self._suggestion(example),
            is_fixing=state.is_fixing,
            message=state.message,
            can_undo=bool(state.decided),
        )
        return (
            render_counts(counts, person.lang),
            render_filter(state.filter, counts.flags, person.lang),
            render_queue(view),
            render_bulk(counts, person.lang),
            state,
        )

    def _current(self, state: Queue, person: Person) -> Example | None:
        store = self.parts.store
        if state.example_id is not None:
            example = store.get_example(state.example_id)
            if example:
                return example
        wanted = _to_filter(state.filter)
        found = store.claim_example(wanted, curator=person.person_id, skip=state.skipped)
        if found is None and state.skipped:  # once round: what was skipped comes again
            return store.claim_example(wanted, curator=person.person_id)
        return found

    def _feedback(self, example: Example | None) -> Any:
        if example is None or example.turn_id is None:
            return None
        return self.parts.store.get_feedback(example.turn_id, example.person_id)

    def _suggestion(self, example: Example | None) -> str | None:
        fix = suggest_fix(example) if example else None
        return fix.completion if fix else None

    def _count(self, chosen: QueueFilter) -> QueueCounts:
        store = self.parts.store
        wanted = _to_filter(chosen)
        everything = ExampleFilter(purpose=wanted.purpose)
        states = store.count_examples_by("state", everything)
        blockers = self.parts.learning.blockers()
        return QueueCounts(
            pending=states.get("pending", 0),
            accepted=states.get("accepted", 0),
            excluded=states.get("excluded", 0),
            need=next((b.need for b in blockers if b.code == "too_few_examples"), 0),
            matching=store.count_examples(wanted),
            flags=store.count_examples_by("flag", replace(everything, state=wanted.state)),
        )


def _to_filter(chosen: QueueFilter) -> ExampleFilter:
    picked: dict[str, Any] = {
        field.name: getattr(chosen, field.name) or None for field in fields(chosen)
    }
    return ExampleFilter(**picked)
