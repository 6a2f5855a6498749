"""What is asked of a turn, and what happens during it."""

from __future__ import annotations

from dataclasses import dataclass

from chatbot.recommendation import Challenge, Recommendation
from chatbot.themes import BaseInfo
from feedback_store.records import Lang, Mode, Origin, Turn


@dataclass(frozen=True, kw_only=True)
class TurnRequest:
    """One message of a person.

    base_info None in free text means: follow the talk. adapter None is the production version, ""
    the base model. A retry takes its question and place from the turn that it repeats; is_alongside
    allows a second answer at the same time, for a comparison.
    """

    conversation_id: str | None = None  # None: a new conversation
    person_id: str
    origin: Origin
    lang: Lang
    mode: Mode
    text: str = ""
    base_info: BaseInfo | None = None
    adapter: str | None = None
    retry_of: int | None = None
    may_train: bool = False
    is_alongside: bool = False


@dataclass(frozen=True)
class Started:
    """The turn was accepted: where it goes, who answers, and what was understood."""

    conversation_id: str
    adapter: str  # "" is the base model
    base_info: BaseInfo


@dataclass(frozen=True)
class Progress:
    """Text to append, and everything of the answer so far."""

    delta: str
    recommend: str
    challenges: tuple[Challenge, ...]


@dataclass(frozen=True)
class Finished:
    """The answer is whole and stored. recommendation is None if it does not read as one: the text
    stays, turn.parse_error says why.
    """

    turn: Turn
    recommendation: Recommendation | None


@dataclass(frozen=True)
class Failed:
    """The answer is not whole: truncated, refused, timed_out, died, … What came of it stays
    visible, and is stored as turn; not if the store itself failed, the person is being forgotten,
    or the message is too_long_for_model.
    """

    code: str
    message: str
    turn: Turn | None


TurnEvent = Started | Progress | Finished | Failed
