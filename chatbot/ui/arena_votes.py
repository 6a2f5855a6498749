"""Votes of the arena: kept as feedback on the two answers, so that they become preference pairs,
and counted into win rates.

The reason "arena_win:<the other version>" marks a win. It is no like, because the loser gets the
winner's answer as its correction: that makes one pair of the two, and a like would make the same
answer an example a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from chatbot.recommendation import from_dict
from chatbot.service import ChatService
from feedback_store.records import Rating, Turn
from finetune.report import wilson_interval

Vote = Literal["left", "right", "both", "neither"]
VOTES: Final[tuple[Vote, ...]] = ("left", "both", "neither", "right")


@dataclass(frozen=True)
class Standing:
    """One version in the arena; low and high bound its win rate at 95%."""

    version: str
    num_wins: int
    num_losses: int
    num_ties: int
    low: float = 0.0
    high: float = 1.0

    @property
    def win_rate(self) -> float | None:
        """Wins among the votes that preferred one side."""
        decided = self.num_wins + self.num_losses
        return self.num_wins / decided if decided else None


def record_vote(chat: ChatService, person_id: str, vote: Vote, left: Turn, right: Turn) -> None:
    """Keep the vote as feedback on both answers; the service checks whose they are."""
    if vote in ("both", "neither"):
        name, rating = ("arena_tie", "like") if vote == "both" else ("arena_bad", "dislike")
        _rate_both(chat, person_id, name, rating, left, right)
        return
    winner, loser = (left, right) if vote == "left" else (right, left)
    chat.rate(winner.turn_id, person_id, None, (f"arena_win:{loser.adapter}",))
    if winner.recommendation and winner.recommendation != loser.recommendation:
        chat.correct(loser.turn_id, person_id, from_dict(winner.recommendation))
    chat.rate(loser.turn_id, person_id, None, (f"arena_loss:{winner.adapter}",))


def _rate_both(
    chat: ChatService, person_id: str, name: str, rating: Any, left: Turn, right: Turn
) -> None:
    wanted: Rating = rating
    for turn, other in ((left, right), (right, left)):
        chat.rate(turn.turn_id, person_id, wanted, (f"{name}:{other.adapter}",))


def count_votes(rows: Sequence[dict[str, Any]]) -> list[Standing]:
    """Standings from the store's view reasons_by_adapter, the best version first."""
    wins: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    ties: Counter[str] = Counter()
    for row in rows:
        kind, _, other = str(row["reason"]).partition(":")
        if kind == "arena_win":
            wins[row["adapter"]] += row["num_feedback"]
            losses[other] += row["num_feedback"]
        elif kind in ("arena_tie", "arena_bad"):
            ties[row["adapter"]] += row["num_feedback"]
    versions = {*wins, *losses, *ties}
    standings = [_standing(v, wins[v], losses[v], ties[v]) for v in versions]
    return sorted(standings, key=lambda s: (-(s.win_rate or 0.0), -s.num_wins, s.version))


def _standing(version: str, num_wins: int, num_losses: int, num_ties: int) -> Standing:
    decided = num_wins + num_losses
    low, high = wilson_interval(num_wins, decided) if decided else (0.0, 1.0)
    return Standing(version, num_wins, num_losses, num_ties, low, high)
