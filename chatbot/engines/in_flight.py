"""Answers that are being given now, and waiting for the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InFlight:
    """A count that can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One answer, from its beginning to its end."""
        self.count += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._is_idle.set()

    async def wait_idle(self, timeout_s: float | None = None) -> None:
        """Return when none is left, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return
