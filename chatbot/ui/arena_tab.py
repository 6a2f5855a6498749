"""The Arena tab: the same question to two versions, and a vote before the names are shown."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Final

import gradio as gr

from chatbot.service import ChatError, TurnRequest
from chatbot.themes import detect_lang
from chatbot.ui.arena_view import ArenaView, Side, render_below, render_round
from chatbot.ui.arena_votes import VOTES, count_votes, record_vote
from chatbot.ui.blocks import QUIET, event_data, html_part, tell
from chatbot.ui.chat_view import describe_end
from chatbot.ui.event_input import to_text
from chatbot.ui.i18n import describe_error, t
from chatbot.ui.labels import label
from chatbot.ui.live import LiveAnswer, LiveAnswers
from chatbot.ui.parts import Parts, find_answering
from chatbot.ui.people import Person, needs, require_curator, who
from feedback_store.records import Turn
from feedback_store.text import MAX_MESSAGE

_dice: Final = random.SystemRandom()


@dataclass(frozen=True)
class Round:
    """What this page shows; the turns are read again, and checked, when a vote comes."""

    question: str = ""
    left: int | None = None
    right: int | None = None
    vote: str = ""


class ArenaTab:
    """Builds the tab and answers its events. In the studio each of them asks for a role."""

    def __init__(self, parts: Parts, *, is_studio: bool) -> None:
        self.parts = parts
        self.live = LiveAnswers(parts.chat, parts.engine_status, is_text=parts.is_text)
        self.is_studio = is_studio

    def build(self) -> None:
        """Lay out the tab inside the current Blocks and wire its events."""
        self.state = gr.State(Round())
        with gr.Column(elem_classes="eco-page"):
            with gr.Row(elem_classes="eco-input-row", equal_height=False):
                self.input = gr.Textbox(
                    label=label("message_label"),
                    placeholder=label("arena_placeholder"),
                    show_label=False,
                    container=False,
                    lines=1,
                    max_lines=4,
                    max_length=MAX_MESSAGE,
                    elem_id="arena-input",
                    elem_classes="eco-input",
                    scale=1,
                )
                self.ask = gr.Button(
                    label("arena_ask"), elem_id="arena-ask", variant="primary", scale=0
                )
            self.view = html_part("arena-view")
            self.below = html_part("arena-below")
        options = {
            "outputs": [self.view, self.below, self.state, self.input, self.ask],
            "concurrency_limit": self.parts.settings.max_concurrent_answers,
            **QUIET,
        }
        gr.on(
            [self.ask.click, self.input.submit],
            self.on_ask,
            inputs=[self.input, self.state],
            **options,
        )
        self.view.act(self.on_vote, inputs=[self.state], **options)

    def wire_select(self, tab: gr.Tab) -> None:
        """Show the standings whenever the tab is opened. The round is left alone: it may have begun
        before this comes.
        """
        tab.select(
            self.on_select, inputs=[self.state], outputs=[self.below], concurrency_limit=32, **QUIET
        )

    # ---- events

    @needs("chatter")
    async def on_select(self, state: Round, request: gr.Request) -> str:
        """The standings of now."""
        return render_below(await self._read(state, self._person(request)))

    @needs("chatter")
    async def on_ask(
        self, text: str | None, state: Round, request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        """Both answers, one after the other on sides drawn by lot."""
        person, text = self._person(request), to_text(text)
        pair = await self._draw()
        if not text.strip() or pair is None:
            key = self._explain_no_pair() if pair is None else "error_empty_message"
            tell(person.lang, t(person.lang, key))
            return
        state = Round(question=text.strip())
        first = self.live.start(self._request(state, person, pair[0], None))
        await first.wait_begun()
        if first.phase == "done" and not first.base_info:  # the page stays, and what was typed
            tell(person.lang, describe_end(first, person.lang), is_warning=True)
            return
        yield {
            self.input: "",
            self.ask: gr.update(interactive=False),
            self.state: state,
            self.below: "",
        }
        async for view in self._run(first, pair[1], state, person):
            yield {self.view: render_round(view)}
        view = replace(view, is_over=True)
        left, right = view.left.turn, view.right.turn
        state = replace(
            state, left=left.turn_id if left else None, right=right.turn_id if right else None
        )
        yield {
            self.view: render_round(view),
            self.state: state,
            self.ask: gr.update(interactive=True),
        }

    async def _run(
        self, first: LiveAnswer, other: str, state: Round, person: Person
    ) -> AsyncIterator[ArenaView]:
        """The answer that was begun, then that of the other version if there is one to compare."""
        view = ArenaView(person.lang, state.question, is_text=self.parts.is_text)
        async for answer in self.live.follow(first):
            view = replace(view, left=Side(answer, answer.turn))
            yield view
        if first.turn is None:
            return
        second = self.live.start(self._request(state, person, other, first.turn))
        async for answer in self.live.follow(second):
            view = replace(view, right=Side(answer, answer.turn))
            yield view

    @needs("chatter")
    async def on_vote(
        self, state: Round, event: gr.EventData, request: gr.Request
    ) -> dict[Any, Any]:
        """Keep the vote, then show who spoke."""
        person = self._person(request)
        vote = event_data(event).get("vote")
        if vote in VOTES and not state.vote:
            try:
                await asyncio.to_thread(self._record, vote, state, person)
                state = replace(state, vote=str(vote))
            except ChatError as error:
                tell(person.lang, describe_error(person.lang, error.code))
        view = await self._read(state, person)
        return {
            self.view: render_round(view),
            self.below: render_below(view),
            self.state: state,
        }

    # ---- inside

    def _person(self, request: gr.Request) -> Person:
        return require_curator(self.parts, request) if self.is_studio else who(self.parts, request)

    async def _draw(self) -> tuple[str, str] | None:
        """Two versions in random order, the one that answers among them; "" is the base."""
        answering = find_answering(self.parts.learning) or ""
        loaded = {"", *(ref.name for ref in await self.parts.chat.engine.loaded())}
        others = sorted(loaded - {answering})
        if answering not in loaded or not others:
            return None
        pair = [answering, _dice.choice(others)]
        _dice.shuffle(pair)
        return pair[0], pair[1]

    def _explain_no_pair(self) -> str:
        """The key of the sentence why there is nothing to compare."""
        return "arena_base_only" if self.parts.learning.waiting() else "arena_needs_two"

    def _request(
        self, state: Round, person: Person, adapter: str, first: Turn | None
    ) -> TurnRequest:
        return TurnRequest(
            conversation_id=first.conversation_id if first else None,
            person_id=person.person_id,
            origin="studio" if self.is_studio else "public",
            lang="ko" if detect_lang(state.question) == "ko" else "en",
            mode="free_text",
            text=state.question,
            adapter=adapter,
            retry_of=first.turn_id if first else None,
            may_train=self.is_studio,
            is_alongside=first is not None,
        )

    def _record(self, vote: Any, state: Round, person: Person) -> None:
        left, right = self._turn(state.left), self._turn(state.right)
        if left is None or right is None:
            raise ChatError("not_found", "The round is over. Ask again.")
        record_vote(self.parts.chat, person.person_id, vote, left, right)

    def _turn(self, turn_id: int | None) -> Turn | None:
        return None if turn_id is None else self.parts.store.get_turn(turn_id)

    def _own_turn(self, turn_id: int | None, person: Person) -> Turn | None:
        turn = self._turn(turn_id)
        talk = self.parts.store.get_conversation(turn.conversation_id) if turn else None
        return turn if talk and talk.person_id == person.person_id else None

    async def _read(self, state: Round, person: Person) -> ArenaView:
        return await asyncio.to_thread(self._read_view, state, person)

    def _read_view(self, state: Round, person: Person) -> ArenaView:
        left, right = self._own_turn(state.left, person), self._own_turn(state.right, person)
        return ArenaView(
            person.lang,
            question=state.question if left and right else "",
            left=Side(turn=left),
            right=Side(turn=right),
            vote=state.vote,
            is_text=self.parts.is_text,
            standings=count_votes(self.parts.store.read_view("reasons_by_adapter")),
        )
