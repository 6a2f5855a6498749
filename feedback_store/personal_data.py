"""Personal data in text that goes to training: found, and replaced by its kind."""

from __future__ import annotations

import atexit
import json
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from feedback_store.errors import StoreError

# Characters that nobody sees and that split a number: zero-width, joiners, soft hyphen, BOM.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]"
)

# Without one of these signs there is nothing to find, and most texts have none: an "@", seven
# digits close together, a letter before digits, a number at a word of Korean or English addresses.
_SIGNS: Final = re.compile(
    r"@|\d(?:\D{0,4}\d){6}|[A-Za-z]\d{2}|[로길동리가산]\s*\d|\d\s*(?:호|번지|번길)|\d\s+[A-Z]"
)


@dataclass(frozen=True)
class PersonalData:
    """text[start:end] is of this kind, such as PHONE_NUMBER or KR_RRN."""

    start: int
    end: int
    kind: str


def redact(text: str) -> str:
    """The text with personal data replaced by its kind: "<PHONE_NUMBER>"."""
    parts, position = [], 0
    for found in find_personal_data(text):
        parts += [text[position : found.start], f"<{found.kind}>"]
        position = found.end
    return "".join([*parts, text[position:]])


def may_hold_personal_data(text: str) -> bool:
    """A quick look that spares most texts the search, and misses nothing that it would find."""
    return _SIGNS.search(_plain(text)[0]) is not None


def find_personal_data(text: str) -> list[PersonalData]:
    """Resident numbers, phones, e-mails, cards, addresses and more, however they are written."""
    plain, origins = _plain(text)
    if not _SIGNS.search(plain):
        return []
    return [
        PersonalData(origins[start], origins[end - 1] + 1, kind)
        for start, end, kind in _finder.find(plain)
    ]


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """NFKC without invisible characters, and for each character where it came from."""
    if unicodedata.is_normalized("NFKC", text) and not _INVISIBLE.search(text):
        return text, range(len(text))  # as nearly every text is: nothing to fold
    plain: list[str] = []
    origins: list[int] = []
    for position, char in enumerate(text):
        if char.isascii():
            plain.append(char)
            origins.append(position)
        elif not _INVISIBLE.match(char):
            folded = unicodedata.normalize("NFKC", char)
            plain.append(folded)
            origins += [position] * len(folded)
    return "".join(plain), origins


class _Finder:
    """The program that finds, started at the first text that needs it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def find(self, text: str) -> list[tuple[int, int, str]]:
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(text) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:
                answer = ""
            if not answer:
                self._stop()
                raise StoreError(
                    "redaction_failed",
                    "The search for personal data stopped, so nothing was let through. Check that "
                    "presidio-analyzer is installed, and try again.",
                )
            return [(start, end, kind) for start, end, kind in json.loads(answer)]

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            program = Path(__file__).with_name("personal_data_finder.py")
            # -P: the folder of the program holds modules of ours that others' names could meet.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", str(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            atexit.register(self._stop)
        return self._process

    def _stop(self) -> None:
        atexit.unregister(self._stop)
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_finder = _Finder()
