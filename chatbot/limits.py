"""How much one person, and all people together, may ask at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Final

from chatbot.errors import ChatError

_WINDOW_S: Final = 60.0


@dataclass(frozen=True)
class LimitSettings:
    """Answers that may be generated at once and per minute."""

    num_streams: int = 64  # by all people together
    num_at_once: int = 1  # by one person
    num_per_minute: int = 10  # by one person

    def __post_init__(self) -> None:
        for entry in fields(self):
            if getattr(self, entry.name) < 1:
                raise ValueError(f"{entry.name} must be 1 or more.")


def describe_busy() -> ChatError:
    """What somebody is told while every place is taken."""
    sentence = "As many answers as fit are being written right now. Try again in a moment."
    return ChatError("busy", sentence, retry_after_s=5)


class AnswerLimits:
    """Counts the answers that are being generated; forgets a person after a quiet minute."""

    def __init__(
        self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._begun: dict[str, list[float]] = {}
        self._running: dict[str, int] = {}
        self._swept_at = clock()
        self.num_running = 0

    @contextmanager
    def answering(
        self, person_id: str, *, is_limited: bool = True, is_alongside: bool = False
    ) -> Iterator[None]:
        """Hold a place while an answer is generated; raises ChatError when none is free.

        An unlimited person (an admin) only counts among all; an answer alongside another, for a
        comparison, may run at the same time as the first.
        """
        self._check_all()
        if is_limited:
            self._check_person(person_id, is_alongside)
        self.num_running += 1
        self._running[person_id] = self._running.get(person_id, 0) + 1
        try:
            yield
        finally:
            self.num_running -= 1
            self._running[person_id] -= 1
            if not self._running[person_id]:
                del self._running[person_id]

    def is_full(self) -> bool:
        """Whether no more answers may begin now."""
        return self.num_running >= self._settings.num_streams

    def _check_all(self) -> None:
        if self.is_full():
            raise describe_busy()

    def _check_person(self, person_id: str, is_alongside: bool) -> None:
        if not is_alongside and self._running.get(person_id, 0) >= self._settings.num_at_once:
            raise ChatError(
                "one_at_a_time",
                "Your previous answer is still being written. Wait for it or stop it first.",
                retry_after_s=3,
            )
        now = self._clock()
        self._sweep(now)
        begun = [at for at in self._begun.get(person_id, ()) if at > now - _WINDOW_S]
        if len(begun) >= self._settings.num_per_minute:
            raise ChatError(
                "too_fast",
                f"{len(begun)} questions in a minute are the limit. Try again a little later.",
                retry_after_s=max(1.0, begun[0] + _WINDOW_S - now),
            )
        self._begun[person_id] = [*begun, now]

    def _sweep(self, now: float) -> None:
        """Forget the people of whom nothing came in the last minute."""
        if now - self._swept_at < _WINDOW_S:
            return
        self._swept_at = now
        quiet = [person for person, begun in self._begun.items() if begun[-1] <= now - _WINDOW_S]
        for person in quiet:
            del self._begun[person]
