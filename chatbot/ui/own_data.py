"""Everything that is stored of a person, as one file for them to download."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatbot.tries import Tries
from chatbot.ui.i18n import t
from chatbot.ui.page import request_lang
from chatbot.ui.parts import Parts

OWN_DATA_PATH: Final = "/ui/my-data"
MAX_AT_ONCE: Final = 2  # of all people: it reads long, and anybody may have any number of cookies
MAX_A_MINUTE: Final = 6  # of one person
_RETRY_S: Final = 5.0


class _Exports:
    """Who is being read now, and who has been of late."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._tries = Tries(MAX_A_MINUTE, 60.0, time.monotonic)

    @contextmanager
    def hold(self, person_id: str) -> Iterator[float]:
        """A place for one export; how many seconds to wait where there is none."""
        with self._lock:
            is_free = person_id not in self._running and len(self._running) < MAX_AT_ONCE
            if is_free:
                self._running.add(person_id)
        try:
            if not is_free:
                yield _RETRY_S
                return
            with self._tries.attempt(person_id) as attempt:
                yield attempt.wait_s
        finally:
            if is_free:
                with self._lock:
                    self._running.discard(person_id)


def serve_own_data(parts: Parts) -> Callable[[Request], Response]:
    """The route behind OWN_DATA_PATH, in a thread."""
    exports = _Exports()

    def serve(request: Request) -> Response:
        person_id, _ = parts.identify(request)
        headers = {"cache-control": "no-store"}
        with exports.hold(person_id) as wait_s:
            if wait_s:
                lang = request_lang(request.headers, request.cookies, parts.settings.lang)
                headers["retry-after"] = str(math.ceil(wait_s))
                return JSONResponse({"message": t(lang, "my_data_wait")}, 429, headers)
            headers["content-disposition"] = "attachment; filename=my-data.json"
            return JSONResponse(parts.store.export_person(person_id), headers=headers)

    return serve
