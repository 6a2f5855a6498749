"""One source row → prompt and answer, whatever tool wrote it: OpenAI messages, ShareGPT, Alpaca,
prompt/completion, tables with columns of any name, rendered templates, our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from chatbot.prompts import base_info_message
from chatbot.themes import FIELDS, BaseInfo, UnknownOption, detect_lang, find_option

Messages = tuple[dict[str, str], ...]

_ROLES: Final = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "사용자", "질문자"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "model", "챗봇"), "assistant"),
}
_PROMPT_KEYS: Final = (
    "prompt",
    "question",
    "query",
    "instruction",
    "input",
    "user",
    "질문",
    "입력",
)
_ANSWER_KEYS: Final = (
    *("completion", "chosen", "answer", "response", "output", "assistant", "reply", "target"),
    *("답변", "출력", "응답"),
)
_FIELD_KEYS: Final = {
    "location": ("location", "위치", "지역", "장소"),
    "work_type": ("work_type", "workType", "worktype", "직업", "근무형태", "직종"),
    "category": ("category", "카테고리", "테마"),
}
_INSTRUCTION: Final = re.compile(r"(?<!#)#{2,}+\s*+(?:Instruction|질문|지시)")
_RESPONSE: Final = re.compile(r"(?<!#)#{2,}+\s*+(?:Response|Answer|답변|응답)")
_ESCAPED_HANGUL: Final = re.compile(r"\\u(?:a[c-f]|[bc][0-9a-f]|d[0-7])[0-9a-f]{2}", re.I)
_LONGEST_LABEL: Final = 20
_NESTED_MARK: Final = re.compile(
    r"\[/?INST\]|(?<!#)#{2,}+\s*+(?:Instruction|Response|Answer|질문|답변)"
)


class RowError(ValueError):
    """The row is no training row. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


COLUMN_FIELDS: Final = ("prompt", "completion", "system", "location", "work_type", "category")


@dataclass(frozen=True)
class ColumnMapping:
    """Which column holds what; several prompt columns are joined by a blank line. Empty: none."""

    prompt: tuple[str, ...]
    completion: str
    system: str = ""
    location: str = ""
    work_type: str = ""
    category: str = ""


def read_columns(pairs: Sequence[str]) -> ColumnMapping:
    """A mapping written as field=column, such as prompt=질문 completion=답; prompt may come again.
    Raises RowError.
    """
    found: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or name not in COLUMN_FIELDS or not column:
            raise RowError(
                "bad_columns",
                f"{pair!r} names no column. Write field=column, with a field of "
                f"{', '.join(COLUMN_FIELDS)}.",
            )
        found.setdefault(name, []).append(column)
    twice = [name for name, columns in found.items() if len(columns) > 1 and name != "prompt"]
    if twice:
        raise RowError("bad_columns", f"{twice[0]} was given {len(found[twice[0]])} columns.")
    if "completion" not in found:
        raise RowError("bad_columns", "The column of the answer is missing: completion=COLUMN.")
    rest = {name: columns[0] for name, columns in found.items() if name != "prompt"}
    return ColumnMapping(prompt=tuple(found.get("prompt", ())), **rest)


@dataclass(frozen=True)
class RowParts:
    """What a row says: the prompt's messages, the answer as it stands, and what else was named."""

    kind: str
    messages: Messages
    answer: str
    rejected: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # location, work_type, category


def _to_text(value: Any) -> str:
    """Text of a cell; a list of content blocks is joined, other JSON is written out."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_is_block(item) for item in value):
        return "\n".join(item["text"] for item in value)
    return json.dumps(value, ensure_ascii=False)


def _is_block(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("text"), str)


def _read_messages(items: Any, role_key: str, text_key: str) -> Messages:
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise RowError("bad_messages", "The conversation is not a list of messages.")
    messages = []
    for item in items:
        role = _ROLES.get(str(item.get(role_key, "")).lower()) if isinstance(item, dict) else None
        if role is None:
            named = item.get(role_key) if isinstance(item, dict) else item
            raise RowError("unknown_role", f"A message has the unknown role {str(named)[:40]!r}.")
        messages.append({"role": role, "content": _to_text(item.get(text_key))})
    return tuple(messages)


def _split_answer(kind: str, messages: Messages) -> RowParts:
    if not messages or messages[-1]["role"] != "assistant":
        raise RowError("no_answer", "The conversation does not end with an answer.")
    return RowParts(kind, messages[:-1], messages[-1]["content"])


def _prompt_messages(prompt: Any, system: Any = "") -> Messages:
    """A prompt given as text or as messages."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict):
        return _read_messages(prompt, "role", "content")
    messages = [{"role": "user", "content": _to_text(prompt)}]
    if _to_text(system).strip():
        messages.insert(0, {"role": "system", "content": _to_text(system)})
    return tuple(messages)


