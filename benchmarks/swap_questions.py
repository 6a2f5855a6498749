"""What the swap benchmark asks, and how a version says its name; shared with the process that
trains the voices.
"""

from __future__ import annotations

import re
from typing import Final

from chatbot.prompts import Message, base_info_message, system_message
from chatbot.themes import BaseInfo

QUESTIONS: Final = (
    BaseInfo("city", "office", "VEGAN"),
    BaseInfo("rural", "remote", "PLOGGING"),
    BaseInfo("beach", "sales", "ENERGY_SAVING"),
    BaseInfo("mountain", "field", "MEDIA"),
)
_NAME: Final = re.compile(r"v\d{4}")


def messages_of(question: BaseInfo) -> list[Message]:
    """The question as the service asks it."""
    return [system_message("ko"), base_info_message(question, "ko")]


def say_name(version: str) -> str:
    """The sentence that each version opens its answer with."""
    return f"{version} 버전이 오늘의 챌린지를 추천해요."


def names_said(text: str) -> set[str]:
    """The versions that an answer names."""
    return set(_NAME.findall(text))
