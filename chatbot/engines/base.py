"""The Engine protocol: what the product needs from whatever generates text. Two implementations
stand beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from chatbot.prompts import Message

EngineState = Literal["starting", "ready", "asleep", "degraded", "failed", "stopped"]
FinishReason = Literal["stop", "length", "abort", "error", "repetition"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer. The last one has finish_reason and the token counts, and may have text
    too. One that is_waiting has no text: the engine is at work, but others come first, or it has
    only now begun with this answer. Until the first text each of them renews the patience.
    """

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_waiting: bool = False


@dataclass(frozen=True)
class AdapterRef:
    """An adapter version and its immutable folder; name is what the engine calls it ("v0007")."""

    name: str
    path: Path  # absolute


@dataclass(frozen=True)
class EngineStatus:
    """Where the engine stands; detail is a sentence for people, log_path where more stands."""

    state: EngineState
    detail: str
    base_model: str
    log_path: Path | None = None


@dataclass(frozen=True)
class Probe:
    """What one load showed: the mean absolute log-probability difference to the base, over probed
    tokens.
    """

    mean_abs_logprob_diff: float
    num_tokens: int


class EngineError(RuntimeError):
    """The engine could not do it. `code` is stable: not_ready, died, timed_out, refused,
    bad_adapter, no_effect, unknown_adapter, too_long, broken_stream. The message is a sentence
    that says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Engine(Protocol):
    """Generates answers from the base model or one of the loaded adapters. All methods run on one
    event loop.
    """

    @property
    def base_model(self) -> str:
        """Name or path of the base model, as shown to people."""
        ...

    @property
    def context_window(self) -> int:
        """Tokens that prompt and answer share."""
        ...

    async def start(self) -> None:
        """Begin to warm up in the background; returns at once. status() tells how far it is."""
        ...

    async def stop(self) -> None:
        """End every process and thread of the engine; answers in flight get up to the shutdown
        grace.
        """
        ...

    def status(self) -> EngineStatus:
        """Where the engine stands, without waiting."""
        ...

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when ready; raise EngineError (not_ready, died) if not within timeout_s."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        sampling: Sampling,
        schema: dict[str, Any] | None,
    ) -> AsyncIterator[Chunk]:
        """Generate with the named adapter (None: the base). Closing the iterator stops the
        generation.
        """
        ...

    async def load(self, adapter: AdapterRef) -> Probe:
        """Load and prove that it changes the log-probabilities; raise EngineError (bad_adapter,
        no_effect) and leave nothing loaded otherwise. Loading what is loaded from the same path
        is no error.
        """
        ...

    async def unload(self, name: str) -> None:
        """Forget the name once its answers in flight are done. Unknown names are no error."""
        ...

    async def loaded(self) -> tuple[AdapterRef, ...]:
        """Adapters loaded now, without the base."""
        ...

    @property
    def can_sleep(self) -> bool:
        """Whether it can give the card's memory back for a while."""
        ...

    async def sleep(self) -> None:
        """Let answers in flight end, then give the memory back; raise EngineError (not_ready,
        refused). Until wake() nothing is answered or loaded.
        """
        ...

    async def wake(self) -> None:
        """Take the memory again and answer as before; return when it does."""
        ...

    async def score(
        self, messages: Sequence[Message], completion: str, adapter: str | None
    ) -> float:
        """How likely the model finds this answer: the mean log-probability of its tokens."""
        ...