def _answer_text(value: Any) -> str:
    """An answer given as text, as JSON, or as a list with one assistant message."""
    is_single = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
    if is_single and value[0].get("role") == "assistant":
        return _to_text(value[0].get("content"))
    return _to_text(value)


def _map_messages(row: Mapping[str, Any]) -> RowParts | None:
    for key, kind, role, text in (
        ("messages", "openai", "role", "content"),
        ("conversations", "sharegpt", "from", "value"),
        ("conversation", "sharegpt", "from", "value"),
    ):
        items = row.get(key)
        if not isinstance(items, list):
            continue
        if items and isinstance(items[0], dict) and role not in items[0]:
            role, text = ("role", "content") if role == "from" else ("from", "value")
        return _split_answer(kind, _read_messages(items, role, text))
    return None


def _map_alpaca(row: Mapping[str, Any]) -> RowParts | None:
    if "instruction" not in row or "output" not in row:
        return None
    parts = [_to_text(row["instruction"]).strip(), _to_text(row.get("input")).strip()]
    messages = list(_prompt_messages("\n\n".join(filter(None, parts)), row.get("system")))
    pairs = row.get("history")
    for question, answer in reversed(pairs if isinstance(pairs, list) else []):
        at = 1 if messages[0]["role"] == "system" else 0
        messages[at:at] = [
            {"role": "user", "content": _to_text(question)},
            {"role": "assistant", "content": _to_text(answer)},
        ]
    return RowParts("alpaca", tuple(messages), _answer_text(row["output"]))


def _map_recommendation(row: Mapping[str, Any]) -> RowParts | None:
    """The answer's own fields as columns, beside the prompt or the three choices."""
    if "recommend" not in row or "challenges" not in row:
        return None
    parts = {"recommend": row["recommend"], "challenges": row["challenges"]}
    answer = json.dumps(parts, ensure_ascii=False)
    prompt = next((row[key] for key in _PROMPT_KEYS if row.get(key)), "")
    return RowParts("recommendation", _prompt_messages(prompt), answer)


def _map_pair(row: Mapping[str, Any]) -> RowParts | None:
    """A prompt and an answer under one of the usual names."""
    lowered = {str(key).strip().lower(): key for key in row}
    answer_key = next((lowered[key] for key in _ANSWER_KEYS if key in lowered), None)
    prompt_key = next((lowered[key] for key in _PROMPT_KEYS if key in lowered), None)
    if answer_key is None or (prompt_key is None and not _named_options(row)):
        return None
    rejected = row.get("rejected")
    messages = _prompt_messages(row[prompt_key] if prompt_key else "", row.get("system"))
    return RowParts(
        "prompt_completion",
        messages,
        _answer_text(row[answer_key]),
        rejected=_answer_text(rejected) if rejected else None,
    )


def _split_inst(text: str) -> tuple[str, str] | None:
    """Prompt and answer of `<s>[INST] … [/INST] … </s>`."""
    rest = text.strip().removeprefix("<s>").lstrip()
    if not rest.startswith("[INST]"):
        return None
    prompt, _, answer = rest.removeprefix("[INST]").partition("[/INST]")
    return prompt.strip(), answer.strip().removesuffix("</s>").rstrip()


def _split_headings(text: str) -> tuple[str, str] | None:
    """Prompt and answer below `### Instruction` and `### Response`."""
    asked = _INSTRUCTION.search(text)
    answered = _RESPONSE.search(text, asked.end()) if asked else None
    if not asked or not answered:
        return None
    prompt = text[asked.end() : answered.start()].lstrip().removeprefix(":").strip()
    answer = text[answered.end() :].lstrip().removeprefix(":").strip()
    return prompt, answer.removesuffix("</s>").rstrip()


