"""The Curate tab: decide on one example after the other, with the keyboard if one likes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

import gradio as gr

from chatbot.recommendation import RecommendationError, canonical
from chatbot.ui.blocks import SHORT, event_data, html_part, tell
from chatbot.ui.curate_bulk import Deed, find_unchanged, make_plan, render_bulk
from chatbot.ui.curate_flags import describe_refusal
from chatbot.ui.curate_queue import (
    MAX_UNDO,
    Queue,
    fold_bulk,
    keep_typed,
    leave_plan,
    look_at_doubt,
)
from chatbot.ui.curate_view import (
    QueueCounts,
    QueueFilter,
    QueueView,
    read_answer,
    render_counts,
    render_filter,
    render_queue,
)
from chatbot.ui.datasets_panel import DatasetsPanel
from chatbot.ui.event_input import read_form, read_number, read_text
from chatbot.ui.feedback_view import read_fields
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.import_panel import ImportPanel
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator
from chatbot.ui.set_panel import SetPanel
from chatbot.ui.token_strip import render_tokens
from feedback_store.errors import StoreError
from feedback_store.records import Example, ExampleFilter
from finetune.checks import retell_flags
from finetune.curate import (
    CurateError,
    Decision,
    accept_shown,
    exclude_examples,
    find_more_flags,
    find_suggestion,
    fix_example,
    undo_decision,
)
from finetune.retrain_goal import find_goal

MAX_FILTER: Final = 200  # characters of one filter


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
            self.set = SetPanel(self.parts)
            self.set.build()
            self.datasets = DatasetsPanel(self.parts)
            self.datasets.build()
        outputs = [self.counts, self.filter, self.queue, self.bulk, self.state]
        datasets = [self.datasets.view, self.datasets.state]
        for part in (self.filter, self.queue, self.bulk):
            decided = part.act(
                self.on_act,
                inputs=[self.state],
                outputs=outputs,
                trigger_mode="multiple",
                **SHORT,
            )
            decided.then(
                self.datasets.on_decided, inputs=datasets[1:], outputs=datasets[:1], **SHORT
            )
        self.imports.wire(self.on_select, [self.state], outputs)
        self.set.wire(self.on_select, [self.state], outputs)
        self.outputs = outputs

    def wire_select(self, tab: gr.Tab) -> None:
        """Fetch new feedback and show the queue whenever the tab is opened."""
        tab.select(self.on_select, inputs=[self.state], outputs=self.outputs, **SHORT)
        for part in (self.set, self.datasets):
            shown = [part.view, part.state]
            tab.select(part.on_show, inputs=[part.state], outputs=shown, **SHORT)

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
        except CurateError as error:
            sentence = describe_refusal(error.code, str(error), person.lang)
            state = replace(state, message=sentence, draft=keep_typed(data))
        except (RecommendationError, StoreError) as error:
            sentence = translate_error(person.lang, error.code, str(error))
            state = replace(state, message=sentence, draft=keep_typed(data))
        return self._show(state, person)

    def _apply(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        match data.get("action"):
            case "filter":
                return self._filter(data, state, person)
            case "next":
                return self._skip(state, person)
            case "undo":
                return self._undo(state, person)
            case "fix":
                return replace(state, is_fixing=True, draft=None)
            case "cancel":
                return replace(state, is_fixing=False, draft=None)
            case "tokens":
                return replace(state, shows_tokens=not state.shows_tokens)
            case "compare":
                other = read_number(data, "other")
                return replace(state, twin_id=None if other == state.twin_id else other)
            case "bulk-accept":
                return self._plan("accept", state, person)
            case "bulk-exclude":
                return self._plan("exclude", state, person)
            case "fold":
                return fold_bulk(state)
            case "bulk-cancel":
                return leave_plan(state)
            case "bulk-doubt" | "doubt-leave":
                self._release(state, person)
                return look_at_doubt(state, read_text(data, "value"))
            case "bulk-go" | "bulk-clean" as action:
                return self._decide_all(state, person, is_clean=action == "bulk-clean")
        return self._decide(data, state, person)

    def _filter(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        name = read_text(data, "name")
        if name not in {field.name for field in fields(QueueFilter)}:
            return state
        self._release(state, person)
        chosen = replace(state.filter, **{name: read_text(data, "value")[:MAX_FILTER]})
        return replace(state.leave_row(), filter=chosen, doubt=None, skipped=())

    def _skip(self, state: Queue, person: Person) -> Queue:
        if state.example_id is None:
            return state
        self._release(state, person)
        return replace(state.leave_row(), skipped=(*state.skipped, state.example_id))

    def _undo(self, state: Queue, person: Person) -> Queue:
        if not state.decided:
            return state
        last = state.decided[-1]
        undone = undo_decision(self.parts.store, last, curator=person.person_id)
        state = replace(state.leave_row(), decided=state.decided[:-1], example_id=last[0])
        if undone.num_changed < len(last):
            return replace(state, message=t(person.lang, "error_changed"))
        return state

    def _decide(self, data: dict[str, Any], state: Queue, person: Person) -> Queue:
        action = data.get("action")
        if state.example_id is None or action not in ("accept", "exclude", "save"):
            return state
        ids = (state.example_id,)
        self._make_sure(state, person)
        done = Decision(1)
        if action == "accept":
            done = accept_shown(
                self.parts.store, ids, curator=person.person_id, settings=self.parts.checks
            )
        elif action == "exclude":
            done = exclude_examples(self.parts.store, ids, curator=person.person_id)
        else:
            self._save(read_form(data), ids[0], person)
        if done.refused:
            first = done.refused[0]
            return replace(state, message=describe_refusal(first.code, first.message, person.lang))
        decided = (*state.decided, ids)[-MAX_UNDO:] if done.num_changed else state.decided
        return replace(state.leave_row(), decided=decided)

    def _make_sure(self, state: Queue, person: Person) -> None:
        """Nobody decides on a row that another curator holds or has decided on meanwhile."""
        assert state.example_id is not None
        example = self.parts.store.hold_example(state.example_id, curator=person.person_id)
        if example is None or (example.state, example.completion) != state.seen:
            raise CurateError("changed", "Somebody else has just decided on this example.")

    def _save(self, form: dict[str, Any], example_id: int, person: Person) -> None:
        text = read_answer(form)
        text = canonical(read_fields(form)) if text is None else text
        fix_example(
            self.parts.store,
            example_id,
            text,
            curator=person.person_id,
            settings=self.parts.checks,
        )

    def _plan(self, deed: Deed, state: Queue, person: Person) -> Queue:
        store, wanted = self.parts.store, state.wanted
        plan = make_plan(store, deed, wanted, person.person_id, self.parts.checks)
        return replace(state, plan=plan, bulk_focus=state.bulk_focus.move("plan"))

    def _decide_all(self, state: Queue, person: Person, *, is_clean: bool) -> Queue:
        plan = state.plan
        if plan is None:
            return state
        plan = plan.without_warnings() if is_clean else plan
        store, curator = self.parts.store, person.person_id
        ids = find_unchanged(store, plan, curator)
        if plan.deed == "accept":
            done = accept_shown(store, ids, curator=curator, settings=self.parts.checks)
        else:
            done = exclude_examples(store, ids, curator=curator)
        refused = {refusal.example_id for refusal in done.refused}
        changed = tuple(example_id for example_id in ids if example_id not in refused)
        said = t(person.lang, "bulk_done", num=done.num_changed, left=len(refused))
        if num_skipped := len(plan.seen) - len(ids):
            said += " " + t(person.lang, "bulk_skipped", num=num_skipped)
        tell(person.lang, said)
        decided = (*state.decided, changed)[-MAX_UNDO:] if changed else state.decided
        focus = state.bulk_focus.move("fold")
        return replace(state.leave_row(), decided=decided, bulk_focus=focus)

    def _release(self, state: Queue, person: Person) -> None:
        if state.example_id is not None:
            self.parts.store.release_example(state.example_id, person.person_id)

    # ---- showing

    def _show(self, state: Queue, person: Person) -> tuple[Any, ...]:
        example = self._current(state, person)
        if state.example_id is not None and (
            example is None or example.example_id != state.example_id
        ):
            state = replace(state.leave_row(), message=t(person.lang, "error_changed"))
        state = replace(state, example_id=example.example_id if example else None)
        if example:
            state = replace(state, seen=(example.state, example.completion))
        counts = self._count(state.wanted)
        doubt = (state.doubt.name, state.bulk_focus.mark("doubt")) if state.doubt else ()
        return (
            render_counts(counts, person.lang),
            render_filter(state.filter, counts.flags, person.lang, *doubt),
            render_queue(self._view(state, example, counts, person)),
            render_bulk(
                counts.matching,
                state.plan,
                person.lang,
                is_open=state.is_bulk_open,
                focus=state.bulk_focus,
            ),
            state,
        )

    def _view(
        self, state: Queue, example: Example | None, counts: QueueCounts, person: Person
    ) -> QueueView:
        fix = find_suggestion(example, self.parts.checks) if example else None
        if example:
            flags = retell_flags(example, self.parts.checks)
            more = find_more_flags(example, fix, self.parts.checks)
            example = replace(example, flags=(*flags, *more))
        tokens = ""
        if state.shows_tokens and example and not state.is_fixing:
            text = fix.completion if fix else example.completion
            tokens = render_tokens(example, text, self.parts.checks, person.lang)
        return QueueView(
            lang=person.lang,
            counts=counts,
            filter=state.filter,
            example=example,
            feedback=self._feedback(example),
            suggestion=fix.completion if fix else None,
            is_fixing=state.is_fixing,
            draft=state.draft,
            message=state.message,
            can_undo=bool(state.decided),
            twin=self.parts.store.get_example(state.twin_id) if state.twin_id else None,
            tokens=tokens,
        )

    def _current(self, state: Queue, person: Person) -> Example | None:
        """The row that is shown, held for this curator; else the next one that nobody holds."""
        store, curator = self.parts.store, person.person_id
        if state.example_id is not None:
            example = store.hold_example(state.example_id, curator=curator)
            if example:
                return example
        wanted = state.wanted
        found = store.claim_example(wanted, curator=curator, skip=state.skipped)
        if found is None and state.skipped:  # once round: what was skipped comes again
            return store.claim_example(wanted, curator=curator)
        return found

    def _feedback(self, example: Example | None) -> Any:
        if example is None or example.turn_id is None:
            return None
        return self.parts.store.get_feedback(example.turn_id, example.person_id)

    def _count(self, wanted: ExampleFilter) -> QueueCounts:
        store = self.parts.store
        everything = ExampleFilter(purpose=wanted.purpose)
        states = store.count_examples_by("state", everything)
        return QueueCounts(
            pending=states.get("pending", 0),
            accepted=states.get("accepted", 0),
            excluded=states.get("excluded", 0),
            goal=find_goal(store, self.parts.learning.min_examples()),
            matching=store.count_examples(wanted),
            flags=store.count_examples_by("flag", replace(everything, state=wanted.state)),
        )
