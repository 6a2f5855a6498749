"""What can be wrong with the text of one answer. Each check returns the piece that shows the
fault, or None. Pure functions; no model, no language library.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import Final

from finetune.category_fit import CATALOG_PATH

_EVIDENCE_CHARS = 120
MAX_HANGUL_RUN = 11  # syllables without a space; "제로웨이스트챌린지를" has 10
MAX_MEAN_HANGUL_RUN = 6.0  # syllables; written Korean has about 3
_MIN_SYLLABLES = 8  # below that a mean says nothing
MIN_FIELD, MAX_RECOMMEND, MAX_TITLE, MAX_DESCRIPTION = 2, 200, 60, 220  # characters

# A number that counts may open a field ("3층까지 걷기", "1주일 동안"); a stray one may not.
_COUNTERS: Final = (
    "가지|개월|개|주일|주간|주(?!말)|일|달|년|회|번째|번(?!\\.)|분|시간|시|초|명|인|층|단계|단|도|대|"
    "병|컵|장|권|박|끼|식|잔|곳|칸|줄|편|통|걸음|만|천|백|킬로|미터|정거장|월|원|차|색|종|%|℃|km|kg|m\\b|g\\b"
)
_LEADING_NUMBER = re.compile(
    rf"^\s*(?:[-*•·▶]\s|[①-⑳]|\(\d+\)|\d+\s*[.):](?!\d)|\d+\s+(?=[가-힣])(?!\s*(?:{_COUNTERS}))|"
    rf"\d+(?=[가-힣])(?!(?:{_COUNTERS})))"
)
_STUFFED = re.compile(r"\"?(?:challenges|title|description|recommend)\"?\s*[:=]\s*[\"\[{]|[{}]|```")
_NUMBERED_ITEM = re.compile(r"(?:^|[\s\\n])[1-3]\s*[.)]\s")
_ESCAPED = re.compile(r"(?<!\\)\\+[nrt\"]|[\r\n\t]")
_LOOP = re.compile(r"(.{2,24}?)\1{3,}|(\S)\2{6,}", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?]\s*")
_HANGUL_RUN = re.compile(r"[가-힣]+")
_LONG_HANGUL_RUN = re.compile(
    rf"[가-힣]{{{int(MAX_MEAN_HANGUL_RUN) + 1},}}"
)  # needed for a mean above
_LATIN = re.compile(r"[A-Za-z]")
_LATIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9'’]*")
# Letters that neither Korean nor English uses, lone jamo, and the replacement character.
_FOREIGN = re.compile(
    r"[\u0370-\u1aff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uf900-\ufaff\ufffd"
    r"\u00c0-\u00d6\u00d8-\u00e8\u00ea-\u00f6\u00f8-\u024f]"
)
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]+")
_PERSONAL = re.compile(
    r"\b\d{6}[- ]?[1-8]\d{6}\b|\b01[016789][-. ]?\d{3,4}[-. ]?\d{4}\b"
    r"|[\w.+-]+@[\w-]+\.[\w.]{2,}|\b(?:\d{4}[- ]){3}\d{4}\b"
)
_LINK = re.compile(
    r"https?://|www\.|\b[\w-]+\.(?:com|net|org|kr|io|shop|me)\b|(?<!\w)@\w{3,}", re.IGNORECASE
)


def _excerpt(text: str, match: re.Match[str]) -> str:
    start = max(0, match.start() - _EVIDENCE_CHARS // 4)
    return text[start : start + _EVIDENCE_CHARS]


def _search(pattern: re.Pattern[str], texts: tuple[str, ...]) -> str | None:
    if not pattern.search(
        " ".join(texts)
    ):  # most answers have no fault: look at all fields at once
        return None
    for text in texts:
        if match := pattern.search(text):
            return _excerpt(text, match)
    return None


def find_leading_number(texts: tuple[str, ...]) -> str | None:
    """A field opened by a bullet or by a number that counts nothing: "5. 혜나!", "1주말인데"."""
    for text in texts:
        if match := _LEADING_NUMBER.match(text):
            return _excerpt(text, match)
    return None


def find_stuffing(texts: tuple[str, ...], titles: tuple[str, ...]) -> str | None:
    """JSON or a numbered list inside a field, or the challenges packed into the first one."""
    if found := _search(_STUFFED, texts):
        return found
    opening = texts[0] if texts else ""
    items = list(_NUMBERED_ITEM.finditer(opening))
    packed = [title for title in titles if len(title) > 3 and title in opening]
    if len(items) > 1 or len(packed) > 1:
        return opening[:_EVIDENCE_CHARS]
    return None


def find_escape(texts: tuple[str, ...]) -> str | None:
    """A literal backslash-n, an escaped quote or a real line break inside a field."""
    return _search(_ESCAPED, texts)


def _may_loop(text: str) -> bool:
    """Whether a triple of letters comes three times, as it does where a piece comes four times."""
    num_triples = len(text) - 2
    if num_triples < 5 or num_triples - len(set(zip(text, text[1:], text[2:], strict=False))) < 4:
        return False
    return max(Counter(zip(text, text[1:], text[2:], strict=False)).values()) >= 3


def find_loop(texts: tuple[str, ...]) -> str | None:
    """The same piece four times in a row, one character seven times, or a sentence three times."""
    if found := _search(_LOOP, tuple(filter(_may_loop, texts))):
        return found
    sentences = [part for text in texts for part in _SENTENCE_END.split(text) if len(part) > 7]
    if len(set(sentences)) > len(sentences) - 2:
        return None
    for sentence, count in Counter(part.strip() for part in sentences).items():
        if count > 2:
            return sentence[:_EVIDENCE_CHARS]
    return None


@cache
def known_latin_words() -> frozenset[str]:
    """Latin words that the catalog's Korean texts use (LED, SNS, …), lower case."""
    categories = json.loads(CATALOG_PATH.read_text(encoding="utf-8"))["categories"]
    texts = [
        challenge[field]["ko"]
        for category in categories
        for challenge in category["challenges"]
        for field in ("title", "description")
    ]
    return frozenset(word.lower() for text in texts for word in _LATIN_WORD.findall(text))


