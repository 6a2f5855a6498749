"""What was said, as part of the Store: conversations, turns, feedback, and the search for them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Unpack

from feedback_store import conversations, example_search, feedback, turn_search, turns
from feedback_store.database import Database
from feedback_store.records import (
    ANY_TURN,
    Conversation,
    ConversationChanges,
    Exchange,
    Feedback,
    NewFeedback,
    NewTurn,
    Page,
    Turn,
    TurnFilter,
    TurnHit,
    TurnSort,
)
from feedback_store.rows import to_row


class TalkStore:
    """The Store's methods about talks."""

    _db: Database

    def add_conversation(self, conversation: Conversation) -> Conversation:
        """Keep a new conversation."""
        return self._db.write(conversations.add_conversation, conversation)

    def get_conversation(self, conversation_id: str) -> Conversation | None:
        """The conversation, or None."""
        return self._db.read(conversations.get_conversation, conversation_id)

    def update_conversation(
        self, conversation_id: str, **changes: Unpack[ConversationChanges]
    ) -> Conversation:
        """Change the named fields."""
        return self._db.write(conversations.update_conversation, conversation_id, dict(changes))

    def list_conversations(
        self,
        person_id: str,
        *,
        query: str | None = None,
        before: str | None = None,
        limit: int = 30,
    ) -> list[Conversation]:
        """A person's conversations, last used first; before is the last id of the page above."""
        if query:
            self._finish_index()
        return self._db.read(conversations.list_conversations, person_id, query, before, limit)

    def search_turns(
        self,
        query: str | None = None,
        filter: TurnFilter = ANY_TURN,  # noqa: A002
        *,
        sort: TurnSort = "newest",
        after: str | None = None,
        limit: int = 50,
    ) -> Page[TurnHit]:
        """One page of turns with all the words and filters; after is the last page's next_key."""
        self._finish_index()
        return self._db.read(turn_search.search_turns, query, filter, sort, after, limit)

    def add_turn(self, turn: NewTurn) -> Turn:
        """Keep a turn at the end of its conversation."""
        return self._db.write(turns.add_turn, to_row(turn))

    def append_turn(
        self,
        turn: NewTurn,
        *,
        begun: Conversation | None = None,
        may_train: bool | None = None,
    ) -> Future[Turn]:
        """Keep a turn and, in the same write, the conversation that it begins and the consent if
        one is given. Does not wait: the future is done when all of it is durable.
        """
        return self._db.write_soon(turns.append_turn, to_row(turn), begun, may_train)

    def get_turn(self, turn_id: int) -> Turn | None:
        """The turn, or None."""
        return self._db.read(turns.get_turn, turn_id)

    def list_turns(self, conversation_id: str) -> list[Turn]:
        """The turns of a conversation, in order."""
        return self._db.read(turns.list_turns, conversation_id)

    def count_turns(self, conversation_id: str) -> int:
        """How many turns of the conversation are stored; reads none of them."""
        return self._db.read(turns.count_turns, conversation_id)

    def list_exchanges(
        self, conversation_id: str, *, limit: int, before_turn: int | None = None
    ) -> list[Exchange]:
        """What was last asked and answered, in order, without the rest of the turns; before_turn
        leaves out the question of that turn and all after it.
        """
        return self._db.read(turns.list_exchanges, conversation_id, limit, before_turn)

    def set_feedback(self, new: NewFeedback) -> Feedback:
        """The person's feedback on a turn; an earlier one is kept, no longer current."""
        return self._db.write(feedback.set_feedback, new)

    def get_feedback(self, turn_id: int, person_id: str | None = None) -> Feedback | None:
        """The current feedback of the person, or of whoever gave it last."""
        return self._db.read(feedback.get_feedback, turn_id, person_id)

    def list_feedback(self, turn_id: int) -> list[Feedback]:
        """All feedback ever given on a turn, oldest first."""
        return self._db.read(feedback.list_feedback, turn_id)

    def list_rated_turns(
        self, *, after_feedback_id: int = 0, since: str = "", limit: int = 500
    ) -> list[tuple[Turn, Feedback, Conversation]]:
        """Turns with current feedback, in the order in which it was given; since: answered at that
        time or later.
        """
        return self._db.read(feedback.list_rated_turns, after_feedback_id, since, limit)

    def rebuild_search(self) -> None:
        """Fill the search indexes anew, as the doctor advises when they lack rows."""
        self._db.write(turn_search.reindex_turns)
        self._db.write(example_search.reindex_examples)
        self._finish_index()

    def _finish_index(self) -> None:
        """Take the turns that still wait into the search index."""
        while self._db.read(turn_search.num_waiting):
            self._db.write(turn_search.index_turns)
