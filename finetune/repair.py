"""Malformed answers back to recommendations: what is certain is repaired and recorded, what is
not is flagged and left as it is.

Certain means that the text can be read in exactly one way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chatbot.recommendation import (
    NUM_CHALLENGES,
    Challenge,
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    to_dict,
)
from finetune.answer_lines import (
    NotCertain,
    read_lines,
    split_bullet,
    split_challenge,
    split_number,
)
from finetune.flags import Flag, quote
from finetune.lenient_json import WRAPPER_KEYS, TooTangled, read_all

MAX_DEPTH: Final = 6  # wrappers inside wrappers
MAX_LENGTH: Final = 20_000  # characters of an answer; longer ones are not looked into

_FENCE: Final = re.compile(r"```[ \t]*(?:json|JSON)?[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_INVISIBLE: Final = "\ufeff\u200b\u2060"
_BLANK: Final = re.compile(rf"^(?:[\s{_INVISIBLE}]|\\[nrt])+|(?:[\s{_INVISIBLE}]|\\[nrt])+$")
_LINE_BREAK: Final = re.compile(r"[ \t\r]*[\n\u2028\u2029][ \t\r\n\u2028\u2029]*")
_ESCAPED_CHAR: Final = re.compile(r'\\[nrt"]')
_KEY: Final = re.compile(r"""["'“”](?:recommend|challenges|title|description)\\?["'“”]\s*:""")
_DROPPED_KEYS: Final = frozenset({"category"})  # the API adds it to each challenge

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
}
_DEFAULT_FIX: Final = "Correct the answer by hand, or exclude the row."


@dataclass(frozen=True)
class Repaired:
    """What was found in a text. Without a recommendation a flag says why; with one, the flags are
    doubts that were left as they are.
    """

    recommendation: Recommendation | None
    repairs: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True)
class _Draft:
    """A value with the parts of an answer, and what was repaired to get it."""

    value: dict[str, Any]
    repairs: frozenset[str]


def make_flag(name: str, evidence: str, severity: str = "error") -> Flag:
    """A flag of this module with its usual fix."""
    kind: Any = severity
    return Flag(name, kind, quote(evidence, 120), FIXES.get(name, _DEFAULT_FIX))


def repair(text: str) -> Repaired:
    """The recommendation in a text, with what had to be repaired, or the reason why there is
    none.
    """
    try:
        value = json.loads(text)
        if isinstance(value, dict) and not _needs_reading(value):
            return _finish(_Draft(value, frozenset()), text)
    except (ValueError, RecursionError):
        pass
    if len(text) > MAX_LENGTH:
        return _refuse("too_long", f"{len(text)} characters; at most {MAX_LENGTH} are read")
    try:
        return _choose(_read_text(text, MAX_DEPTH), text)
    except NotCertain as doubt:
        return _refuse(doubt.name, str(doubt))
    except RecursionError:
        return _refuse("ambiguous", "the brackets are nested too deeply")


def _refuse(name: str, evidence: str) -> Repaired:
    return Repaired(None, (), (make_flag(name, evidence),))


def _choose(drafts: list[_Draft], text: str) -> Repaired:
    """The one recommendation that the drafts agree on."""
    results = [_finish(draft, text) for draft in drafts]
    good = {canonical(r.recommendation): r for r in reversed(results) if r.recommendation}
    if len(good) > 1:
        return _refuse("ambiguous", f"{len(good)} readings of: {text}")
    return next(iter(good.values())) if good else results[0]


# Reading: text → value with the keys of an answer.


def _read_text(text: str, depth: int) -> list[_Draft]:
    """All drafts a text can be read as, at least one; raises NotCertain."""
    if depth == 0:
        raise NotCertain("ambiguous", f"nested more than {MAX_DEPTH} times")
    stripped = text.strip().strip(_INVISIBLE).strip()
    for read in (_read_json, _read_fence, _read_escaped, _read_lenient, _read_embedded):
        drafts = read(stripped, depth)
        if drafts:
            return drafts
    if stripped.startswith(("{", "[")):
        name = "truncated" if not stripped.endswith(("}", "]")) else "not_an_answer"
        raise NotCertain(name, f"broken JSON: {quote(stripped)}")
    return [_read_line_answer(stripped)]


