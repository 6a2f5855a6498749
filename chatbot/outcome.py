"""What became of a generation: whole, cut, unreadable, refused or failed, and how that is
stored and said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from chatbot.feedback import clean_recommendation
from chatbot.generation import Generation
from chatbot.prompts import Message, prompt_hash
from chatbot.recommendation import Recommendation, RecommendationError, parse, to_dict
from chatbot.stream import ReadableStream
from feedback_store.records import NewTurn, TurnStatus
from feedback_store.text import clean_text

_CUT: Final = {
    "length": ("truncated", "The answer was cut off at its greatest length. Try again."),
    "repetition": ("truncated", "The model began to repeat itself and was stopped. Try again."),
    "abort": ("died", "The model stopped in the middle of the answer. Try again."),
    "error": ("died", "The model failed in the middle of the answer. Try again."),
}


@dataclass(frozen=True)
class Verdict:
    """How a generation ended; code "" means that the answer is whole."""

    status: TurnStatus
    code: str = ""
    message: str = ""
    recommendation: Recommendation | None = None
    parse_error: str | None = None


STOPPED: Final = Verdict("stopped")  # by the person, or because they left


def judge(generation: Generation) -> Verdict:
    """How the generation ended, and the recommendation if it is one."""
    if generation.error:
        status: TurnStatus = "refused" if generation.error.code == "refused" else "failed"
        return Verdict(status, generation.error.code, str(generation.error))
    if generation.finish_reason in _CUT:
        code, message = _CUT[generation.finish_reason]
        return Verdict("truncated" if code == "truncated" else "failed", code, message)
    if not generation.raw_text.strip():
        return Verdict("failed", "empty_answer", "The model answered nothing. Try again.")
    try:
        return Verdict("ok", recommendation=_read(generation.raw_text))
    except RecommendationError as error:
        return Verdict("ok", parse_error=f"{error.code}: {error}")


def _read(raw_text: str) -> Recommendation:
    """Strict, and no JSON may be packed into the sentence, where people would read it."""
    recommendation = parse(raw_text)
    sentence = recommendation.recommend
    stream = ReadableStream()
    stream.feed(json.dumps({"recommend": sentence}))
    if stream.finish().recommend != clean_text(sentence):
        raise RecommendationError("stuffed", "The challenges are packed into recommend.")
    return clean_recommendation(recommendation)


def to_new_turn(generation: Generation, template: NewTurn, verdict: Verdict) -> NewTurn:
    """The template filled in with what was generated, and what became of it."""
    messages: list[Message] = [
        {"role": message["role"], "content": message["content"]} for message in template.messages
    ]
    return replace(
        template,
        raw_text=clean_text(generation.raw_text),
        recommendation=to_dict(verdict.recommendation) if verdict.recommendation else None,
        parse_error=verdict.parse_error,
        status=verdict.status,
        prompt_hash=prompt_hash(messages),
        finish_reason=generation.finish_reason,
        time_to_first_token_ms=generation.time_to_first_token_ms,
        duration_ms=generation.duration_ms,
        prompt_tokens=generation.prompt_tokens,
        completion_tokens=generation.completion_tokens,
    )
