"""Two texts side by side with the differences marked, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape
from typing import Final

from chatbot.recommendation import Recommendation, RecommendationError, parse, to_text
from finetune.text_checks import find_leading_number

_PIECES: Final = re.compile(r"\s+|\w+|[^\w\s]")
_MAX_PIECES: Final = 4000  # beyond that, marking costs more than it shows


def to_readable(text: str) -> str:
    """A recommendation as people read it; any other text as it stands."""
    return to_readable_alike(text)[0]


def to_readable_alike(*texts: str) -> list[str]:
    """The same for texts that stand side by side. Where a title of any begins with a number of its
    own, all go without ours: "1. 1. Bring a cup" would hide whose number is the stray one.
    """
    answers = [_find_answer(text) for text in texts]
    titles = [c.title for answer in answers if answer for c in answer.challenges]
    is_numbered = find_leading_number(tuple(titles)) is None
    show = to_text if is_numbered else _to_plain
    return [show(a) if a else text for a, text in zip(answers, texts, strict=True)]


def _to_plain(answer: Recommendation) -> str:
    parts = [answer.recommend, *(f"{c.title}\n{c.description}" for c in answer.challenges)]
    return "\n\n".join(parts)


def _find_answer(text: str) -> Recommendation | None:
    try:
        return parse(text)
    except RecommendationError:
        return None


def _mark(text: str, tag: str) -> str:
    return f"<{tag}>{escape(text)}</{tag}>" if text else ""


def mark_differences(before: str, after: str) -> tuple[str, str]:
    """Both texts as HTML; what only the first has is in <del>, what only the second has in
    <ins>.
    """
    left, right = _PIECES.findall(before), _PIECES.findall(after)
    if len(left) + len(right) > _MAX_PIECES:
        return escape(before), escape(after)
    marked_left, marked_right = [], []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for kind, start, end, start_right, end_right in matcher.get_opcodes():
        old, new = "".join(left[start:end]), "".join(right[start_right:end_right])
        marked_left.append(escape(old) if kind == "equal" else _mark(old, "del"))
        marked_right.append(escape(new) if kind == "equal" else _mark(new, "ins"))
    return "".join(marked_left), "".join(marked_right)
