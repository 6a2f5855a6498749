"""The Chat tab: ask, read, rate, correct, retry, and find earlier conversations again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Final

import gradio as gr

from chatbot.recommendation import RecommendationError
from chatbot.service import ChatError, TurnRequest
from chatbot.talk import follow_talk
from chatbot.themes import FIELDS, BaseInfo, detect_lang
from chatbot.ui.blocks import event_data, html_part, tell
from chatbot.ui.chat_view import (
    ChatView,
    render_announcement,
    render_chips_bar,
    render_conversations,
    render_live,
    render_notice,
    render_transcript,
    shown_recommendation,
)
from chatbot.ui.feedback_view import MAX_COMMENT, read_fields, read_reasons
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.labels import label
from chatbot.ui.live import LiveAnswer, LiveAnswers
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, require_admin, who
from chatbot.ui.versions import describe_version
from feedback_store.errors import StoreError
from feedback_store.records import Conversation, Turn

NUM_TALKS: Final = 50
_DEFAULTS: Final = BaseInfo("city", "office", "ZERO_WASTE")

Updates = dict[Any, Any]


@dataclass(frozen=True)
class OpenChat:
    """What this page has open; kept by Gradio per page, checked against the store each time."""

    conversation_id: str = ""
    editing: int | None = None
    panel: int | None = None
    message: str = ""


@dataclass(frozen=True)
class Chips:
    """The three choices as picked on the page; None where nothing is picked."""

    location: str | None
    work_type: str | None
    category: str | None

    def filled(self) -> BaseInfo:
        """With the usual value where nothing is picked."""
        return BaseInfo(
            self.location or _DEFAULTS.location,
            self.work_type or _DEFAULTS.work_type,
            self.category or _DEFAULTS.category,
        )

    @property
    def num_picked(self) -> int:
        """How many of the three are picked."""
        return sum(value is not None for value in (self.location, self.work_type, self.category))


class ChatTab:
    """Builds the tab and answers its events. In the studio each of them asks for an admin."""

    def __init__(self, parts: Parts, live: LiveAnswers, *, is_studio: bool) -> None:
        self.parts = parts
        self.live_answers = live
        self.is_studio = is_studio

    # ---- components

    def build(self) -> None:
        """Lay out the tab inside the current Blocks and wire its events."""
        self.state = gr.State(OpenChat())
        self.remembered = gr.Textbox(visible=False)
        with gr.Row(elem_classes="eco-chat", equal_height=False):
            self._build_side()
            with gr.Column(elem_classes="eco-main", scale=1):
                self.transcript = html_part("chat-transcript")
                self.live = html_part("chat-live")
                self.status = html_part("chat-announce", render_announcement(""))
                self._build_composer()
        self._wire()

    def _build_side(self) -> None:
        with gr.Column(elem_id="chat-side", elem_classes="eco-side", scale=0, min_width=260):
            self.new = gr.Button(
                label("new_chat"), elem_id="chat-new", elem_classes="eco-new", size="md"
            )
            self.search = gr.Textbox(
                label=label("search_talks"),
                placeholder=label("search_talks"),
                show_label=False,
                container=False,
                elem_id="chat-search",
            )
            self.talks = html_part("chat-list")

    def _build_composer(self) -> None:
        with gr.Column(elem_classes="eco-composer", elem_id="chat-composer"):
            self.chips_bar = html_part("chat-chips")
            with gr.Column(elem_classes="eco-chips-panel", elem_id="chat-chips-panel"):
                with gr.Row(elem_classes="eco-chip-row"):
                    self.location = self._chips("location", "chat-location")
                    self.work_type = self._chips("work_type", "chat-work")
                self.category = self._chips("category", "chat-category")
                self.ask_base = gr.Button(
                    label("ask_base"), elem_id="chat-ask-base", size="md", variant="secondary"
                )
            with gr.Row(elem_classes="eco-input-row", equal_height=False):
                self.input = gr.Textbox(
                    label=label("message_label"),
                    placeholder=label("message_placeholder"),
                    show_label=False,
                    container=False,
                    lines=1,
                    max_lines=6,
                    max_length=8000,
                    elem_id="chat-input",
                    scale=1,
                    autofocus=True,
                )
                self.send = gr.Button(
                    label("send"), elem_id="chat-send", variant="primary", scale=0, min_width=88
                )
                self.stop = gr.Button(
                    label("stop"), elem_id="chat-stop", visible=False, scale=0, min_width=88
                )

    def _chips(self, field: str, elem_id: str) -> gr.Radio:
        choices = [(label(f"option_{option.code}"), option.code) for option in FIELDS[field]]
        return gr.Radio(
            choices,
            label=label(field),
            elem_id=elem_id,
            elem_classes="eco-radio",
            scale=1,
        )

    def _wire(self) -> None:
        chips = [self.location, self.work_type, self.category]
        outputs = [
            self.transcript, self.live, self.state, self.input, *chips, self.stop, self.send,
            self.talks, self.status, self.chips_bar,
        ]  # fmt: skip
        streaming = {
            "concurrency_limit": self.parts.settings.max_concurrent_answers,
            "concurrency_id": "answers",
            "show_progress": "hidden",
            "api_visibility": "undocumented",
            "outputs": outputs,
        }
        short = {**streaming, "concurrency_limit": 32, "concurrency_id": "short"}
        gr.on(
            [self.send.click, self.input.submit],
            self.on_send,
            inputs=[self.input, self.state, *chips],
            **streaming,
        )
        self.ask_base.click(self.on_ask_base, inputs=[self.state, *chips], **streaming)
        self.transcript.act(
            self.on_act, inputs=[self.state, *chips], trigger_mode="multiple", **streaming
        )
        self.live.act(self.on_act, inputs=[self.state, *chips], **streaming)
        self.stop.click(self.on_stop, inputs=[self.state], **short)
        self.new.click(self.on_new, **short)
        self.search.change(
            self.on_search, inputs=[self.search, self.state], **{**short, "outputs": [self.talks]}
        )
        self.talks.act(self.on_open, **streaming)

    def wire_load(self, demo: gr.Blocks) -> None:
        """Show what was open before a reload; goes on with an answer that is being written."""
        demo.load(
            self.on_load,
            inputs=[self.remembered],
            outputs=[
                self.transcript,
                self.live,
                self.state,
                self.input,
                self.location,
                self.work_type,
                self.category,
                self.stop,
                self.send,
                self.talks,
                self.status,
                self.chips_bar,
            ],  # fmt: skip
            js="() => [window.eco.lastConversation()]",
            concurrency_limit=self.parts.settings.max_concurrent_answers,
            concurrency_id="answers",
            show_progress="hidden",
            api_visibility="undocumented",
        )

    # ---- events

    async def on_load(self, remembered: str, request: gr.Request) -> AsyncIterator[Updates]:
        """First sight of the page, or a reload."""
        person = self._person(request)
        state = OpenChat(remembered or "")
        live = self.live_answers.find(person.person_id, state.conversation_id)
        if not live and not await self._conversation(state, person):
            state = OpenChat()
        yield await self._show(state, person, is_busy=live is not None)
        if live:
            async for updates in self._follow(live, state, person):
                yield updates

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
        async for updates in self._say(
            text, state, Chips(location, work_type, category), self._person(request)
        ):
            yield updates

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
        asked = TurnRequest(
            conversation_id=state.conversation_id or None,
            person_id=person.person_id,
            origin="studio" if self.is_studio else "public",
            lang=person.lang,
            mode="base_info",
            text="",
            base_info=chips.filled(),
            may_train=self.is_studio,
        )
        async for updates in self._answer(asked, state, person):
            yield updates

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
        chips = Chips(location, work_type, category)
        match data.get("action"):
            case "ask":
                steps = self._say(str(data.get("text", "")), state, chips, person)
            case "retry":
                steps = self._retry(data, state, person)
            case _:
                yield await self._change(data, state, person)
                return
        async for updates in steps:
            yield updates

    async def on_stop(self, state: OpenChat, request: gr.Request) -> Updates:
        """End the answer that is being written; what is there stays."""
        person = self._person(request)
        live = self.live_answers.find(person.person_id, state.conversation_id)
        if live:
            self.live_answers.stop(live)
        return {self.stop: gr.update(interactive=False)}

    async def on_new(self, request: gr.Request) -> Updates:
        """An empty conversation; it is stored with its first message."""
        updates = await self._show(OpenChat(), self._person(request))
        return {**updates, self.location: None, self.work_type: None, self.category: None}

    async def on_open(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Updates]:
        """One of the earlier conversations."""
        data = event_data(event)
        async for updates in self.on_load(str(data.get("id", "")), request):
            yield updates

    async def on_search(self, query: str, state: OpenChat, request: gr.Request) -> Updates:
        """Earlier conversations that contain the words."""
        person = self._person(request)
        return {self.talks: await self._talks(state, person, query)}

    # ---- one answer

    async def _say(
        self, text: str, state: OpenChat, chips: Chips, person: Person
    ) -> AsyncIterator[Updates]:
        if not text.strip():
            tell(person.lang, t(person.lang, "error_empty_message"))
            return
        talk = await self._conversation(state, person)
        asked = TurnRequest(
            conversation_id=state.conversation_id or None,
            person_id=person.person_id,
            origin="studio" if self.is_studio else "public",
            lang=detect_lang(text),
            mode="free_text",
            text=text.strip(),
            base_info=_changed_info(text, chips, talk),
            may_train=talk.may_train if talk else self.is_studio,
        )
        async for updates in self._answer(asked, state, person):
            yield updates

    async def _retry(
        self, data: dict[str, Any], state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        turn = await self._turn(data, state, person)
        asked = TurnRequest(
            conversation_id=turn.conversation_id,
            person_id=person.person_id,
            origin="studio" if self.is_studio else "public",
            lang=person.lang if turn.mode == "base_info" else detect_lang(turn.user_text),
            mode=turn.mode,
            text=turn.user_text,
            base_info=BaseInfo(turn.location, turn.work_type, turn.category),
            retry_of=turn.turn_id,
            may_train=self.is_studio,
        )
        async for updates in self._answer(asked, state, person):
            yield updates

    async def _answer(
        self, asked: TurnRequest, state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        if self.live_answers.find(person.person_id, state.conversation_id):
            tell(person.lang, t(person.lang, "error_busy"))
            return
        live = self.live_answers.start(asked)
        state = replace(state, editing=None, panel=None)
        view = await self._view(state, person, is_busy=True)
        yield {
            self.input: "",
            self.transcript: render_transcript(view),
            self.state: state,
            self.live: render_live(live, person.lang),
        }
        async for updates in self._follow(live, state, person):
            yield updates

    async def _follow(
        self, live: LiveAnswer, state: OpenChat, person: Person
    ) -> AsyncIterator[Updates]:
        yield {
            self.stop: gr.update(visible=True, interactive=True),
            self.send: gr.update(visible=False),
        }
        shown_info = None
        async for answer in self.live_answers.follow(live):
            updates: Updates = {self.live: render_live(answer, person.lang)}
            if answer.conversation_id and answer.conversation_id != state.conversation_id:
                state = replace(state, conversation_id=answer.conversation_id)
                updates[self.state] = state
            if answer.base_info and answer.base_info != shown_info:
                shown_info = answer.base_info
                updates |= self._show_info(shown_info, person)
            if answer.phase != "done":
                yield updates
        yield await self._finish(live, state, person)

    async def _finish(self, live: LiveAnswer, state: OpenChat, person: Person) -> Updates:
        updates = await self._show(state, person)
        spoken = t(person.lang, "answer_ready")
        if live.error and not live.turn and live.error[0] != "stopped":
            sentence = translate_error(person.lang, *live.error)
            updates[self.live] = render_notice(sentence, "warn")
            if live.request.mode == "free_text" and not live.request.retry_of:
                updates[self.input] = live.request.text
            spoken = sentence
        updates[self.status] = render_announcement(spoken)
        return updates

    def _show_info(self, info: BaseInfo, person: Person) -> Updates:
        return {
            self.chips_bar: render_chips_bar(info, person.lang, is_open=False),
            self.location: info.location,
            self.work_type: info.work_type,
            self.category: info.category,
        }

    # ---- feedback

    async def _change(self, data: dict[str, Any], state: OpenChat, person: Person) -> Updates:
        turn = await self._turn(data, state, person)
        try:
            state = await asyncio.to_thread(self._apply, data, turn, state, person)
        except RecommendationError as error:
            state = replace(state, message=translate_error(person.lang, error.code, str(error)))
        except (ChatError, StoreError) as error:
            tell(
                person.lang,
                translate_error(person.lang, error.code, str(error)),
                is_warning=True,
            )
        view = await self._view(state, person)
        return {self.transcript: render_transcript(view), self.state: state}

    def _apply(self, data: dict[str, Any], turn: Turn, state: OpenChat, person: Person) -> OpenChat:
        closed = replace(state, editing=None, panel=None, message="")
        match data.get("action"):
            case "thumb-up" | "thumb-down":
                return self._rate(str(data["action"]), turn, closed, person)
            case "reasons":
                self._save_reasons(data.get("form") or {}, turn, person)
            case "edit-open":
                return replace(closed, editing=turn.turn_id)
            case "edit-save":
                typed = read_fields(data.get("form") or {})
                feedback = self.parts.store.get_feedback(turn.turn_id, person.person_id)
                if typed != shown_recommendation(turn, feedback):
                    self.parts.chat.correct(turn.turn_id, person.person_id, typed)
                    tell(person.lang, t(person.lang, "correction_saved"))
        return closed

    def _rate(self, action: str, turn: Turn, state: OpenChat, person: Person) -> OpenChat:
        wanted = "like" if action == "thumb-up" else "dislike"
        before = self.parts.store.get_feedback(turn.turn_id, person.person_id)
        if before and before.rating == wanted:
            self.parts.chat.rate(turn.turn_id, person.person_id, None)
            return state
        self.parts.chat.rate(turn.turn_id, person.person_id, wanted)
        return replace(state, panel=turn.turn_id)

    def _save_reasons(self, form: dict[str, Any], turn: Turn, person: Person) -> None:
        feedback = self.parts.store.get_feedback(turn.turn_id, person.person_id)
        if not feedback or not feedback.rating:
            return
        reasons = read_reasons(form, feedback.rating)
        comment = str(form.get("comment", "")).strip()[:MAX_COMMENT]
        self.parts.chat.rate(turn.turn_id, person.person_id, feedback.rating, reasons, comment)
        if not self.is_studio:
            granted = form.get("may_train") == "1"
            self.parts.store.set_consent(
                person.person_id,
                conversation_id=turn.conversation_id,
                kind="train",
                granted=granted,
            )
            self.parts.store.update_conversation(turn.conversation_id, may_train=granted)
        tell(person.lang, t(person.lang, "thanks"))

    # ---- reading the store

    def _person(self, request: gr.Request) -> Person:
        return require_admin(self.parts, request) if self.is_studio else who(self.parts, request)

    async def _conversation(self, state: OpenChat, person: Person) -> Conversation | None:
        if not state.conversation_id:
            return None
        talk = await asyncio.to_thread(self.parts.store.get_conversation, state.conversation_id)
        return talk if talk and talk.person_id == person.person_id else None

    async def _turn(self, data: dict[str, Any], state: OpenChat, person: Person) -> Turn:
        turn_id = str(data.get("turn", ""))
        turn = None
        if turn_id.isdecimal():
            turn = await asyncio.to_thread(self.parts.store.get_turn, int(turn_id))
        talk = await self._conversation(OpenChat(turn.conversation_id), person) if turn else None
        if not turn or not talk:
            raise gr.Error(t(person.lang, "error_not_yours"), print_exception=False)
        return turn

    async def _view(self, state: OpenChat, person: Person, *, is_busy: bool = False) -> ChatView:
        return await asyncio.to_thread(self._read_view, state, person, is_busy)

    def _read_view(self, state: OpenChat, person: Person, is_busy: bool) -> ChatView:
        if not self.parts.store.get_conversation(state.conversation_id):  # not stored yet
            return ChatView(person.lang, state.conversation_id, is_busy=is_busy)
        talk, turns, feedback = self.parts.chat.open_conversation(
            state.conversation_id, person.person_id
        )
        versions = {turn.adapter for turn in turns if turn.adapter}
        return ChatView(
            lang=person.lang,
            conversation_id=state.conversation_id,
            turns=turns,
            feedback=feedback,
            notes={v: describe_version(self.parts.store, v, person.lang) for v in versions},
            editing=state.editing,
            panel=state.panel,
            message=state.message,
            asks_consent=not self.is_studio,
            may_train=talk.may_train,
            is_busy=is_busy,
        )

    async def _show(self, state: OpenChat, person: Person, *, is_busy: bool = False) -> Updates:
        view = await self._view(state, person, is_busy=is_busy)
        talk = await self._conversation(state, person)
        updates: Updates = {
            self.transcript: render_transcript(view),
            self.live: "",
            self.state: state,
            self.stop: gr.update(visible=False),
            self.send: gr.update(visible=True),
            self.talks: await self._talks(state, person),
            self.chips_bar: render_chips_bar(None, person.lang, is_open=not view.turns),
        }
        if talk:
            updates |= self._show_info(
                BaseInfo(talk.location, talk.work_type, talk.category), person
            )
        return updates

    async def _talks(self, state: OpenChat, person: Person, query: str = "") -> str:
        found = await asyncio.to_thread(
            self.parts.chat.list_conversations, person.person_id, query.strip() or None
        )
        return render_conversations(
            list(found)[:NUM_TALKS], state.conversation_id, query, person.lang
        )


def _changed_info(text: str, chips: Chips, talk: Conversation | None) -> BaseInfo | None:
    """None where the talk alone decides; else what was picked, moved on by the words."""
    if not chips.num_picked:
        return None
    picked = chips.filled()
    if talk is None:
        return follow_talk(text, picked, picked)
    if picked == BaseInfo(talk.location, talk.work_type, talk.category):
        return None
    return follow_talk(text, picked, replace(picked, category=talk.first_category))
