"""Which version answers whom: promotion, rollback, trial and the reconcile that keeps them true."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chatbot.engines.base import AdapterRef
from feedback_store.store import Store
from finetune.canary import (
    CanarySettings,
    CanaryStatus,
    Trial,
    find_trial,
    read_canary,
    start_canary,
    step_canary,
    stop_canary,
)
from finetune.evaluate import Serving
from finetune.model_export import export_version
from finetune.registry import get_version, locate_version, production_version, retire
from finetune.swap import (
    Promotion,
    Reconciled,
    Unserved,
    promote_live,
    reconcile,
    roll_back_live,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Live:
    """What turns use now; replaced as a whole, so that no turn sees half of a change."""

    production: AdapterRef | None = None
    trial: Trial | None = None
    on_trial: AdapterRef | None = None
    waiting: Unserved | None = None  # why production cannot be served now


BASE_ONLY: Final = Live()


class LiveVersions:
    """Promotions, rollbacks and trials happen one after another; turns only read the result."""

    def __init__(
        self, store: Store, data_dir: Path, serving: Serving, canary: CanarySettings
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._serving = serving
        self._canary = canary
        self._swap_lock = threading.Lock()
        self._live = BASE_ONLY
        self._found = Reconciled(None, ())  # by the last reconcile

    def live(self) -> AdapterRef | None:
        """The adapter that turns use now: the alias, once the engine is proven to have it."""
        return self._live.production

    def choose(self, conversation_id: str) -> AdapterRef | None:
        """The adapter of a conversation: the one on trial for its share, production for the rest.
        Asked at every turn, so it reads memory only.
        """
        live = self._live
        if live.trial is not None and live.trial.includes(conversation_id):
            return live.on_trial
        return live.production

    def production(self) -> str | None:
        """The version that should answer; None is the base model."""
        return production_version(self._store)

    def _ref(self, version: str) -> AdapterRef:
        return AdapterRef(version, locate_version(self._store, version).resolve())

    def waiting(self) -> Unserved | None:
        """Why what should answer cannot be served now and the base does; None when it can. Asked
        at every turn, so it reads memory only.
        """
        return self._live.waiting

    def _note_served(self, version: str | None) -> None:
        """It was loaded just now, whatever the last reconcile found."""
        waiting = {name: why for name, why in self._found.waiting.items() if name != version}
        self._found = replace(self._found, waiting=waiting)

    def _follow_alias(self) -> None:
        version, trial = production_version(self._store), find_trial(self._store)
        waiting = self._found.waiting
        why = waiting.get(version or "")
        if why:
            version, trial = None, None  # a trial against what does not answer compares nothing
        if trial is not None and trial.version in waiting:
            trial = None
        self._live = Live(
            self._ref(version) if version else None,
            trial,
            self._ref(trial.version) if trial else None,
            why,
        )

    def reconcile(self, *, is_start: bool = False) -> Reconciled:
        """Make the engine match the aliases, then let turns use it, then look at the trial."""
        with self._swap_lock:
            before = self._found
            result = reconcile(self._store, self._data_dir, self._serving, is_start=is_start)
            self._found = result
            self._follow_alias()
            self._step_canary()
        for note in result.notes:
            if note not in before.notes:  # it is looked at every minute
                logger.warning("%s", note)
        return result

    def promote(
        self, version: str | None, *, actor: str, reason: str, override: bool = False
    ) -> None:
        """Load, prove and warm the version, then let it answer."""
        with self._swap_lock:
            promotion = Promotion(actor, reason, override)
            promote_live(self._store, self._serving, version, promotion)
            self._note_served(version)
            self._follow_alias()
            self._step_canary()  # a trial against what was production is over

    def roll_back(self, *, actor: str) -> str | None:
        """Back to the version that answered before."""
        with self._swap_lock:
            roll_back_live(self._store, self._serving, actor)
            self._note_served(self.production())
            self._follow_alias()
            self._step_canary()
        return self.production()

    def retire(self, version: str) -> None:
        """Never offer the version again; raises when it answers, is the way back or on trial."""
        with self._swap_lock:
            retire(self._store, version)

    def export(self, version: str) -> str:
        """The adapter's files and a model card in a folder of their own; returns the folder."""
        target = self._data_dir / "exports" / get_version(self._store, version).version
        if not target.exists():
            export_version(self._store, version, target, is_merged=False)
        return str(target)

    # --- trial ----------------------------------------------------------------------------------

    def start_canary(
        self, version: str, share: float, *, actor: str, reason: str, override: bool = False
    ) -> None:
        """Let a share of the conversations talk with the version, until thumbs decide."""
        with self._swap_lock:
            promotion = Promotion(actor, reason, override)
            start_canary(self._store, self._serving, version, share, promotion)
            self._note_served(version)
            self._follow_alias()

    def stop_canary(self, *, actor: str, reason: str) -> None:
        """Everyone talks with production again."""
        with self._swap_lock:
            stop_canary(self._store, actor, reason)
            self._follow_alias()

    def canary(self) -> CanaryStatus:
        """Where the trial stands."""
        return read_canary(self._store, self._canary)

    def _step_canary(self) -> None:
        """Let the thumbs decide, where they can already."""
        try:
            status = step_canary(self._store, self._serving, self._canary)
        except Exception as error:  # noqa: BLE001
            # The trial goes on as it was; the next look, a minute later, tries again.
            logger.warning("The trial could not be looked at: %s", error)
            return
        if status.trial and find_trial(self._store) != status.trial:  # it has just ended
            logger.warning("%s", status.message)
        self._follow_alias()
