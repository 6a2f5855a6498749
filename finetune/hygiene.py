"""What must not reach training whatever the answer is about: personal data, abuse, invisible
characters, broken Hangul, marks of a chat template. Pure functions; each returns the piece that
shows the fault, or None.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MASK: Final = "○"

# Zero-width and direction marks, soft hyphen, tag characters: nobody types these, but they hide
# text from people. A joiner between emoji is part of the emoji.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\u3164"
    "\ufeff\uffa0\U000e0000-\U000e007f]|(?<![\u2190-\u2bff\U0001f000-\U0001faff\ufe0f])\u200d"
)
_MAY_BE_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2069\u3164\ufeff\uffa0\ud800-\udfff\U000e0000-\U000e007f]"
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_MAY_BE_BROKEN: Final = re.compile(
    "[\u0080-\u00ff\u0152-\u0192\u2018-\u2122\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\ud7b0-\ud7fb\ufffd]"
)
_BROKEN_HANGUL: Final = re.compile(
    "\ufffd|[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb]"  # conjoining letters that found no partner
    "|[가-힣][ㄱ-ㅎㅏ-ㅣ](?![ㄱ-ㅎㅏ-ㅣ])(?<![ㅋㅎㅠㅜ])|(?:^|\\s)[ㅏ-ㅣ](?<![ㅠㅜ])[가-힣]"
    "|(?:[ìíëê][\u0080-\u00bf\u0152-\u2122]{1,2}){2,}"  # UTF-8 read as Latin
    "|(?:[\xb0-\xc8][\xa1-\xfe]){3,}"  # CP949 read as Latin
)

_PERSONAL: Final = {
    "resident_number": re.compile(r"(?<!\d)\d{2}[01]\d[0-3]\d[\s.·-]{0,3}[1-8]\d{6}(?!\d)"),
    "phone": re.compile(
        r"(?<!\d)(?:\+82[\s.-]?|0)(?:1[016789]|2|[3-6]\d|70)[\s.)-]{0,2}\d{3,4}[\s.-]{0,2}\d{4}(?!\d)"
        r"|\+\d{1,3}[\s.-]?(?:\(\d+\)[\s.-]?)?\d{2,4}[\s.-]?\d{3,4}[\s.-]?\d{3,4}(?!\d)"
    ),
    "email": re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{2,24})+"),
    "card": re.compile(r"(?<!\d)\d{4}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{3,4}(?!\d)"),
    "address": re.compile(
        r"[가-힣]{1,10}(?:시|군|구)\s+(?:[가-힣0-9]{1,12}(?:읍|면|동|로|길)\s*){1,2}\d{1,4}(?:-\d{1,4})?"
        r"(?:번지|호|\s*\d+동)?"
    ),
}

_DIGIT: Final = re.compile(r"[\d①-⑳⓪]")
_TOWN: Final = re.compile(r"[시군구]\s|\d동\s?\d")
_MIN_DIGITS: Final = 8  # of the shortest phone number
_CLOSE_DIGITS: Final = re.compile(r"[\d①-⑳⓪](?:[^\d①-⑳⓪]{0,3}[\d①-⑳⓪]){7}")

# Whole words where a stem is harmless ("시발점" is a starting point); letters may be spread out.
_ABUSE: Final = re.compile(
    r"(?:씨|시|쉬)[\s\d.]?(?:발|팔)(?=놈|년|새끼|아|\W|$)|ㅅㅂ|ㅂㅅ|병신|지랄|개새[끼기]|좆|존나|"
    r"미친[\s]?(?:놈|년|새끼)|엿\s?먹|닥쳐|꺼져라?(?=\W|$)|죽여\s?버|뒤져라|쓰레기\s?같은\s?(?:놈|년)|창녀|"
    r"한남충|김치녀|\bfuck(?:ing|er|ed)?\b|\bshit(?:ty)?\b|\bbitch\b|\bassholes?\b|\bcunts?\b|"
    r"\bretards?\b|\bfaggots?\b|\bniggers?\b|\bkill yourself\b",
    re.IGNORECASE,
)

# One of these is in every match above; looking for them first is ten times quicker.
_ABUSE_STEMS: Final = (
    *(
        "발",
        "팔",
        "ㅅㅂ",
        "ㅂㅅ",
        "병신",
        "지랄",
        "개새",
        "좆",
        "존나",
        "미친",
        "엿",
        "닥쳐",
        "꺼져",
        "죽여",
    ),
    *("뒤져", "쓰레기", "창녀", "한남충", "김치녀", "fuck", "shit", "bitch", "asshole", "cunt"),
    *("retard", "faggot", "nigger", "kill yourself"),
)

_TEMPLATE: Final = re.compile(
    r"<\|[a-z_0-9]+\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<(?:eos|bos|pad|unk)>|"
    r"(?<!#)#{2,}\s*(?:Answer|Response|Instruction|Input|Output|답변|질문|지시)\b\s*:?|"
    r"^(?:assistant|user|system)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_MAY_BE_LINK: Final = re.compile(r"\.[a-z]|://")
_LINK: Final = re.compile(
    r"(?:https?://|www\.)\S+|\b[\w-]{1,63}\.(?:com|net|org|kr|io|shop|xyz)(?![A-Za-z])"
)


def _find(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[0].strip() if match else None


def normalize(text: str) -> str:
    """The form in which hidden digits and letters show: NFKC, nothing invisible."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def find_invisible(text: str) -> tuple[str, int] | None:
    """A character that nobody sees: its code point, and its place in the text, from 1."""
    if not _MAY_BE_INVISIBLE.search(text):
        return None
    match = _INVISIBLE.search(text) or _CONTROL.search(text)
    return (f"U+{ord(match[0]):04X}", match.start() + 1) if match else None


