"""Stored turns and a new message become the messages that fit the context window."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from chatbot.prompts import Message, assistant_message
from chatbot.recommendation import RecommendationError, canonical, from_dict
from feedback_store.records import Exchange

_TOKENS_PER_MESSAGE: Final = 8  # role and separators of the chat template, generously
_NUM_LEARNED: Final = 20  # prompts
_MARGIN: Final = 1.1
_LEAST_RATIO: Final = 0.3  # whatever an engine reports
_TOKENS_PER_ASCII: Final = 0.4  # English is about 4 characters a token; JSON and names are denser


def estimate_tokens(text: str) -> int:
    """Tokens of a text, estimated on the safe side for any tokenizer: one per Hangul syllable."""
    num_ascii = sum(char < "\x80" for char in text)
    return int(num_ascii * _TOKENS_PER_ASCII) + (len(text) - num_ascii) + 1


class TokenGauge:
    """Counts tokens by the estimate, corrected by what the engine reported for recent prompts: a
    tokenizer made for Korean needs half the estimate, and then twice the history goes along.
    """

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=_NUM_LEARNED)

    def count(self, text: str) -> int:
        """Tokens of a text, on the safe side."""
        ratio = max(self._ratios) * _MARGIN if self._ratios else 1.0
        return math.ceil(estimate_tokens(text) * ratio)

    def learn(self, messages: Sequence[Message], prompt_tokens: int) -> None:
        """The engine counted so many tokens in these messages."""
        estimate = count_message_tokens(messages, estimate_tokens)
        self._ratios.append(max(_LEAST_RATIO, prompt_tokens / estimate))


def count_least(text: str) -> int:
    """Tokens that a text has at least with any tokenizer, for refusing what cannot fit."""
    return math.floor(estimate_tokens(text) * _LEAST_RATIO)


def count_message_tokens(messages: Sequence[Message], count_tokens: Callable[[str], int]) -> int:
    """Tokens of messages with what the chat template adds."""
    return sum(count_tokens(message["content"]) + _TOKENS_PER_MESSAGE for message in messages)


def fit_messages(
    system: Message,
    turns: Sequence[Sequence[Message]],
    new_user_message: Message,
    *,
    count_tokens: Callable[[str], int],
    context_window: int,
    max_tokens: int,
) -> list[Message]:
    """The system message, as many whole turns as fit (the newest are kept), the new message.

    The system message and the new one are always there, even when they alone seem too long: the
    count is on the safe side, so the engine has the last word.
    """
    room = context_window - max_tokens
    room -= count_message_tokens([system, new_user_message], count_tokens)
    kept: list[Sequence[Message]] = []
    for turn in reversed(turns):
        room -= count_message_tokens(turn, count_tokens)
        if room < 0:
            break
        kept.append(turn)
    return [system, *(message for turn in reversed(kept) for message in turn), new_user_message]


def past_turns(exchanges: Sequence[Exchange]) -> list[list[Message]]:
    """User and assistant message of every question that got a whole answer, in order.

    Of several answers to one question only the last counts.
    """
    first_tries: dict[int, int] = {}
    answers: dict[int, Exchange] = {}
    for exchange in exchanges:
        first = exchange.turn_id
        if exchange.retry_of is not None:
            if exchange.retry_of not in first_tries:
                continue  # its question lies further back
            first = first_tries[exchange.retry_of]
        first_tries[exchange.turn_id] = first
        if exchange.status == "ok" and exchange.recommendation and exchange.question:
            answers[first] = exchange
    return [pair for answered in answers.values() if (pair := _to_messages(answered))]


def _to_messages(exchange: Exchange) -> list[Message]:
    try:
        answer = canonical(from_dict(exchange.recommendation))
    except RecommendationError:  # stored under older rules
        return []
    question: Message = {"role": "user", "content": str(exchange.question)}
    return [question, assistant_message(answer)]
