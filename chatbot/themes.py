"""Where people live, how they work and what the challenge is about: codes, labels, words that
imply them.

Pure data and look-ups; the API codes, the Korean labels and the words of the free chat all meet
here. How a message is read with them stands in talk.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal


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
        ("도심", "시내", "서울", "아파트", "원룸", "오피스텔", "downtown", "urban", "apartment"),
    ),
    Option(
        "beach",
        "바닷가",
        "beach",
        ("바다", "해변", "해안", "섬", "어촌", "항구", "seaside", "coast", "sea", "island"),
    ),
    Option(
        "mountain",
        "산",
        "mountain",
        ("산속", "산골", "산동네", "산자락", "등산", "숲", "forest", "hills", "hiking"),
    ),
    Option(
        "rural",
        "농촌",
        "rural",
        ("시골", "농가", "논밭", "밭", "귀농", "농사", "텃밭", "countryside", "farm", "village"),
    ),
)

WORK_TYPES: Final = (
    Option(
        "office",
        "사무직",
        "office",
        ("사무실", "회사원", "직장인", "내근", "desk job", "office worker"),
    ),
    Option(
        "field",
        "현장직",
        "field",
        ("현장", "공사장", "공장", "외근", "construction site", "on site", "factory", "outdoors"),
    ),
    Option(
        "sales",
        "영업직",
        "sales",
        ("영업", "거래처", "출장", "salesperson", "business trip"),
    ),
    Option(
        "remote",
        "재택근무",
        "remote",
        (
            "재택",
            "집에서 일하",
            "집에서 일해",
            "집에서 근무",
            "프리랜서",
            "work from home",
            "working from home",
            "freelancer",
        ),
    ),
)

CATEGORIES: Final = (
    Option(
        "ZERO_WASTE",
        "제로웨이스트",
        "Zero waste",
        (
            "제로 웨이스트",
            "쓰레기",
            "일회용",
            "텀블러",
            "장바구니",
            "플라스틱",
            "비닐",
            "리필",
            "trash",
            "plastic",
            "tumbler",
            "refill",
        ),
    ),
    Option(
        "PLOGGING",
        "플로깅",
        "Plogging",
        (
            "쓰레기 줍",
            "쓰레기를 줍",
            "쓰레기 주우",
            "쓰레기를 주우",
            "줍깅",
            "줍기",
            "조깅",
            "산책",
            "달리기",
            "jogging",
            "litter",
            "pick up trash",
        ),
    ),
    Option(
        "CARBON_FOOTPRINT",
        "탄소발자국",
        "Carbon footprint",
        (
            "탄소 발자국",
            "이산화탄소",
            "온실가스",
            "대중교통",
            "자전거",
            "지하철",
            "co2",
            "public transport",
            "bicycle",
        ),
    ),
    Option(
        "ENERGY_SAVING",
        "에너지 절약",
        "Energy saving",
        (
            "에너지",
            "전기",
            "전기세",
            "난방",
            "냉방",
            "에어컨",
            "절전",
            "콘센트",
            "멀티탭",
            "save energy",
            "electricity",
            "heating",
        ),
    ),
    Option(
        "UPCYCLING",
        "업사이클",
        "Upcycling",
        (
            "업사이클링",
            "새활용",
            "재활용",
            "재사용",
            "리폼",
            "헌 옷",
            "폐품",
            "upcycle",
            "reuse",
            "old clothes",
        ),
        ("UPCYCLE",),
    ),
    Option(
        "MEDIA",
        "문화 공유",
        "Sharing culture",
        ("문화", "영화", "책", "독서", "다큐", "전시", "전시회", "sns", "culture", "film", "movie"),
    ),
    Option(
        "DIGITAL_CARBON",
        "디지털 탄소",
        "Digital carbon",
        (
            "디지털",
            "이메일",
            "메일",
            "메일함",
            "클라우드",
            "스트리밍",
            "스마트폰",
            "digital",
            "email",
            "inbox",
            "streaming",
        ),
    ),
    Option(
        "VEGAN",
        "비건",
        "Vegan",
        (
            "채식",
            "식물성",
            "고기 없이",
            "고기 없는",
            "두부",
            "plant-based",
            "vegetarian",
            "meatless",
        ),
    ),
)

FIELDS: Final = {"location": LOCATIONS, "work_type": WORK_TYPES, "category": CATEGORIES}


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


def detect_lang(text: str) -> Literal["ko", "en"]:
    """ "ko" if any Hangul is there, else "en"."""
    return "ko" if re.search("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]", text) else "en"
