"""What the bot says: one sentence of recommendation and three small challenges, as one JSON
object.

The canonical text is what the engine's structured output produces and what a training target
is: compact JSON, raw Hangul, keys in this order. Serving and training use the same functions,
so they cannot drift.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

NUM_CHALLENGES = 3
MAX_RECOMMEND = 300  # characters
MAX_TITLE = 80  # characters
MAX_DESCRIPTION = 300  # characters


@dataclass(frozen=True)
class Challenge:
    """One small thing to do: a title and a one-sentence description."""

    title: str
    description: str


@dataclass(frozen=True)
class Recommendation:
    """One answer: a sentence and exactly three challenges."""

    recommend: str
    challenges: tuple[Challenge, ...]


class RecommendationError(ValueError):
    """The text is not a recommendation. `code` is stable, the message is a sentence, the values
    are what stands in it, for other languages.
    """

    def __init__(self, code: str, message: str, **values: str | int) -> None:
        super().__init__(message)
        self.code = code
        self.values = values


def _text_schema(max_length: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": max_length}


def json_schema() -> dict[str, Any]:
    """The JSON schema given to the engine; keys come out in the order of `properties`."""
    challenge = {
        "type": "object",
        "properties": {
            "title": _text_schema(MAX_TITLE),
            "description": _text_schema(MAX_DESCRIPTION),
        },
        "required": ["title", "description"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "recommend": _text_schema(MAX_RECOMMEND),
            "challenges": {
                "type": "array",
                "items": challenge,
                "minItems": NUM_CHALLENGES,
                "maxItems": NUM_CHALLENGES,
            },
        },
        "required": ["recommend", "challenges"],
        "additionalProperties": False,
    }


def to_dict(recommendation: Recommendation) -> dict[str, Any]:
    """Plain JSON types, keys in canonical order."""
    return {
        "recommend": recommendation.recommend,
        "challenges": [
            {"title": challenge.title, "description": challenge.description}
            for challenge in recommendation.challenges
        ],
    }


def canonical(recommendation: Recommendation) -> str:
    """The one text of a recommendation: compact JSON, raw Hangul, fixed key order."""
    return json.dumps(to_dict(recommendation), ensure_ascii=False, separators=(",", ":"))


def _field(value: Any, name: str, max_length: int) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, name, "text")
    if not value.strip():
        raise RecommendationError("empty_field", f"{name} is empty.", field=name)
    if len(value) > max_length:
        raise RecommendationError(
            "too_long",
            f"{name} has {len(value)} characters; at most {max_length} fit.",
            field=name,
            num=len(value),
            limit=max_length,
        )
    return value


def _wrong_type(value: Any, name: str, wanted: str) -> RecommendationError:
    found = type(value).__name__
    article = "an " if wanted == "object" else "a " if wanted == "list" else ""
    return RecommendationError(
        "wrong_type",
        f"{name} must be {article}{wanted}, but is {found}.",
        field=name,
        wanted=wanted,
        found=found,
    )


def _check_keys(value: Any, wanted: tuple[str, ...], name: str) -> None:
    if not isinstance(value, dict):
        raise _wrong_type(value, name, "object")
    missing = ", ".join(key for key in wanted if key not in value)
    if missing:
        raise RecommendationError(
            "missing_key", f"{name} lacks {missing}.", field=name, keys=missing
        )
    extra = ", ".join(str(key) for key in value if key not in wanted)
    if extra:
        message = f"{name} has unknown keys: {extra}."
        raise RecommendationError("extra_key", message, field=name, keys=extra)


def from_dict(value: Any) -> Recommendation:
    """Check plain JSON types; raises RecommendationError naming the field that is wrong."""
    _check_keys(value, ("recommend", "challenges"), "the answer")
    recommend = _field(value["recommend"], "recommend", MAX_RECOMMEND)
    items = value["challenges"]
    if not isinstance(items, list):
        raise _wrong_type(items, "challenges", "list")
    if len(items) != NUM_CHALLENGES:
        raise RecommendationError(
            "wrong_count",
            f"{len(items)} challenges came; exactly {NUM_CHALLENGES} are needed.",
            num=len(items),
            needed=NUM_CHALLENGES,
        )
    challenges = []
    for number, item in enumerate(items, 1):
        _check_keys(item, ("title", "description"), f"challenge {number}")
        title = _field(item["title"], f"title {number}", MAX_TITLE)
        description = _field(item["description"], f"description {number}", MAX_DESCRIPTION)
        challenges.append(Challenge(title, description))
    return Recommendation(recommend, tuple(challenges))


def parse(text: str) -> Recommendation:
    """Strict: the whole text is one JSON object of the schema. Nothing is repaired here."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecommendationError("not_json", f"The text is not JSON: {error}.") from error
    return from_dict(value)


def to_text(recommendation: Recommendation) -> str:
    """Readable text with real line breaks, never JSON syntax."""
    lines = [recommendation.recommend]
    for number, challenge in enumerate(recommendation.challenges, 1):
        lines += ["", f"{number}. {challenge.title}", challenge.description]
    return "\n".join(lines)
