"""The Chat tab: ask, read, rate, correct, retry, and find earlier conversations again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import gradio as gr

from chatbot.recommendation import RecommendationError
from chatbot.service import ChatError
from chatbot.ui.blocks import event_data, tell
from chatbot.ui.chat_answers import ChatAnswers
from chatbot.ui.chat_feedback import ChatFeedback
from chatbot.ui.chat_layout import ChatLayout
from chatbot.ui.chat_reader import ChatReader
from chatbot.ui.chat_screen import ChatScreen, Updates
from chatbot.ui.chat_state import Chips, OpenChat
from chatbot.ui.chat_visits import Visit, Visits
from chatbot.ui.event_input import read_text, to_text
from chatbot.ui.header import Header
from chatbot.ui.i18n import describe_error, t
from chatbot.ui.live import LiveAnswers
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator, who
from feedback_store.errors import StoreError

MAX_FOLLOWERS: Final = 3  # pages that see one answer grow: nobody takes all places with one answer


class ChatTab:
    """Answers the events of the tab. In the studio each of them asks for a role."""

    def __init__(self, parts: Parts, header: Header, *, is_studio: bool) -> None:
        self.parts = parts
        self.header = header
        self.live = LiveAnswers(parts.chat, parts.engine_status, is_text=parts.is_text)
        self.is_studio = is_studio
        self.reader = ChatReader(parts, is_studio=is_studio)
        self.feedback = ChatFeedback(parts, asks_consent=not is_studio)
        self.visits = Visits()

    def build(self) -> None:
        """Lay out the tab inside the current Blocks and wire its events."""
        self.part = part = ChatLayout(self.header.timer, is_text=self.parts.is_text)
        self.screen = ChatScreen(part, self.reader, self.live)
        self.answers = ChatAnswers(self.parts, self.screen, is_studio=self.is_studio)
        many = self.parts.settings.max_concurrent_answers
        slow = part.event_options("answers", many)
        quick = part.event_options("short", 32)
        gr.on(
            [part.send.click, part.input.submit],
            self.on_send,
            inputs=[part.input, part.state, *part.chips],
            **slow,
        )
        part.ask_base.click(self.on_ask_base, inputs=[part.state, *part.chips], **slow)
        part.transcript.act(
            self.on_act, inputs=[part.state, *part.chips], trigger_mode="multiple", **slow
        )
        part.stop.click(self.on_stop, inputs=[part.state], **quick)
        part.new.click(self.on_new, **quick)
        part.search.change(self.on_search, inputs=[part.search, part.state], **quick)
        # "multiple": an opened conversation may still be seen to grow when the next is wanted.
        part.talks.act(self.on_open, inputs=[part.state], trigger_mode="multiple", **slow)
        part.privacy.act(self.on_privacy, **quick)

    def wire_load(self, demo: gr.Blocks) -> None:
        """Show what was open before a reload; goes on with an answer that is being written."""
        demo.load(
            self.on_load,
            inputs=[self.part.remembered],
            js="() => [window.eco.lastConversation()]",
            **self.part.event_options("answers", self.parts.settings.max_concurrent_answers),
        )

    # ---- events

    @needs("chatter")
    async def on_load(self, remembered: str, request: gr.Request) -> AsyncIterator[Updates]:
        """First sight of the page, or a reload."""
        wanted = OpenChat(to_text(remembered))
        async for updates in self._open(wanted, self._person(request), request):
            yield updates

    @needs("chatter")
    async def on_open(
        self, state: OpenChat, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """One of the earlier conversations, or more of their list."""
        person, data = self._person(request), event_data(event)
        if data.get("action") == "more":
            state = state.with_more_talks()
            html = await self.screen.show_talks(state, person, read_text(data, "query"))
            yield {self.part.talks: html, self.part.state: state}
            return
        wanted = OpenChat(read_text(data, "id"), num_talks=state.num_talks)
        async for updates in self._open(wanted, person, request):
            yield updates

    @needs("chatter")
    async def on_send(
        self,
        text: str,
        state: OpenChat,
        location: str | None,
        work_type: str | None,
        category: str | None,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """A typed message."""
        chips = Chips(location, work_type, category)
        with self._visit(request) as visit:
            visit.is_typed = True
            async for updates in self.answers.say(text, state, chips, visit):
                yield updates

    @needs("chatter")
    async def on_ask_base(
        self,
        state: OpenChat,
        location: str | None,
        work_type: str | None,
        category: str | None,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """The three choices, without words."""
        chips = Chips(location, work_type, category)
        with self._visit(request) as visit:
            async for updates in self.answers.ask_base(state, chips, visit):
                yield updates

    @needs("chatter")
    async def on_act(
        self,
        state: OpenChat,
        location: str | None,
        work_type: str | None,
        category: str | None,
        event: gr.EventData,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """A button inside the transcript."""
        data = event_data(event)
        with self._visit(request) as visit:
            match data.get("action"):
                case "ask":
                    chips = Chips(location, work_type, category)
                    steps = self.answers.say(read_text(data, "text"), state, chips, visit)
                case "retry":
                    turn = await asyncio.to_thread(self.reader.find_turn, data, visit.person)
                    steps = self.answers.retry(turn, state, visit)
                case _:
                    updates = await self._change(data, state, visit.person)
                    if not visit.is_over:
                        yield updates
                    return
            async for updates in steps:
                yield updates

    @needs("chatter")
    async def on_stop(self, state: OpenChat, request: gr.Request) -> Updates:
        """End the answer that the page sees grow, else whichever the person waits for; what is
        there stays.
        """
        person = self._person(request)
        waiting = self.live.list_of(person.person_id)
        here = self.visits.find_answer(person, request.session_hash)
        live = here or self.live.find(person.person_id, state.conversation_id)
        if live or waiting:
            self.live.stop(live or waiting[0])
        return {self.part.stop: gr.update(interactive=False)}

    @needs("chatter")
    async def on_new(self, request: gr.Request) -> Updates:
        """An empty conversation; it is stored with its first answer."""
        person = self._person(request)
        self.visits.turn_page(person, request.session_hash)
        updates = await self.screen.show(OpenChat(), person)
        return {**updates, **dict.fromkeys(self.part.chips)}

    @needs("chatter")
    async def on_search(self, query: str, state: OpenChat, request: gr.Request) -> Updates:
        """Earlier conversations that contain the words."""
        html = await self.screen.show_talks(state, self._person(request), query)
        return {self.part.talks: html}

    @needs("chatter")
    async def on_privacy(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Delete everything that is the person's own, for good; or keep what they agree to."""
        person = self._person(request)
        data = event_data(event)
        if data.get("action") == "forget":
            self.visits.turn_page(person, request.session_hash)
            delete = partial(self.feedback.forget, person)
            num = await self.parts.chat.forget(person.person_id, delete)
            tell(person.lang, t(person.lang, "my_data_deleted", num=num))
            return await self.screen.show(OpenChat(), person)
        if data.get("action") == "consent" and not self.is_studio:
            try:
                await asyncio.to_thread(self.feedback.save_consents, data, person)
                tell(person.lang, t(person.lang, "consent_saved"))
                return {self.part.privacy: gr.skip()}  # drawn anew, the open panel would close
            except (ChatError, StoreError) as error:
                tell(person.lang, describe_error(person.lang, error.code), is_warning=True)
        return {self.part.privacy: await asyncio.to_thread(self.reader.render_privacy, person)}

    # ---- inside

    def _person(self, request: gr.Request) -> Person:
        return require_curator(self.parts, request) if self.is_studio else who(self.parts, request)

    def _visit(self, request: gr.Request) -> AbstractContextManager[Visit]:
        return self.visits.visit(self._person(request), request.session_hash)

    async def _change(self, data: dict[str, Any], state: OpenChat, person: Person) -> Updates:
        if data.get("action") in ("panel-close", "edit-cancel"):
            return await self.screen.show_turns(state.without_forms(), person)
        turn = await asyncio.to_thread(self.reader.find_turn, data, person)
        try:
            state = await asyncio.to_thread(self.feedback.apply, data, turn, state, person)
        except RecommendationError as error:
            state = replace(state, message=describe_error(person.lang, error.code))
        except (ChatError, StoreError) as error:
            tell(person.lang, describe_error(person.lang, error.code), is_warning=True)
        return await self.screen.show_turns(state, person)

    async def _open(
        self, state: OpenChat, person: Person, request: gr.Request
    ) -> AsyncIterator[Updates]:
        self.visits.turn_page(person, request.session_hash)
        with self.visits.visit(person, request.session_hash) as visit:
            wanted = state.conversation_id
            live = self.live.find(person.person_id, wanted)
            talk = await asyncio.to_thread(self.reader.find_conversation, wanted, person)
            state = replace(state, conversation_id=wanted if live or talk else "")
            updates = await self.screen.show(state, person, is_busy=live is not None)
            if visit.is_over:
                return
            if live and live.num_followers < MAX_FOLLOWERS:
                async for step in self.answers.follow(live, state, visit, updates):
                    yield step
            else:
                yield updates
