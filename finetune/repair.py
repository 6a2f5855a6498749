"""Malformed answers back to recommendations: what is certain is repaired and recorded, what is
not is flagged and left as it is.

Certain means that the text can be read in exactly one way.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from chatbot.recommendation import (
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    to_dict,
)
from finetune.answer_lines import (
    NotCertain,
    read_lines,
    split_challenge,
)
from finetune.field_cleaning import INVISIBLE, Cleaner, looks_stuffed, make_flag
from finetune.flags import Flag, quote
from finetune.lenient_json import WRAPPER_KEYS, TooTangled, read_all

MAX_DEPTH: Final = 6  # wrappers inside wrappers
MAX_LENGTH: Final = 20_000  # characters of an answer; longer ones are not looked into

_FENCE: Final = re.compile(r"```[ \t]*(?:json|JSON)?[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_DROPPED_KEYS: Final = frozenset({"category"})  # the API adds it to each challenge


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
        message = f"{len(text)} characters; at most {MAX_LENGTH} are read"
        return _refuse("too_long", message, field="answer", num=len(text), limit=MAX_LENGTH)
    try:
        return _choose(_read_text(text, MAX_DEPTH), text)
    except NotCertain as doubt:
        return _refuse(doubt.name, str(doubt), **doubt.values)
    except RecursionError:
        return _refuse("ambiguous", "the brackets are nested too deeply", seen="nested")


def _refuse(name: str, evidence: str, **values: str | int) -> Repaired:
    return Repaired(None, (), (make_flag(name, evidence, params=values),))


def _choose(drafts: list[_Draft], text: str) -> Repaired:
    """The one recommendation that the drafts agree on."""
    results = [_finish(draft, text) for draft in drafts]
    good = {canonical(r.recommendation): r for r in reversed(results) if r.recommendation}
    if len(good) > 1:
        message = f"{len(good)} readings of: {text}"
        return _refuse("ambiguous", message, seen="readings", num=len(good), text=text)
    return next(iter(good.values())) if good else results[0]


# Reading: text → value with the keys of an answer.


def _read_text(text: str, depth: int) -> list[_Draft]:
    """All drafts a text can be read as, at least one; raises NotCertain."""
    if depth == 0:
        raise NotCertain("ambiguous", f"nested more than {MAX_DEPTH} times", seen="nested")
    stripped = text.strip().strip(INVISIBLE).strip()
    for read in (_read_json, _read_fence, _read_escaped, _read_lenient, _read_embedded):
        drafts = read(stripped, depth)
        if drafts:
            return drafts
    if stripped.startswith(("{", "[")):
        name = "truncated" if not stripped.endswith(("}", "]")) else "not_an_answer"
        message = f"broken JSON: {quote(stripped)}"
        raise NotCertain(name, message, seen="broken_json", text=stripped)
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
        message = f"{len(fences)} code blocks"
        raise NotCertain("ambiguous", message, seen="code_blocks", num=len(fences))
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
        raise NotCertain("ambiguous", str(error), seen="tangled") from error
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
        message = f"the sentence is not clear in: {quote(text)}"
        raise NotCertain("unclear_recommend", message, seen="around", text=text)
    return [
        _Draft({"recommend": before, **draft.value}, draft.repairs | {"sentence_outside"})
        for draft in drafts
    ]


def _needs_reading(value: dict[str, Any]) -> bool:
    """Whether an object is more than a plain answer: wrapped, stuffed or with extra keys."""
    recommend, items = value.get("recommend"), value.get("challenges")
    if set(value) != {"recommend", "challenges"} or not isinstance(items, list):
        return True
    if not isinstance(recommend, str) or looks_stuffed(recommend):
        return True
    return len(items) == 0 or any(not isinstance(item, dict) or len(item) != 2 for item in items)


def _read_value(value: Any, depth: int) -> list[_Draft]:
    """All drafts of a parsed value; raises NotCertain."""
    if depth == 0:
        raise NotCertain("ambiguous", f"nested more than {MAX_DEPTH} times", seen="nested")
    if isinstance(value, str):
        return _add(_read_text(value, depth - 1), "json_in_string")
    if isinstance(value, list) and len(value) == 1:
        return _add(_read_value(value[0], depth - 1), "wrapper")
    if not isinstance(value, dict):
        found = type(value).__name__
        message = f"a JSON {found}, not an object"
        raise NotCertain("not_an_answer", message, seen="json_value", found=found)
    if len(value) == 1 and set(value) <= WRAPPER_KEYS:
        return _add(_read_value(next(iter(value.values())), depth - 1), "wrapper")
    if set(value) == {"status", "message", "data"}:  # the body of the API's close event
        return _add(_read_value(value["data"], depth - 1), "wrapper")
    if "recommend" in value:
        return _read_parts(value, depth)
    if set(value) == {"challenges"}:
        return [_Draft(value, frozenset())]
    keys = ", ".join(map(str, value))
    message = f"an object with {keys or 'no keys'}"
    raise NotCertain("not_an_answer", message, seen="object", keys=keys or "–")


def _read_parts(value: dict[str, Any], depth: int) -> list[_Draft]:
    challenges, repairs = _read_challenges(value.get("challenges"))
    recommend = value["recommend"]
    if isinstance(recommend, dict) or (isinstance(recommend, str) and looks_stuffed(recommend)):
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
        message = f"{doubt} in recommend: {recommend}"
        seen = {"seen": "inside", "text": str(recommend)}
        raise NotCertain("field_stuffing", message, **seen) from doubt
    for draft in inner:
        if outside and draft.value.get("challenges") != outside:
            message = f"recommend holds other challenges: {recommend}"
            raise NotCertain("field_stuffing", message, seen="others", text=str(recommend))
    return _add(inner, "field_stuffing")


def _read_challenges(value: Any) -> tuple[list[Any], frozenset[str]]:
    """The list of challenges, from a list, from its text, or from lines."""
    repairs: set[str] = set()
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value, strict=False)
        except ValueError as error:
            message = f"challenges is text: {quote(value)}"
            raise NotCertain("not_an_answer", message, seen="text", text=value) from error
        repairs.add("json_in_string")
    if not value or isinstance(value, str):
        return [], frozenset(repairs)
    if not isinstance(value, list):
        raise NotCertain("not_an_answer", "challenges is not a list", seen="no_items")
    items = [_read_challenge(item, repairs) for item in value]
    return items, frozenset(repairs)


def _read_challenge(item: Any, repairs: set[str]) -> Any:
    if isinstance(item, str):
        repairs.add("challenge_as_text")
        if item.strip().startswith("{"):
            try:
                return _read_challenge(json.loads(item, strict=False), repairs)
            except ValueError as error:
                message = f"a challenge is text: {item}"
                raise NotCertain("not_an_answer", message, seen="text", text=item) from error
        title, description = split_challenge(item.strip())
        return {"title": title, "description": description}
    if isinstance(item, dict) and set(item) - {"title", "description"} & _DROPPED_KEYS:
        repairs.add("extra_key")
        return {key: text for key, text in item.items() if key not in _DROPPED_KEYS}
    return item


# Finishing: value → recommendation, its texts cleaned.


def _finish(draft: _Draft, text: str) -> Repaired:
    try:
        checked = from_dict(draft.value)
    except RecommendationError as error:
        return _refuse(error.code, str(error), **error.values)
    cleaner = Cleaner(draft.repairs)
    answer = cleaner.clean_answer(checked)
    if answer != checked:
        try:
            from_dict(to_dict(answer))
        except RecommendationError as error:  # cleaning has emptied a field
            return _refuse(error.code, str(error), **error.values)
    if not cleaner.repairs and canonical(answer) != text:
        cleaner.repairs.add("spacing")
    return Repaired(answer, tuple(sorted(cleaner.repairs)), tuple(cleaner.flags))
