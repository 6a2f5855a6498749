"""The JSON values of a file that is one array, or one value after another, in flat memory.

A broken element costs only itself: where the next one starts is found by brackets and quotes, and
where these do not fit, by the key that the other elements begin with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TextIO

from finetune.source_row import MAX_ROW_CHARS, SourceRow, tell_json_error

_CHUNK: Final = 1 << 16
ARRAY_START: Final = re.compile(r'\s*(?:\{\s*"(?:data|rows|examples|train|items)"\s*:\s*)?\[')
_BETWEEN: Final = re.compile(r"[\s,]*")
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.S)
_AFTER_ELEMENT: Final = re.compile(r"\s*+(?:,\s*+[{\[]|[\]{]|$)")
_BARE_WORD: Final = re.compile(r"\w{1,40}\s*+(?=[,\]])")
_FIRST_KEY: Final = re.compile(r'\{\s*+"((?:[^"\\]|\\.){1,200})"\s*:', re.S)
_LEFT_OPEN: Final = re.compile(r"[\]}\s,]*+(?=\{)")
_NEXT_OBJECT: Final = re.compile(r"\}\s*+,?\s*+(?=\{)")
_SCAN: Final = 1 << 14  # a broken element is looked through so far
_OVERLAP: Final = 1_000  # a border between two elements may lie across two chunks
_MAX_KEYS: Final = 16
_NUM_NOTED: Final = 1_000  # elements whose first keys are looked at
_CLOSING: Final = {"{": "}", "[": "]"}


class ValueStream:
    """The values of an open file, each with its line and its number in the array."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = file.read(_CHUNK)
        self._at = 0
        self._line = 1
        self._number = 0
        self._first_keys: dict[str, None] = {}  # that elements began with, as they are written
        self._has_guessed = False  # where an element starts
        self._decoder = json.JSONDecoder()
        start = ARRAY_START.match(self._buffer)
        if start:
            self._skip_to(start.end())

    def __iter__(self) -> Iterator[SourceRow]:
        while self._skip_between():
            self._number += 1
            yield self._read_value()

    def _skip_to(self, at: int) -> None:
        self._line += self._buffer.count("\n", self._at, at)
        self._at = at

    def _read_more(self) -> bool:
        wanted = max(_CHUNK, len(self._buffer) - self._at)  # doubling keeps a long value linear
        more = self._file.read(wanted)
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)

    def _skip_between(self) -> bool:
        """Go to the next value; False at the end."""
        while True:
            match = _BETWEEN.match(self._buffer, self._at)
            self._skip_to(match.end() if match else self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at] != "]" or self._leave_element()
            if not self._read_more():
                return False

    def _leave_element(self) -> bool:
        """Whether the bracket only closes a list, or stands in a text, inside an element whose
        start was guessed.
        """
        if not self._has_guessed:
            return False
        self._read_more()
        if match := _LEFT_OPEN.match(self._buffer, self._at):
            self._skip_to(match.end())
            return True
        border = self._next_border()
        return border is not _NEXT_OBJECT and self._find_border(border)

    def _read_value(self) -> SourceRow:
        line, place = self._line, f"element {self._number:,}"
        while True:
            start = self._at
            try:
                value, end = self._decoder.raw_decode(self._buffer, start)
            except (ValueError, RecursionError) as error:
                if len(self._buffer) - self._at < MAX_ROW_CHARS and self._read_more():
                    continue
                reason = f"The row that starts here is no JSON: {tell_json_error(error, start)}."
                self._skip_broken()
                return SourceRow(line, reason=reason, place=place)
            is_number = not isinstance(value, dict | list | str)
            if is_number and end == len(self._buffer) and self._read_more():
                continue  # the rest of a number may follow
            self._note_first_key(value)
            self._skip_to(end)
            return SourceRow(line, value, place=place)

    def _note_first_key(self, value: Any) -> None:
        is_new = self._number <= _NUM_NOTED and len(self._first_keys) < _MAX_KEYS
        if (
            is_new
            and isinstance(value, dict)
            and (match := _FIRST_KEY.match(self._buffer, self._at))
        ):
            self._first_keys[match[1]] = None

    def _skip_broken(self) -> None:
        """Behind the broken element, where the next one starts; or to the end."""
        self._has_guessed = True
        border, limit = self._next_border(), self._at + _SCAN
        if border is not _NEXT_OBJECT and (
            following := border.search(self._buffer, self._at + 1, limit)
        ):
            limit = following.start()  # brackets may fit by chance over several elements
        if end := _find_end(self._buffer, self._at, limit):
            self._skip_to(end)
        else:
            self._find_border(border)

    def _find_border(self, border: re.Pattern[str]) -> bool:
        """Go to the next one, or to the end."""
        while True:
            following = border.search(self._buffer, self._at + 1)
            if following:
                self._skip_to(following.end())
                return True
            self._skip_to(max(self._at, len(self._buffer) - _OVERLAP))
            if not self._read_more():
                self._skip_to(len(self._buffer))
                return False

    def _next_border(self) -> re.Pattern[str]:
        """Between two elements; objects inside one begin with other keys."""
        own = _FIRST_KEY.match(self._buffer, self._at)
        keys = {**self._first_keys, **({own[1]: None} if own else {})}
        if not keys:
            return _NEXT_OBJECT
        return re.compile(r'(?=\{\s*+"(?:' + "|".join(map(re.escape, keys)) + r')"\s*+:)')


def _find_end(text: str, start: int, limit: int) -> int | None:
    """Behind the element that starts here, if its quotes and brackets fit together before limit."""
    if word := _BARE_WORD.match(text, start):
        return word.end()
    if text[start] not in _CLOSING:
        return None
    open_marks: list[str] = []
    for token in _STRUCTURE.finditer(text, start, limit):
        mark = token[0]
        if mark in _CLOSING:
            open_marks.append(mark)
        elif mark == '"':
            return None  # it opens a text that never ends
        elif mark in "}]":
            if mark != _CLOSING[open_marks.pop()]:
                return None
            if not open_marks:
                return token.end() if _AFTER_ELEMENT.match(text, token.end()) else None
    return None
