"""What a person says about an answer, checked before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chatbot.errors import ChatError
from chatbot.recommendation import (
    Challenge,
    Recommendation,
    RecommendationError,
    from_dict,
    to_dict,
)
from feedback_store.records import Turn
from feedback_store.text import clean_text

MAX_COMMENT: Final = 2_000  # characters
_MAX_REASONS: Final = 20
_MAX_REASON: Final = 100  # characters


def check_rating(rating: object, reasons: Sequence[str], comment: str) -> tuple[list[str], str]:
    """Clean reasons and comment; raises ChatError naming the field."""
    if rating not in ("like", "dislike", None):
        raise ChatError("unknown_option", "rating must be like or dislike.", field="rating")
    if len(reasons) > _MAX_REASONS or any(len(reason) > _MAX_REASON for reason in reasons):
        raise ChatError("too_long", "Too many or too long reasons.", field="reasons")
    if len(comment) > MAX_COMMENT:
        raise ChatError(
            "too_long",
            f"The comment has {len(comment):,} characters; at most {MAX_COMMENT:,} fit.",
            field="comment",
        )
    return [clean_text(reason) for reason in reasons], clean_text(comment).strip()


def clean_recommendation(recommendation: Recommendation) -> Recommendation:
    """The same with text that can be stored and shown, without blank ends."""
    return Recommendation(
        clean_text(recommendation.recommend).strip(),
        tuple(
            Challenge(clean_text(entry.title).strip(), clean_text(entry.description).strip())
            for entry in recommendation.challenges
        ),
    )


def check_correction(turn: Turn, better: Recommendation) -> dict[str, Any]:
    """The correction as plain JSON; raises ChatError saying which part is wrong."""
    if turn.status == "failed":
        raise ChatError("not_correctable", "There is no answer to correct. Try again first.")
    try:
        return to_dict(from_dict(to_dict(clean_recommendation(better))))
    except RecommendationError as error:
        raise ChatError("invalid_correction", str(error), field=error.code) from error
