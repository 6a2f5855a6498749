"""Personal data out of everything that people wrote and that goes to training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from chatbot.recommendation import (
    Challenge,
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    parse,
    to_dict,
)
from feedback_store.personal_data import may_hold_personal_data, redact
from feedback_store.records import NewExample

Row = TypeVar("Row", bound=NewExample)


def redact_text(text: str) -> str:
    """The text with personal data replaced by its kind; most texts are spared the search."""
    return redact(text) if may_hold_personal_data(text) else text


def redact_messages(messages: Iterable[dict[str, str]]) -> tuple[dict[str, str], ...]:
    """The messages likewise; the system message is ours."""
    return tuple(
        message
        if message["role"] == "system"
        else {**message, "content": redact_answer(message["content"])}
        for message in messages
    )


def redact_answer(text: str) -> str:
    """An answer likewise, field by field, so that its JSON stays whole."""
    if not may_hold_personal_data(text):
        return text
    try:
        answer = parse(text)
    except RecommendationError:
        return redact(text)
    challenges = (
        Challenge(redact_text(c.title), redact_text(c.description)) for c in answer.challenges
    )
    redacted = Recommendation(redact_text(answer.recommend), tuple(challenges))
    try:
        from_dict(to_dict(redacted))
    except RecommendationError:
        return redact(text)  # a field grew too long: it is no answer any more, and says so
    return text if redacted == answer else canonical(redacted)


def redact_example(example: Row, *, with_original: bool = True) -> Row:
    """The example likewise: prompt, answer, and the worse answer of a pair. The original text
    is of no account where only a training row is made of it.
    """
    changed = replace(
        example,
        messages=redact_messages(example.messages),
        completion=redact_answer(example.completion),
        rejected=redact_answer(example.rejected) if example.rejected else example.rejected,
    )
    if with_original:
        changed = replace(changed, original_text=redact_answer(example.original_text))
    if changed == example:
        return example
    return replace(changed, repairs=tuple(sorted({*example.repairs, "redacted"})))
