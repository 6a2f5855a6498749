"""Server-sent events as bytes in, the data of complete events out.

Bytes may be cut anywhere, also within a syllable. Lines end at a line feed only: JSON may hold
U+2028, U+0085 and the like as they are, and splitting there would tear it.
"""

from __future__ import annotations

import codecs

MAX_EVENT_CHARS = 4_000_000


class BrokenEvents(ValueError):
    """The bytes are no server-sent events."""


class SseDecoder:
    """Feed it what comes from the network, in order."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> list[str]:
        """The data of the events that these bytes complete; raises BrokenEvents."""
        try:
            text = self._rest + self._decoder.decode(received)
        except UnicodeDecodeError as error:
            raise BrokenEvents(f"the text is not UTF-8 ({error.reason})") from error
        *lines, self._rest = text.split("\n")
        if len(self._rest) > MAX_EVENT_CHARS:
            raise BrokenEvents("a line has no end")
        return [data for line in lines if (data := self._take(line.removesuffix("\r")))]

    def _take(self, line: str) -> str | None:
        if not line:
            data, self._data = "\n".join(self._data), []
            return data
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        return None
