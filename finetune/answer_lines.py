"""An answer written as lines: a sentence, then three numbered or bulleted challenges.

Reads only what can be read in one way: three items of one shape, each with one place where its
title ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from chatbot.recommendation import NUM_CHALLENGES

_CIRCLED: Final = "①②③④⑤⑥⑦⑧⑨"
_NUMBER: Final = re.compile(rf"^(?:(\d{{1,2}})\s?[.)](?!\d)|([{_CIRCLED}]))\s*(?=\S)")
_BULLET: Final = re.compile(r"^[-*•·‣▪◦–](?![-*])\s*(?=\S)")
_LABEL: Final = re.compile(r"^(?:recommend|recommendation)\s*[:：]\s*", re.IGNORECASE)
_HEADING: Final = re.compile(r"^challenges\s*[:：]$", re.IGNORECASE)
_BOLD: Final = re.compile(r"^\*\*([^*]+)\*\*\s*[:：]?\s*(.*)$")
# A colon inside a time (9:30) or an address (https://) separates nothing.
_SEPARATOR: Final = (
    re.compile(  # a run of blanks is entered at its beginning only: from each of them costs squares
        r"(?:(?<!\s)\s+)?(?:(?<!\d)[:：]|[:：](?!\d))(?!//)\s*|(?<!\s)\s+[-–—]\s+"
    )
)


class NotCertain(ValueError):
    """The text can be read in no way, or in more than one. `name` is that of the flag, the values
    are its params: "seen" names the sentence, for other languages.
    """

    def __init__(self, name: str, message: str, **values: str | int) -> None:
        super().__init__(message)
        self.name = name
        self.values = values


@dataclass(frozen=True)
class AnswerLines:
    """What the lines say, as the parts of an answer."""

    recommend: str
    challenges: tuple[tuple[str, str], ...]  # title, description
    shape: str  # "numbered_lines" or "bulleted_lines"


def split_number(text: str) -> tuple[int | None, str]:
    """A leading "2. ", "2)" or "②" as a number, and the text behind it."""
    match = _NUMBER.match(text)
    if not match:
        return None, text
    number = int(match[1]) if match[1] else _CIRCLED.index(match[2]) + 1
    return number, text[match.end() :]


def split_bullet(text: str) -> tuple[bool, str]:
    """Whether a bullet leads the text, and the text behind it."""
    match = _BULLET.match(text)
    return bool(match), text[match.end() :] if match else text


def split_challenge(text: str) -> tuple[str, str]:
    """Title and description of "title: description"; raises NotCertain."""
    bold = _BOLD.match(text)
    if bold and bold[2]:
        return bold[1].rstrip(" :："), bold[2]
    separators = list(_SEPARATOR.finditer(text))
    if len(separators) != 1:
        found = "no place" if not separators else f"{len(separators)} places"
        message = f"{found} where the title could end: {text}"
        raise NotCertain("unclear_title", message, seen="places", num=len(separators), text=text)
    title, description = text[: separators[0].start()], text[separators[0].end() :]
    if not title or not description:
        message = f"a title or a description is missing: {text}"
        raise NotCertain("unclear_title", message, seen="half", text=text)
    return title, description


def _group_items(lines: list[str]) -> tuple[list[str], list[list[str]], str]:
    """The lines before the first item, the lines of each item, and the shape."""
    numbers = [split_number(line)[0] for line in lines]
    is_numbered = any(number is not None for number in numbers)
    head: list[str] = []
    items: list[list[str]] = []
    for line, number in zip(lines, numbers, strict=True):
        has_bullet, rest = split_bullet(line)
        if number is not None:
            items.append([split_number(line)[1]])
        elif has_bullet and not is_numbered:
            items.append([rest])
        elif items:
            items[-1].append(rest)
        else:
            head.append(line)
    found = [number for number in numbers if number is not None]
    if is_numbered and found != list(range(1, len(found) + 1)):
        numbering = ", ".join(map(str, found))
        raise NotCertain("unclear_numbering", f"the numbers are {numbering}", numbers=numbering)
    return head, items, "numbered_lines" if is_numbered else "bulleted_lines"


def _read_item(lines: list[str]) -> tuple[str, str]:
    if len(lines) == 1:
        return split_challenge(lines[0])
    if len(lines) > 2:
        message = f"{len(lines)} lines stand under one number: {lines[0]}"
        raise NotCertain("unclear_title", message, seen="lines", num=len(lines), text=lines[0])
    title = lines[0].rstrip(" :：")
    bold = _BOLD.match(title)
    if bold and not bold[2]:
        title = bold[1].rstrip(" :：")
    elif _SEPARATOR.search(title):
        message = f"2 places where the title could end: {lines[0]}"
        raise NotCertain("unclear_title", message, seen="places", num=2, text=lines[0])
    return title, lines[1]


def read_lines(text: str) -> AnswerLines:
    """Read the lines; raises NotCertain with what is unclear."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _HEADING.match(line)]
    head, items, shape = _group_items(lines)
    if not items:
        message = "there is neither JSON nor a numbered or bulleted list"
        raise NotCertain("not_an_answer", message, seen="no_list")
    if (num := len(items)) != NUM_CHALLENGES:
        message = f"{num} challenges, but {NUM_CHALLENGES} are needed"
        raise NotCertain("wrong_count", message, num=num, needed=NUM_CHALLENGES)
    if not head:
        message = "no sentence stands before the challenges"
        raise NotCertain("missing_recommend", message, seen="none")
    if (num := len(head)) > 1:
        message = f"{num} lines stand before the challenges"
        raise NotCertain("unclear_recommend", message, seen="lines", num=num)
    if len({len(item) for item in items}) > 1:
        message = "the challenges differ in their number of lines"
        raise NotCertain("unclear_title", message, seen="uneven")
    challenges = tuple(_read_item(item) for item in items)
    return AnswerLines(_LABEL.sub("", head[0]), challenges, shape)
