"""Every way to read a text as an answer object whose JSON is not quite JSON.

Knows the few keys of an answer, so that a quote inside a text is told from one that ends it: a
string may only end where the next key, bracket or brace follows. Yields all readings; whoever
asks is certain when there is exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

WRAPPER_KEYS: Final = frozenset(
    {"text", "output", "answer", "response", "content", "completion", "result", "data"}
)
MAX_STEPS: Final = 4_000  # string ends tried before a text counts as too tangled

_DOUBLE: Final = "“”„‟＂"
_SINGLE: Final = "‘’‚‛"
_CLOSERS: Final = {
    '"': re.compile('"'),
    "'": re.compile("'"),
    **dict.fromkeys(_DOUBLE, re.compile(f'["{_DOUBLE}]')),
    **dict.fromkeys(_SINGLE, re.compile(f"['{_SINGLE}]")),
}
_SPACE: Final = re.compile(r"\s*")
_BARE_KEY: Final = re.compile(r"[A-Za-z]+(?=\s*:)")
_KEY: Final = re.compile(
    rf"[\"'{_DOUBLE}{_SINGLE}](?:recommend|challenges|title|description)[\"'{_DOUBLE}{_SINGLE}]\s*:"
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.?)", re.DOTALL)
_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPED: Final = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f",
    '"': '"', "'": "'", "\\": "\\", "/": "/",
}  # fmt: skip

Names = frozenset[str]
Parse = tuple[Any, int, Names]  # the value, where it ended, what was not JSON about it
Reader = Callable[[int], Iterator[Parse]]
NOTHING: Final[Names] = frozenset()


class TooTangled(ValueError):
    """The text has too many ways to be read."""


@dataclass(frozen=True)
class LenientValue:
    """One reading: the plain value, and what was not JSON about the text."""

    value: dict[str, Any]
    repairs: frozenset[str]


def read_all(text: str) -> list[LenientValue]:
    """All distinct readings of the whole text; raises TooTangled."""
    reader = _LenientReader(text)
    found: dict[str, LenientValue] = {}
    for value, end, repairs in reader.answer(0):
        if reader.skip_space(end) == len(text):
            found.setdefault(repr(value), LenientValue(value, repairs))
    return list(found.values())


def _decode_escape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "ux" else _ESCAPED[code]


def _join_surrogates(match: re.Match[str]) -> str:
    return match[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _unescape(body: str) -> str | None:
    """The text behind the escapes, or None where one is neither JSON's nor Python's."""
    if "\\" not in body:
        return body
    codes = [match[1] for match in _ESCAPE.finditer(body)]
    if any(code not in _ESCAPED and len(code) < 2 for code in codes):
        return None
    return _SURROGATES.sub(_join_surrogates, _ESCAPE.sub(_decode_escape, body))


def _is_escaped(text: str, at: int) -> bool:
    start = at
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1


def _string_repairs(opener: str, body: str, closers: re.Pattern[str]) -> Names:
    repairs = set()
    if opener == "'":
        repairs.add("single_quotes")
    elif opener != '"':
        repairs.add("smart_quotes")
    if any(not _is_escaped(body, match.start()) for match in closers.finditer(body)):
        repairs.add("unescaped_quotes")
    if any(char < " " for char in body):
        repairs.add("raw_newlines")
    return frozenset(repairs)


class _LenientReader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def skip_space(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def _char(self, at: int) -> str:
        return self.text[at] if at < len(self.text) else ""

    def string(self, at: int) -> Iterator[Parse]:
        """Every string that starts here and ends before a comma, colon or bracket."""
        opener = self._char(at)
        closers = _CLOSERS.get(opener)
        if closers is None:
            return
        for match in closers.finditer(self.text, at + 1):
            if self._char(self.skip_space(match.end())) not in {",", ":", "}", "]"}:
                continue
            if _is_escaped(self.text, match.start()):
                continue
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise TooTangled(f"More than {MAX_STEPS} ways to end a string were tried.")
            body = self.text[at + 1 : match.start()]
            repairs = _string_repairs(opener, body, closers)
            if "unescaped_quotes" in repairs and _KEY.search(body):
                return  # it ran over the end of the string into the next key
            value = _unescape(body)
            if value is not None:
                yield value, match.end(), repairs

    def _key(self, at: int) -> Iterator[Parse]:
        bare = _BARE_KEY.match(self.text, at)
        if bare:
            yield bare[0], bare.end(), frozenset({"bare_keys"})
        else:
            yield from self.string(at)

    def _member(self, at: int, fields: dict[str, Reader]) -> Iterator[tuple[str, Parse]]:
        for key, end, key_repairs in self._key(at):
            colon = self.skip_space(end)
            if key not in fields or self._char(colon) != ":":
                continue
            for value, stop, repairs in fields[key](self.skip_space(colon + 1)):
                yield key, (value, stop, repairs | key_repairs)

    def _members(self, at: int, fields: dict[str, Reader]) -> Iterator[Parse]:
        """The rest of an object, from one key on."""
        for key, (value, end, repairs) in self._member(at, fields):
            rest = {name: read for name, read in fields.items() if name != key}
            read_more = partial(self._members, fields=rest)
            for more, stop, names in self._after(end, "}", read_more):
                yield {key: value, **(more or {})}, stop, repairs | names

    def _items(self, at: int, item: Reader) -> Iterator[Parse]:
        """The rest of a list, from one item on."""
        for value, end, repairs in item(at):
            for more, stop, names in self._after(end, "]", partial(self._items, item=item)):
                yield [value, *(more or [])], stop, repairs | names

    def _after(self, end: int, closer: str, read_more: Reader) -> Iterator[Parse]:
        """What follows a member or item: the end, a comma and the end, or a comma and more."""
        at = self.skip_space(end)
        if self._char(at) == closer:
            yield None, at + 1, NOTHING
        elif self._char(at) == ",":
            following = self.skip_space(at + 1)
            if self._char(following) == closer:
                yield None, following + 1, frozenset({"trailing_comma"})
            else:
                yield from read_more(following)

    def _object(self, at: int, fields: dict[str, Reader]) -> Iterator[Parse]:
        if self._char(at) == "{":
            yield from self._members(self.skip_space(at + 1), fields)

    def _list(self, at: int) -> Iterator[Parse]:
        if self._char(at) != "[":
            return
        following = self.skip_space(at + 1)
        if self._char(following) == "]":
            yield [], following + 1, NOTHING
        else:
            yield from self._items(following, self._challenge)

    def _challenge(self, at: int) -> Iterator[Parse]:
        names = ("title", "description", "category")
        yield from self._object(at, dict.fromkeys(names, self.string))
        yield from self.string(at)

    def _text_or_answer(self, at: int) -> Iterator[Parse]:
        yield from self.string(at)
        yield from self.answer(at)

    def _challenges(self, at: int) -> Iterator[Parse]:
        yield from self._list(at)
        yield from self.string(at)

    def answer(self, at: int) -> Iterator[Parse]:
        """An answer object, or a wrapper around one."""
        fields: dict[str, Reader] = {
            "recommend": self._text_or_answer,
            "challenges": self._challenges,
            **dict.fromkeys(WRAPPER_KEYS, self._text_or_answer),
        }
        yield from self._object(at, fields)
