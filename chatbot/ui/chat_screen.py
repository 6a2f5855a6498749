"""What one page of the chat shows: the open conversation and all that goes with it."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from chatbot.themes import BaseInfo
from chatbot.ui.chat_layout import ChatLayout
from chatbot.ui.chat_reader import ChatReader
from chatbot.ui.chat_state import OpenChat
from chatbot.ui.chat_view import render_chips_bar, render_transcript
from chatbot.ui.live import LiveAnswers
from chatbot.ui.people import Person

Updates = dict[Any, Any]


class ChatScreen:
    """Turns what is stored into updates of the components."""

    def __init__(self, part: ChatLayout, reader: ChatReader, live: LiveAnswers) -> None:
        self.part = part
        self.reader = reader
        self.live = live

    async def show(self, state: OpenChat, person: Person, *, is_busy: bool = False) -> Updates:
        """All of the page. is_busy: an answer is about to be shown below."""
        view = await asyncio.to_thread(self.reader.read_view, state, person, is_busy)
        talk = await asyncio.to_thread(self.reader.find_conversation, state.conversation_id, person)
        privacy = await asyncio.to_thread(self.reader.render_privacy, person)
        updates: Updates = {
            self.part.transcript: render_transcript(view),
            self.part.live: "",
            self.part.state: state,
            self.part.stop: gr.update(visible=False),
            self.part.send: gr.update(visible=True),
            self.part.talks: await self.show_talks(state, person),
            self.part.privacy: privacy,
            self.part.chips_bar: render_chips_bar(None, person.lang, is_open=not view.turns),
        }
        if talk:
            info = BaseInfo(talk.location, talk.work_type, talk.category)
            updates |= self.show_info(info, person)
        return updates

    async def show_talks(self, state: OpenChat, person: Person, query: str = "") -> str:
        """The list of the person's conversations, with the answers that are being written."""
        writing = self.live.list_of(person.person_id)
        return await asyncio.to_thread(self.reader.render_talks, state, person, query, writing)

    async def show_turns(
        self, state: OpenChat, person: Person, *, is_busy: bool = False
    ) -> Updates:
        """The transcript only."""
        view = await asyncio.to_thread(self.reader.read_view, state, person, is_busy)
        return {self.part.transcript: render_transcript(view), self.part.state: state}

    def show_info(self, info: BaseInfo, person: Person) -> Updates:
        """The three choices as they were understood, where there are any."""
        if self.part.is_text:
            return {}
        return {
            self.part.chips_bar: render_chips_bar(info, person.lang, is_open=False),
            self.part.location: info.location,
            self.part.work_type: info.work_type,
            self.part.category: info.category,
        }
