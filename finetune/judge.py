"""A model as judge of two answers: any server that speaks OpenAI's chat API.

A judge likes what stands first, so each pair is shown twice with the sides swapped, and only a
judgement that survives the swap counts. And a judge may simply disagree with people: it has a
voice in the gate only after agreeing with their votes in the arena significantly more often than
a coin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from chatbot.prompts import Message
from feedback_store.records import Turn
from feedback_store.store import Store
from finetune.readable import read_fields
from finetune.report import Answer, Report, wilson_interval

Ask = Callable[[Sequence[Message]], str]
MIN_VOTES: Final = 20  # of people, before a calibration says anything
_MAX_VOTES: Final = 100
_WON: Final = "arena_win:"
_LOST: Final = "arena_loss:"
_PAGE: Final = 500
_INSTRUCTION: Final = (
    "You compare two answers of a chatbot. Which one would the person who asked find more useful: "
    "fitting what they asked and who they are (for eco-challenges their place, work and theme), "
    "concrete, varied, well written in their language? Length is no merit. Reply with one letter: "
    "A, B, or T for a tie."
)


class JudgeError(RuntimeError):
    """The judge gave no judgement. `code` is stable: judge_failed."""

    code = "judge_failed"


@dataclass(frozen=True)
class OpenAIJudge:
    """Asks a model over HTTP; raises JudgeError with a sentence when that fails."""

    url: str  # up to and including /v1
    model: str
    api_key: str = ""
    timeout_s: float = 60.0

    def __call__(self, messages: Sequence[Message]) -> str:
        """One short reply."""
        body = {"model": self.model, "messages": list(messages), "temperature": 0, "max_tokens": 8}
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        address = f"{self.url.rstrip('/')}/chat/completions"
        try:
            reply = httpx.post(address, json=body, headers=headers, timeout=self.timeout_s)
            reply.raise_for_status()
            return str(reply.json()["choices"][0]["message"]["content"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise JudgeError(
                f"The judge at {self.url} gave no answer ({type(error).__name__}: {error}). "
                "Check its address, its model and its key."
            ) from error


@dataclass(frozen=True)
class Pair:
    """A question and two answers to it."""

    question: str
    first: str
    second: str


@dataclass(frozen=True)
class Calibration:
    """How often the judge agreed with people, where both had a preference."""

    num_votes: int
    num_agreed: int
    low: float
    high: float

    @property
    def is_trusted(self) -> bool:
        """Whether it agrees with people significantly more often than a coin would."""
        return self.num_votes >= MIN_VOTES and self.low > 0.5


def _show(text: str) -> str:
    return "\n".join(read_fields(text))


def _ask_once(ask: Ask, pair: Pair) -> str:
    shown = (
        f"Question:\n{pair.question}\n\nAnswer A:\n{_show(pair.first)}\n\n"
        f"Answer B:\n{_show(pair.second)}"
    )
    messages: list[Message] = [
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": shown},
    ]
    found = re.search(r"\b[ABT]\b", ask(messages))
    return found.group() if found else "T"


def prefers_first(ask: Ask, pair: Pair) -> bool | None:
    """Whether the judge prefers the first answer, whichever side it stands on; None: no clear
    preference.
    """
    if read_fields(pair.first) == read_fields(pair.second):
        return None
    straight = _ask_once(ask, pair)
    swapped = _ask_once(ask, Pair(pair.question, pair.second, pair.first))
    return {("A", "B"): True, ("B", "A"): False}.get((straight, swapped))


def read_votes(store: Store) -> Iterator[Pair]:
    """Arena votes as pairs, what people preferred first."""
    last = 0
    losers: dict[tuple[str, str], Turn] = {}
    winners: dict[tuple[str, str], Turn] = {}
    while page := store.list_rated_turns(after_feedback_id=last, limit=_PAGE):
        last = page[-1][1].feedback_id
        for turn, feedback, _ in page:
            for reason in feedback.reasons:
                side = winners if reason.startswith(_WON) else losers
                if reason.startswith((_WON, _LOST)):
                    side[turn.conversation_id, feedback.person_id] = turn
    for key, winner in winners.items():
        loser = losers.get(key)
        if loser is not None and winner.user_text == loser.user_text:
            yield Pair(winner.user_text, winner.raw_text, loser.raw_text)


def calibrate(ask: Ask, votes: Sequence[Pair]) -> Calibration:
    """Let the judge decide what people decided; its newest hundred votes are enough."""
    preferred = [prefers_first(ask, pair) for pair in votes[-_MAX_VOTES:]]
    decided = [choice for choice in preferred if choice is not None]
    if not decided:
        return Calibration(0, 0, 0.0, 1.0)
    low, high = wilson_interval(sum(decided), len(decided))
    return Calibration(len(decided), sum(decided), low, high)


def compare_reports(ask: Ask, candidate: Report, production: Report) -> dict[str, bool]:
    """answer_id → whether the candidate's answer is preferred; ties are left out."""
    theirs: dict[str, Answer] = {answer.answer_id: answer for answer in production.answers}
    found = {}
    for answer in candidate.answers:
        other = theirs.get(answer.answer_id)
        # People get constrained answers; of free text there are no others.
        is_served = answer.constrained or candidate.answer_format == "text"
        if other is None or not is_served:
            continue
        preferred = prefers_first(ask, Pair(answer.prompt, answer.text, other.text))
        if preferred is not None:
            found[answer.answer_id] = preferred
    return found
