"""The Fine-tune tab: one button, then the whole loop to watch; it is found again after a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from chatbot.ui.blocks import SHORT, event_data, html_part, tell
from chatbot.ui.event_input import read_form, read_text
from chatbot.ui.finetune_view import ENDED, FinetuneView, is_running, render_finetune
from chatbot.ui.header import Header
from chatbot.ui.i18n import translate_error
from chatbot.ui.parts import Parts, find_answering
from chatbot.ui.people import Person, needs, require_admin, require_curator
from feedback_store.records import ExampleFilter

if TYPE_CHECKING:
    from finetune.recipe import RunKind

INTERVAL_S: Final = 1.0
NUM_LOG_LINES: Final = 60


@dataclass(frozen=True)
class Watching:
    """What this page knows besides the progress itself."""

    recipe: str = ""
    reached: str = ""
    is_cancelling: bool = False


class FinetuneTab:
    """Builds the tab and answers its events, for admins only."""

    def __init__(self, parts: Parts, header: Header) -> None:
        self.parts = parts
        self.header = header

    def build(self) -> None:
        """Lay out the tab inside the current Blocks."""
        self.state = gr.State(Watching())
        with gr.Column(elem_classes="eco-page"):
            self.view = html_part("finetune-view")
        self.timer = gr.Timer(INTERVAL_S, active=False)
        self.outputs = [self.view, self.state, self.timer, self.header.status]
        self.view.act(self.on_act, inputs=[self.state], outputs=self.outputs, **SHORT)
        self.timer.tick(self.on_look, inputs=[self.state], outputs=self.outputs, **SHORT)

    def wire_select(self, tab: gr.Tab) -> None:
        """Look whenever the tab is opened."""
        tab.select(self.on_look, inputs=[self.state], outputs=self.outputs, **SHORT)

    def wire_load(self, demo: gr.Blocks) -> None:
        """Find a running retrain again after a reload."""
        demo.load(self.on_load, inputs=[self.state], outputs=self.outputs, **SHORT)

    @needs("curator")
    def on_load(self, state: Watching, request: gr.Request) -> tuple[Any, ...]:
        """As on_look; a curator has nothing to look at."""
        person = require_curator(self.parts, request)
        if not person.is_admin:
            return (gr.skip(), state, gr.skip(), gr.skip())
        return self._show(state, person, request)

    @needs("admin")
    def on_look(self, state: Watching, request: gr.Request) -> tuple[Any, ...]:
        """Where things stand now."""
        return self._show(state, require_admin(self.parts, request), request)

    @needs("admin")
    def on_act(self, state: Watching, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Start, go on, or cancel."""
        person = require_admin(self.parts, request)
        data = event_data(event)
        if data.get("action") == "start":
            state = self._start(data, person)
        elif data.get("action") == "resume":
            resume = partial(self.parts.learning.resume_retrain, actor=person.person_id)
            self._obey(resume, person)
            state = Watching(recipe=state.recipe)
        elif data.get("action") == "cancel":
            self.parts.learning.cancel_retrain()
            self.parts.store.record(person.person_id, "cancel retrain")
            state = replace(state, is_cancelling=True)
        return self._show(state, person, request)

    def _start(self, data: dict[str, Any], person: Person) -> Watching:
        learning, form = self.parts.learning, read_form(data)
        recipes = learning.recipes()
        wanted, kind = read_text(form, "recipe"), form.get("kind")
        recipe = wanted if wanted in recipes else recipes[0]
        learn_from: RunKind = kind if kind in ("dpo", "kto") else "sft"
        actor = person.person_id
        start = partial(learning.start_retrain, recipe, actor=actor, kind=learn_from)
        self._obey(start, person)
        return Watching(recipe=recipe)

    def _obey(self, order: Callable[[], None], person: Person) -> None:
        """Do it, or say why it cannot be done."""
        try:
            order()
        except Exception as error:
            code = getattr(error, "code", None)
            if code is None:
                raise
            tell(person.lang, translate_error(person.lang, code, str(error)), is_warning=True)

    def _show(self, state: Watching, person: Person, request: gr.Request) -> tuple[Any, ...]:
        learning = self.parts.learning
        progress = learning.retrain_progress()
        running = is_running(progress)
        if progress and progress.stage not in ENDED:
            state = replace(state, reached=progress.stage)
        elif not running:
            state = replace(state, is_cancelling=False)
        recipes = learning.recipes()
        adapters = self.parts.store.list_adapters() if progress and not running else []
        view = FinetuneView(
            lang=person.lang,
            recipes=recipes,
            recipe=state.recipe or recipes[0],
            num_accepted=self.parts.store.count_examples(ExampleFilter(state="accepted")),
            blockers=() if running else learning.blockers(),
            progress=progress,
            reached=state.reached,
            log=learning.log_tail(NUM_LOG_LINES) if progress else (),
            adapter=adapters[0] if adapters else None,
            answering=find_answering(learning),
            is_cancelling=state.is_cancelling,
            offers=() if running else learning.preferences(),
            resumable=None if running else learning.resumable(),
        )
        status, _ = self.header.on_tick(request)
        return render_finetune(view), state, gr.Timer(active=running), status
