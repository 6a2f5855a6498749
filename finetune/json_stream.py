"""The JSON values of a file that is one array, or one value after another, in flat memory.

A broken element costs only itself where it is certain at which character the next one starts: its
brackets and quotes fit, or elements begin lines of their own. Elsewhere the rest is not read, and
the reason says so: from a guessed start, parts of one row could be taken for rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TextIO

from finetune.source_row import DECODER, MAX_ROW_CHARS, RepeatedKey, SourceRow, tell_json_error

_CHUNK: Final = 1 << 16
ARRAY_START: Final = re.compile(r'\s*(?:(\{)\s*"(?:data|rows|examples|train|items)"\s*:\s*)?\[')
UNREAD_REST: Final = "unread_rest"
UNREAD_LINE: Final = "unread_line"  # what stands between a broken element and the next line
_BETWEEN: Final = re.compile(r"[\s,]*+")
# Texts, brackets, and what has no place outside texts (as a quote that opens a text without end).
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[^\w\s.,:+-]', re.S)
_BARE_WORD: Final = re.compile(r"\w{1,40}\s*+(?=[,\]])")
_SCAN: Final = 1 << 16  # a broken element is looked through so far
_OVERLAP: Final = 1_000  # a border between two elements may lie across two chunks
_CLOSING: Final = {"{": "}", "[": "]"}
_OPENS_LINES: Final = re.compile(r"\{[ \t]*+\r?\n")
_BLANKS: Final = re.compile(r"\s*+")
_BORDER: Final = re.compile(r"\s*+(?:,\s*+[{\[]|,?\s*+(?:\]|$))")


class ValueStream:
    """The values of an open file, each with its line and its number in the array."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = file.read(_CHUNK)
        self._at = 0
        self._line = 1
        self._number = 0
        self._indent: str | None = None  # before the value, where it begins its line
        self._last_indent: str | None = None  # of the last value that began its line
        self._shares_lines = False  # whether another has begun behind one on its line
        start = ARRAY_START.match(self._buffer)
        self._is_array, self._is_wrapped = start is not None, bool(start and start[1])
        if start:
            self._skip_to(start.end())

    def __iter__(self) -> Iterator[SourceRow]:
        while mark := self._skip_between():
            if mark == "]" and self._is_array:
                mark = self._leave_array()
                if mark != "[":
                    yield from self._tell_rest(mark)
                    return
            else:
                self._number += 1
                yield self._read_value()
        if self._is_array:
            yield self._unread("The array has no end: the file may be cut off.")

    def _unread(self, reason: str) -> SourceRow:
        return SourceRow(self._line, reason=reason, code=UNREAD_REST)

    def _skip_to(self, at: int) -> None:
        self._line += self._buffer.count("\n", self._at, at)
        self._at = at

    def _read_more(self) -> bool:
        wanted = max(_CHUNK, len(self._buffer) - self._at)  # doubling keeps a long value linear
        more = self._file.read(wanted)
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)

    def _skip_between(self) -> str:
        """Go to the next value; its first character, or nothing at the end of the file."""
        passed = "" if self._number or self._is_array else "\n"
        while True:
            end = _end_of_blanks(self._buffer, self._at)
            passed += self._buffer[self._at : end]
            self._skip_to(end)
            if self._at < len(self._buffer):
                _, line_end, indent = passed.rpartition("\n")
                self._indent = indent.partition(",")[0] if line_end else None
                if line_end:
                    self._last_indent = self._indent
                elif self._last_indent is not None:
                    self._shares_lines = True
                return self._buffer[self._at]
            if not self._read_more():
                return ""

    def _leave_array(self) -> str:
        """The character that follows the array's end; a bracket where one more array begins."""
        self._skip_to(self._at + 1)
        while not (rest := self._buffer[self._at :].lstrip()) and self._read_more():
            pass
        if rest[:1] == "[" and not self._is_wrapped:  # two files in one
            self._skip_between()
            self._skip_to(self._at + 1)
        return rest[:1]

    def _tell_rest(self, mark: str) -> Iterator[SourceRow]:
        """Other keys may follow a wrapped array; anything else is told."""
        if mark and not (self._is_wrapped and mark in ",}"):
            yield self._unread("More text follows the end of the array, which was not read.")

    def _read_value(self) -> SourceRow:
        line, place = self._line, f"element {self._number:,}"
        while True:
            start = self._at
            try:
                value, end = DECODER.raw_decode(self._buffer, start)
            except RepeatedKey as error:
                return self._reject(line, place, str(error))
            except (ValueError, RecursionError) as error:
                if len(self._buffer) - start < MAX_ROW_CHARS and self._read_more():
                    continue
                return self._reject(line, place, tell_json_error(error, start))
            if end == len(self._buffer) and self._read_more():
                continue  # the rest of a number may follow
            size = end - start
            if not self._may_end(value, size):
                return self._reject(line, place, "more text follows where it ends")
            self._skip_to(self._at + size)
            return SourceRow(line, value, place=place)

    def _may_end(self, value: Any, size: int) -> bool:
        """Whether the next value, or the end, follows the value of so many characters."""
        while (end := _end_of_blanks(self._buffer, self._at + size)) == len(self._buffer):
            if not self._read_more():
                return True
        mark, gap = self._buffer[end], self._buffer[self._at + size : end]
        if mark == "]":
            following = self._buffer[end + 1 : end + 2]
            is_in_text = bool(following) and following not in " \t\r\n[,}" and "\n" not in gap
            return self._is_array and not is_in_text
        lines = gap.replace("\r\n", "\n").split("\n")[1:]
        if self._indent in [line.partition(",")[0] for line in lines]:
            return True
        if isinstance(value, dict):
            may_lack_comma = mark == "{" and not (self._is_array and self._indent is not None)
            return may_lack_comma or ("," in gap and mark not in '":}')
        return ("," in gap if self._is_array else bool(gap)) and mark not in ":}"

    def _reject(self, line: int, place: str, why: str) -> SourceRow:
        """The broken element as a reason; goes on behind it."""
        reason = f"The row that starts here cannot be read: {why}."
        while len(self._buffer) - self._at < _SCAN and self._read_more():
            pass
        end = _find_end(self._buffer, self._at) if self._indent is None else None
        if end is not None:
            self._skip_to(end)
            return SourceRow(line, reason=reason, place=place)
        has_lines = _OPENS_LINES.match(self._buffer, self._at) is not None
        if self._last_indent is not None and self._skip_lines(
            self._last_indent, has_lines=has_lines
        ):
            reason += f" Reading went on at line {self._line + 1:,}."
            if has_lines or not self._shares_lines:
                return SourceRow(line, reason=reason, place=place)
            reason += " Rows that stand between were not read."
            return SourceRow(line, reason=reason, code=UNREAD_LINE, place=place)
        self._skip_rest()
        reason += " Where the next row starts is not certain, so the rest of the file was not read."
        return SourceRow(line, reason=reason, code=UNREAD_REST, place=place)

    def _skip_lines(self, indent: str, *, has_lines: bool) -> bool:
        """Go before the next line that begins with an element, or with the array's end. JSON has no
        line ends in texts, and what is nested stands farther in, or on the lines of elements. One
        that has lines of its own may also end on the line where the next begins.
        """
        comma = "," if self._is_array else ",?"
        after = r"[ \t]*+(?:[,}\r\n]|\Z)" if self._is_wrapped else r"[ \t]*+(?:[\r\n]|\Z)"
        element = rf"{comma}[ \t]*+\r?\n{re.escape(indent)}(?=\{{)"
        end = rf"\r?\n[ \t]{{0,{len(indent)}}}(?=\]{after})"
        closing = rf"|\r?\n{re.escape(indent)}\}}(?=[ \t]*+{comma}[ \t]*+\{{)" if has_lines else ""
        border = re.compile(f"{element}|{end}{closing}")
        while not (found := border.search(self._buffer, self._at)):
            self._skip_to(max(self._at, len(self._buffer) - _OVERLAP))
            if not self._read_more():
                return False
        is_closing = found[0].endswith("}")
        self._skip_to(found.end() if is_closing else found.start())
        return True

    def _skip_rest(self) -> None:
        self._skip_to(len(self._buffer))
        while self._read_more():
            self._skip_to(len(self._buffer))
        self._is_array = False  # of its end nothing more is said


def _end_of_blanks(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _is_between_signs(text: str, start: int, end: int) -> bool:
    """Whether a quoted text has a sign of JSON on either side."""
    before = text[max(0, start - _OVERLAP) : start].rstrip()
    blanks = _BLANKS.match(text, end)
    after = text[blanks.end() if blanks else end :][:1]
    return before[-1:] in tuple("{[,:") and after in tuple(",:]}")


def _find_end(text: str, start: int) -> int | None:
    """Behind the element that starts here, if its quotes and brackets fit together."""
    if word := _BARE_WORD.match(text, start):
        return word.end()
    if text[start] not in _CLOSING:
        return None
    open_marks: list[str] = []
    for token in _STRUCTURE.finditer(text, start, start + _SCAN):
        mark = token[0]
        if mark in _CLOSING:
            open_marks.append(mark)
        elif mark in "}]":
            if mark != _CLOSING[open_marks.pop()]:
                return None
            if not open_marks:
                return token.end() if _BORDER.match(text, token.end()) else None
        elif len(mark) == 1 or not _is_between_signs(text, token.start(), token.end()):
            return None  # also where what lies between two texts was taken for a text
    return None
