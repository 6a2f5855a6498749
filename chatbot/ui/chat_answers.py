"""One answer on one page: asked for, seen to grow, and what is said when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import gradio as gr

from chatbot.answering import FORGOTTEN_CODE
from chatbot.service import TurnRequest
from chatbot.themes import BaseInfo, detect_lang
from chatbot.ui.blocks import tell
from chatbot.ui.chat_screen import ChatScreen, Updates
from chatbot.ui.chat_state import Chips, OpenChat, changed_info
from chatbot.ui.chat_view import (
    describe_end,
    render_announcement,
    render_live,
    render_refusal,
    render_unsaved,
)
from chatbot.ui.chat_visits import Visit
from chatbot.ui.event_input import to_text
from chatbot.ui.i18n import t
from chatbot.ui.live import LiveAnswer
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from feedback_store.records import Turn

NUM_LOOKS: Final = 40
LOOK_S: Final = 0.05


class ChatAnswers:
    """Each function gives the updates of one page until its answer has ended, or until the page
    turns to something else: then the answer is written to its end, and nothing more is shown.
    """

    def __init__(self, parts: Parts, screen: ChatScreen, *, is_studio: bool) -> None:
        self.parts = parts
        self.screen = screen
        self.part = screen.part
        self.reader = screen.reader
        self.live = screen.live
        self.is_studio = is_studio

    async def say(
        self, text: str | None, state: OpenChat, chips: Chips, visit: Visit
    ) -> AsyncIterator[Updates]:
        """Words, typed or of an example; None is what a request made by hand may bring."""
        text = to_text(text)
        if not text.strip():
            tell(visit.lang, t(visit.lang, "error_empty_message"))
            return
        talk = await asyncio.to_thread(
            self.reader.find_conversation, state.conversation_id, visit.person
        )
        asked = await self._request(
            state,
            visit.person,
            mode="free_text",
            text=text.strip(),
            lang=detect_lang(text),
            base_info=changed_info(text, chips, talk),
        )
        async for updates in self._answer(asked, state, visit):
            yield updates

    async def ask_base(self, state: OpenChat, chips: Chips, visit: Visit) -> AsyncIterator[Updates]:
        """The three choices, without words."""
        if chips.num_picked < 3:
            tell(visit.lang, t(visit.lang, "pick_all_three"))
            return
        asked = await self._request(state, visit.person, mode="base_info", base_info=chips.filled())
        async for updates in self._answer(asked, state, visit):
            yield updates

    async def retry(self, turn: Turn, state: OpenChat, visit: Visit) -> AsyncIterator[Updates]:
        """The same question once more."""
        asked = await self._request(
            state,
            visit.person,
            mode=turn.mode,
            text=turn.user_text,
            base_info=BaseInfo(turn.location, turn.work_type, turn.category),
            retry_of=turn.turn_id,
        )
        async for updates in self._answer(asked, state, visit):
            yield updates

    async def follow(
        self, live: LiveAnswer, state: OpenChat, visit: Visit, first: Updates | None = None
    ) -> AsyncIterator[Updates]:
        """An answer from wherever it stands."""
        visit.answer = live
        yield {
            **(first or {}),
            self.part.stop: gr.update(visible=True, interactive=True),
            self.part.send: gr.update(visible=False),
        }
        num_before = await asyncio.to_thread(self.reader.count_turns, live.conversation_id)
        shown_info = None
        async with aclosing(self.live.follow(live)) as steps:
            async for answer in steps:
                if visit.is_over:
                    return
                if answer.phase == "done":
                    break
                updates: Updates = {self.part.live: render_live(answer, visit.lang)}
                if answer.conversation_id and answer.conversation_id != state.conversation_id:
                    state = replace(state, conversation_id=answer.conversation_id)
                    updates[self.part.state] = state
                if answer.base_info and answer.base_info != shown_info:
                    shown_info = answer.base_info
                    updates |= self.screen.show_info(shown_info, visit.person)
                yield updates
        is_stored = live.turn is not None or await self._wait_for_turn(live, num_before)
        updates = await self._finish(live, state, visit, is_stored=is_stored)
        if not visit.is_over:
            yield updates

    # ---- inside

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

    async def _answer(
        self, asked: TurnRequest, state: OpenChat, visit: Visit
    ) -> AsyncIterator[Updates]:
        if visit.is_over:  # turned away before it was asked: what was typed is still there
            return
        if self._is_waiting(state, visit.person):
            tell(visit.lang, t(visit.lang, "error_one_at_a_time"))
            return
        visit.answer = live = self.live.start(asked)
        await live.wait_begun()
        if visit.is_over:
            return
        if live.phase == "done" and not live.base_info:
            yield self._refuse(live, visit)
            return
        first: Updates = {self.part.live: render_live(live, visit.lang)}
        if visit.is_typed:
            first[self.part.input] = ""
        if state != state.without_forms() or not state.conversation_id:
            # Drawing all earlier turns again costs: only to close a form, or the first screen.
            state = state.without_forms()
            first |= await self.screen.show_turns(state, visit.person, is_busy=True)
        async for updates in self.follow(live, state, visit, first):
            yield updates

    def _is_waiting(self, state: OpenChat, person: Person) -> bool:
        """Whether the person waits for another answer: here, or anywhere as far as one may."""
        waiting = self.live.list_of(person.person_id)
        if any(live.conversation_id == (state.conversation_id or None) for live in waiting):
            return True
        return not self.is_studio and len(waiting) >= self.parts.chat.settings.limits.num_at_once

    def _refuse(self, live: LiveAnswer, visit: Visit) -> Updates:
        """Refused at once: the page, and what was typed, stay as they are."""
        return {
            self.part.live: render_refusal(live, visit.lang),
            self.part.announce: render_announcement(describe_end(live, visit.lang)),
            **self._look_at_engine(live),
        }

    async def _wait_for_turn(self, live: LiveAnswer, num_before: int) -> bool:
        """Whether a stopped answer was stored, which happens a moment after its end."""
        if not live.base_info or not live.error or live.error[0] != "stopped":
            return False
        for _ in range(NUM_LOOKS):
            num_turns = await asyncio.to_thread(self.reader.count_turns, live.conversation_id)
            if num_turns > num_before:
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def _finish(
        self, live: LiveAnswer, state: OpenChat, visit: Visit, *, is_stored: bool
    ) -> Updates:
        if live.error and live.error[0] == FORGOTTEN_CODE:  # deleted on another page: nothing stays
            for _ in range(NUM_LOOKS):
                if not self.parts.chat.is_forgetting(visit.person.person_id):
                    break
                await asyncio.sleep(LOOK_S)
            return await self.screen.show(OpenChat(), visit.person)
        find = self.reader.find_conversation
        if not await asyncio.to_thread(find, state.conversation_id, visit.person):
            state = replace(state, conversation_id="")  # its first answer was not stored
        updates = await self.screen.show(state, visit.person)
        if not is_stored:
            updates[self.part.live] = render_unsaved(live, visit.lang)
        updates[self.part.announce] = render_announcement(describe_end(live, visit.lang))
        return updates | self._look_at_engine(live)

    def _look_at_engine(self, live: LiveAnswer) -> Updates:
        if live.error and live.error[0] != "stopped":
            return {self.part.timer: gr.Timer(active=True)}
        return {}
