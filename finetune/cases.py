"""The questions of an evaluation: the held-out combinations, asked in several ways, and the
regression cases that grew from thumbs down. Where the answers are free text, the questions are
those that the dataset keeps for the gate, with the answers that people accepted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, cast

from chatbot.prompts import Message, base_info_message, free_text_message, system_message
from chatbot.themes import BaseInfo, UnknownOption, find_option, get_label
from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.held_out import HELD_OUT

NUM_REGRESSION_CASES = 24


@dataclass(frozen=True)
class HeldOutCase:
    """One question that no training row asks, and the three choices that a good answer fits; or,
    of a text project, the answer that people accepted.
    """

    case_id: str
    messages: tuple[Message, ...]
    base_info: BaseInfo
    lang: str
    kind: Literal["held_out", "regression"] = "held_out"
    accepted: str = ""
    max_chars: int = 0  # of a text answer that is not odd; 0: not known

    @property
    def question(self) -> str:
        """What was asked last."""
        return self.messages[-1]["content"]


# Worded on purpose unlike the catalog's ways to ask: wording is held out, too.
_FREE_TEXT: Final = {
    "ko": (
        "{location}에서 지내는 제가 이번 주에 해 볼 {category} 실천을 골라 주실래요?",
        "{work_type}이라 시간이 많지 않은데 {category} 쪽으로 가볍게 시작할 만한 게 있을까요?",
        "{category}에 관심이 생겼어요. 부담 없는 것부터 알려 주세요.",
        "친구랑 같이 {category} 챌린지를 해 보려고 해요. 뭐가 좋을까요?",
        "오늘 당장 시작할 수 있는 {category} 아이디어 세 가지만 부탁해요.",
        "{location} 생활에 어울리는 {category} 습관을 만들고 싶어요.",
        "지난번보다 조금 더 색다른 {category} 도전을 해 보고 싶습니다.",
        "{work_type} 동료들에게도 권할 만한 {category} 방법이 궁금해요.",
    ),
    "en": (
        "I would like to try {category} this week. What would you pick for me?",
        "Little time, but I want to begin with {category}. Any easy start?",
        "Which {category} habits fit a life in the {location}?",
        "Give my colleagues and me some {category} ideas, please.",
    ),
}


def _case_id(parts: Iterable[str]) -> str:
    return "-".join(part.lower() for part in parts)


def _base_info_case(info: BaseInfo, lang: str) -> HeldOutCase:
    messages = (system_message(lang), base_info_message(info, lang))
    case_id = _case_id((lang, "base", info.location, info.work_type, info.category))
    return HeldOutCase(case_id, messages, info, lang)


def _free_text_case(info: BaseInfo, lang: str, wording: int) -> HeldOutCase:
    template = _FREE_TEXT[lang][wording]
    text = template.format(
        location=get_label("location", info.location, lang),
        work_type=get_label("work_type", info.work_type, lang),
        category=get_label("category", info.category, lang),
    )
    messages = (system_message(lang), free_text_message(text, info, lang))
    name = (lang, f"free{wording + 1}", info.location, info.work_type, info.category)
    return HeldOutCase(_case_id(name), messages, info, lang)


def _combinations() -> list[BaseInfo]:
    """The held-out combinations, the eight categories by turns."""
    by_hash = sorted(HELD_OUT, key=lambda combo: hashlib.sha256("/".join(combo).encode()).digest())
    seen: dict[str, int] = {}
    ranked = []
    for combo in by_hash:
        seen[combo[2]] = seen.get(combo[2], 0) + 1
        ranked.append((seen[combo[2]], combo[2], BaseInfo(*combo)))
    return [info for _, _, info in sorted(ranked, key=lambda item: item[:2])]


def _free_text_round(combos: Sequence[BaseInfo], lang: str, shift: int) -> list[HeldOutCase]:
    """One question for each combination, the wordings by turns."""
    num_wordings = len(_FREE_TEXT[lang])
    return [
        _free_text_case(info, lang, (index + shift) % num_wordings)
        for index, info in enumerate(combos)
    ]


def _rounds() -> Iterable[list[HeldOutCase]]:
    """Cases in the order in which they are taken, so that any number of them is well mixed: two
    thirds Korean, both modes, every category.
    """
    combos = _combinations()
    half = len(combos) // 2
    for first, second in ((combos[:half], combos[half:]), (combos[half:], combos[:half])):
        is_first = first[0] == combos[0]
        if is_first:
            yield [_base_info_case(info, "ko") for info in combos]
        yield _free_text_round(combos, "ko", 0 if is_first else 1)
        yield [_base_info_case(info, "en") for info in first]
        yield _free_text_round(second, "en", 0)
    for shift in range(2, len(_FREE_TEXT["ko"])):
        yield _free_text_round(combos, "ko", shift)


def held_out_cases(num_cases: int = 96) -> tuple[HeldOutCase, ...]:
    """The first num_cases questions; 176 exist."""
    return tuple(islice((case for cases in _rounds() for case in cases), num_cases))


_HANGUL: Final = re.compile(r"[가-힣]")
_TIMES_LONGEST: Final = 3  # an answer three times as long as any that people accepted is odd


def text_cases(asked: Sequence[tuple[str, Sequence[Message], str]]) -> tuple[HeldOutCase, ...]:
    """Questions of a text project: (id, messages, accepted answer) of rows kept for the gate."""
    longest = max((len(accepted) for _, _, accepted in asked), default=0)
    return tuple(
        HeldOutCase(
            case_id=f"test-{row_id}",
            messages=tuple(messages),
            base_info=BaseInfo("", "", ""),
            lang="ko" if _HANGUL.search(accepted) else "en",
            accepted=accepted,
            max_chars=_TIMES_LONGEST * longest,
        )
        for row_id, messages, accepted in asked
    )


def _regression_case(example: Example) -> HeldOutCase:
    info = BaseInfo(example.location, example.work_type, example.category)
    messages = cast("tuple[Message, ...]", tuple(example.messages))
    return HeldOutCase(
        f"regression-{example.example_id}", messages, info, example.lang, "regression"
    )


def regression_cases(store: Store, limit: int = NUM_REGRESSION_CASES) -> tuple[HeldOutCase, ...]:
    """The newest questions whose answers people disliked; excluded ones are left out."""
    page = store.find_examples(ExampleFilter(purpose="regression"), sort="newest", limit=limit)
    return tuple(_regression_case(example) for example in page.items if example.state != "excluded")


def asked_category(messages: Sequence[Message]) -> str | None:
    """The category that the last user message names in its base-info lines."""
    users = [message["content"] for message in messages if message["role"] == "user"]
    for line in reversed(users[-1].splitlines() if users else []):
        label = line.rpartition(": ")[2]
        try:
            return find_option("category", label).code
        except UnknownOption:
            continue
    return None
