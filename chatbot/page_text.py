"""The text that people see while an answer grows: blocks in reading order, released only up to
the last character that is surely whole.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from chatbot.recommendation import Challenge

Block = Literal["text", "title", "description"]

_UNSHOWABLE: Final = re.compile("[\x00\ud800-\udfff]")
_EMOJI: Final = (
    "\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001faff"
)
_JOINED: Final = "\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_FLAG: Final = "\U0001f1e6-\U0001f1ff"
# An end that the next piece may still change: a syllable spelled in single letters, an emoji that
# a joiner, a colour or a variation may follow, half a flag.
_OPEN_END: Final = re.compile(
    "(?:[\u1100-\u115f\ua960-\ua97c]+[\u1160-\u11a7\ud7b0-\ud7c6]*"
    f"|[{_EMOJI}][{_JOINED}]*(?:\u200d[{_EMOJI}][{_JOINED}]*)*\u200d?)$"
)
_HALF_FLAG: Final = re.compile(f"(?:^|[^{_FLAG}])(?:[{_FLAG}][{_FLAG}])*[{_FLAG}]$")
_MAX_OPEN: Final = 40  # characters; a longer run of emoji is shown as it comes


def _num_open(text: str) -> int:
    """How many characters at the end may still change."""
    if not text or text[-1] < "\u1100":
        return 0
    if _HALF_FLAG.search(text):
        return 1
    match = _OPEN_END.search(text, max(0, len(text) - _MAX_OPEN))
    return len(text) - match.start() if match else 0


class PageText:
    """Collects blocks; take() gives what is new and whole."""

    def __init__(self) -> None:
        self._shown = False  # whether anything was ever written
        self._pending = ""
        self._sealed = 0  # characters of pending that are complete whatever follows
        self._block: Block = "text"
        self._before: Block | None = None
        self._is_fresh = True
        self._text = ""
        self._number = 0
        self._in_challenge = False
        self._completed: list[Challenge] = []

    def open_block(self, block: Block) -> None:
        """What is written next stands on its own line or in a challenge of its own."""
        self.seal()
        self._block = block
        self._is_fresh = True

    def write(self, piece: str) -> None:
        """Append to the open block."""
        if not piece:
            return
        piece = _UNSHOWABLE.sub("\ufffd", piece)
        if self._is_fresh:
            piece = self._lead() + piece
            self._is_fresh = False
            self._shown = True
            self._before = self._block
        self._pending += piece
        if self._block == "text":
            self._text += piece

    def _lead(self) -> str:
        """The line breaks and the number that stand before a block."""
        if self._block == "text":
            self._in_challenge = False
            return "" if not self._shown else "\n" if self._before == "text" else "\n\n"
        if self._in_challenge:
            return "\n"
        self._in_challenge = True
        self._number += 1
        return f"\n\n{self._number}. " if self._shown else f"{self._number}. "

    def end_challenge(self, challenge: Challenge | None) -> None:
        """The open challenge is over; None if it lacks something."""
        self.seal()
        self._in_challenge = False
        if challenge:
            self._completed.append(challenge)

    def seal(self) -> None:
        """Nothing that follows belongs to the last character."""
        self._sealed = len(self._pending)

    def take(self) -> tuple[str, tuple[Challenge, ...], str]:
        """(new text, new challenges, all text outside the challenges)."""
        num_open = min(_num_open(self._pending), len(self._pending) - self._sealed)
        cut = len(self._pending) - num_open
        delta, self._pending = self._pending[:cut], self._pending[cut:]
        self._sealed = 0
        completed, self._completed = tuple(self._completed), []
        text = self._text
        if num_open and self._block == "text":
            text = text[: len(text) - num_open]
        return delta, completed, text