def remove_invisible(text: str) -> str:
    """The text without them."""
    return _CONTROL.sub("", _INVISIBLE.sub("", text))


def find_broken_hangul(text: str) -> str | None:
    """Stray letters of a syllable, replacement characters, text decoded in the wrong encoding."""
    return _find(_BROKEN_HANGUL, text) if _MAY_BE_BROKEN.search(text) else None


def may_be_personal(text: str) -> bool:
    """A quick look that spares most texts the careful one."""
    if "@" in text or "＠" in text:
        return True
    num_digits = len(_DIGIT.findall(text))
    if num_digits >= _MIN_DIGITS and (_CLOSE_DIGITS.search(text) or _INVISIBLE.search(text)):
        return True
    return num_digits > 0 and _TOWN.search(text) is not None


def find_personal(text: str) -> tuple[str, str] | None:
    """The kind and the piece of a resident number, phone, e-mail, card number or address."""
    if not may_be_personal(text):
        return None
    shown = normalize(text)
    for kind, pattern in _PERSONAL.items():
        if match := pattern.search(shown):
            return kind, match[0]
    return None


def mask_personal(text: str) -> str:
    """The text with every letter and digit of personal data masked."""
    shown = normalize(text)
    for pattern in _PERSONAL.values():
        shown = pattern.sub(lambda match: re.sub(r"\w", MASK, match[0]), shown)
    return shown


def find_abuse(text: str) -> str | None:
    """An abusive word, in Korean or English."""
    lowered = text.casefold()
    if not any(stem in lowered for stem in _ABUSE_STEMS):
        return None
    return _find(_ABUSE, text)


def find_template_text(text: str) -> str | None:
    """A mark of a chat template or of a prompt format, such as "### Answer:" or "</s>"."""
    if not any(mark in text for mark in "<[#:"):
        return None
    return _find(_TEMPLATE, text)


def remove_template_text(text: str) -> str:
    """The text without such marks."""
    return _TEMPLATE.sub("", text).strip()


def find_link(text: str) -> str | None:
    """A web address: what poisoned rows most often carry."""
    return _find(_LINK, text) if _MAY_BE_LINK.search(text) else None