def _is_foreign_word(text: str, match: re.Match[str]) -> bool:
    word = match.group()
    if word.lower() in known_latin_words():
        return False
    is_glued = match.start() > 0 and "가" <= text[match.start() - 1] <= "힣"
    return is_glued or not (word.isupper() and len(word) <= 5)


def find_foreign(texts: tuple[str, ...], lang: str) -> str | None:
    """Stray foreign tokens: other scripts, Latin words in Korean ("공HED"), Hangul in English."""
    if found := _search(_FOREIGN, texts):
        return found
    if lang == "en":
        return _search(_HANGUL, texts)
    if not _LATIN.search(" ".join(texts)):
        return None
    for text in texts:
        for match in _LATIN_WORD.finditer(text):
            if _is_foreign_word(text, match):
                return _excerpt(text, match)
    return None


def find_missing_spaces(texts: tuple[str, ...]) -> str | None:
    """Korean run together: "힐링할수있는시는건강!"."""
    if not _LONG_HANGUL_RUN.search(" ".join(texts)):
        return None
    for text in texts:
        runs = [len(run) for run in _HANGUL_RUN.findall(text)]
        if not runs:
            continue
        is_dense = sum(runs) >= _MIN_SYLLABLES and sum(runs) / len(runs) > MAX_MEAN_HANGUL_RUN
        if is_dense or max(runs) > MAX_HANGUL_RUN:
            return text[:_EVIDENCE_CHARS]
    return None


def find_personal_data(texts: tuple[str, ...]) -> str | None:
    """A resident number, mobile number, e-mail address or card number."""
    return _search(_PERSONAL, texts)


def find_link(texts: tuple[str, ...]) -> str | None:
    """An address or an account to follow: what an answer about habits never needs, and what
    poisoned rows like to plant.
    """
    return _search(_LINK, texts)


def find_odd_length(
    recommend: str, titles: tuple[str, ...], descriptions: tuple[str, ...]
) -> str | None:
    """A field far shorter or longer than anything people wrote."""
    fields = [(recommend, MAX_RECOMMEND)]
    fields += [(title, MAX_TITLE) for title in titles]
    fields += [(description, MAX_DESCRIPTION) for description in descriptions]
    for text, most in fields:
        if not MIN_FIELD <= len(text.strip()) <= most:
            return f"{len(text)}: {text[:_EVIDENCE_CHARS]}"
    return None


def _bigrams(text: str) -> set[str]:
    squeezed = re.sub(r"\W+", "", text.casefold())
    return {squeezed[at : at + 2] for at in range(len(squeezed) - 1)}


def similarity(left: str, right: str) -> float:
    """Jaccard similarity of character bigrams, 0 to 1, spaces and punctuation aside."""
    ours, theirs = _bigrams(left), _bigrams(right)
    union = len(ours | theirs)
    return len(ours & theirs) / union if union else 1.0
