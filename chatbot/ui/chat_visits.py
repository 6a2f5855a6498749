"""Which page looks at which answer being written, until it turns to something else.

Gradio's own way to end a running event from another one needs a route that is closed here, and
would not know whether the answer goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chatbot.ui.live import LiveAnswer
from chatbot.ui.people import Person


@dataclass(eq=False)
class Visit:
    """One event of one page, from the press to its last word."""

    person: Person
    is_typed: bool = False  # the box may be emptied once the question is taken
    answer: LiveAnswer | None = None  # what the page sees grow
    is_over: bool = False  # the page shows something else by now: not a word more

    @property
    def lang(self) -> str:
        """The language of whoever looks."""
        return self.person.lang


class Visits:
    """The events that are going on, by page. A page is a browser's session of one person."""

    def __init__(self) -> None:
        self._going_on: dict[tuple[str, str], list[Visit]] = {}

    @contextmanager
    def visit(self, person: Person, session: str | None) -> Iterator[Visit]:
        """What one event does on its page."""
        page = (person.person_id, session or "")
        visit = Visit(person)
        self._going_on.setdefault(page, []).append(visit)
        try:
            yield visit
        finally:
            self._going_on[page].remove(visit)
            if not self._going_on[page]:
                del self._going_on[page]

    def turn_page(self, person: Person, session: str | None) -> None:
        """The page turns to something else; what is being written there is written to its end."""
        for visit in self._going_on.get((person.person_id, session or ""), ()):
            visit.is_over = True
            if visit.answer:
                visit.answer.is_kept = True
                visit.answer.touch()  # so that the event ends now, not with the next word

    def find_answer(self, person: Person, session: str | None) -> LiveAnswer | None:
        """The answer that the page sees grow."""
        for visit in self._going_on.get((person.person_id, session or ""), ()):
            if visit.answer and not visit.is_over:
                return visit.answer
        return None
