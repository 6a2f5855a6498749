"""What one page of the chat has open, and what its chips say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from chatbot.talk import follow_talk
from chatbot.themes import BaseInfo
from chatbot.turn_request import DEFAULT_INFO
from feedback_store.records import Conversation

NUM_TALKS: Final = 30  # conversations of the list at first, and more with each press


@dataclass(frozen=True)
class OpenChat:
    """What this page has open; kept by Gradio per page, checked against the store each time."""

    conversation_id: str = ""
    editing: int | None = None
    panel: int | None = None
    message: str = ""
    num_talks: int = NUM_TALKS  # of the list beside it

    def without_forms(self) -> OpenChat:
        """The same conversation with every panel and form closed."""
        return OpenChat(self.conversation_id, num_talks=self.num_talks)

    def with_more_talks(self) -> OpenChat:
        """The list as far as the next older ones."""
        return replace(self, num_talks=self.num_talks + NUM_TALKS)


@dataclass(frozen=True)
class Chips:
    """The three choices as picked on the page; None where nothing is picked."""

    location: str | None
    work_type: str | None
    category: str | None

    def filled(self) -> BaseInfo:
        """With the usual value where nothing is picked."""
        return BaseInfo(
            self.location or DEFAULT_INFO.location,
            self.work_type or DEFAULT_INFO.work_type,
            self.category or DEFAULT_INFO.category,
        )

    @property
    def num_picked(self) -> int:
        """How many of the three are picked."""
        return sum(value is not None for value in (self.location, self.work_type, self.category))


def changed_info(text: str, chips: Chips, talk: Conversation | None) -> BaseInfo | None:
    """None where the talk alone decides; else what was picked, moved on by the words."""
    if not chips.num_picked:
        return None
    picked = chips.filled()
    if talk is None:
        return follow_talk(text, picked, picked)
    if picked == BaseInfo(talk.location, talk.work_type, talk.category):
        return None
    return follow_talk(text, picked, replace(picked, category=talk.first_category))
