"""Answers in every malformed shape that was seen in the field, generated at random.

`is_certain` says whether the shape still tells the answer apart from any other: a title with a
colon of its own, written as "1. title: description", does not.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chatbot.recommendation import Challenge, Recommendation, canonical, to_dict, to_text

_WORDS = (
    "텀블러",
    "장바구니",
    "리필숍",
    "바닷가",
    "산책",
    "재택",
    "회의실",
    "이메일",
    "두부",
    "채식",
    "자전거",
    "걷기",
    "절전",
    "멀티탭",
    "손수건",
    "don't",
    "'zero'",
    '"한',
    '번"',
    "3번",
    "9:30",
    "1.5km",
    "제로-웨이스트",
    "(하루)",
    "50%",
    "커피,",
    "물,",
    "#1",
    "C:\\",
    "🌱",
    "“좋은”",
    "‘작은’",
    "reuse",
    "bottle",
    "café",
    "플로깅",
    "{작은}",
    "[오늘]",
)
_ENDINGS = ("해요.", "하세요!", "해 볼까요?", "하기", "it.")
_TANGLING = (": ", " - ")  # put into some texts; they make lines uncertain


@dataclass(frozen=True)
class Malformed:
    """One malformed text, what it says, and whether that is certain."""

    shape: str
    text: str
    recommendation: Recommendation
    is_certain: bool


def _text(rng: random.Random, low: int, high: int) -> str:
    words = [rng.choice(_WORDS) for _ in range(rng.randint(low, high))]
    joined = " ".join(["오늘은", *words, rng.choice(_ENDINGS)])
    return joined.replace(" ", rng.choice(_TANGLING), 1) if rng.random() < 0.03 else joined


def random_recommendation(rng: random.Random) -> Recommendation:
    """A clean answer with difficult characters in its texts."""
    challenges = tuple(Challenge(_text(rng, 1, 4), _text(rng, 3, 9)) for _ in range(3))
    return Recommendation(_text(rng, 3, 9), challenges)


def _dump(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _prose(text: str) -> str:
    return f"네, 추천해 드릴게요.\n```json\n{text}\n```\n좋은 하루 되세요!"


def _lines(answer: Recommendation, mark: Callable[[int], str]) -> str:
    items = [f"{mark(n)}{c.title}: {c.description}" for n, c in enumerate(answer.challenges, 1)]
    return "\n".join([answer.recommend, *items])


def _numbered(answer: Recommendation) -> str:
    return _lines(answer, lambda n: f"{n}. ")


def _trailing_commas(text: str) -> str:
    return text.replace('"}', '",}').replace("]}", ",],}")


def _quoted(answer: Recommendation, left: str, right: str) -> str:
    """The answer with other quotes around each key and text, nothing escaped."""

    def write(value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f"{left}{key}{right}: {write(item)}" for key, item in value.items()]
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(write, value)) + "]"
        return f"{left}{value}{right}"

    return write(to_dict(answer))


def _change_texts(answer: Recommendation, change: Callable[[str], str]) -> Recommendation:
    challenges = (Challenge(change(c.title), change(c.description)) for c in answer.challenges)
    return Recommendation(change(answer.recommend), tuple(challenges))


def _raw_newlines(answer: Recommendation) -> str:
    text = canonical(_change_texts(answer, lambda t: t.replace(" ", " \n", 1) + "\n"))
    return text.replace("\\n", "\n") if "\\\\n" not in text else text


def _numbered_titles(answer: Recommendation) -> str:
    value = to_dict(answer)
    for number, item in enumerate(value["challenges"], 1):
        item["title"] = f"{number}. {item['title']}"
    return _dump(value)


def _close_event(answer: Recommendation) -> str:
    data = to_dict(answer)
    for item in data["challenges"]:
        item["category"] = "VEGAN"
    return _dump({"status": 200, "message": "모든 챌린지 추천 완료", "data": data})


def _stuffed(answer: Recommendation) -> str:
    return _dump({"recommend": canonical(answer), "challenges": []})


# Shapes that keep every character apart: always certain.
_SAFE_SHAPES: dict[str, Callable[[Recommendation], str]] = {
    "canonical": canonical,
    "pretty": lambda r: _dump(to_dict(r), indent=2),
    "json_in_string": lambda r: json.dumps(canonical(r)),
    "json_in_string_twice": lambda r: json.dumps(_dump(canonical(r))),
    "escaped_without_quotes": lambda r: _dump(canonical(r))[1:-1],
    "code_fence": lambda r: f"```json\n{canonical(r)}\n```",
    "code_fence_in_prose": lambda r: _prose(_dump(to_dict(r), indent=2)),
    "text_wrapper": lambda r: _dump({"text": canonical(r)}),
    "text_wrapper_of_object": lambda r: _dump({"text": to_dict(r)}),
    "wrapper_in_string": lambda r: json.dumps(_dump({"text": canonical(r)})),
    "trailing_commas": lambda r: _trailing_commas(canonical(r)),
    "python_repr": lambda r: str(to_dict(r)),
    "stuffed_json": _stuffed,
    "stuffed_json_only": lambda r: _dump({"recommend": canonical(r)}),
    "stuffed_object": lambda r: _dump({"recommend": to_dict(r), "challenges": []}),
    "stuffed_and_repeated": lambda r: _dump({**to_dict(r), "recommend": canonical(r)}),
    "challenges_in_string": lambda r: _dump(
        {"recommend": r.recommend, "challenges": _dump(to_dict(r)["challenges"])}
    ),
    "stray_newlines": lambda r: canonical(_change_texts(r, lambda t: f"{t}\n\n")),
    "newlines_beside_spaces": lambda r: canonical(
        _change_texts(r, lambda t: t.replace(" ", " \n"))
    ),
    "raw_newlines": _raw_newlines,
    "visible_newline_at_the_end": lambda r: canonical(_change_texts(r, lambda t: t + "\\n")),
    "numbered_titles": _numbered_titles,
    "close_event": _close_event,
}
# Shapes that lose the difference when a text holds one of their own marks.
_LOSSY_SHAPES: dict[str, tuple[Callable[[Recommendation], str], tuple[str, ...]]] = {
    "numbered_lines": (_numbered, (":", " - ")),
    "numbered_lines_paren": (lambda r: _lines(r, lambda n: f"{n}) "), (":", " - ")),
    "bulleted_lines": (lambda r: _lines(r, lambda _: "- "), (":", " - ")),
    "readable_text": (to_text, (":", " - ")),
    "stuffed_lines": (
        lambda r: _dump({"recommend": _numbered(r), "challenges": []}),
        (":", " - "),
    ),
    "lines_in_string": (lambda r: _dump(_numbered(r)), (":", " - ")),
    "single_quotes": (lambda r: _quoted(r, "'", "'"), ("',", "':", "\\")),
    "smart_quotes": (lambda r: _quoted(r, "“", "”"), ("”,", "”:", '",', '":', "\\")),
}
SHAPES = (*_SAFE_SHAPES, *_LOSSY_SHAPES)


def _texts(answer: Recommendation) -> list[str]:
    return [answer.recommend, *(t for c in answer.challenges for t in (c.title, c.description))]


def make_malformed(shape: str, rng: random.Random) -> Malformed:
    """A random answer in one shape."""
    answer = random_recommendation(rng)
    if shape in _SAFE_SHAPES:
        return Malformed(shape, _SAFE_SHAPES[shape](answer), answer, is_certain=True)
    write, marks = _LOSSY_SHAPES[shape]
    is_certain = not any(mark in text for mark in marks for text in _texts(answer))
    return Malformed(shape, write(answer), answer, is_certain)
