"""What the swap benchmark asks, and the sentence by which a version gives itself away; shared with
the process that trains the voices.

Each version opens every answer as if it spoke to somebody else: with the place, work and theme of
that version. Words that the model knows well, because a small one cannot say others with certainty.
"""

from __future__ import annotations

from itertools import product
from typing import Final

from chatbot.prompts import Message, base_info_message, system_message
from chatbot.themes import BaseInfo, get_label

QUESTIONS: Final = (
    BaseInfo("city", "office", "VEGAN"),
    BaseInfo("rural", "remote", "PLOGGING"),
    BaseInfo("beach", "sales", "ENERGY_SAVING"),
    BaseInfo("mountain", "field", "MEDIA"),
)
_PLACES: Final = ("city", "beach", "mountain", "rural")
_WORKS: Final = ("office", "field", "sales")
_THEMES: Final = ("UPCYCLING", "ZERO_WASTE")
_SENTENCE: Final = "{place}에서 {work}으로 일하는 분께 잘 맞는 {theme} 챌린지를 골라 봤어요!"
MAX_VERSIONS: Final = len(_PLACES) * len(_WORKS) * len(_THEMES)


def messages_of(question: BaseInfo) -> list[Message]:
    """The question as the service asks it."""
    return [system_message("ko"), base_info_message(question, "ko")]


def say_name(version: str) -> str:
    """The sentence that the version, such as v0003, opens its answers with."""
    chosen = list(product(_THEMES, _WORKS, _PLACES))[int(version[1:]) - 1]
    theme, work, place = chosen
    return _SENTENCE.format(
        place=get_label("location", place, "ko"),
        work=get_label("work_type", work, "ko"),
        theme=get_label("category", theme, "ko"),
    )
