"""Whose answers are being written now, so that a person who has everything deleted is not kept by
the answer that is still on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chatbot.errors import ChatError
from chatbot.generation import Generation

FORGOTTEN_CODE = "forgotten"
FORGOTTEN = "Your data is being deleted, so this answer was stopped. Ask again in a moment."


@dataclass(eq=False)
class Answering:
    """One answer, from the question to its storing. Once forgotten nothing of it may be kept."""

    person_id: str
    generation: Generation | None = None
    is_forgotten: bool = False


class OpenAnswers:
    """All answers that are being written."""

    def __init__(self) -> None:
        self._open: set[Answering] = set()
        self._leaving: Counter[str] = Counter()  # people who are being forgotten

    @contextmanager
    def hold(self, person_id: str) -> Iterator[Answering]:
        """One answer, from its beginning to its end; raises ChatError while the person is being
        forgotten.
        """
        if self.is_forgetting(person_id):
            raise ChatError(FORGOTTEN_CODE, FORGOTTEN, retry_after_s=5)
        answering = Answering(person_id)
        self._open.add(answering)
        try:
            yield answering
        finally:
            self._open.discard(answering)

    def is_forgetting(self, person_id: str) -> bool:
        """Whether the person is being forgotten right now."""
        return self._leaving[person_id] > 0

    @contextmanager
    def forgetting(self, person_id: str) -> Iterator[list[Generation]]:
        """Keep nothing more of the person's answers and let none begin; gives what still writes."""
        self._leaving[person_id] += 1
        try:
            theirs = [item for item in self._open if item.person_id == person_id]
            for answering in theirs:
                answering.is_forgotten = True
            yield [item.generation for item in theirs if item.generation]
        finally:
            self._leaving[person_id] -= 1
            self._leaving += Counter()  # drops those at zero
