"""What a free message implies: which category, location and work type it names, whether it asks
to go back or for something else, and whether it leaves the topic.

Korean joins particles and endings to a word, so a word counts at the start of a spaced unit when
only such an ending follows: "산에서" is a mountain, "산책", "생산" and "계산" are not.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Final, Literal

from chatbot.themes import CATEGORIES, FIELDS, BaseInfo, Option

Aside = Literal["off_topic", "abuse"]

_PARTICLES: Final = (
    "에서|에게|에|은|는|이나|이랑|이|가|을|를|의|으로|로|와|과|도|만|까지|부터|처럼|보다|나|랑|"
    "하고|마다|라도|조차|대로|밖에|씩|요"
)
_ENDINGS: Final = (
    "이에요|예요|이야|야|입니다|인데요?|이라서요?|라서요?|이라|라|이고|고|이며|이면|면|인|임|"
    "이었.*|였.*|있는|없는|없이"
)
_NOUN_TAILS: Final = (
    "마을|동네|근처|주변|지역|쪽|집|길|살이|생활|근무|일|직원|팀|"
    "통|봉투|요금|비|사용량?|관|실|속|가"
)
_VERB_TAILS: Final = "(?:하|해|했|할|한|합|되|돼|된).*"  # only for nouns that name an action
# A word takes a few endings at most. Without the bound "이나이나이나…", which is also 이 and 나, is
# read in exponentially many ways.
_TAIL: Final = f"(?:{_NOUN_TAILS})?(?:{_PARTICLES}){{0,6}}(?:{_ENDINGS})?"
_NEAR: Final = r"(?=\s*(?:$|[,.!?/·~]|근처|속|쪽|밑|아래|위|중턱|기슭|옆|주변|마을|동네))"
_NOT_KOREAN: Final = re.compile(r"^[^가-힣]+$")
_ANYWHERE: Final = 3  # syllables from which a word also counts inside a compound

_EXCLUDED: Final = re.compile(
    r"\s*(?:[은는이가을를]\s*)?(?:말고|말구|빼고|빼구|제외|대신|아니고|아닌|싫)"
)
_EXCLUDED_BEFORE: Final = re.compile(r"(?:\bnot|\binstead of|\bexcept|\bno more|\bother than)\s*$")
_EXCLUDER_LENGTH: Final = 24  # characters of the longest one, with some blanks

_RETURN: Final = re.compile(
    r"원래\s*대로|원래\s*(?:거|걸|것|주제|카테고리)|처음\s*(?:대로|처럼|으로|거|걸|것|주제|카테고리|선택)"
    r"|^\s*(?:맨\s*)?처음[.!~]*\s*$|맨\s*처음"
    r"|\bback to (?:the )?(?:first|start|beginning|original)|\bthe original (?:one|topic|category)"
    r"|^\s*original[.!]*\s*$"
)
_OTHER: Final = re.compile(
    r"아무\s*거나|아무\s*거|아무\s*것이?나|뭐든|무엇이든|(?:다른|딴)\s*(?:거|걸|것|챌린지|주제|카테고리|테마)"
    r"|새로운\s*(?:거|걸|것|주제)|^\s*anything[.!]*\s*$|\banything (?:is fine|else|goes)"
    r"|\banything (?:works|will do)"
    r"|\b(?:something|someone) (?:else|different|new)\b|\banother (?:one|topic|category|theme)\b"
    r"|\bwhatever\b|\bsurprise me\b"
)
_ABUSE: Final = re.compile(
    r"씨\s*발|시\s*발(?!점|역|택시)|ㅅㅂ|ㅆㅂ|병\s*신|ㅂㅅ|지\s*랄|개\s*새끼|새끼야|꺼\s*져|닥\s*쳐"
    r"|미친\s*(?:놈|년|새)"
    r"|멍청(?:이|아|한\s*(?:놈|봇|것))|쓰레기\s*(?:같은|봇아)|죽어\s*버려"
    r"|\bfuck|\bshit\b|\bidiot|\bstupid\b|\bshut up\b"
)
_OFF_TOPIC: Final = re.compile(
    r"주식|코인|비트코인|로또|복권|대통령|선거|정치|축구|야구|롤\s*(?:티어|게임)|게임\s*(?:추천|공략)|연애|소개팅"
    r"|숙제|수학\s*문제|코딩|파이썬|운세|사주|환율|부동산|날씨\s*(?:어때|알려)|맛집"
    r"|\bstocks?\b|\bbitcoin\b|\blottery\b|\belection|\bpolitic|\bfootball\b|\bhomework\b|\bhoroscope\b"
    r"|\bpython code\b|\bexchange rate\b|\bweather (?:today|tomorrow)\b"
)
_ON_TOPIC: Final = re.compile(
    r"챌린지|환경|지구|기후|탄소|친환경|실천|추천|\bchallenge|\beco\b|\becolog|\bclimate|\benvironment|\bplanet"
)


@cache
def _pattern(word: str) -> re.Pattern[str]:
    """Where the word stands as a word of its own."""
    text = r"\s*".join(re.escape(part) for part in word.casefold().split())
    if _NOT_KOREAN.match(word):
        text = r"\s+".join(re.escape(part) for part in word.casefold().split())
        return re.compile(rf"(?<![a-z0-9]){text}(?:s|es)?(?![a-z0-9])")
    if " " in word:
        return re.compile(rf"(?<![가-힣]){text}")
    if len(word) >= _ANYWHERE:
        return re.compile(text)
    if len(word) == 1:  # "산" is also "bought": alone it needs a particle or a word of place
        particles = rf"(?:{_PARTICLES.replace('|요', '')}|{_ENDINGS}){{1,6}}"
        return re.compile(rf"(?<![가-힣]){text}(?:(?:{particles})(?![가-힣])|(?![가-힣]){_NEAR})")
    return re.compile(rf"(?<![가-힣]){text}(?:{_TAIL}|{_VERB_TAILS})(?![가-힣])")


def _mentions(option: Option, text: str) -> list[tuple[bool, int, int, int]]:
    """(is its label, length, -position, end) of every mention of the option."""
    labels = {option.ko.casefold(), option.en.casefold(), option.code.casefold()}
    words = (*labels, *(word.casefold() for word in option.words))
    return [
        (word in labels, len(word), -match.start(), match.start() + len(word))
        for word in words
        for match in _pattern(word).finditer(text)
    ]


def _is_excluded(text: str, start: int, end: int) -> bool:
    before = max(0, start - _EXCLUDER_LENGTH)  # not all of the text again for every word in it
    return bool(_EXCLUDED.match(text, end) or _EXCLUDED_BEFORE.search(text, before, start))


def _read_field(field: str, text: str) -> tuple[str | None, set[str]]:
    """The code that the text names best, and the codes that it names only to exclude them."""
    wanted: list[tuple[bool, int, int, str]] = []
    excluded: set[str] = set()
    for option in FIELDS[field]:
        for is_label, length, before, end in _mentions(option, text):
            if _is_excluded(text, -before, end):
                excluded.add(option.code)
            else:
                wanted.append((is_label, length, before, option.code))
    wanted = [entry for entry in wanted if entry[3] not in excluded]
    return (max(wanted)[3] if wanted else None), excluded


def _next_category(current: str, excluded: set[str]) -> str:
    """The next category in the circle that is not excluded."""
    codes = [option.code for option in CATEGORIES]
    at = codes.index(current)
    circle = codes[at + 1 :] + codes[:at]
    return next((code for code in circle if code not in excluded), current)


def follow_talk(text: str, current: BaseInfo, first: BaseInfo) -> BaseInfo:
    """The base info after a free message: a named or implied value switches it.

    "원래대로" returns to the category picked first, "아무거나" and "비건 말고" take another one.
    """
    lowered = text.casefold()
    location, _ = _read_field("location", lowered)
    work_type, _ = _read_field("work_type", lowered)
    result = replace(
        current,
        location=location or current.location,
        work_type=work_type or current.work_type,
    )
    category, excluded = _read_field("category", lowered)
    if category:
        return replace(result, category=category)
    if _RETURN.search(lowered):
        return replace(result, category=first.category)
    if _OTHER.search(lowered) or current.category in excluded:
        return replace(result, category=_next_category(current.category, excluded))
    return result


def find_aside(text: str) -> Aside | None:
    """Whether the message is abusive or plainly about something else than the topic."""
    lowered = text.casefold()
    if _ABUSE.search(lowered):
        return "abuse"
    if not _OFF_TOPIC.search(lowered) or _ON_TOPIC.search(lowered):
        return None
    is_themed = any(_read_field(field, lowered)[0] for field in ("category",))
    return None if is_themed else "off_topic"
