"""Token text in, readable text out: incremental, pure, and never a brace, quote or backslash of
the JSON on the screen.

The constrained answer is one compact JSON object. An unconstrained one may be fenced, wrapped as
{"text": …}, serialised twice, cut off, or no JSON at all: what a person would read is found in all
of them, and what is only syntax is left out. For a well-formed answer the deltas add up to exactly
recommendation.to_text().
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from chatbot.page_text import PageText
from chatbot.recommendation import Challenge

Role = Literal["key", "recommend", "title", "description", "other", "ignored"]

_PROSE_SYNTAX: Final = re.compile(r'[`{\["\\]')
_EMBEDDED_SYNTAX: Final = re.compile(r'[{\["]')
_OPENING: Final = re.compile(r'(["{\[])\s*')
_FENCE: Final = re.compile(r"```[\w+-]*")
_STRUCTURE: Final = re.compile(r"[{}\[\]:,\"']")
_TAIL: Final = re.compile(r"[\s}\],\"'`\\]*")
_RUNS: Final = {
    '"': re.compile(r'[^"\\]+'),
    "'": re.compile(r"[^'\\]+"),
    "": re.compile(r"[^\\]+"),
}
_CLOSING_APOSTROPHE: Final = re.compile(r"'\s*")
_KEYS: Final = ('"recommend"', '"challenges"', '"title"', '"description"')
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")
_BLANK_START: Final = re.compile(r"[\s\ufeff]*")


@dataclass(frozen=True)
class StreamUpdate:
    """What one feed brought: text to append, challenges that became complete, and the sentence
    outside the challenges so far.
    """

    delta: str
    challenges: tuple[Challenge, ...]
    recommend: str


@dataclass
class _Frame:
    """An open object or array."""

    opening: str  # "{" or "["
    key: str = ""
    is_value_next: bool = False
    parts: dict[str, str] = field(default_factory=dict)  # title and description so far

    def role(self) -> Role:
        """What a string that begins here is."""
        if self.opening == "[":
            return "other"
        if not self.is_value_next:
            return "key"
        self.is_value_next = False
        if self.key == "recommend":
            return "recommend"
        if self.key == "title":
            return "title"
        if self.key == "description":
            return "description"
        return "ignored" if self.parts else "other"

    def challenge(self) -> Challenge | None:
        """The finished challenge, if the object was one."""
        title, description = self.parts.get("title", ""), self.parts.get("description", "")
        return Challenge(title, description) if title.strip() and description.strip() else None


def _decode_escape(text: str, at: int) -> tuple[str, int] | None:
    """The character of the escape at `at` and the position after it; None: more is needed."""
    if at + 1 >= len(text):
        return None
    char = text[at + 1]
    if char != "u":
        return _ESCAPES.get(char, char), at + 2
    if at + 6 > len(text):
        return None if re.fullmatch("[0-9a-fA-F]*", text[at + 2 :]) else ("\ufffd", at + 2)
    if not _HEX.match(text, at + 2):
        return "\ufffd", at + 2
    code = int(text[at + 2 : at + 6], 16)
    if not 0xD800 <= code < 0xDC00:
        return chr(code), at + 6
    return _decode_low_half(text, at + 6, code)


def _decode_low_half(text: str, at: int, high: int) -> tuple[str, int] | None:
    """The character whose high half was just read; None: more is needed."""
    rest = text[at : at + 6]
    if len(rest) < 6 and re.fullmatch(r"(?:\\(?:u[0-9a-fA-F]*)?)?", rest):
        return None
    match = re.fullmatch(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})", rest)
    if not match:
        return "\ufffd", at
    return chr(0x10000 + ((high - 0xD800) << 10) + int(match[1], 16) - 0xDC00), at + 6


class _Reader:
    """Reads one text, which may hold JSON, onto the page. A step returns the position it reached;
    the same position means that it needs more input.
    """

    def __init__(self, page: PageText, is_embedded: bool = False) -> None:
        self._page = page
        self._is_embedded = is_embedded  # the content of a JSON string: literal unless JSON again
        self._is_start = not is_embedded
        self._step = self._read_prose
        self._held = ""
        self._frames: list[_Frame] = []
        self._quote = ""
        self._role: Role = "other"
        self._string = ""  # the content of a key, title or description
        self._inner: _Reader | None = None  # reads the content of any other string
        page.open_block("text")

    def feed(self, text: str) -> None:
        """Read more."""
        text = self._held + text
        self._held = ""
        at = 0
        while at < len(text):
            reached = self._step(text, at)
            if reached == at and text[at:] == self._held:
                return
            at = reached

    def finish(self) -> None:
        """Nothing follows: show what was only held back in doubt, drop what was syntax."""
        held, self._held = self._held, ""
        if self._inner:
            self._inner.finish()
        elif self._step == self._read_prose and not self._is_start:
            is_syntax = held.startswith(("{", "[", "```")) and not self._is_embedded
            self._page.write("" if is_syntax else held)
        self._page.seal()

    def _hold(self, text: str, at: int) -> int:
        self._held = text[at:]
        return at

    # --- outside JSON -------------------------------------------------------------------------

    def _read_prose(self, text: str, at: int) -> int:
        if self._is_start:
            at = self._skip_blank_start(text, at)
            if at == len(text):
                return at
        syntax = _EMBEDDED_SYNTAX if self._is_embedded else _PROSE_SYNTAX
        match = syntax.search(text, at)
        end = match.start() if match else len(text)
        if end > at:
            self._write_prose(text[at:end])
            return end
        if text[at] == "`":
            return self._read_fence(text, at)
        if text[at] == "\\":
            return self._read_prose_escape(text, at)
        return self._read_opening(text, at)

    def _skip_blank_start(self, text: str, at: int) -> int:
        match = _BLANK_START.match(text, at)
        return match.end() if match else at

    def _write_prose(self, piece: str) -> None:
        self._is_start = False
        self._page.write(piece)

    def _read_fence(self, text: str, at: int) -> int:
        match = _FENCE.match(text, at)
        if match and match.end() < len(text):
            return match.end()
        if match or text[at:] == "``" or text[at:] == "`":
            return self._hold(text, at)
        self._write_prose("`")
        return at + 1

    def _read_prose_escape(self, text: str, at: int) -> int:
        """A line break or quote that was serialised without the JSON around it."""
        if at + 1 == len(text):
            return self._hold(text, at)
        if text[at + 1] in 'nrt"':
            self._write_prose(_ESCAPES.get(text[at + 1], '"'))
            return at + 2
        self._write_prose("\\")
        return at + 1

    def _read_opening(self, text: str, at: int) -> int:
        match = _OPENING.match(text, at)
        if not match:
            return at
        if text[at] == '"' and (reached := self._read_bare_key(text, at)) is not None:
            return reached
        if match.end() == len(text):
            return self._hold(text, at)
        following = text[match.end()]
        if text[at] == '"':
            return self._read_quote(at, following)
        if following == "\\":
            return self._open_string(at, "")
        if following in "\"'{[" or (text[at], following) in {("{", "}"), ("[", "]")}:
            self._step = self._read_json
            return self._read_json(text, at)
        self._write_prose(text[at])
        return at + 1

    def _read_bare_key(self, text: str, at: int) -> int | None:
        """JSON that lost its opening brace. None: this quote opens no key."""
        rest = text[at:]
        if any(rest.startswith(key) for key in _KEYS):
            self._frames.append(_Frame("{"))
            self._step = self._read_json
            return self._read_json(text, at)
        if len(rest) > 1 and any(key.startswith(rest) for key in _KEYS):
            return self._hold(text, at)
        return None

    def _read_quote(self, at: int, following: str) -> int:
        """A quote in prose; before a bracket it opens JSON that was serialised to a string."""
        if not self._is_embedded and following in "{[\\":
            return self._open_string(at + 1, '"')
        self._write_prose('"')
        return at + 1

    def _read_tail(self, text: str, at: int) -> int:
        """After the JSON: its leftovers are skipped, words are shown."""
        match = _TAIL.match(text, at)
        end = match.end() if match else at
        if end < len(text):
            self._page.open_block("text")
            self._step = self._read_prose
        return end

    # --- between the strings of JSON ------------------------------------------------------------

    def _read_json(self, text: str, at: int) -> int:
        match = _STRUCTURE.search(text, at)
        if not match:
            return len(text)
        char, at = match[0], match.end()
        self._is_start = False
        if char in "{[":
            if self._frames:
                self._frames[-1].is_value_next = False
            self._frames.append(_Frame(char))
        elif char in "}]":
            self._close_frame(char)
        elif char == ":":
            self._frames[-1].is_value_next = True
        elif char == ",":
            self._frames[-1].is_value_next = False
        else:
            return self._open_string(at, char, self._frames[-1].role())
        return at

    def _close_frame(self, char: str) -> None:
        opening = "{" if char == "}" else "["
        if not any(frame.opening == opening for frame in self._frames):
            return
        while True:
            frame = self._frames.pop()
            if frame.parts:
                self._page.end_challenge(frame.challenge())
            if frame.opening == opening:
                break
        if not self._frames:
            self._step = self._read_tail

    # --- inside a string of JSON ----------------------------------------------------------------

    def _open_string(self, at: int, quote: str, role: Role = "other") -> int:
        """Read a string from `at` on; the quote "" means that only the end of the text ends it."""
        self._quote, self._role, self._string = quote, role, ""
        self._is_start = False
        if role in ("recommend", "other"):
            self._inner = _Reader(self._page, is_embedded=role == "recommend")
        elif role == "title" or role == "description":
            self._page.open_block(role)
        self._step = self._read_string
        return at

    def _read_string(self, text: str, at: int) -> int:
        run = _RUNS[self._quote].match(text, at)
        if run:
            self._take_piece(run[0])
            return run.end()
        if text[at] == "\\":
            decoded = _decode_escape(text, at)
            if decoded is None:
                return self._hold(text, at)
            self._take_piece(decoded[0])
            return decoded[1]
        if self._quote == "'":
            return self._read_apostrophe(text, at)
        self._close_string()
        return at + 1

    def _read_apostrophe(self, text: str, at: int) -> int:
        """In text quoted by apostrophes one ends the string only where JSON would go on."""
        match = _CLOSING_APOSTROPHE.match(text, at)
        end = match.end() if match else at
        if end == len(text):
            return self._hold(text, at)
        if text[end] in ",:}]":
            self._close_string()
            return end
        self._take_piece("'")
        return at + 1

    def _take_piece(self, piece: str) -> None:
        if self._inner:
            self._inner.feed(piece)
            return
        self._string += piece
        if self._role == "title" or self._role == "description":
            self._page.write(piece)

    def _close_string(self) -> None:
        if self._inner:
            self._inner.finish()
            self._inner = None
        elif self._role == "key":
            self._frames[-1].key = self._string.strip()
        elif self._role in ("title", "description"):
            self._frames[-1].parts[self._role] = self._string
        self._page.seal()
        self._step = self._read_json if self._frames else self._read_tail


class ReadableStream:
    """Feed it the text of an answer as it comes; it gives what to show."""

    def __init__(self) -> None:
        self._page = PageText()
        self._reader = _Reader(self._page)
        self._half = ""  # the first half of a character that came as two surrogates

    def feed(self, text: str) -> StreamUpdate:
        """Take the next piece of any length."""
        if self._half or not text.isascii():
            text = self._join_halves(text)
        self._reader.feed(text)
        return StreamUpdate(*self._page.take())

    def finish(self) -> StreamUpdate:
        """The answer is over, complete or not: show what was held back."""
        self._reader.feed(self._half)
        self._half = ""
        self._reader.finish()
        return StreamUpdate(*self._page.take())

    def _join_halves(self, text: str) -> str:
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if any("\ud800" <= char <= "\udfff" for char in text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text
