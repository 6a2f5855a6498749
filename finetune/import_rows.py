"""A source row → an example: encoding undone, answer repaired, prompt completed, flags set."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from chatbot.prompts import system_message
from chatbot.recommendation import canonical
from chatbot.themes import detect_lang
from feedback_store.records import NewExample
from finetune.checks import DEFAULT_CHECKS, CheckSettings, check_example
from finetune.encodings import undo_misdecoding
from finetune.hygiene import find_personal, mask_personal
from finetune.repair import Repaired, repair
from finetune.row_mapping import ColumnMapping, Messages, RowError, RowParts, map_row
from finetune.source_row import SourceRow

_EXCERPT: Final = 500  # characters of a rejected row


@dataclass(frozen=True)
class RowSettings:
    """How rows are read; columns None finds out by itself."""

    checks: CheckSettings = DEFAULT_CHECKS
    columns: ColumnMapping | None = None


@dataclass(frozen=True)
class Reject:
    """A row that is no training row, and why."""

    line: int
    code: str
    message: str
    excerpt: str
    place: str = ""  # what else finds it: the element of an array, the sheet


@dataclass(frozen=True)
class MadeExample:
    """A row that became an example, and the format it came in."""

    line: int
    example: NewExample
    kind: str
    place: str = ""


Made = MadeExample | Reject


def _group(messages: Messages) -> str:
    """The split key: rows that begin with the same question stay together."""
    first = next((m["content"] for m in messages if m["role"] == "user"), "")
    squeezed = "".join(first.casefold().split())
    return "import-" + hashlib.sha256(squeezed.encode("utf-8", "replace")).hexdigest()[:16]


def _undo(messages: Messages) -> Messages:
    return tuple({**m, "content": undo_misdecoding(m["content"])} for m in messages)


def _complete_prompt(messages: Messages, lang: str) -> Messages:
    """With the system message that the chat sends, unless the row brings its own."""
    if any(message["role"] == "system" for message in messages):
        return messages
    ours = system_message(lang)
    return ({"role": ours["role"], "content": ours["content"]}, *messages)


def _mask_prompt(messages: Messages) -> Messages:
    """Personal data masked: a curator can change an answer, but not a prompt."""
    if not any(find_personal(message["content"]) for message in messages):
        return messages
    return tuple({**m, "content": mask_personal(m["content"])} for m in messages)


def _read_answer(answer: str) -> tuple[str, Repaired]:
    """The canonical answer and what was repaired; the text itself where that is not certain."""
    repaired = repair(answer)
    if repaired.recommendation is None:
        return answer.strip(), repaired
    return canonical(repaired.recommendation), repaired


def make_example(parts: RowParts, source: str, checks: CheckSettings) -> NewExample:
    """The example of a mapped row."""
    answer, messages = undo_misdecoding(parts.answer), _undo(parts.messages)
    repairs = ["encoding"] if (answer, messages) != (parts.answer, parts.messages) else []
    completion = answer.strip()
    rejected = undo_misdecoding(parts.rejected).strip() if parts.rejected else None
    read = Repaired(None)
    masked = _mask_prompt(messages)
    if masked != messages:
        messages = masked
        repairs.append("masked_prompt")
    if checks.answer_format == "recommendation":
        completion, read = _read_answer(answer)
        messages = _complete_prompt(messages, detect_lang(completion))
        rejected = _read_answer(rejected)[0] if rejected else None
        repairs += read.repairs if read.recommendation else ()
    example = NewExample(
        source="import",
        messages=messages,
        completion=completion,
        original_text=parts.answer,
        conversation_id=_group(messages),
        person_id=f"import:{source}"[:200],
        lang=detect_lang(completion),
        location=parts.options.get("location", ""),
        work_type=parts.options.get("work_type", ""),
        category=parts.options.get("category", ""),
        repairs=tuple(repairs),
        rejected=rejected,
    )
    flags = check_example(example, checks, read.recommendation)
    return replace(example, flags=tuple(flag.to_dict() for flag in flags)) if flags else example


def _excerpt(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:_EXCERPT]
    except (ValueError, RecursionError):
        return repr(type(value))


def _make_row(row: SourceRow, source: str, settings: RowSettings) -> Made:
    if row.reason:
        return Reject(row.line, row.code, row.reason, "", row.place)
    try:
        parts = map_row(row.value, settings.columns)
    except RowError as error:
        return Reject(row.line, error.code, str(error), _excerpt(row.value), row.place)
    example = make_example(parts, source, settings.checks)
    return MadeExample(row.line, example, parts.kind, row.place)


def make_rows(rows: list[SourceRow], source: str, settings: RowSettings) -> list[Made]:
    """What becomes of some rows; runs in a worker for large files."""
    return [_make_row(row, source, settings) for row in rows]