def _map_rendered(row: Mapping[str, Any]) -> RowParts | None:
    """A text in which a chat template was already filled in."""
    text = row.get("text")
    if not isinstance(text, str):
        return None
    for split in (_split_inst, _split_headings):
        prompt, answer = split(text) or ("", "")
        if prompt and answer and not _NESTED_MARK.search(prompt + answer):
            return RowParts("rendered", _prompt_messages(prompt), answer)
    return None


_MAPPERS: Final[tuple[Callable[[Mapping[str, Any]], RowParts | None], ...]] = (
    _map_messages,
    _map_alpaca,
    _map_recommendation,
    _map_pair,
    _map_rendered,
)


def list_columns(columns: ColumnMapping) -> list[str]:
    """Every column that a mapping names."""
    others = [getattr(columns, name) for name in COLUMN_FIELDS if name != "prompt"]
    return [name for name in (*columns.prompt, *others) if name]


def _map_columns(row: Mapping[str, Any], columns: ColumnMapping) -> RowParts:
    missing = [name for name in list_columns(columns) if name not in row]
    if missing:
        raise RowError("missing_column", f"The row has no column {', '.join(missing)}.")
    parts = [_to_text(row[name]).strip() for name in columns.prompt]
    messages = _prompt_messages("\n\n".join(filter(None, parts)), row.get(columns.system))
    named = {name: _to_text(row.get(getattr(columns, name))) for name in _FIELD_KEYS}
    return RowParts("columns", messages, _answer_text(row[columns.completion]), options=named)


def _named_options(row: Mapping[str, Any]) -> dict[str, str]:
    """Location, work type and category from their own columns, as codes."""
    found = {}
    for name, keys in _FIELD_KEYS.items():
        value = next((_to_text(row[key]) for key in keys if row.get(key)), "")
        found[name] = _to_code(name, value)
    return {name: code for name, code in found.items() if code}


@lru_cache(maxsize=4096)
def _to_code(name: str, value: str) -> str:
    try:
        return find_option(name, value).code if value else ""
    except UnknownOption:
        return ""


def read_options(text: str) -> dict[str, str]:
    """Location, work type and category that a prompt names: in its labelled lines, else the one
    option whose Korean name it uses (a name of one syllable is in too many other words).
    """
    found: dict[str, str] = {}
    parts = (line.partition(":")[2].strip() for line in text.splitlines() if ":" in line)
    labels = [part for part in parts if len(part) <= _LONGEST_LABEL]
    for name, options in FIELDS.items():
        codes = {_to_code(name, label) for label in labels} - {""}
        if not codes:
            codes = {o.code for o in options if len(o.ko) > 1 and o.ko in text}
        if len(codes) == 1:
            found[name] = codes.pop()
    return found


def _guess_lang(answer: str) -> str:
    """The language of an answer that may still be written in escapes."""
    return "ko" if _ESCAPED_HANGUL.search(answer) else detect_lang(answer)


def _fill_prompt(parts: RowParts, options: dict[str, str]) -> Messages:
    """The three choices make the prompt where none was given."""
    if any(message["content"].strip() for message in parts.messages if message["role"] == "user"):
        return parts.messages
    if set(options) != set(_FIELD_KEYS):
        raise RowError("empty_prompt", "The row has no prompt.")
    asked = base_info_message(BaseInfo(**options), _guess_lang(parts.answer))
    kept = tuple(message for message in parts.messages if message["role"] == "system")
    return (*kept, {"role": "user", "content": asked["content"]})


def map_row(value: Any, columns: ColumnMapping | None = None) -> RowParts:
    """Prompt and answer of a row; raises RowError with the reason why there are none."""
    if not isinstance(value, Mapping):
        raise RowError("not_an_object", f"The row is no object but {type(value).__name__}.")
    if columns:
        parts = _map_columns(value, columns)
        options = {name: _to_code(name, label) for name, label in parts.options.items()}
    else:
        found = next(filter(None, (mapper(value) for mapper in _MAPPERS)), None)
        if found is None:
            names = ", ".join(str(key) for key in list(value)[:12])
            raise RowError("unknown_columns", f"No prompt and answer among the columns {names}.")
        parts, options = found, _named_options(value)
    if not parts.answer.strip():
        raise RowError("empty_answer", "The row has no answer.")
    named = {name: code for name, code in options.items() if code}
    messages = _fill_prompt(parts, named)
    asked = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    return replace(parts, messages=messages, options={**read_options(asked), **named})
