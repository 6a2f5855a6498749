"""One server behind the engine, watched: it becomes ready, dies, comes back.

A managed one is our own child and is started again after it died; one given by URL is only looked
at. Whoever listens is told when it is ready, before it gets its first request, so that the
adapters are there again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from chatbot.engines.base import EngineError, EngineState
from chatbot.engines.in_flight import InFlight
from chatbot.engines.upstream import Upstream
from chatbot.engines.vllm_server import VllmServer, VllmSettings

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.2  # a process is looked at this often
_MAX_BACKOFF_S: Final = 60.0
_MAX_FAILED_STARTS: Final = 3


class Replica:
    """One server and how it does. `upstream` changes when a managed server is started again."""

    def __init__(
        self,
        settings: VllmSettings,
        url: str | None,
        on_ready: Callable[[Replica], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self.server = None if url else VllmServer(settings)
        self.upstream = Upstream(url or "", settings.api_key, settings.timeouts)
        self.state: EngineState = "stopped"
        self.detail = "The engine is stopped."
        self.in_flight = InFlight()
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._trouble = ""

    def start(self) -> None:
        """Begin to watch; returns at once."""
        if self._task is None:
            self._set("starting", "The engine is warming up.")
            self._task = asyncio.create_task(self._watch())

    async def stop(self, grace_s: float) -> None:
        """Stop watching; end the child if it is ours."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self.server:
            await asyncio.to_thread(self.server.end, grace_s)
        await self.upstream.close()
        self._set("stopped", "The engine is stopped.")

    def rest(self, detail: str) -> None:
        """It sleeps now. If it dies, it is not started again before it should be awake."""
        self._is_awake.clear()
        self._set("asleep", detail)

    def resume(self, trouble: str = "") -> None:
        """It answers again; or, where something is wrong with it, it is started afresh."""
        self._trouble = trouble
        self._is_awake.set()
        if trouble:
            self._set("starting", trouble)
        elif self.state == "asleep":
            self._set("ready", "The engine is ready.")

    async def _watch(self) -> None:
        every_s = self._settings.timeouts.health_every_s
        failed_starts, backoff_s = 0, self._settings.timeouts.backoff_s
        while True:
            try:
                await self._become_ready()
                failed_starts, backoff_s = 0, self._settings.timeouts.backoff_s
                await self._wait_for_trouble()
            except EngineError as error:
                logger.warning("The engine is not ready: %s", error)
                failed_starts += self.server is not None
                if failed_starts == _MAX_FAILED_STARTS:
                    self._set("failed", f"{error} It was tried {failed_starts} times.")
                    return
                # Our own comes back by itself: whoever asks meanwhile waits, as at the start.
                state: EngineState = "starting" if self.server else "degraded"
                self._set(state, f"{error} It is tried again.")
            except Exception as error:
                logger.exception("The engine cannot be started")
                self._set("failed", f"The engine cannot be started: {error}")
                return
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S if self.server else every_s)

    async def _become_ready(self) -> None:
        await self._is_awake.wait()
        self._trouble = ""
        if self.server:
            await asyncio.to_thread(self.server.start)
            await self.upstream.close()
            self.upstream = Upstream(self.server.url, self.server.api_key, self._settings.timeouts)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.startup_timeout_s
        while not await self.upstream.is_healthy():
            self._raise_if_ended("did not start")
            if self.server and loop.time() > deadline:
                raise EngineError(
                    "timed_out",
                    f"The engine was not ready within {self._settings.startup_timeout_s:g} s.",
                )
            await asyncio.sleep(_POLL_S)
        await self._on_ready(self)
        self._set("ready", "The engine is ready.")

    async def _wait_for_trouble(self) -> None:
        """Return never; raise EngineError once the server is dead or hung."""
        loop = asyncio.get_running_loop()
        healthy_at = checked_at = loop.time()
        while True:
            await asyncio.sleep(_POLL_S)
            self._raise_if_ended("stopped")
            if self._trouble:
                raise EngineError("died", self._trouble)
            if loop.time() - checked_at < self._settings.timeouts.health_every_s:
                continue
            if await self.upstream.is_healthy():
                healthy_at = loop.time()
            elif not self.server:
                raise EngineError("not_ready", f"{self.upstream.url} gives no answer.")
            elif loop.time() - healthy_at > self._settings.timeouts.hung_after_s:
                raise EngineError("died", "The engine hung.")
            checked_at = loop.time()

    def _raise_if_ended(self, what_happened: str) -> None:
        code = self.server.exit_code() if self.server else None
        if self.server and code is not None:
            reason = self.server.last_words() or f"exit code {code}"
            raise EngineError("died", f"The engine {what_happened} ({reason}).")

    def _set(self, state: EngineState, detail: str) -> None:
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._on_change()
