"""The words of the wire contract: what clients send, and the envelopes and events they get."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chatbot.errors import ChatError
from chatbot.recommendation import Recommendation
from chatbot.themes import BaseInfo, UnknownOption, find_option
from chatbot.turn_events import Failed
from feedback_store.text import MAX_MESSAGE, clean_text

TOKEN_MESSAGE: Final = "토큰 생성"
DONE_MESSAGE: Final = "모든 챌린지 추천 완료"
MIN_MESSAGE: Final = 5  # characters of a free-text message
MAX_SESSION: Final = 200  # characters

_FIELDS: Final = {"location": "location", "workType": "work_type", "category": "category"}
BASE_INFO_FIELDS: Final = ("sessionId", *_FIELDS)
FREE_TEXT_FIELDS: Final = ("sessionId", "message")

_RETRY: Final = "잠시 뒤 다시 시도해 주세요."
_SENTENCES: Final[dict[str, tuple[int, str]]] = {
    "empty_message": (422, f"메시지를 {MIN_MESSAGE}자 이상 입력해 주세요."),
    "too_long": (422, f"메시지가 너무 길어요. {MAX_MESSAGE:,}자 이하로 줄여 주세요."),
    "too_long_for_model": (
        422,
        "메시지가 이 모델이 읽을 수 있는 길이보다 길어요. 조금 줄여서 다시 보내 주세요.",
    ),
    "unknown_option": (400, "선택할 수 없는 값이 있어요."),
    "not_found": (404, "대화를 찾을 수 없어요. 새로 시작해 주세요."),
    "not_yours": (403, "다른 사람의 대화예요."),
    "engine_not_ready": (503, f"모델을 준비하고 있어요. {_RETRY}"),
    "not_ready": (503, f"모델을 준비하고 있어요. {_RETRY}"),
    "shutting_down": (503, f"서버를 다시 시작하고 있어요. {_RETRY}"),
    "one_at_a_time": (429, "앞선 답변을 아직 쓰고 있어요. 끝난 뒤 다시 시도해 주세요."),
    "too_fast": (429, f"요청이 너무 잦아요. {_RETRY}"),
    "busy": (429, f"지금 이용자가 많아요. {_RETRY}"),
    "forgotten": (409, f"데이터를 지우고 있어서 답변을 멈췄어요. {_RETRY}"),
    "truncated": (502, "답변이 중간에 잘렸어요. 다시 시도해 주세요."),
    "refused": (502, "모델이 이 요청에 답하지 못했어요. 다르게 적어 주세요."),
    "timed_out": (504, f"모델의 응답이 멈췄어요. {_RETRY}"),
    "empty_answer": (502, "모델이 빈 답변을 보냈어요. 다시 시도해 주세요."),
    "unreadable": (502, "답변을 챌린지로 정리하지 못했어요. 다시 시도해 주세요."),
}
_OTHERWISE: Final = (503, f"답변을 만들지 못했어요. {_RETRY}")
# JSON leaves these as they are, but some clients break lines at them.
_LINE_BREAKS: Final = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}


@dataclass(frozen=True)
class Refusal(Exception):
    """An error as the client gets it."""

    status: int
    message: str
    invalid_fields: tuple[str, ...] = ()
    retry_after_s: float | None = None

    def envelope(self) -> dict[str, Any]:
        """The JSON object of it."""
        content: dict[str, Any] = {"status": self.status, "message": self.message, "data": None}
        if self.invalid_fields:
            content["invalidFields"] = list(self.invalid_fields)
        return content

    def headers(self) -> dict[str, str]:
        """When to come again, if that is known."""
        if self.retry_after_s is None:
            return {}
        return {"retry-after": str(math.ceil(self.retry_after_s))}


def refuse(error: ChatError | Failed) -> Refusal:
    """The refusal for a turn that was not begun, or that failed."""
    status, message = _SENTENCES.get(error.code, _OTHERWISE)
    if isinstance(error, Failed):
        fields = ("message",) if error.code == "too_long_for_model" else ()
        return Refusal(status, message, fields)
    fields = ("message",) if error.field == "text" else ()
    return Refusal(status, message, fields, error.retry_after_s)


def unreadable() -> Refusal:
    """The refusal for an answer that is no recommendation."""
    return Refusal(*_SENTENCES["unreadable"])


def read_session(fields: Mapping[str, Any]) -> str:
    """The clean sessionId of fields that were checked."""
    return clean_text(str(fields["sessionId"])).strip()


def read_base_info(fields: Mapping[str, Any]) -> BaseInfo:
    """The codes of the three choices; raises Refusal that names every missing or unknown one."""
    codes: dict[str, str] = {}
    unknown: list[str] = []
    missing = _find_missing(fields, BASE_INFO_FIELDS)
    for name, field in _FIELDS.items():
        try:
            codes[field] = find_option(field, clean_text(str(fields.get(name, "")))).code
        except UnknownOption:
            unknown.append(name)
    wrong = [name for name in BASE_INFO_FIELDS if name in missing or name in unknown]
    if missing:
        raise Refusal(400, f"필수 값이 없어요: {', '.join(missing)}.", tuple(wrong))
    if wrong:
        raise Refusal(400, f"선택할 수 없는 값이에요: {', '.join(wrong)}.", tuple(wrong))
    return BaseInfo(**codes)


def read_message(fields: Mapping[str, Any]) -> str:
    """The free text; raises Refusal when it is missing or too short."""
    missing = [name for name in _find_missing(fields, FREE_TEXT_FIELDS) if name != "message"]
    if not isinstance(fields.get("message"), str):
        missing.append("message")
    if missing:
        raise Refusal(400, f"필수 값이 없어요: {', '.join(missing)}.", tuple(missing))
    message = str(fields["message"])
    if len(message) <= 2 * MAX_MESSAGE and len(clean_text(message).strip()) < MIN_MESSAGE:
        raise Refusal(*_SENTENCES["empty_message"], ("message",))
    return message


def _find_missing(fields: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Names without a usable value, in order."""
    return [
        name
        for name in names
        if not _is_usable(str(fields[name]) if _is_number(fields, name) else fields.get(name))
        or (name == "sessionId" and len(str(fields[name])) > MAX_SESSION)
    ]


