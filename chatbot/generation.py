"""One answer while it is generated: read from the engine, timed, and given on in readable pieces
that come at most so many times a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from chatbot.engines.base import Chunk, EngineError, FinishReason
from chatbot.recommendation import Challenge
from chatbot.stream import ReadableStream, StreamUpdate
from chatbot.turn_events import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PaceSettings:
    """How often the screen hears of an answer, and how long silence may last."""

    updates_per_s: float = 30.0
    first_token_timeout_s: float = 30.0
    stall_timeout_s: float = 20.0  # between two pieces
    min_pieces: int = 8  # in every so many seconds of stall_timeout_s: fewer are a drip
    max_bytes: int = 60_000  # of one answer: more comes from a broken engine, and is not stored


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event is set anew, at most so long. Without a task or a cancellation, because it
    runs at every update of every stream.
    """
    event.clear()
    timer = asyncio.get_running_loop().call_later(timeout_s, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


class Generation:
    """Runs one engine stream in a task of its own, from now on until stop(); updates() gives its
    Progress.
    """

    def __init__(self, chunks: AsyncIterator[Chunk], pace: PaceSettings) -> None:
        self._chunks = chunks
        self._pace = pace
        self._reader = ReadableStream()
        self._unread: list[str] = []
        self._read: list[str] = []
        self._text_came = asyncio.Event()
        self._all_came = asyncio.Event()
        self._is_done = False
        self._started_at = time.perf_counter()
        self._waiting_at = self._started_at  # since when the first piece may be waited for
        self._ended_at: float | None = None
        self._challenges: tuple[Challenge, ...] = ()
        self.time_to_first_token_ms: float | None = None
        self.finish_reason: FinishReason | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.error: EngineError | None = None
        self._num_bytes = 0
        self._num_pieces = 0  # since the first one or the last look at the pace
        self._paced_at = 0.0  # when the pace is looked at next
        self._last_at = 0.0  # when the last piece came
        self._task = asyncio.create_task(self._pump())

    @property
    def raw_text(self) -> str:
        """Everything that the engine gave, as it gave it."""
        return "".join((*self._read, *self._unread))

    @property
    def duration_ms(self) -> float:
        """From the request to the last piece, or to now."""
        return ((self._ended_at or time.perf_counter()) - self._started_at) * 1000

    async def updates(self) -> AsyncIterator[Progress]:
        """What to show, as it comes. An engine error ends it and stands in `error`."""
        while await self._wait_for_text():
            progress = self._read_more()
            if progress:
                yield progress
                await self._pause()
        if progress := self._to_progress(self._reader.finish()):
            yield progress

    async def stop(self) -> None:
        """End the engine's stream if it still runs."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._ended_at = self._ended_at or time.perf_counter()

    async def _pump(self) -> None:
        try:
            async for chunk in self._chunks:
                self._take(chunk)
        except EngineError as error:
            self.error = error
        except Exception as error:  # an engine's bug must not lose the person's turn
            logger.exception("The engine broke")
            self.error = EngineError("died", f"The engine broke: {error}")
        finally:
            self._is_done = True
            self._ended_at = time.perf_counter()
            self._text_came.set()
            self._all_came.set()
            close = getattr(self._chunks, "aclose", None)
            if close:
                await close()

    def _take(self, chunk: Chunk) -> None:
        if chunk.is_waiting:
            self._waiting_at = time.perf_counter()
        if chunk.text:
            self._last_at = time.perf_counter()
            if self.time_to_first_token_ms is None:
                self.time_to_first_token_ms = self.duration_ms
                self._paced_at = self._last_at + self._pace.stall_timeout_s
            self._num_pieces += 1
            self._num_bytes += len(chunk.text.encode("utf-8", "replace"))
            if self._num_bytes > self._pace.max_bytes:
                raise EngineError("too_much", "The model did not stop writing. Try again.")
            self._unread.append(chunk.text)
            self._text_came.set()
        self.finish_reason = chunk.finish_reason or self.finish_reason
        if chunk.prompt_tokens is not None:
            self.prompt_tokens = chunk.prompt_tokens
        if chunk.completion_tokens is not None:
            self.completion_tokens = chunk.completion_tokens

    async def _wait_for_text(self) -> bool:
        """True when there is text to read, False at the end of the answer."""
        while not self._unread and not self._is_done:
            is_first = self.time_to_first_token_ms is None
            await _wait(self._text_came, self._patience_s(is_first=is_first))
            if not self._keeps_pace(is_first=is_first):
                self.error = EngineError(
                    "timed_out",
                    "The model went silent before the answer was complete. Try again.",
                )
                return False
        return bool(self._unread)

    def _patience_s(self, *, is_first: bool) -> float:
        """Until the next piece is late, or the pace is looked at."""
        late_at = self._last_at + self._pace.stall_timeout_s
        due_at = self._first_due_at() if is_first else min(late_at, self._paced_at)
        return max(0.0, due_at - time.perf_counter())

    def _first_due_at(self) -> float:
        return self._waiting_at + self._pace.first_token_timeout_s

    def _keeps_pace(self, *, is_first: bool) -> bool:
        """Whether enough came since the last look; a letter now and then is as good as nothing."""
        if self._is_done or (is_first and self._last_at):
            return True
        now = time.perf_counter()
        if is_first:
            return now < self._first_due_at()
        if now >= self._last_at + self._pace.stall_timeout_s:
            return False
        if now < self._paced_at:
            return True
        has_enough = self._num_pieces >= self._pace.min_pieces
        self._num_pieces, self._paced_at = 0, now + self._pace.stall_timeout_s
        return has_enough

    async def _pause(self) -> None:
        """Let text gather until the next update is due; the end of the answer cuts it short."""
        if not self._is_done:
            await _wait(self._all_came, 1 / self._pace.updates_per_s)

    def _read_more(self) -> Progress | None:
        text = "".join(self._unread)
        self._read.append(text)
        self._unread.clear()
        return self._to_progress(self._reader.feed(text))

    def _to_progress(self, update: StreamUpdate) -> Progress | None:
        if not update.delta and not update.challenges:
            return None
        self._challenges += update.challenges
        return Progress(update.delta, update.recommend, self._challenges)
