"""What the screen is given: the chat service, the store, the learning side, who is asking.

The roof (app.py) builds one `Parts` and hands it to `layout.mount`; nothing here reaches for
anything by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.requests import Request

from chatbot.engines.base import EngineStatus
from chatbot.identity import Role
from chatbot.service import ChatService
from feedback_store.records import Run
from feedback_store.store import Store
from finetune.checks import DEFAULT_CHECKS, CheckSettings

if TYPE_CHECKING:
    from finetune.canary import CanaryStatus
    from finetune.preferences import Offer
    from finetune.progress import LoopProgress
    from finetune.recipe import RunKind
    from finetune.swap import Unserved


@dataclass(frozen=True)
class Blocker:
    """One reason why a retrain cannot start; the screen translates by code."""

    code: str  # too_few_examples, already_running, engine_not_ready, …
    message: str
    have: int = 0
    need: int = 0


class Learning(Protocol):
    """The learning wing as the screen sees it. Methods are called from worker threads and may
    block for seconds; errors carry `code` and a sentence.
    """

    def recipes(self) -> Sequence[str]:
        """Names of the presets, the default one first."""
        ...

    def blockers(self) -> Sequence[Blocker]:
        """What is missing before a retrain can start; empty when it can."""
        ...

    def preferences(self) -> Sequence[Offer]:
        """Whether pairs and thumbs suffice to learn from, with their counts."""
        ...

    def start_retrain(self, recipe: str, *, actor: str, kind: RunKind = "sft") -> None:
        """Begin in the background; raises when one runs already. kind: what it learns from
        beside the accepted examples: pairs (dpo), thumbs (kto).
        """
        ...

    def resumable(self) -> Run | None:
        """A retrain that broke off and can go on from its last checkpoint."""
        ...

    def resume_retrain(self, *, actor: str) -> None:
        """Go on with it in the background; raises when it cannot."""
        ...

    def min_examples(self) -> int:
        """How many accepted examples the first retrain needs."""
        ...

    def cancel_retrain(self) -> None:
        """Ask the running retrain to end; nothing happens when none runs."""
        ...

    def retrain_progress(self) -> LoopProgress | None:
        """Where the current or the last retrain stands; None when there was none."""
        ...

    def log_tail(self, num_lines: int) -> Sequence[str]:
        """The last lines of the training log."""
        ...

    def collect(self) -> int:
        """Turn new feedback into pending examples; returns how many came."""
        ...

    def production(self) -> str | None:
        """The version that should answer; None is the base model."""
        ...

    def waiting(self) -> Unserved | None:
        """Why that version cannot be served now and the base answers meanwhile; None when it can.
        Not for the public: the sentence may name a path of the server.
        """
        ...

    def promote(
        self, version: str | None, *, actor: str, reason: str, override: bool = False
    ) -> None:
        """Load the version, prove it, and let it answer from now on (None: the base model).

        override: in spite of a verdict that is no pass; the reason is kept.
        """
        ...

    def roll_back(self, *, actor: str) -> str | None:
        """Back to the version that answered before; returns which one answers now."""
        ...

    def retire(self, version: str) -> None:
        """Never offer the version again; raises when it is in use."""
        ...

    def export(self, version: str) -> str:
        """Write the adapter with a model card into a folder of its own; returns which."""
        ...

    def start_canary(self, version: str, share: float, *, actor: str, reason: str) -> None:
        """Let a share of the conversations talk with the version until thumbs decide."""
        ...

    def stop_canary(self, *, actor: str, reason: str) -> None:
        """Everyone talks with production again."""
        ...

    def canary(self) -> CanaryStatus:
        """Where the trial stands."""
        ...


def find_answering(learning: Learning) -> str | None:
    """The version that answers now; None is the base model, also while production waits."""
    return None if learning.waiting() else learning.production()


@dataclass(frozen=True)
class UiSettings:
    """How the screen looks and what it offers."""

    title: str = "EcoLoop"
    lang: str = "ko"  # when neither a cookie nor the browser asks for Korean or English
    public_arena: bool = False
    root_path: str = ""  # where a proxy puts the application, such as /eco
    open_studio: bool = False  # "/" leads straight into the studio: one person on loopback
    retention_days: int = 30  # 0: for ever
    has_login: bool = False  # then the studio offers a way out
    max_concurrent_answers: int = 256  # 64 that are asked for, each with pages that follow
    max_upload_mb: int = 200


@dataclass(frozen=True)
class Parts:
    """Everything the screen needs. identify tells (person_id, role) from the signed cookies; the
    role is None for a chatter.
    """

    chat: ChatService
    store: Store
    engine_status: Callable[[], EngineStatus]
    learning: Learning
    identify: Callable[[Request], tuple[str, Role | None]]
    settings: UiSettings = field(default_factory=UiSettings)
    checks: CheckSettings = DEFAULT_CHECKS  # what an example must be in this project

    @property
    def is_text(self) -> bool:
        """Whether this project answers in free text, without recommendations and categories."""
        return self.checks.answer_format == "text"