def _read_line_answer(text: str) -> _Draft:
    lines = read_lines(text)
    challenges = [{"title": title, "description": body} for title, body in lines.challenges]
    return _Draft(
        {"recommend": lines.recommend, "challenges": challenges}, frozenset({lines.shape})
    )


def _add(drafts: list[_Draft], *names: str) -> list[_Draft]:
    return [_Draft(draft.value, draft.repairs | set(names)) for draft in drafts]


def _read_json(text: str, depth: int) -> list[_Draft]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return _read_value(value, depth)


def _read_fence(text: str, depth: int) -> list[_Draft]:
    fences = list(_FENCE.finditer(text))
    if not fences:
        return []
    if len(fences) > 1:
        raise NotCertain("ambiguous", f"{len(fences)} code blocks")
    outside = (text[: fences[0].start()] + text[fences[0].end() :]).strip()
    names = ["code_fence", "surrounding_text"] if outside else ["code_fence"]
    return _add(_read_text(fences[0][1], depth - 1), *names)


def _read_escaped(text: str, depth: int) -> list[_Draft]:
    """JSON that was serialised to a string and lost its outer quotes, or holds raw newlines."""
    if '\\"' not in text:
        return []
    quoted = text if text.startswith('"') else f'"{text}"'
    try:
        value = json.loads(quoted, strict=False)
    except ValueError:
        return []
    return _add(_read_text(value, depth - 1), "json_in_string")


def _read_lenient(text: str, depth: int) -> list[_Draft]:
    if not text.startswith("{"):
        return []
    try:
        readings = read_all(text)
    except TooTangled as error:
        raise NotCertain("ambiguous", str(error)) from error
    drafts = []
    for reading in readings:
        drafts += _add(_read_value(reading.value, depth), *reading.repairs)
    return drafts


def _read_embedded(text: str, depth: int) -> list[_Draft]:
    """One JSON object inside prose. Prose before bare challenges is the recommend sentence."""
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0 or end <= start or (start == 0 and end == len(text)):
        return []
    before, after = text[:start].strip(), text[end:].strip()
    drafts = _read_json(text[start:end], depth) or _read_lenient(text[start:end], depth)
    if not drafts:
        return []
    if all("recommend" in draft.value for draft in drafts):
        return _add(drafts, "surrounding_text")
    if not before or "\n" in before or after:
        raise NotCertain("unclear_recommend", f"the sentence is not clear in: {quote(text)}")
    return [
        _Draft({"recommend": before, **draft.value}, draft.repairs | {"sentence_outside"})
        for draft in drafts
    ]


def _needs_reading(value: dict[str, Any]) -> bool:
    """Whether an object is more than a plain answer: wrapped, stuffed or with extra keys."""
    recommend, items = value.get("recommend"), value.get("challenges")
    if set(value) != {"recommend", "challenges"} or not isinstance(items, list):
        return True
    if not isinstance(recommend, str) or _looks_stuffed(recommend):
        return True
    return len(items) == 0 or any(not isinstance(item, dict) or len(item) != 2 for item in items)


def _looks_stuffed(recommend: str) -> bool:
    """Whether the recommend text seems to hold the challenges too."""
    if recommend.lstrip(' "').startswith("{") or _KEY.search(recommend):
        return True
    if "\n" not in recommend:
        return False
    lines = [line.strip() for line in recommend.splitlines()]
    return sum(split_number(line)[0] is not None or split_bullet(line)[0] for line in lines) > 1


def _read_value(value: Any, depth: int) -> list[_Draft]:
    """All drafts of a parsed value; raises NotCertain."""
    if depth == 0:
        raise NotCertain("ambiguous", f"nested more than {MAX_DEPTH} times")
    if isinstance(value, str):
        return _add(_read_text(value, depth - 1), "json_in_string")
    if isinstance(value, list) and len(value) == 1:
        return _add(_read_value(value[0], depth - 1), "wrapper")
    if not isinstance(value, dict):
        raise NotCertain("not_an_answer", f"a JSON {type(value).__name__}, not an object")
    if len(value) == 1 and set(value) <= WRAPPER_KEYS:
        return _add(_read_value(next(iter(value.values())), depth - 1), "wrapper")
    if set(value) == {"status", "message", "data"}:  # the body of the API's close event
        return _add(_read_value(value["data"], depth - 1), "wrapper")
    if "recommend" in value:
        return _read_parts(value, depth)
    if set(value) == {"challenges"}:
        return [_Draft(value, frozenset())]
    raise NotCertain("not_an_answer", f"an object with {', '.join(map(str, value)) or 'no keys'}")


