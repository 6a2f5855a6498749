"""How a training gets all of the card: it asks by an event and waits for a file in its folder; the
application, which follows the run, lets the model server sleep until the run has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

NEEDS_CARD: Final = "needs_card"  # kind of the event that asks
_MARK: Final = "server-asleep"  # the file that answers
_TIMEOUT_S: Final = 300.0  # answers in flight end first
_POLL_S: Final = 0.2


class Sleeper(Protocol):
    """What holds the rest of the card."""

    def sleep(self) -> None:
        """Give its memory back."""
        ...

    def wake(self) -> None:
        """Take it again."""
        ...


@contextmanager
def lending_card(server: Sleeper, run_dir: Path) -> Iterator[Callable[[str], None]]:
    """Around a run: hand each of its event kinds to what is yielded. However the run ends, the
    server is awake after it.
    """
    is_lent = False

    def on_event(kind: str) -> None:
        nonlocal is_lent
        if kind == NEEDS_CARD and not is_lent:
            is_lent = True
            server.sleep()
            (run_dir / _MARK).touch()

    try:
        yield on_event
    finally:
        if is_lent:
            (run_dir / _MARK).unlink(missing_ok=True)
            server.wake()


def reclaim_card(run_dir: Path) -> bool:
    """Whether the run has a card that was lent to it; it has no claim on it any more."""
    was_lent = (run_dir / _MARK).exists()
    (run_dir / _MARK).unlink(missing_ok=True)
    return was_lent


def wait_for_card(run_dir: Path, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether the card was given within the time."""
    deadline = time.monotonic() + timeout_s
    while not (run_dir / _MARK).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
