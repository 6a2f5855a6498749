"""Fills a store for benchmarks/store.py by its public functions: turns, ratings, examples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, Literal

from benchmarks import store_raw
from benchmarks.store_corpus import REASONS, Corpus, person_of
from feedback_store.records import NewFeedback, NewTurn, Turn
from feedback_store.store import Store

TURNS_PER_CONVERSATION: Final = 10
EXAMPLES_PER_TURN: Final = 0.3
PRODUCERS: Final = 100  # filling is not measured: the larger the groups, the sooner it is done


class Grower:
    """Fills a store by its public functions: turns, ratings, examples, decisions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rng = random.Random(3)
        self._corpus = Corpus(3 + store.count_examples())  # never the same examples again
        self._turn_ids: list[int] = []

    def grow(self, num_turns: int) -> None:
        """Up to so many turns in all."""
        present = self._store.search_turns(limit=1).total
        while present < num_turns:
            num_new = min(5_000, num_turns - present)
            self._add_turns(present, num_new)
            self._add_examples(present, int(num_new * EXAMPLES_PER_TURN))
            present += num_new
            if present % 50_000 == 0:
                print(f"  … {present:,} turns", flush=True)
        self._store.search_turns(limit=1)

    def _add_turns(self, present: int, num_new: int) -> None:
        adapter = f"v{present // 100_000:04d}"
        first = present * 1_000  # never used before, even where an earlier filling was cut short
        names = range(first, first + -(-num_new // TURNS_PER_CONVERSATION))
        for number in names:
            self._store.add_conversation(self._corpus.conversation(number))
        shares = [
            [self._corpus.turn(f"c{number}", adapter) for _ in range(TURNS_PER_CONVERSATION)]
            for number in names
        ]
        store_raw.run_threads(
            [lambda part=shares[start::PRODUCERS]: self._say(part) for start in range(PRODUCERS)]  # type: ignore[misc]
        )

    def _say(self, conversations: Sequence[Sequence[NewTurn]]) -> None:
        for turns in conversations:
            for new in turns:
                turn = self._store.add_turn(new)
                self._turn_ids.append(turn.turn_id)
                draw = self._rng.random()
                if draw < 0.3:
                    self._rate(turn, "like" if draw < 0.2 else "dislike")

    def _rate(self, turn: Turn, rating: Literal["like", "dislike"]) -> None:
        self._store.set_feedback(
            NewFeedback(
                turn_id=turn.turn_id,
                person_id=person_of(turn.conversation_id),
                rating=rating,
                reasons=REASONS[:1] if rating == "dislike" else (),
            )
        )

    def _add_examples(self, present: int, num_new: int) -> None:
        turn_ids = self._turn_ids[:num_new]
        self._turn_ids.clear()
        examples = [self._corpus.example(present, turn_id) for turn_id in turn_ids]
        ids = [id_ for id_ in self._store.add_examples(examples) if id_ is not None]
        third = len(ids) // 3 + 1
        self._store.decide_examples(ids[:third], state="accepted", decided_by="benchmark")
        self._store.decide_examples(
            ids[third : third + third // 2], state="excluded", decided_by="benchmark"
        )
