"""So many tries in so much time, and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Attempt:
    """One try: wait_s is how long to wait when none was left."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.has_succeeded = False

    def succeed(self) -> None:
        """Right: the tries start from zero."""
        self.has_succeeded = True


class Tries:
    """Counts tries per client. A try counts from its start, so that a hundred at once are no way
    around.
    """

    def __init__(self, num_tries: int, window_s: float, clock: Callable[[], float]) -> None:
        self._num_tries = num_tries
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._tried_at: dict[str, list[float]] = {}

    @contextmanager
    def attempt(self, client: str) -> Iterator[Attempt]:
        """Hold a try; without one left, wait_s says how long until the next."""
        attempt = Attempt(self._begin(client))
        yield attempt
        if attempt.has_succeeded:
            with self._lock:
                self._tried_at.pop(client, None)

    def _begin(self, client: str) -> float:
        now = self._clock()
        with self._lock:
            self._forget(now - self._window_s)
            tried_at = self._tried_at.setdefault(client, [])
            if len(tried_at) >= self._num_tries:
                return tried_at[0] + self._window_s - now
            tried_at.append(now)
            return 0.0

    def _forget(self, until: float) -> None:
        """Drop what is older; keeps the memory flat."""
        kept = {
            client: recent
            for client, tried_at in self._tried_at.items()
            if (recent := [at for at in tried_at if at > until])
        }
        self._tried_at = kept
