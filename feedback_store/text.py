"""Text at the boundary: what may be stored, and in which form.

Everything is NFC, so that Korean typed on a Mac (decomposed) finds Korean typed elsewhere. A NUL
breaks SQLite's own text functions and a lone surrogate cannot be encoded: both become U+FFFD.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from feedback_store.errors import RefusedText

MAX_MESSAGE = 8_000  # characters of what a person types
MAX_TEXT = 64 * 1024  # bytes of any other text
MAX_JSON = 1024 * 1024  # bytes of a list or object, such as all messages of a prompt
MAX_KEY = 200  # characters of an id

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TYPED_BY_PEOPLE = frozenset({"user_text", "comment", "title"})


def clean_text(value: str) -> str:
    """The form in which text is stored and searched: NFC, without NUL and lone surrogates."""
    if value.isascii() and "\0" not in value:
        return value
    return unicodedata.normalize("NFC", _UNSTORABLE.sub("\ufffd", value))


def check_text(name: str, value: str) -> str:
    """Clean text of the field; raises RefusedText when it is over the limit of that field."""
    cleaned = clean_text(value)
    if name.endswith("_id"):
        # An id is looked up again, so it is refused where text would be mended.
        if cleaned != value or not 0 < len(value) <= MAX_KEY:
            raise RefusedText(
                name, f"an id has 1 to {MAX_KEY} characters, in NFC, without NUL and surrogates"
            )
    elif name in _TYPED_BY_PEOPLE:
        if len(cleaned) > MAX_MESSAGE:
            raise RefusedText(
                name, f"it has {len(cleaned):,} characters, at most {MAX_MESSAGE:,} fit"
            )
    else:
        _check_size(name, cleaned, MAX_TEXT)
    return cleaned


def to_json(name: str, value: Any) -> str:
    """Compact JSON of clean text; raises RefusedText for what JSON cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedText(name, f"it is no JSON ({error})") from error
    if "\\u0000" in text:  # NUL leaves json.dumps escaped, and must not come back on reading
        text = json.dumps(_without_nul(value), ensure_ascii=False, separators=(",", ":"))
    cleaned = clean_text(text)
    _check_size(name, cleaned, MAX_JSON)
    return cleaned


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value


def _check_size(name: str, value: str, limit: int) -> None:
    size = len(value) if value.isascii() else len(value.encode())
    if size > limit:
        raise RefusedText(name, f"it has {size:,} bytes, at most {limit:,} fit")
