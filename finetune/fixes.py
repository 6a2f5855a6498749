"""One-click fixes: what can be put right in an answer without a person writing anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chatbot.recommendation import (
    Challenge,
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    to_dict,
)
from feedback_store.records import NewExample
from finetune import hygiene
from finetune.answer_lines import split_bullet, split_number
from finetune.checks import AnswerFormat
from finetune.repair import repair

# Every run is entered at its beginning only: from each of its characters costs squares.
_ESCAPED_BREAK: Final = re.compile(r"(?<!\\)\\+[nrt]")
_ESCAPED_QUOTE: Final = re.compile(r"(?<!\\)\\+([\"'])")
_BREAK: Final = re.compile(r"(?:(?<!\s)\s+)?[\r\n\t\u2028\u2029]\s*")
_BARE_NUMBER: Final = re.compile(r"^\d+\s*[.)]\s*(?=\D)")


@dataclass(frozen=True)
class Fix:
    """A suggested answer, and the names of what was put right in it."""

    completion: str
    names: tuple[str, ...]


def _strip_leading(text: str) -> str:
    return _BARE_NUMBER.sub("", split_bullet(split_number(text)[1])[1])


def _unescape(text: str) -> str:
    return _ESCAPED_QUOTE.sub(r"\1", _ESCAPED_BREAK.sub(" ", text))


def _join_lines(text: str) -> str:
    return _BREAK.sub(" ", text).strip()


def _mask(text: str) -> str:
    return hygiene.mask_personal(text) if hygiene.find_personal(text) else text


# Name of the flag → what puts it right, in the order in which they are applied.
_FIELD_FIXES: Final[dict[str, Callable[[str], str]]] = {
    "invisible_characters": hygiene.remove_invisible,
    "escaped_text": _unescape,
    "line_break": _join_lines,
    "template_text": hygiene.remove_template_text,
    "leading_number": _strip_leading,
    "personal_data": _mask,
}
_TEXT_FIXES: Final = ("invisible_characters", "template_text", "personal_data")


def _apply(text: str, names: tuple[str, ...], done: set[str]) -> str:
    for name in names:
        fixed = _FIELD_FIXES[name](text)
        if fixed != text:
            done.add(name)
            text = fixed
    return text


def _fix_recommendation(text: str) -> Fix | None:
    repaired = repair(text)
    if repaired.recommendation is None:
        return None
    done = set(repaired.repairs)
    names = tuple(_FIELD_FIXES)

    def fix(field: str) -> str:
        return _apply(field, names, done)

    found = repaired.recommendation
    challenges = tuple(Challenge(fix(c.title), fix(c.description)) for c in found.challenges)
    answer = Recommendation(fix(found.recommend), challenges)
    try:
        from_dict(to_dict(answer))
    except RecommendationError:
        return None  # a field was nothing but what had to go
    return Fix(canonical(answer), tuple(sorted(done)))


def suggest_fix(
    example: NewExample, *, answer_format: AnswerFormat = "recommendation"
) -> Fix | None:
    """A better completion, or None where nothing can be put right without a person."""
    if answer_format == "recommendation":
        fix = _fix_recommendation(example.completion)
    else:
        done: set[str] = set()
        text = _apply(example.completion, _TEXT_FIXES, done)
        fix = Fix(text, tuple(sorted(done))) if text else None
    return fix if fix and fix.completion != example.completion else None