def _is_usable(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(fields: Mapping[str, Any], name: str) -> bool:
    """Whether it is a sessionId that came as a number, as some clients send it."""
    value = fields.get(name)
    return name == "sessionId" and isinstance(value, int) and not isinstance(value, bool)


def read_body(body: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of a body; raises Refusal for anything else and for unknown fields."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "본문이 올바른 JSON이 아니에요.", ("body",)) from error
    if not isinstance(fields, dict):
        raise Refusal(400, "본문은 JSON 객체여야 해요.", ("body",))
    unknown = tuple(clean_text(str(name))[:MAX_SESSION] for name in fields if name not in names)
    if unknown:
        raise Refusal(400, f"알 수 없는 필드예요: {', '.join(unknown[:5])}.", unknown)
    return fields


def to_envelope(recommendation: Recommendation, category: str) -> dict[str, Any]:
    """The envelope of a whole answer."""
    challenges = [
        {"title": entry.title, "description": entry.description, "category": category}
        for entry in recommendation.challenges
    ]
    data = {"recommend": recommendation.recommend, "challenges": challenges}
    return {"status": 200, "message": DONE_MESSAGE, "data": data}


def to_token(piece: str) -> dict[str, Any]:
    """The envelope of the next piece of readable text."""
    return {"status": 200, "message": TOKEN_MESSAGE, "data": piece}


def to_json(content: dict[str, Any]) -> str:
    """JSON on one line, whatever a client takes for a line break."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_LINE_BREAKS)


def to_event(name: str, content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {to_json(content)}\n\n".encode("utf-8", "replace")
