"""What a command works with: the store, and the learning side with an engine behind it.

Inside the running application both are its own. Alone, a command opens the store itself, and
starts an engine only if it needs one.
"""

from __future__ import annotations

import asyncio
import json
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from feedback_store.records import Deletion
from feedback_store.store import Store
from settings import Settings
from wiring.control import Say
from wiring.engines import find_base_model
from wiring.learning import LearningSide
from wiring.runtime import Runtime

ENGINE_TIMEOUT_S: Final = 900.0
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 3  # the gate refused: nothing is broken, nothing changed


@dataclass(frozen=True)
class Context:
    """Where a command runs. learning() blocks until an engine answers; delete_person() also ends
    what the person is being answered.
    """

    settings: Settings
    store: Store
    say: Say
    learning: Callable[[], LearningSide]
    delete_person: Callable[[str], Deletion]


def say_result(
    context: Context, arguments: Namespace, value: Mapping[str, Any], sentence: str
) -> None:
    """JSON for a scheduler, a sentence for a person."""
    if arguments.json:
        context.say(json.dumps(value, ensure_ascii=False, default=str))
    else:
        context.say(sentence)


@contextmanager
def open_context(settings: Settings, say: Say) -> Iterator[Context]:
    """A context of one's own: no application runs on the data folder."""
    own = _OwnEngine(settings, say)
    with Store.open(settings.data_dir) as store:
        try:
            yield Context(settings, store, say, lambda: own.get(store), store.delete_person)
        finally:
            own.stop()


class _OwnEngine:
    """An engine on an event loop in a thread, started when first asked for."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._runtime: Runtime | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def get(self, store: Store) -> LearningSide:
        if self._runtime is None:
            self._say("Starting the engine; this takes up to a minute.")
            self._thread.start()
            started = asyncio.run_coroutine_threadsafe(self._start(store), self._loop)
            self._runtime = started.result()
            waiting = self._runtime.wait_settled(ENGINE_TIMEOUT_S)
            asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
        return self._runtime.learning

    async def _start(self, store: Store) -> Runtime:
        runtime = Runtime(self._settings, store, find_base_model(self._settings))
        await runtime.start()
        return runtime

    def stop(self) -> None:
        if self._runtime is not None:
            asyncio.run_coroutine_threadsafe(self._runtime.stop(), self._loop).result()
            self._runtime = None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
