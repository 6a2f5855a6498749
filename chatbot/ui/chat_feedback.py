"""What the buttons below an answer do: rate, give reasons, correct."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from chatbot.errors import ChatError
from chatbot.feedback import MAX_COMMENT
from chatbot.tries import Tries
from chatbot.ui.blocks import tell
from chatbot.ui.chat_state import OpenChat
from chatbot.ui.chat_view import shown_recommendation
from chatbot.ui.event_input import read_form, read_text
from chatbot.ui.feedback_view import read_fields, read_reasons
from chatbot.ui.i18n import t
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from feedback_store.records import ConsentKind, Rating, Turn

MAX_WRITES: Final = 60  # ratings, reasons, corrections and consents of one stranger in a minute


class ChatFeedback:
    """Blocking writes: call them in a thread. The turn was checked to be the person's own."""

    def __init__(self, parts: Parts, *, asks_consent: bool) -> None:
        self.parts = parts
        self.asks_consent = asks_consent
        self._writes = Tries(MAX_WRITES, 60.0, time.monotonic)

    def apply(self, data: dict[str, Any], turn: Turn, state: OpenChat, person: Person) -> OpenChat:
        """What the page has open after the button; raises RecommendationError for a bad field."""
        closed = replace(state, editing=None, panel=None, message="")
        self._count_write(person)
        match data.get("action"):
            case "thumb-up" | "thumb-down" as thumb:
                rating: Rating = "like" if thumb == "thumb-up" else "dislike"
                wanted = None if data.get("wanted") == "off" else rating
                return self._rate(turn, wanted, closed, person)
            case "reasons":
                self._save_reasons(read_form(data), turn, person)
            case "edit-open":
                return replace(closed, editing=turn.turn_id)
            case "edit-save":
                self._correct(read_form(data), turn, person)
        return closed

    def _rate(self, turn: Turn, wanted: Rating | None, state: OpenChat, person: Person) -> OpenChat:
        """The thumb as the page wants it to be; None takes it back. Twice is as good as once."""
        before = self.parts.store.get_feedback(turn.turn_id, person.person_id)
        if (before.rating if before else None) != wanted:
            self.parts.chat.rate(turn.turn_id, person.person_id, wanted)
        return replace(state, panel=turn.turn_id) if wanted else state

    def _save_reasons(self, form: dict[str, Any], turn: Turn, person: Person) -> None:
        feedback = self.parts.store.get_feedback(turn.turn_id, person.person_id)
        if not feedback or not feedback.rating:
            return
        reasons = read_reasons(form, feedback.rating)
        comment = read_text(form, "comment").strip()[:MAX_COMMENT]
        self.parts.chat.rate(turn.turn_id, person.person_id, feedback.rating, reasons, comment)
        if self.asks_consent:
            self._save_consent(form.get("may_train") == "1", turn, person)
        tell(person.lang, t(person.lang, "thanks"))

    def save_consents(self, data: dict[str, Any], person: Person) -> None:
        """One of the two consents, for all of the person's conversations."""
        self._count_write(person)
        kind: ConsentKind = "train" if data.get("kind") == "train" else "keep"
        granted = data.get("checked") is True
        self.parts.store.set_consent(person.person_id, kind=kind, granted=granted)

    def forget(self, person: Person) -> int:
        """Delete all that is the person's own; how many conversations. It rewrites the search
        index, so whoever has nothing to delete does not set it to work.
        """
        kept = self.parts.store.export_person(person.person_id)
        if not any(kept[name] for name in ("conversations", "feedback", "examples", "consents")):
            return 0
        return self.parts.store.delete_person(person.person_id).num_conversations

    def _count_write(self, person: Person) -> None:
        """Raises ChatError when a stranger presses too often: every press is kept for good."""
        if not self.asks_consent:
            return
        with self._writes.attempt(person.person_id) as attempt:
            if attempt.wait_s:
                raise ChatError("too_fast", "That was too often. Try again in a minute.")

    def _save_consent(self, granted: bool, turn: Turn, person: Person) -> None:
        store, conversation_id = self.parts.store, turn.conversation_id
        store.set_consent(
            person.person_id, conversation_id=conversation_id, kind="train", granted=granted
        )
        store.update_conversation(conversation_id, may_train=granted)

    def _correct(self, form: dict[str, Any], turn: Turn, person: Person) -> None:
        typed = read_fields(form)
        feedback = self.parts.store.get_feedback(turn.turn_id, person.person_id)
        if typed != shown_recommendation(turn, feedback):
            self.parts.chat.correct(turn.turn_id, person.person_id, typed)
            tell(person.lang, t(person.lang, "correction_saved"))
