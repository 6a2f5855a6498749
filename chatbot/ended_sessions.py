"""Sessions that were logged out before their time: their cookies are still signed, so that this
list must outlive the application.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from feedback_store.durable import sync

logger = logging.getLogger(__name__)


class EndedSessions:
    """The ids of ended sessions until these would have ended anyway; kept in a file if there is a
    path. mark is new where the list cannot be read, and kept with it from then on: no session
    that began before counts in any later life.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self.mark = ""
        self._until = self._read()

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._until

    def add(self, session_id: str, lasts_s: float) -> None:
        """End the session; waits for the disk. It is over in this life even where that fails."""
        with self._lock:
            now = self._clock()
            kept = {name: until for name, until in self._until.items() if until > now}
            self._until = {**kept, session_id: now + lasts_s}
            try:
                self._write()
            except OSError as error:
                logger.warning("A logout could not be kept beyond the next start: %s", error)

    def _read(self) -> dict[str, float]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            until = {str(name): float(at) for name, at in found["until"].items()}
            self.mark = str(found["mark"])
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            logger.warning(
                "%s cannot be read, so everybody must log in anew: %s", self._path, error
            )
            self._begin_anew()
            return {}
        return until

    def _begin_anew(self) -> None:
        """Written at once, so that the next life knows the sessions of this one."""
        self.mark, self._until = secrets.token_hex(8), {}
        try:
            self._write()
        except OSError as error:
            logger.warning("Everybody must log in anew after the next start, too: %s", error)

    def _write(self) -> None:
        if self._path is None:
            return
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
        try:  # mkstemp's files are readable by their owner only
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"mark": self.mark, "until": self._until}, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
            sync(self._path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
