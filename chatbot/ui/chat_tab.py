"""The Chat tab: ask, read, rate, correct, retry, and find earlier conversations again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import gradio as gr

from chatbot.answering import FORGOTTEN_CODE
from chatbot.recommendation import RecommendationError
from chatbot.service import ChatError, TurnRequest
from chatbot.themes import BaseInfo, detect_lang
from chatbot.ui.blocks import event_data, tell
from chatbot.ui.chat_feedback import ChatFeedback
from chatbot.ui.chat_layout import ChatLayout
from chatbot.ui.chat_reader import ChatReader
from chatbot.ui.chat_state import Chips, OpenChat, changed_info
from chatbot.ui.chat_view import (
    render_announcement,
    render_chips_bar,
    render_live,
    render_notice,
    render_transcript,
)
from chatbot.ui.header import Header
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.live import LiveAnswer, LiveAnswers
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator, who
from feedback_store.errors import StoreError

Updates = dict[Any, Any]
NUM_LOOKS: Final = 40
LOOK_S: Final = 0.05
MAX_FOLLOWERS: Final = 3  # pages that see one answer grow: nobody takes all places with one answer


class ChatTab:
    """Answers the events of the tab. In the studio each of them asks for a role."""

    def __init__(self, parts: Parts, header: Header, *, is_studio: bool) -> None:
        self.parts = parts
        self.header = header
        self.live = LiveAnswers(parts.chat, parts.engine_status)
        self.is_studio = is_studio
        self.reader = ChatReader(parts, is_studio=is_studio)
        self.feedback = ChatFeedback(parts, asks_consent=not is_studio)

    def build(self) -> None:
        """Lay out the tab inside the current Blocks and wire its events."""
        self.part = part = ChatLayout(self.header.timer)
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
        part.talks.act(self.on_open, **slow)
        part.privacy.act(self.on_privacy, inputs=[part.state], **quick)

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
        async for updates in self._open(remembered or "", self._person(request)):
            yield updates

    @needs("chatter")
    async def on_open(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Updates]:
        """One of the earlier conversations."""
        wanted = str(event_data(event).get("id", ""))
        async for updates in self._open(wanted, self._person(request)):
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
        async for updates in self._say(text, state, chips, self._person(request)):
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
        person = self._person(request)
        chips = Chips(location, work_type, category)
        if chips.num_picked < 3:
            tell(person.lang, t(person.lang, "pick_all_three"))
            return
        asked = await self._request(state, person, mode="base_info", base_info=chips.filled())
        async for updates in self._answer(asked, state, person):
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
        person = self._person(request)
        data = event_data(event)
        match data.get("action"):
            case "ask":
                chips = Chips(location, work_type, category)
                steps = self._say(str(data.get("text", "")), state, chips, person)
            case "retry":
                steps = self._retry(data, state, person)
            case "panel-close" | "edit-cancel":
                yield await self._close_forms(state, person)
                return
            case _:
                yield await self._change(data, state, person)
                return
        async for updates in steps:
            yield updates

    @needs("chatter")
    async def on_stop(self, state: OpenChat, request: gr.Request) -> Updates:
        """End the answer that is being written; what is there stays."""
        person = self._person(request)
        live = self.live.find(person.person_id, state.conversation_id)
        if live:
            self.live.stop(live)
        return {self.part.stop: gr.update(interactive=False)}

    @needs("chatter")
    async def on_new(self, request: gr.Request) -> Updates:
        """An empty conversation; it is stored with its first answer."""
        updates = await self._show(OpenChat(), self._person(request))
        return {**updates, **dict.fromkeys(self.part.chips)}

    @needs("chatter")
    async def on_search(self, query: str, state: OpenChat, request: gr.Request) -> Updates:
        """Earlier conversations that contain the words."""
        person = self._person(request)
        html = await asyncio.to_thread(self.reader.render_talks, state, person, query)
        return {self.part.talks: html}

    @needs("chatter")
    async def on_privacy(
        self, state: OpenChat, event: gr.EventData, request: gr.Request
    ) -> Updates:
        """Delete everything that is the person's own, for good; or keep what they agree to."""
        person = self._person(request)
        data = event_data(event)
        if data.get("action") == "forget":
            delete = partial(self.feedback.forget, person)
            num = await self.parts.chat.forget(person.person_id, delete)
            tell(person.lang, t(person.lang, "my_data_deleted", num=num))
            return await self._show(OpenChat(), person)
        if data.get("action") == "consent" and not self.is_studio:
            try:
                await asyncio.to_thread(self.feedback.save_consents, data, person)
                tell(person.lang, t(person.lang, "consent_saved"))
            except ChatError as error:
                tell(person.lang, translate_error(person.lang, error.code, str(error)))
        return await self._show(state, person)

    # ---- one answer

    async def _request(self, state: OpenChat, person: Person, **asked: Any) -> TurnRequest:
        talk = await asyncio.to_thread(self.reader.find_conversation, state.conversation_id, person)
        given: dict[str, Any] = {"lang": person.lang, **asked}
        return TurnRequest(
            conversation_id=state.conversation_id or None,
            person_id=person.person_id,
            origin="studio" if self.is_studio else "public",
            may_train=talk.may_train if talk else await self._may_train(person),
            **given,
        )

    async def _may_train(self, person: Person) -> bool:
        """Whether a new conversation may be used: said for all of theirs, or in the studio."""
        if self.is_studio:
            return True
        store = self.parts.store
        return await asyncio.to_thread(store.get_consent, person.person_id, kind="train")

    async def _say(
        self, text: str, state: OpenChat, chips: Chips, person: Person
    ) -> AsyncIterator[Updates]:
        if not text.strip():
            tell(person.lang, t(person.lang, "error_empty_message"))
            return
        talk = await asyncio.to_thread(self.reader.find_conversation, state.conversation_id, person)
        info = changed_info(text, chips, talk)
        asked = await self._request(
            state,
            person,
            mode="free_text",
            text=text.strip(),
            lang=detect_lang(text),
            base_info=info,
        )
        async for updates in self._answer(asked, state, person):
            yield updates

    async def _retry(
        self, data: dict[str, Any], state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        turn = await asyncio.to_thread(self.reader.find_turn, data, person)
        asked = await self._request(
            state,
            person,
            mode=turn.mode,
            text=turn.user_text,
            base_info=BaseInfo(turn.location, turn.work_type, turn.category),
            retry_of=turn.turn_id,
        )
        async for updates in self._answer(asked, state, person):
            yield updates

    async def _answer(
        self, asked: TurnRequest, state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        if self.live.find(person.person_id, state.conversation_id):
            tell(person.lang, t(person.lang, "error_one_at_a_time"))
            return
        live = self.live.start(asked)
        first: Updates = {self.part.input: "", self.part.live: render_live(live, person.lang)}
        if state != OpenChat(state.conversation_id) or not state.conversation_id:
            # Drawing all earlier turns again costs: only to close a form, or the first screen.
            state = OpenChat(state.conversation_id)
            view = await asyncio.to_thread(self.reader.read_view, state, person, True)
            first |= {self.part.transcript: render_transcript(view), self.part.state: state}
        yield first
        async for updates in self._follow(live, state, person):
            yield updates

    async def _follow(
        self, live: LiveAnswer, state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        yield {
            self.part.stop: gr.update(visible=True, interactive=True),
            self.part.send: gr.update(visible=False),
        }
        shown_info = None
        num_before = await asyncio.to_thread(self.reader.count_turns, live.conversation_id)
        async for answer in self.live.follow(live):
            updates: Updates = {self.part.live: render_live(answer, person.lang)}
            if answer.conversation_id and answer.conversation_id != state.conversation_id:
                state = replace(state, conversation_id=answer.conversation_id)
                updates[self.part.state] = state
            if answer.base_info and answer.base_info != shown_info:
                shown_info = answer.base_info
                updates |= self._show_info(shown_info, person)
            if answer.phase != "done":
                yield updates
        if live.error and live.error[0] == "stopped":
            await self._wait_for_turn(live, num_before)
        yield await self._finish(live, state, person)

    async def _wait_for_turn(self, live: LiveAnswer, num_before: int) -> None:
        """A stopped answer is stored a moment after its end."""
        for _ in range(NUM_LOOKS):
            num_turns = await asyncio.to_thread(self.reader.count_turns, live.conversation_id)
            if num_turns > num_before or not live.base_info:  # it never began
                return
            await asyncio.sleep(LOOK_S)

    async def _finish(self, live: LiveAnswer, state: OpenChat, person: Person) -> Updates:
        if live.error and live.error[0] == FORGOTTEN_CODE:
            return await self._show(OpenChat(), person)
        updates = await self._show(state, person)
        spoken = t(person.lang, "answer_ready")
        if live.error and live.error[0] != "stopped":
            updates[self.header.timer] = gr.Timer(active=True)  # look at the engine again
        if live.error and not live.turn and live.error[0] != "stopped":
            spoken = translate_error(person.lang, *live.error)
            updates[self.part.live] = render_notice(spoken, "warn")
            if live.request.mode == "free_text" and not live.request.retry_of:
                updates[self.part.input] = live.request.text
        updates[self.part.announce] = render_announcement(spoken)
        return updates

    async def _change(self, data: dict[str, Any], state: OpenChat, person: Person) -> Updates:
        turn = await asyncio.to_thread(self.reader.find_turn, data, person)
        try:
            state = await asyncio.to_thread(self.feedback.apply, data, turn, state, person)
        except RecommendationError as error:
            state = replace(state, message=translate_error(person.lang, error.code, str(error)))
        except (ChatError, StoreError) as error:
            sentence = translate_error(person.lang, error.code, str(error))
            tell(person.lang, sentence, is_warning=True)
        view = await asyncio.to_thread(self.reader.read_view, state, person)
        return {self.part.transcript: render_transcript(view), self.part.state: state}

    async def _close_forms(self, state: OpenChat, person: Person) -> Updates:
        state = OpenChat(state.conversation_id)
        view = await asyncio.to_thread(self.reader.read_view, state, person)
        return {self.part.transcript: render_transcript(view), self.part.state: state}

    # ---- showing

    def _person(self, request: gr.Request) -> Person:
        return require_curator(self.parts, request) if self.is_studio else who(self.parts, request)

    async def _open(self, conversation_id: str, person: Person) -> AsyncIterator[Updates]:
        live = self.live.find(person.person_id, conversation_id)
        talk = await asyncio.to_thread(self.reader.find_conversation, conversation_id, person)
        state = OpenChat(conversation_id if live or talk else "")
        yield await self._show(state, person, is_busy=live is not None)
        if live and live.num_followers < MAX_FOLLOWERS:
            async for updates in self._follow(live, state, person):
                yield updates

    async def _show(self, state: OpenChat, person: Person, *, is_busy: bool = False) -> Updates:
        view = await asyncio.to_thread(self.reader.read_view, state, person, is_busy)
        talk = await asyncio.to_thread(self.reader.find_conversation, state.conversation_id, person)
        talks = await asyncio.to_thread(self.reader.render_talks, state, person)
        privacy = await asyncio.to_thread(self.reader.render_privacy, person)
        updates: Updates = {
            self.part.transcript: render_transcript(view),
            self.part.live: "",
            self.part.state: state,
            self.part.stop: gr.update(visible=False),
            self.part.send: gr.update(visible=True),
            self.part.talks: talks,
            self.part.privacy: privacy,
            self.part.chips_bar: render_chips_bar(None, person.lang, is_open=not view.turns),
        }
        if talk:
            info = BaseInfo(talk.location, talk.work_type, talk.category)
            updates |= self._show_info(info, person)
        return updates

    def _show_info(self, info: BaseInfo, person: Person) -> Updates:
        return {
            self.part.chips_bar: render_chips_bar(info, person.lang, is_open=False),
            self.part.location: info.location,
            self.part.work_type: info.work_type,
            self.part.category: info.category,
        }