def _read_parts(value: dict[str, Any], depth: int) -> list[_Draft]:
    challenges, repairs = _read_challenges(value.get("challenges"))
    recommend = value["recommend"]
    if isinstance(recommend, dict) or (isinstance(recommend, str) and _looks_stuffed(recommend)):
        return _unstuff(recommend, challenges, depth)
    kept = {key: part for key, part in value.items() if key not in _DROPPED_KEYS}
    if len(kept) < len(value):
        repairs |= {"extra_key"}
    parts = {**kept, "challenges": challenges}
    return [_Draft(parts, repairs)]


def _unstuff(recommend: Any, outside: list[Any], depth: int) -> list[_Draft]:
    """The answer stuffed into recommend; challenges outside must be none, or the same ones."""
    try:
        inner = (
            _read_value(recommend, depth - 1)
            if isinstance(recommend, dict)
            else _read_text(recommend, depth - 1)
        )
    except NotCertain as doubt:
        if outside:  # leave the valid fields as they are; _finish flags the stuffing
            return [_Draft({"recommend": recommend, "challenges": outside}, frozenset())]
        raise NotCertain("field_stuffing", f"{doubt} in recommend: {recommend}") from doubt
    for draft in inner:
        if outside and draft.value.get("challenges") != outside:
            raise NotCertain("field_stuffing", f"recommend holds other challenges: {recommend}")
    return _add(inner, "field_stuffing")


def _read_challenges(value: Any) -> tuple[list[Any], frozenset[str]]:
    """The list of challenges, from a list, from its text, or from lines."""
    repairs: set[str] = set()
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value, strict=False)
        except ValueError as error:
            raise NotCertain("not_an_answer", f"challenges is text: {quote(value)}") from error
        repairs.add("json_in_string")
    if not value or isinstance(value, str):
        return [], frozenset(repairs)
    if not isinstance(value, list):
        raise NotCertain("not_an_answer", "challenges is not a list")
    items = [_read_challenge(item, repairs) for item in value]
    return items, frozenset(repairs)


def _read_challenge(item: Any, repairs: set[str]) -> Any:
    if isinstance(item, str):
        repairs.add("challenge_as_text")
        if item.strip().startswith("{"):
            try:
                return _read_challenge(json.loads(item, strict=False), repairs)
            except ValueError as error:
                raise NotCertain("not_an_answer", f"a challenge is text: {item}") from error
        title, description = split_challenge(item.strip())
        return {"title": title, "description": description}
    if isinstance(item, dict) and set(item) - {"title", "description"} & _DROPPED_KEYS:
        repairs.add("extra_key")
        return {key: text for key, text in item.items() if key not in _DROPPED_KEYS}
    return item


# Finishing: value → recommendation, its texts cleaned.


class _Cleaner:
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
        before = match.string[match.start() - 1]
        if " " in match[0] or "\t" in match[0] or before in ".!?。…":
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


def _finish(draft: _Draft, text: str) -> Repaired:
    try:
        checked = from_dict(draft.value)
    except RecommendationError as error:
        return _refuse(error.code, str(error))
    cleaner = _Cleaner(draft.repairs)
    recommend = cleaner.clean(checked.recommend)
    titles = cleaner.strip_numbers([cleaner.clean(item.title) for item in checked.challenges])
    bodies = [cleaner.clean(item.description) for item in checked.challenges]
    for part in (recommend, *titles):
        cleaner.flag_leading(part)
    if _looks_stuffed(recommend):
        cleaner.flags.append(make_flag("field_stuffing", recommend))
    pairs = zip(titles, bodies, strict=True)
    answer = Recommendation(recommend, tuple(Challenge(*pair) for pair in pairs))
    if answer != checked:
        try:
            from_dict(to_dict(answer))
        except RecommendationError as error:  # cleaning has emptied a field
            return _refuse(error.code, str(error))
    if not cleaner.repairs and canonical(answer) != text:
        cleaner.repairs.add("spacing")
    return Repaired(answer, tuple(sorted(cleaner.repairs)), tuple(cleaner.flags))
