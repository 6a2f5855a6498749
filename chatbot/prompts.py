"""The messages that go to the model: the one place used for serving AND for training.

A message is {"role": "system" | "user" | "assistant", "content": str}. The assistant's content
is always the canonical JSON of a Recommendation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final, TypedDict

from chatbot.talk import find_aside
from chatbot.themes import BaseInfo, get_label


class Message(TypedDict):
    """One chat message."""

    role: str
    content: str


_SYSTEM: Final = {
    "ko": (
        "당신은 친환경 챌린지를 추천하는 도우미입니다. JSON 객체 하나로만 답하세요. "
        "최상위 키는 recommend와 challenges입니다. recommend는 추천하는 한 문장이고, "
        "challenges는 title과 한 문장 description을 가진 챌린지 3개의 배열입니다. "
        "번호, 코드 블록, 줄바꿈은 쓰지 마세요. "
        "주제와 다른 말이나 거친 말에도 다정하게 챌린지로 이끌어 주세요."
    ),
    "en": (
        "You recommend eco-challenges. Answer with one JSON object only. "
        "Its top-level keys are recommend and challenges: recommend is one sentence, "
        "challenges is an array of 3 objects with a title and a one-sentence description. "
        "No numbering, no code block, no line breaks. "
        "If a message is off the topic or rude, lead back to the challenges kindly."
    ),
}

_BASE_INFO: Final = {
    "ko": "위치: {location}\n직업: {work_type}\n카테고리: {category}\n"
    "나에게 맞는 챌린지 3개를 추천해 주세요.",
    "en": "Location: {location}\nWork: {work_type}\nCategory: {category}\n"
    "Please recommend 3 challenges that suit me.",
}

_FREE_TEXT: Final = {
    "ko": "\n\n{hint}위치: {location}\n직업: {work_type}\n카테고리: {category}",
    "en": "\n\n{hint}Location: {location}\nWork: {work_type}\nCategory: {category}",
}

_HINTS: Final = {
    ("ko", "off_topic"): "(주제와 다른 말입니다. 다정하게 받아 주고 챌린지로 이끌어 주세요.)\n",
    ("ko", "abuse"): "(거친 말입니다. 다투지 말고 다정하게 챌린지로 이끌어 주세요.)\n",
    ("en", "off_topic"): "(This is off the topic. Lead back to the challenges kindly.)\n",
    ("en", "abuse"): "(This is rude. Do not argue; lead back to the challenges kindly.)\n",
}


def _labels(info: BaseInfo, lang: str) -> dict[str, str]:
    return {
        "location": get_label("location", info.location, lang),
        "work_type": get_label("work_type", info.work_type, lang),
        "category": get_label("category", info.category, lang),
    }


def system_message(lang: str) -> Message:
    """The instruction that opens every conversation, in "ko" or "en"."""
    return {"role": "system", "content": _SYSTEM[lang]}


def base_info_message(info: BaseInfo, lang: str) -> Message:
    """The user message of the base-info mode: three choices, no free text."""
    return {"role": "user", "content": _BASE_INFO[lang].format(**_labels(info, lang))}


def free_text_message(text: str, info: BaseInfo, lang: str) -> Message:
    """The user message of the free-text mode: the person's words, then what was understood."""
    aside = find_aside(text)
    hint = _HINTS[lang, aside] if aside else ""
    return {
        "role": "user",
        "content": text + _FREE_TEXT[lang].format(hint=hint, **_labels(info, lang)),
    }


def assistant_message(content: str) -> Message:
    """An earlier answer; content is the canonical JSON."""
    return {"role": "assistant", "content": content}


# What is scored to see whether an adapter does anything, at the end of training and at every load.
# Short, because scoring a prompt costs a row of logits for each token; one user message, because
# every chat template takes that.
PROBE_MESSAGES: Final[tuple[Message, ...]] = (
    base_info_message(BaseInfo("city", "office", "ZERO_WASTE"), "ko"),
)


def prompt_hash(messages: Sequence[Message]) -> str:
    """First 16 hex digits of the sha256 of the messages: which exact prompt was sent."""
    text = json.dumps(list(messages), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
