"""How many more accepted examples until a retrain is worth it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from feedback_store.records import ExampleFilter
from feedback_store.store import Store

# A gate of some hundred questions does not see what fewer new rows teach.
MIN_NEW: Final = 20
MIN_NEW_SHARE: Final = 0.10  # of what the last training learned
_NUM_RUNS: Final = 20  # looked at for the last one that went to its end


@dataclass(frozen=True)
class RetrainGoal:
    """num_new: accepted since the last training (counted up to need); need: how many of them make
    a retrain worth it. Before the first training everything accepted is new.
    """

    num_new: int
    need: int
    is_first: bool

    @property
    def missing(self) -> int:
        """How many are still wanted."""
        return max(0, self.need - self.num_new)


def find_goal(store: Store, min_examples: int) -> RetrainGoal:
    """Where the next retrain stands; min_examples is what the very first one needs."""
    trained = next((run for run in store.list_runs(_NUM_RUNS) if run.state == "done"), None)
    learned = store.get_dataset(trained.dataset_id) if trained else None
    if learned is None:
        num_accepted = store.count_examples(ExampleFilter(state="accepted"))
        return RetrainGoal(num_accepted, min_examples, is_first=True)
    need = max(MIN_NEW, math.ceil(MIN_NEW_SHARE * (learned.num_train + learned.num_validation)))
    num_new = store.count_accepted_since(learned.created_at, limit=need)
    return RetrainGoal(num_new, need, is_first=False)
