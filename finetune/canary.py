"""A version on trial: a share of the conversations talks with it, and people's thumbs decide.

Which conversations are in the trial is a hash of conversation and version, so each keeps the
adapter it began with, after every restart, too. The trial itself is the alias `canary` and the
event that set it: who began it, when, why, and with which share.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from feedback_store.records import AliasEvent, Conversation, Feedback, Turn
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError
from finetune.evaluate import Serving
from finetune.registry import (
    CANARY,
    PRODUCTION,
    check_promotable,
    get_version,
    production_version,
)
from finetune.sequential import Thumbs, evidence_better, evidence_worse, take_blocks
from finetune.swap import Promotion, answers_text, load_version, promote_live, warm_up

Decision = Literal["none", "undecided", "worse", "better"]
DEFAULT_SHARE: Final = 0.1
_MAX_SHARE: Final = 0.5
_ACTOR: Final = "canary"
_PAGE: Final = 500
_MAX_PER_BLOCK: Final = 9  # production ratings beside one of the canary


@dataclass(frozen=True)
class CanarySettings:
    """How a trial decides. alpha: the chance that equal adapters are ever told apart, each way."""

    alpha: float = 0.05
    min_blocks: int = 5  # fewer thumbs decide nothing, whatever the odds
    max_per_person: int = 5  # conversations of one visitor that count; the studio's all do
    auto_promote: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 0.5:
            raise ValueError(
                f"canary alpha is {self.alpha}; it must be above 0 and at most {_MAX_SHARE}."
            )


@dataclass(frozen=True)
class Trial:
    """A version on trial, and what it is compared with (None: the base)."""

    version: str
    share: float
    against: str | None
    started_at: str
    started_by: str

    @property
    def per_block(self) -> int:
        """Ratings of production that are expected for one of the canary."""
        return max(1, min(_MAX_PER_BLOCK, round((1 - self.share) / self.share)))

    def includes(self, conversation_id: str) -> bool:
        """Whether this conversation talks with the version: always the same answer."""
        named = f"{self.version}/{conversation_id}".encode("utf-8", "replace")
        return int.from_bytes(hashlib.sha256(named).digest()[:8], "big") < self.share * 2**64


@dataclass(frozen=True)
class CanaryStatus:
    """Where a trial stands. message is a sentence for people."""

    trial: Trial | None
    decision: Decision
    message: str
    thumbs: Thumbs | None = None
    evidence_worse: float = 1.0
    evidence_better: float = 1.0
    min_blocks: int = 0  # fewer thumbs decide nothing


NO_TRIAL: Final = CanaryStatus(None, "none", "No version is on trial.")


def check_share(share: float) -> None:
    """Raise RegistryError for a share that is none, or more than half."""
    if not 0 < share <= _MAX_SHARE:  # a NaN is none either
        raise RegistryError(
            "bad_share", f"The share is {share}; it must be above 0 and at most {_MAX_SHARE}."
        )


def find_trial(store: Store) -> Trial | None:
    """The trial that runs; None when there is none, or its version was promoted meanwhile."""
    version = store.get_alias(CANARY)
    if version is None or version == production_version(store):
        return None
    began = store.list_alias_events(CANARY, limit=1)[0]
    earlier = (
        event
        for event in store.list_alias_events(PRODUCTION, limit=10_000)  # newest first
        if event.event_id < began.event_id
    )
    moved = next(earlier, None)
    against = moved.to_version if moved else None
    share = began.share or DEFAULT_SHARE
    return Trial(version, share, against, began.created_at, began.actor)


def start_canary(
    store: Store, serving: Serving, version: str, share: float, promotion: Promotion
) -> AliasEvent:
    """Load and prove a version and put it on trial; raises where it may not be promoted."""
    check_share(share)
    if version == production_version(store):
        raise RegistryError("already_production", f"{version} is production already.")
    running = find_trial(store)
    if running is not None:
        raise RegistryError(
            "canary_running",
            f"{running.version} is on trial. End that first, or wait for its thumbs.",
        )
    check_promotable(store, version, promotion.reason, override=promotion.override)
    load_version(store, serving, version)
    warm_up(serving, version, is_text=answers_text(store, version))
    actor, reason = promotion.actor, promotion.kept_reason
    return store.set_alias(CANARY, version, actor=actor, reason=reason, share=share)


def stop_canary(store: Store, actor: str, reason: str) -> AliasEvent:
    """End the trial; everyone talks with production again. The version stays loaded until the next
    promotion, because answers of it may be in flight.
    """
    if store.get_alias(CANARY) is None:
        raise RegistryError("no_canary", "No version is on trial.")
    return store.set_alias(CANARY, None, actor=actor, reason=reason)


def _rated_since(store: Store, started_at: str) -> Iterator[tuple[Turn, Feedback, Conversation]]:
    last = 0
    while page := store.list_rated_turns(after_feedback_id=last, since=started_at, limit=_PAGE):
        last = page[-1][1].feedback_id
        yield from page


def _is_fair(trial: Trial, turn: Turn, feedback: Feedback, conversation: Conversation) -> bool:
    """A thumb of whoever asked, on an answer of the version that the trial gave them."""
    is_own = feedback.rating is not None and feedback.person_id == conversation.person_id
    included = trial.includes(conversation.conversation_id)
    given = trial.version if included else trial.against or ""
    is_compared = any(reason.startswith("arena_") for reason in feedback.reasons)
    return is_own and turn.adapter == given and not is_compared


def count_thumbs(store: Store, trial: Trial, max_per_person: int) -> Thumbs:
    """The thumbs since the trial began, the first of each conversation, in the order they came."""
    ratings: dict[bool, list[bool]] = {True: [], False: []}
    counted: set[str] = set()
    by_person: Counter[str] = Counter()
    for turn, feedback, conversation in _rated_since(store, trial.started_at):
        person, talk = conversation.person_id, conversation.conversation_id
        if talk in counted or not _is_fair(trial, turn, feedback, conversation):
            continue
        if conversation.origin != "studio" and by_person[person] >= max_per_person:
            continue
        counted.add(talk)
        by_person[person] += 1
        ratings[turn.adapter == trial.version].append(feedback.rating == "like")
    return take_blocks(ratings[True], ratings[False], trial.per_block)


def _describe(trial: Trial, thumbs: Thumbs) -> str:
    return (
        f"{trial.version}: {thumbs.canary_likes} of {thumbs.num_blocks} conversations liked; "
        f"{trial.against or 'the base model'}: {thumbs.production_likes} of "
        f"{thumbs.num_production}"
    )


def read_canary(store: Store, settings: CanarySettings) -> CanaryStatus:
    """What the thumbs say so far; may be asked as often as one likes."""
    trial = find_trial(store)
    if trial is None:
        return NO_TRIAL
    thumbs = count_thumbs(store, trial, settings.max_per_person)
    worse, better = evidence_worse(thumbs), evidence_better(thumbs)
    told = _describe(trial, thumbs)
    decision: Decision = "undecided"
    if thumbs.num_blocks >= settings.min_blocks and worse >= 1 / settings.alpha:
        decision, told = "worse", f"People like it less ({told}; e = {worse:.0f})."
    elif thumbs.num_blocks >= settings.min_blocks and better >= 1 / settings.alpha:
        decision, told = "better", f"People like it more ({told}; e = {better:.0f})."
    else:
        told = f"Not decided yet ({told})."
    return CanaryStatus(trial, decision, told, thumbs, worse, better, settings.min_blocks)


def _why_pointless(store: Store) -> str | None:
    """Why the trial compares nothing any more: what answers has changed since it began."""
    production = production_version(store)
    if store.get_alias(CANARY) == production:
        return "It is production now."
    trial = find_trial(store)
    if trial is None or trial.against == production:
        return None
    return (
        f"{production or 'The base model'} answers now instead of "
        f"{trial.against or 'the base model'}; begin a new trial against it."
    )


def step_canary(store: Store, serving: Serving, settings: CanarySettings) -> CanaryStatus:
    """Look at the thumbs and act: end the trial of a worse version, promote a better one.

    Killed in between, the next step finishes: a version that is production is on no trial.
    """
    if store.get_alias(CANARY) is None:
        return NO_TRIAL
    if pointless := _why_pointless(store):
        stop_canary(store, _ACTOR, pointless)
        return NO_TRIAL
    status = read_canary(store, settings)
    if status.decision == "worse":
        stop_canary(store, _ACTOR, status.message)
    elif status.decision == "better" and status.trial and settings.auto_promote:
        # It passed the gate or was overridden when the trial began; people have confirmed it.
        version = status.trial.version
        is_override = get_version(store, version).state != "passed"
        promote_live(store, serving, version, Promotion(_ACTOR, status.message, is_override))
        stop_canary(store, _ACTOR, status.message)
    return status
