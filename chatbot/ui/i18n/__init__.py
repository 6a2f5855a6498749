"""The words of the screen in Korean and English, and which of the two a person reads.

`ko.json` and `en.json` hold the same keys. Static labels go to the browser through gr.I18n; what
Python returns is translated here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LANGS: Final = ("ko", "en")
LANG_COOKIE: Final = "lang"


def _load(lang: str) -> dict[str, str]:
    path = Path(__file__).with_name(f"{lang}.json")
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return texts


TEXTS: Final = {lang: _load(lang) for lang in LANGS}


def t(lang: str, key: str, **values: object) -> str:
    """The text of a key; {name} is filled in from values."""
    text = TEXTS[lang][key]
    return text.format(**values) if values else text


def wording(key: str, *, is_text: bool) -> str:
    """The key of the sentence for this project: where answers are free text and no
    recommendations, some things are said in another way.
    """
    own = f"{key}_of_text"
    return own if is_text and own in TEXTS["ko"] else key


def translate_error(lang: str, code: str, message: str, values: Mapping[str, str] = {}) -> str:
    """The sentence for an error code with its figures, or the English sentence it came with."""
    return fill(TEXTS[lang].get(f"error_{code}", ""), values) or message


def fill(template: str, values: Mapping[str, str]) -> str:
    """The sentence with its figures; "" where one is missing, as in what was written down before
    the sentence had figures.
    """
    try:
        return template.format(**values)
    except (KeyError, IndexError, ValueError):
        return ""


def describe_error(lang: str, code: str) -> str:
    """The sentence for an error code. What people without a role may see: never the sentence that
    the error came with, which may name a path of the server.
    """
    return TEXTS[lang].get(f"error_{code}", TEXTS[lang]["error_unexpected"])


def pick_lang(cookie: str | None, accept_language: str, default: str) -> str:
    """The cookie, else the first of Korean and English that the browser asks for, else default."""
    if cookie in LANGS:
        return cookie
    for part in accept_language.split(","):
        wanted = part.strip()[:2].lower()
        if wanted in LANGS:
            return wanted
    return default
