"""Where people live, how they work and what the challenge is about: codes, labels, words that
imply them.

Pure data and pure functions; the API codes, the Korean labels and the words of the free chat
all meet here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class Option:
    """One value of a field: its API code, its labels, and the words that imply it in free talk."""

    code: str
    ko: str
    en: str
    words: tuple[str, ...]
    aliases: tuple[str, ...] = ()  # other codes that existing clients send

    def label(self, lang: str) -> str:
        """The label in "ko" or "en"."""
        return self.ko if lang == "ko" else self.en


@dataclass(frozen=True)
class BaseInfo:
    """The three choices behind an answer, as codes."""

    location: str
    work_type: str
    category: str


LOCATIONS: Final = (
    Option(
        "city",
        "도시",
        "city",
        ("도시", "도심", "시내", "서울", "아파트", "city", "downtown", "urban"),
    ),
    Option(
        "beach",
        "바닷가",
        "beach",
        ("바닷가", "바다", "해변", "해안", "섬", "beach", "seaside", "coast", "sea"),
    ),
    Option(
        "mountain",
        "산",
        "mountain",
        ("산", "산속", "산골", "산에", "등산", "숲", "mountain", "mountains", "forest", "hill"),
    ),
    Option(
        "rural",
        "농촌",
        "rural",
        ("농촌", "시골", "농가", "논밭", "밭", "귀농", "rural", "countryside", "farm", "village"),
    ),
)

WORK_TYPES: Final = (
    Option(
        "office", "사무직", "office", ("사무직", "사무실", "회사원", "직장인", "office", "desk job")
    ),
    Option(
        "field",
        "현장직",
        "field",
        ("현장직", "현장", "공사장", "공장", "외근", "field", "site", "factory", "outdoors"),
    ),
    Option(
        "sales",
        "영업직",
        "sales",
        ("영업직", "영업", "거래처", "출장", "sales", "salesperson", "clients"),
    ),
    Option(
        "remote",
        "재택근무",
        "remote",
        ("재택근무", "재택", "집에서 일", "프리랜서", "remote", "work from home", "freelancer"),
    ),
)

CATEGORIES: Final = (
    Option(
        "ZERO_WASTE",
        "제로웨이스트",
        "Zero waste",
        (
            "제로웨이스트",
            "제로 웨이스트",
            "쓰레기",
            "일회용",
            "텀블러",
            "리필",
            "zero waste",
            "waste",
            "trash",
        ),
    ),
    Option(
        "PLOGGING",
        "플로깅",
        "Plogging",
        ("플로깅", "줍기", "줍깅", "조깅", "산책", "plogging", "jogging", "litter", "pick up"),
    ),
    Option(
        "CARBON_FOOTPRINT",
        "탄소발자국",
        "Carbon footprint",
        (
            "탄소발자국",
            "탄소 발자국",
            "이산화탄소",
            "대중교통",
            "자전거",
            "carbon footprint",
            "co2",
            "transport",
        ),
    ),
    Option(
        "ENERGY_SAVING",
        "에너지 절약",
        "Energy saving",
        (
            "에너지 절약",
            "에너지",
            "전기",
            "난방",
            "냉방",
            "절전",
            "energy",
            "electricity",
            "heating",
        ),
    ),
    Option(
        "UPCYCLING",
        "업사이클",
        "Upcycling",
        (
            "업사이클",
            "업사이클링",
            "새활용",
            "재활용",
            "리폼",
            "만들기",
            "upcycling",
            "upcycle",
            "reuse",
        ),
        ("UPCYCLE",),
    ),
    Option(
        "MEDIA",
        "문화 공유",
        "Sharing culture",
        (
            "문화 공유",
            "문화",
            "영화",
            "책",
            "다큐",
            "전시",
            "sns",
            "culture",
            "film",
            "movie",
            "book",
        ),
    ),
    Option(
        "DIGITAL_CARBON",
        "디지털 탄소",
        "Digital carbon",
        (
            "디지털 탄소",
            "디지털",
            "이메일",
            "메일",
            "클라우드",
            "스트리밍",
            "digital",
            "email",
            "cloud",
        ),
    ),
    Option(
        "VEGAN",
        "비건",
        "Vegan",
        ("비건", "채식", "식물성", "고기 없이", "두부", "vegan", "plant-based", "vegetarian"),
    ),
)

FIELDS: Final = {"location": LOCATIONS, "work_type": WORK_TYPES, "category": CATEGORIES}

_RETURN_WORDS: Final = ("원래대로", "처음", "back to the first", "original")
_OTHER_WORDS: Final = ("아무거나", "다른 거", "다른거", "다른 것", "anything", "something else")


class UnknownOption(ValueError):
    """A value that is no option of its field. The message names the value and the possible ones."""

    def __init__(self, field: str, value: str) -> None:
        names = ", ".join(f"{option.ko}({option.code})" for option in FIELDS[field])
        super().__init__(f"{field} {value[:40]!r} is unknown; possible are {names}.")
        self.field = field
        self.value = value


def find_option(field: str, value: str) -> Option:
    """The option for a Korean label, English label, API code or alias; raises UnknownOption."""
    wanted = value.strip().casefold()
    for option in FIELDS[field]:
        if wanted in {
            name.casefold() for name in (option.code, option.ko, option.en, *option.aliases)
        }:
            return option
    raise UnknownOption(field, value)


def get_label(field: str, code: str, lang: str) -> str:
    """Label of a code in "ko" or "en"."""
    return find_option(field, code).label(lang)


def detect_lang(text: str) -> str:
    """ "ko" if any Hangul is there, else "en"."""
    return "ko" if any("\uac00" <= char <= "\ud7a3" for char in text) else "en"


def _implied(field: str, text: str) -> str | None:
    """Code of the option whose longest implying word occurs in the text, or None."""
    lowered = text.casefold()
    found = [
        (len(word), option.code)
        for option in FIELDS[field]
        for word in option.words
        if word in lowered
    ]
    return max(found)[1] if found else None


def follow_talk(text: str, current: BaseInfo, first: BaseInfo) -> BaseInfo:
    """The base info after a free-text message: named or implied values switch it.

    "원래대로" returns to the category picked first, "아무거나" takes the next other one.
    """
    lowered = text.casefold()
    result = replace(
        current,
        location=_implied("location", text) or current.location,
        work_type=_implied("work_type", text) or current.work_type,
    )
    named = _implied("category", text)
    if named:
        return replace(result, category=named)
    if any(word in lowered for word in _RETURN_WORDS):
        return replace(result, category=first.category)
    if any(word in lowered for word in _OTHER_WORDS):
        codes = [option.code for option in CATEGORIES]
        following = codes[(codes.index(current.category) + 1) % len(codes)]
        return replace(result, category=following)
    return result
