"""How a retrain tells where it stands, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from finetune.evaluate import Cancelled, Watch
from finetune.runs import RunProgress

Stage = Literal[
    "dataset",
    "train",
    "load",
    "evaluate",
    "gate",
    "publish",
    "promote",
    "done",
    "failed",
    "cancelled",
]


@dataclass(frozen=True)
class LoopProgress:
    """Where a retrain stands; fraction is of the whole. code: of the error, when it failed;
    values: its figures, for a sentence in another language.
    """

    stage: Stage
    message: str
    fraction: float
    run: RunProgress | None = None
    code: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def _ignore(progress: LoopProgress) -> None:
    del progress


@dataclass(frozen=True)
class Control:
    """How the caller follows a retrain, and stops it by setting cancel."""

    on_progress: Callable[[LoopProgress], None] = _ignore
    cancel: threading.Event = field(default_factory=threading.Event)

    def report(
        self, stage: Stage, message: str, fraction: float, run: RunProgress | None = None
    ) -> None:
        """Tell where it stands, and stop here when that was asked for."""
        self.check_cancelled()
        self.on_progress(LoopProgress(stage, message, fraction, run))

    def check_cancelled(self) -> None:
        """Raise Cancelled when the caller asked to stop."""
        if self.cancel.is_set():
            raise Cancelled("The retrain was cancelled.")

    def watch(self, stage: Stage, message: str, span: tuple[float, float]) -> Watch:
        """What an evaluation reports to, over a span of the whole."""
        start, end = span

        def on_fraction(fraction: float) -> None:
            done = start + (end - start) * fraction
            self.report(stage, f"{message}: {fraction:.0%}.", done)

        return Watch(on_fraction, self.check_cancelled)
