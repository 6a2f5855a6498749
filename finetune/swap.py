"""Change which adapter answers while people talk: load the new one, prove it, warm it, move the
alias, and leave the one before loaded so that the way back is instant. And after any crash:
make the engine match the alias again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chatbot.prompts import base_info_message, system_message
from chatbot.themes import BaseInfo
from feedback_store.records import AliasEvent
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, verify_adapter
from finetune.applied import find_mismatch
from finetune.evaluate import GenerateRequest, Serving
from finetune.registry import (
    CANARY,
    PRODUCTION,
    adopt_orphans,
    check_promotable,
    get_version,
    locate_version,
    previous_version,
    production_version,
    promote,
)

logger = logging.getLogger(__name__)

CANDIDATE_PREFIX: Final = "candidate-"
# Codes of an engine that has judged the adapter itself; any other failure may pass.
_ADAPTER_IS_BAD: Final = frozenset({"bad_adapter", "no_effect"})
# No restart and no mounted folder brings these back. All else may: another --model was given
# once, or the folder is not mounted.
_LOST_FOR_GOOD: Final = _ADAPTER_IS_BAD | {"changed_file", "broken_manifest"}


@dataclass(frozen=True)
class Promotion:
    """Who changes what answers, and why. override: in spite of the verdict, with that reason."""

    actor: str
    reason: str
    override: bool = False

    @property
    def kept_reason(self) -> str:
        """The reason as the event log keeps it."""
        return f"override: {self.reason.strip()}" if self.override else self.reason


@dataclass(frozen=True)
class Reconciled:
    """What reconcile found and did. production: what answers now, None is the base. notes are
    sentences for people; empty when all was well. waiting: version → why it cannot be served now,
    though its alias stays.
    """

    production: str | None
    notes: tuple[str, ...]
    waiting: Mapping[str, Unserved] = field(default_factory=dict)


@dataclass(frozen=True)
class Unserved:
    """Why a version does not answer, and whether it never will. code and values are those of the
    error, for other languages.
    """

    message: str
    is_for_good: bool
    code: str
    values: Mapping[str, str] = field(default_factory=dict)


def load_version(store: Store, serving: Serving, version: str) -> None:
    """Verify every byte, load, and prove that what is served is what was trained: it differs from
    the base, and by as much as training measured.
    """
    adapter = get_version(store, version)
    if adapter.base_model != serving.base_model:
        raise RegistryError(
            "wrong_base",
            f"{version} was trained on {adapter.base_model}, but {serving.base_model} is serving. "
            "Start the application with that base model, or retrain.",
            version=version,
            trained=adapter.base_model,
            serving=serving.base_model,
        )
    folder = locate_version(store, version)
    manifest = verify_adapter(folder)
    was_loaded = version in serving.loaded()
    difference = serving.load(version, folder)
    mismatch = find_mismatch(manifest.get("result") or {}, difference)
    if mismatch is None:
        return
    if not was_loaded:
        serving.unload(version)
    raise RegistryError(mismatch.code, f"{version} is not what was trained. {mismatch.message}")


def answers_text(store: Store, version: str | None) -> bool:
    """Whether it was judged as free text; of the base, whether the newest version was."""
    known = store.list_adapters()
    adapter = store.get_adapter(version) if version else next(iter(known), None)
    return adapter is not None and adapter.report.get("answer_format") == "text"


def warm_up(serving: Serving, version: str | None, *, is_text: bool = False) -> None:
    """One real request as people make them, so that no person is the first."""
    info = BaseInfo("city", "office", "ZERO_WASTE")
    messages = (system_message("ko"), base_info_message(info, "ko"))
    serving.generate([GenerateRequest(messages, version, not is_text, 8, 0)])


def _tidy(store: Store, serving: Serving) -> None:
    """Unload what answered people once and is of no more use.

    What answered until a moment ago stays: turns that chose it may be about to begin.
    """
    moves = store.list_alias_events(limit=1000)  # of production and of the canary, newest first
    once = {event.from_version for event in moves} | {event.to_version for event in moves}
    kept = {production_version(store), store.get_alias(CANARY), _way_back(store)}
    kept |= {event.from_version for event in moves[:2]}
    try:
        for name in serving.loaded():
            if name in once - kept:
                serving.unload(name)
    except Exception as error:  # noqa: BLE001  the engine's, of whatever kind
        # Another version answers already, and whoever promoted it must hear so.
        logger.warning("An old version could not be unloaded; it stays for now: %s", error)


def _way_back(store: Store) -> str | None:
    return previous_version(store) if production_version(store) is not None else None


def promote_live(
    store: Store, serving: Serving, version: str | None, promotion: Promotion
) -> AliasEvent:
    """Load, prove and warm the version (None: the base), then let it answer from now on.

    Whatever fails before the alias moves leaves everything as it was.
    """
    if version is not None:
        check_promotable(store, version, promotion.reason, override=promotion.override)
        load_version(store, serving, version)
    warm_up(serving, version, is_text=answers_text(store, version))
    event = promote(store, version, promotion.actor, promotion.reason, override=promotion.override)
    _tidy(store, serving)
    return event


def roll_back_live(
    store: Store, serving: Serving, actor: str, reason: str = "rolled back"
) -> AliasEvent:
    """Return to the version before, which is still loaded as a rule."""
    version = previous_version(store)
    if version is not None:
        load_version(store, serving, version)
    event = store.set_alias(PRODUCTION, version, actor=actor, reason=reason)
    _tidy(store, serving)
    return event


def is_adapter_fault(error: Exception) -> bool:
    """Whether the engine judged the adapter itself, so that trying again is of no use."""
    return getattr(error, "code", None) in _ADAPTER_IS_BAD


def find_unserved(store: Store, serving: Serving, version: str) -> Unserved | None:
    """Load the version; why it cannot be served, or None when it is loaded.

    An engine that is not ready, or dies, judges nothing: that error flies on.
    """
    try:
        load_version(store, serving, version)
    except RegistryError as error:
        return Unserved(str(error), error.code in _LOST_FOR_GOOD, error.code, error.values)
    except Exception as error:
        if not is_adapter_fault(error):
            raise
        return Unserved(str(error), True, str(getattr(error, "code", "")))
    return None


def reconcile(
    store: Store, data_dir: Path, serving: Serving, *, is_start: bool = False
) -> Reconciled:
    """Make the engine match the alias. A version that is damaged for good gives way to the last
    good one; for one that only cannot be served now, the base answers and the alias stays.

    Can be repeated at any time and after any crash. At the start, candidates that a killed
    retrain left in the engine are forgotten, too.
    """
    notes = [
        f"{name} was published before a crash and is listed again."
        for name in adopt_orphans(store, data_dir)
    ]
    if is_start:
        notes += _forget_candidates(serving)
    waiting: dict[str, Unserved] = {}
    notes += _load_production(store, serving, waiting)
    notes += _load_canary(store, serving, waiting)
    notes += _load_way_back(store, serving)
    version = production_version(store)
    return Reconciled(None if version in waiting else version, tuple(notes), waiting)


def _load_production(store: Store, serving: Serving, waiting: dict[str, Unserved]) -> Sequence[str]:
    notes = []
    while (version := production_version(store)) is not None:
        unserved = find_unserved(store, serving, version)
        if unserved is None:
            break
        if not unserved.is_for_good:
            waiting[version] = unserved
            notes.append(
                f"{version} cannot answer now, so the base model does; it answers again as soon "
                f"as it can: {unserved.message}"
            )
            break
        fallback = previous_version(store)
        store.set_alias(PRODUCTION, fallback, actor="reconcile", reason=unserved.message)
        notes.append(f"{version} cannot answer, {fallback or 'the base'} does: {unserved.message}")
    return notes


def _forget_candidates(serving: Serving) -> Sequence[str]:
    left = [name for name in serving.loaded() if name.startswith(CANDIDATE_PREFIX)]
    for name in left:
        serving.unload(name)
    return [f"{name} was left in the engine by a retrain that ended early." for name in left]


def _load_canary(store: Store, serving: Serving, waiting: dict[str, Unserved]) -> Sequence[str]:
    version = store.get_alias(CANARY)
    unserved = None if version is None else find_unserved(store, serving, version)
    if version is None or unserved is None:
        return ()
    if not unserved.is_for_good:
        waiting[version] = unserved
        return (f"The trial of {version} rests: {unserved.message}",)
    store.set_alias(CANARY, None, actor="reconcile", reason=unserved.message)
    return (f"The trial of {version} has ended: {unserved.message}",)


def _load_way_back(store: Store, serving: Serving) -> Sequence[str]:
    version = _way_back(store)
    if version is None or version in serving.loaded():
        return ()
    unserved = find_unserved(store, serving, version)
    if unserved is None:
        return ()
    return (f"{version}, the way back, cannot be loaded: {unserved.message}",)
