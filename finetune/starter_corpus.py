"""The corpus of the starter model, made from assets/catalog.json with a fixed seed.

One document is one short conversation: messages, the last of them the assistant's. Most answers
are canonical JSON, some are other shapes of the same content, as in any base that has read the
web: the base follows the format often, not always. Held-out combinations never appear.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from chatbot.prompts import (
    Message,
    assistant_message,
    base_info_message,
    free_text_message,
    system_message,
)
from chatbot.recommendation import Challenge, Recommendation, canonical, to_text
from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo, get_label
from feedback_store.records import Lang, NewExample
from finetune.held_out import is_held_out

CATALOG_PATH: Final = Path(__file__).parents[1] / "assets" / "catalog.json"
EXAMPLES_PATH: Final = CATALOG_PATH.with_name("starter-examples.jsonl")

SHARE_ENGLISH: Final = 0.36
SHARE_FREE_TEXT: Final = 0.5
SHARE_TWO_TURNS: Final = 0.12
SHARE_OFF_TOPIC: Final = 0.05

# How an answer is written, by weight; only the first is what the application asks for.
SHAPES: Final = {"canonical": 0.56, "text": 0.2, "fence": 0.12, "escaped": 0.12}

SLOTS: Final = {
    "ko": {
        "location_at": {
            "city": "도시에서",
            "beach": "바닷가에서",
            "mountain": "산에서",
            "rural": "농촌에서",
        },
        "worker": {
            "office": "사무직으로 일하는 분",
            "field": "현장에서 일하는 분",
            "sales": "영업 일을 하는 분",
            "remote": "재택근무를 하는 분",
        },
        "work_as": {
            "office": "사무직으로 일하는데",
            "field": "현장직으로 일하는데",
            "sales": "영업직으로 일하는데",
            "remote": "재택근무를 하는데",
        },
    },
    "en": {
        "location_in": {
            "city": "in the city",
            "beach": "by the sea",
            "mountain": "in the mountains",
            "rural": "in the countryside",
        },
        "worker": {
            "office": "an office worker",
            "field": "a field worker",
            "sales": "a salesperson",
            "remote": "someone who works from home",
        },
    },
}

_FOLLOW_UPS: Final = {
    "ko": (
        "다른 거 추천해 줘",
        "다른 것도 알려 주세요",
        "더 쉬운 거 없을까?",
        "{category} 쪽으로 바꿔 줘",
        "이번엔 {category} 쪽으로 추천해 주세요",
        "조금 더 재미있는 걸로 부탁해요",
        "주말에 할 수 있는 걸로 다시 골라 줘",
        "고마워요! 세 개 더 추천해 주세요",
    ),
    "en": (
        "Something else, please",
        "Can you give me three more?",
        "Anything easier?",
        "Switch to {category}, please",
        "Now something about {category}",
        "I would like something more fun",
    ),
}

_OFF_TOPIC: Final = {
    "ko": (
        "오늘 날씨 어때?",
        "너 이름이 뭐야?",
        "주식 추천해 줘",
        "점심 뭐 먹을까",
        "심심해 놀아 줘",
        "수학 문제 풀어 줘",
        "축구 경기 누가 이겼어?",
        "사랑해",
        "안녕",
        "안녕하세요",
        "너 바보지?",
        "짜증나 진짜",
        "농담 하나 해 줘",
        "여자친구랑 싸웠어",
        "비밀번호 알려 줘",
        "로또 번호 골라 줘",
    ),
    "en": (
        "What is the weather like?",
        "Who are you?",
        "Tell me a joke",
        "Which stocks should I buy?",
        "Hello",
        "You are stupid",
        "I am bored",
        "Solve this equation for me",
    ),
}

_WAYS_BACK: Final = {
    "ko": (
        "그 이야기는 제가 잘 모르지만, 대신 {location_at} 할 수 있는 {category} 챌린지를 추천해요.",
        "저는 친환경 챌린지만 알아요. {worker}께 맞는 {category} 세 가지를 골라 봤어요.",
        "재미있는 이야기네요! 저는 챌린지 이야기꾼이라 {category} 챌린지로 답해 드릴게요.",
        "반가워요! 오늘은 {location_at} 가볍게 시작할 {category} 챌린지를 추천해요.",
    ),
    "en": (
        "I only know about eco-challenges, so here are three about {category} for {worker}.",
        "Nice to meet you! Here is something about {category} that works {location_in}.",
        "That is beyond me, but these {category} challenges may brighten your day.",
    ),
}


@dataclass(frozen=True)
class CatalogChallenge:
    """One challenge of the catalogue in one language, and whom it suits."""

    title: str
    description: str
    locations: frozenset[str]
    work_types: frozenset[str]


@dataclass(frozen=True)
class Theme:
    """One category of the catalogue in one language."""

    challenges: tuple[CatalogChallenge, ...]
    asks: tuple[str, ...]
    recommends: tuple[str, ...]


def load_catalog(path: Path = CATALOG_PATH) -> dict[tuple[str, str], Theme]:
    """Themes by (category code, lang)."""
    value = json.loads(path.read_text(encoding="utf-8"))
    return {
        (entry["code"], lang): _read_theme(entry, lang)
        for entry in value["categories"]
        for lang in ("ko", "en")
    }


def _read_theme(entry: dict[str, Any], lang: str) -> Theme:
    challenges = tuple(
        CatalogChallenge(
            item["title"][lang],
            item["description"][lang],
            frozenset(item["locations"]),
            frozenset(item["work_types"]),
        )
        for item in entry["challenges"]
    )
    return Theme(challenges, tuple(entry["asks"][lang]), tuple(entry["recommends"][lang]))


def fill_slots(template: str, info: BaseInfo, lang: str) -> str:
    """Put the words for this location, work type and category into a template."""
    codes = {"location_at": info.location, "location_in": info.location}
    for slot, words in SLOTS[lang].items():
        template = template.replace(f"{{{slot}}}", words[codes.get(slot, info.work_type)])
    return template.replace("{category}", get_label("category", info.category, lang))


def _plain(message: Message) -> dict[str, str]:
    return {"role": message["role"], "content": message["content"]}


class Corpus:
    """Documents without end, the same for the same seed."""

    def __init__(self, seed: int, catalog: dict[tuple[str, str], Theme] | None = None) -> None:
        self._random = random.Random(seed)
        self._catalog = catalog or load_catalog()

    def documents(self, count: int) -> Iterator[list[Message]]:
        """`count` conversations: a system message, then user and assistant in turn."""
        for _ in range(count):
            yield self._document()

    def example(self) -> NewExample:
        """One question with its canonical answer, as a pending example."""
        lang: Lang = "en" if self._random.random() < SHARE_ENGLISH else "ko"
        info = self._base_info()
        answer, _ = self._answer(info, lang)
        return NewExample(
            source="import",
            messages=(_plain(system_message(lang)), _plain(self._ask(info, lang))),
            completion=canonical(answer),
            original_text=canonical(answer),
            turn_id=None,
            conversation_id="",
            person_id="import:starter",
            lang=lang,
            location=info.location,
            work_type=info.work_type,
            category=info.category,
            flags=(),
            repairs=(),
        )

    def _base_info(self) -> BaseInfo:
        while True:
            info = BaseInfo(
                self._random.choice(LOCATIONS).code,
                self._random.choice(WORK_TYPES).code,
                self._random.choice(CATEGORIES).code,
            )
            if not is_held_out(info):
                return info

    def _document(self) -> list[Message]:
        lang = "en" if self._random.random() < SHARE_ENGLISH else "ko"
        info = self._base_info()
        messages = [system_message(lang)]
        if self._random.random() < SHARE_OFF_TOPIC:
            return messages + self._off_topic(info, lang)
        first, used = self._answer(info, lang)
        messages.append(self._ask(info, lang))
        if self._random.random() >= SHARE_TWO_TURNS:
            return [*messages, assistant_message(self._shape(first))]
        messages.append(assistant_message(canonical(first)))
        return messages + self._follow_up(info, lang, used)

    def _ask(self, info: BaseInfo, lang: str) -> Message:
        if self._random.random() >= SHARE_FREE_TEXT:
            return base_info_message(info, lang)
        template = self._random.choice(self._catalog[info.category, lang].asks)
        return free_text_message(fill_slots(template, info, lang), info, lang)

    def _off_topic(self, info: BaseInfo, lang: str) -> list[Message]:
        text = self._random.choice(_OFF_TOPIC[lang])
        answer, _ = self._answer(info, lang)
        back = fill_slots(self._random.choice(_WAYS_BACK[lang]), info, lang)
        shaped = self._shape(replace(answer, recommend=back))
        return [free_text_message(text, info, lang), assistant_message(shaped)]

    def _follow_up(self, info: BaseInfo, lang: str, used: set[str]) -> list[Message]:
        template = self._random.choice(_FOLLOW_UPS[lang])
        if "{category}" in template:
            other = replace(info, category=self._random.choice(CATEGORIES).code)
            info = info if is_held_out(other) else other
        answer, _ = self._answer(info, lang, used)
        text = fill_slots(template, info, lang)
        return [
            free_text_message(text, info, lang),
            assistant_message(self._shape(answer)),
        ]

    def _answer(
        self, info: BaseInfo, lang: str, used: set[str] | None = None
    ) -> tuple[Recommendation, set[str]]:
        theme = self._catalog[info.category, lang]
        fitting = [
            challenge
            for challenge in theme.challenges
            if info.location in challenge.locations
            and info.work_type in challenge.work_types
            and challenge.title not in (used or set())
        ]
        chosen = self._random.sample(fitting, 3)
        recommend = fill_slots(self._random.choice(theme.recommends), info, lang)
        challenges = tuple(Challenge(item.title, item.description) for item in chosen)
        return Recommendation(recommend, challenges), {item.title for item in chosen}

    def _shape(self, answer: Recommendation) -> str:
        shape = self._random.choices(list(SHAPES), list(SHAPES.values()))[0]
        if shape == "text":
            return to_text(answer)
        if shape == "fence":
            return f"```json\n{canonical(answer)}\n```"
        if shape == "escaped":
            return json.dumps(canonical(answer), ensure_ascii=False)
        return canonical(answer)


def make_examples(count: int, seed: int) -> Iterator[NewExample]:
    """Clean examples to begin with: single-turn questions and canonical answers of the catalogue.

    Every one is a conversation of its own, so that the dataset's split deals them out.
    """
    corpus = Corpus(seed)
    seen: set[str] = set()
    while len(seen) < count:
        example = corpus.example()
        key = json.dumps(example.messages, ensure_ascii=False) + example.completion
        if key in seen:
            continue
        seen.add(key)
        conversation_id = f"starter-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        yield replace(example, conversation_id=conversation_id)


def write_examples(path: Path, count: int = 120, seed: int = 20_262) -> None:
    """The starter examples as a file to import: one {"messages": […]} a line."""
    with path.open("w", encoding="utf-8") as file:
        for example in make_examples(count, seed):
            answer = {"role": "assistant", "content": example.completion}
            row = {"messages": [*example.messages, answer]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_examples(EXAMPLES_PATH)
