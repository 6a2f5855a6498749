"""A version on trial: a share of the people talks with it, and their thumbs decide.

Who is in the trial is a hash of the person and the version, so everyone keeps the adapter they
began with, in every conversation and after every restart. One thumb a person counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from feedback_store.records import AliasEvent, Conversation, Feedback, Turn
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError
from finetune.evaluate import Serving
from finetune.registry import check_promotable, production_version
from finetune.sequential import Thumbs, evidence_better, evidence_worse, take_blocks
from finetune.swap import (
    CANARY,
    Promotion,
    load_version,
    promote_live,
    warm_up,
)

Decision = Literal["none", "undecided", "worse", "better"]
_ACTOR: Final = "canary"
_PAGE: Final = 500
_MAX_PER_BLOCK: Final = 9  # production ratings beside one of the canary


@dataclass(frozen=True)
class CanarySettings:
    """How a trial runs. alpha: the chance that equal adapters are ever told apart, each way."""

    share: float = 0.1
    alpha: float = 0.05
    min_blocks: int = 5  # fewer thumbs decide nothing, whatever the odds
    auto_promote: bool = True

    def __post_init__(self) -> None:
        for name in ("share", "alpha"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ValueError(
                    f"canary {name} is {getattr(self, name)}; it must be above 0 and at most 0.5."
                )

    @property
    def per_block(self) -> int:
        """Ratings of production that are expected for one of the canary."""
        return max(1, min(_MAX_PER_BLOCK, round((1 - self.share) / self.share)))


@dataclass(frozen=True)
class CanaryStatus:
    """Where a trial stands. message is a sentence for people."""

    version: str | None
    decision: Decision
    message: str
    thumbs: Thumbs | None = None
    evidence_worse: float = 1.0
    evidence_better: float = 1.0


NO_TRIAL: Final = CanaryStatus(None, "none", "No version is on trial.")


def canary_version(store: Store) -> str | None:
    """The version on trial; None when there is none, or when it was promoted meanwhile."""
    version = store.get_alias(CANARY)
    return None if version == production_version(store) else version


def start_canary(store: Store, serving: Serving, version: str, promotion: Promotion) -> AliasEvent:
    """Load and prove a version and put it on trial; raises where it may not be promoted."""
    if version == production_version(store):
        raise RegistryError("already_production", f"{version} is production already.")
    running = canary_version(store)
    if running is not None:
        raise RegistryError(
            "canary_running", f"{running} is on trial. End that first, or wait for its thumbs."
        )
    check_promotable(store, version, promotion.reason, override=promotion.override)
    load_version(store, serving, version)
    warm_up(serving, version)
    return store.set_alias(CANARY, version, actor=promotion.actor, reason=promotion.reason)


def stop_canary(store: Store, actor: str, reason: str) -> AliasEvent:
    """End the trial; everyone talks with production again. The version stays loaded until the next
    promotion, because answers of it may be in flight.
    """
    if store.get_alias(CANARY) is None:
        raise RegistryError("no_canary", "No version is on trial.")
    return store.set_alias(CANARY, None, actor=actor, reason=reason)


def is_chosen(version: str, person_id: str, share: float) -> bool:
    """Whether this person is in the trial of this version: always the same answer."""
    digest = hashlib.sha256(f"{version}/{person_id}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def choose_version(store: Store, person_id: str, settings: CanarySettings) -> str | None:
    """The version that answers this person now; None is the base."""
    version = canary_version(store)
    if version is not None and is_chosen(version, person_id, settings.share):
        return version
    return production_version(store)


def _rated_since(store: Store, started_at: str) -> Iterator[tuple[Turn, Feedback, Conversation]]:
    last = 0
    while page := store.list_rated_turns(after_feedback_id=last, limit=_PAGE):
        last = page[-1][1].feedback_id
        yield from (item for item in page if item[0].created_at >= started_at)


def _is_fair(feedback: Feedback, conversation: Conversation) -> bool:
    """A thumb of whoever asked, on an answer that nobody had picked for a comparison."""
    is_own = feedback.rating is not None and feedback.person_id == conversation.person_id
    return is_own and not any(reason.startswith("arena_") for reason in feedback.reasons)


def count_thumbs(store: Store, version: str, per_block: int) -> Thumbs:
    """The thumbs since the trial began, the first of each person, in the order they came."""
    event = next(item for item in store.list_alias_events(CANARY) if item.to_version == version)
    names = {version: True, production_version(store) or "": False}
    ratings: dict[bool, list[bool]] = {True: [], False: []}
    seen: set[str] = set()
    for turn, feedback, conversation in _rated_since(store, event.created_at):
        if (
            _is_fair(feedback, conversation)
            and turn.adapter in names
            and conversation.person_id not in seen
        ):
            seen.add(conversation.person_id)
            ratings[names[turn.adapter]].append(feedback.rating == "like")
    return take_blocks(ratings[True], ratings[False], per_block)


def _describe(version: str, thumbs: Thumbs) -> str:
    return (
        f"{version}: {thumbs.canary_likes} of {thumbs.num_blocks} people like it; production: "
        f"{thumbs.production_likes} of {thumbs.num_production}"
    )


def read_canary(store: Store, settings: CanarySettings) -> CanaryStatus:
    """What the thumbs say so far; may be asked as often as one likes."""
    version = canary_version(store)
    if version is None:
        return NO_TRIAL
    thumbs = count_thumbs(store, version, settings.per_block)
    worse, better = evidence_worse(thumbs), evidence_better(thumbs)
    told = _describe(version, thumbs)
    decision: Decision = "undecided"
    if thumbs.num_blocks >= settings.min_blocks and worse >= 1 / settings.alpha:
        decision, told = "worse", f"People like it less ({told}; e = {worse:.0f})."
    elif thumbs.num_blocks >= settings.min_blocks and better >= 1 / settings.alpha:
        decision, told = "better", f"People like it more ({told}; e = {better:.0f})."
    else:
        told = f"Not decided yet ({told})."
    return CanaryStatus(version, decision, told, thumbs, worse, better)


def step_canary(store: Store, serving: Serving, settings: CanarySettings) -> CanaryStatus:
    """Look at the thumbs and act: end the trial of a worse version, promote a better one.

    Killed in between, the next step finishes: a version that is production is on no trial.
    """
    if store.get_alias(CANARY) is not None and canary_version(store) is None:
        stop_canary(store, _ACTOR, "It is production now.")
    status = read_canary(store, settings)
    if status.decision == "worse":
        stop_canary(store, _ACTOR, status.message)
    elif status.decision == "better" and status.version and settings.auto_promote:
        # The gate was passed or overridden when the trial began; people have confirmed it.
        promotion = Promotion(_ACTOR, status.message, override=True)
        promote_live(store, serving, status.version, promotion)
        stop_canary(store, _ACTOR, status.message)
    return status
