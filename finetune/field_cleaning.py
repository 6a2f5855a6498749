"""The texts of one answer, cleaned where that is certain, and flagged where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chatbot.recommendation import NUM_CHALLENGES, Challenge, Recommendation
from finetune.answer_lines import split_bullet, split_number
from finetune.flags import Flag, Severity, quote, shorten

INVISIBLE: Final = "\ufeff\u200b\u2060"
# A run of blanks is entered at its beginning only: from each of them costs squares.
_BLANK: Final = re.compile(
    rf"^(?:[\s{INVISIBLE}]|\\[nrt])+|(?<![\s{INVISIBLE}])(?<!\\[nrt])(?:[\s{INVISIBLE}]|\\[nrt])+$"
)
_LINE_BREAK: Final = re.compile(r"(?:(?<![ \t\r])[ \t\r]+)?[\n\u2028\u2029][ \t\r\n\u2028\u2029]*")
_ESCAPED_CHAR: Final = re.compile(r'\\[nrt"]')
_SENTENCE_END: Final = re.compile(r"(?<!\d)[.!?。…]$")
_KEY: Final = re.compile(r"""["'“”](?:recommend|challenges|title|description)\\?["'“”]\s*:""")

FIXES: Final = {
    "not_an_answer": "Write the answer by hand, or exclude the row.",
    "truncated": "The end is missing: write it by hand, or exclude the row.",
    "ambiguous": "The text can be read in several ways: choose one by hand.",
    "wrong_count": f"Leave exactly {NUM_CHALLENGES} challenges.",
    "field_stuffing": "Move the challenges out of recommend into their own fields.",
    "line_break": "Replace the line break inside the text by a space, or by nothing.",
    "escaped_text": "Replace the visible backslash by what it stands for.",
    "leading_number": "Remove the number or bullet at the start.",
    "extra_key": "Remove the unknown fields.",
    "too_long": "Shorten the field.",
    "needs_repair": "Apply the suggested fix: it only brings the answer into the one format.",
}
_DEFAULT_FIX: Final = "Correct the answer by hand, or exclude the row."


def make_flag(
    name: str,
    evidence: str,
    severity: Severity = "error",
    params: Mapping[str, str | int] = {},
) -> Flag:
    """A flag about the form of an answer, with its usual fix. params: what stands in the evidence,
    unless that is nothing but a piece of the text.
    """
    fix = FIXES.get(name, _DEFAULT_FIX)
    return Flag(name, severity, quote(evidence, 120), fix, shorten(params, 120))


def looks_stuffed(recommend: str) -> bool:
    """Whether the recommend text seems to hold the challenges too."""
    if recommend.lstrip(' "').startswith("{") or _KEY.search(recommend):
        return True
    if "\n" not in recommend:
        return False
    lines = [line.strip() for line in recommend.splitlines()]
    return sum(split_number(line)[0] is not None or split_bullet(line)[0] for line in lines) > 1


class Cleaner:
    """Cleans the texts of one answer, and collects what was repaired and what is doubtful."""

    def __init__(self, repairs: frozenset[str]) -> None:
        self.repairs = set(repairs)
        self.flags: list[Flag] = []

    def clean(self, text: str) -> str:
        """Edge blanks and stray line breaks removed where that is certain."""
        cleaned = _BLANK.sub("", text)
        if cleaned != text:
            self.repairs.add("edge_blank")
        if "\n" in cleaned or "\u2028" in cleaned or "\u2029" in cleaned:
            cleaned = _LINE_BREAK.sub(self._join_lines, cleaned)
        if "\\" in cleaned and _ESCAPED_CHAR.search(cleaned):
            self.flags.append(make_flag("escaped_text", cleaned, "warning"))
        return cleaned

    def _join_lines(self, match: re.Match[str]) -> str:
        """A space where one stood beside the break, or where a sentence ended before it."""
        is_sentence = _SENTENCE_END.search(match.string, 0, match.start())
        if " " in match[0] or "\t" in match[0] or is_sentence:
            self.repairs.add("line_break")
            return " "
        self.flags.append(make_flag("line_break", match.string, "warning"))
        return match[0]

    def _strip_all(self, titles: list[str], split: Callable[[str], tuple[Any, str]]) -> list[str]:
        self.repairs.add("numbering")
        return [split(title)[1] for title in titles]

    def strip_numbers(self, titles: list[str]) -> list[str]:
        """Titles without "1. ", "2. ", "3. " or bullets, if all of them have one."""
        numbers = [split_number(title)[0] for title in titles]
        if len(titles) == NUM_CHALLENGES and numbers == list(range(1, NUM_CHALLENGES + 1)):
            return self._strip_all(titles, split_number)
        if len(titles) == NUM_CHALLENGES and all(split_bullet(title)[0] for title in titles):
            return self._strip_all(titles, split_bullet)
        return titles

    def flag_leading(self, text: str) -> None:
        """Flag a number or bullet at the start that could not be removed with certainty."""
        if split_number(text)[0] is not None or split_bullet(text)[0]:
            self.flags.append(make_flag("leading_number", text, "warning"))

    def clean_answer(self, answer: Recommendation) -> Recommendation:
        """The whole answer; a field may come out empty."""
        recommend = self.clean(answer.recommend)
        titles = self.strip_numbers([self.clean(item.title) for item in answer.challenges])
        bodies = [self.clean(item.description) for item in answer.challenges]
        for part in (recommend, *titles):
            self.flag_leading(part)
        if looks_stuffed(recommend):
            self.flags.append(make_flag("field_stuffing", recommend))
        pairs = zip(titles, bodies, strict=True)
        return Recommendation(recommend, tuple(Challenge(*pair) for pair in pairs))
