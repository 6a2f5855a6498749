"""The OpenAPI description of the routes, with examples, and a page that shows it without any file
from outside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from itertools import chain
from typing import Any, Final

from chatbot.themes import FIELDS
from chatbot.wire import DONE_MESSAGE, MAX_SESSION, MIN_MESSAGE, TOKEN_MESSAGE
from feedback_store.text import MAX_MESSAGE

_ANSWER: Final = {
    "status": 200,
    "message": DONE_MESSAGE,
    "data": {
        "recommend": "바닷가에서는 산책하며 쓰레기를 줍는 것부터 시작해 보세요.",
        "challenges": [
            {"title": f"챌린지 {n}", "description": "한 문장 설명", "category": "PLOGGING"}
            for n in (1, 2, 3)
        ],
    },
}
_MISSING: Final = {
    "status": 400,
    "message": "필수 값이 없어요: location.",
    "data": None,
    "invalidFields": ["location"],
}
_TOKEN: Final = {"status": 200, "message": TOKEN_MESSAGE, "data": "바닷가에서는 "}


def _choice(field: str) -> dict[str, Any]:
    names = chain.from_iterable((o.code, o.ko, o.en, *o.aliases) for o in FIELDS[field])
    return {"type": "string", "enum": list(dict.fromkeys(names))}


_SESSION: Final = {"type": "string", "minLength": 1, "maxLength": MAX_SESSION, "pattern": r"\S"}
_SCHEMAS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "base-info": {
        "sessionId": {**_SESSION, "example": "session-1"},
        "location": {**_choice("location"), "example": "바닷가"},
        "workType": {**_choice("work_type"), "example": "영업직"},
        "category": {**_choice("category"), "example": "플로깅"},
    },
    "free-text": {
        "sessionId": {**_SESSION, "example": "session-1"},
        "message": {
            "type": "string",
            "minLength": MIN_MESSAGE,
            "maxLength": MAX_MESSAGE,
            "example": "바다 근처에서 할 만한 챌린지를 알려줘",
        },
    },
}
_ENVELOPE: Final = {
    "type": "object",
    "required": ["status", "message", "data"],
    "properties": {
        "status": {"type": "integer"},
        "message": {"type": "string"},
        "data": {"type": ["object", "null"]},
        "invalidFields": {"type": "array", "items": {"type": "string"}},
    },
}
_EVENT: Final = {  # one of the stream
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["challenge", "close", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_REASONS: Final = {
    400: "A field is missing or unknown; invalidFields names it.",
    409: "The person's data is being deleted; Retry-After says when to come again.",
    413: "The body is over 64 kB.",
    422: f"The message is under {MIN_MESSAGE} or over {MAX_MESSAGE} characters, or longer than the "
    "model can read.",
    429: "Too many answers at a time or in a minute; Retry-After says when to come again.",
    499: "The client left.",
    502: "The model gave no whole answer.",
    503: "The model is warming up or broken.",
    504: "The model went silent.",
}


def _event(name: str, content: object) -> str:
    return f"event: {name}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n"


def _responses(is_stream: bool) -> dict[int | str, dict[str, Any]]:
    media = "text/event-stream" if is_stream else "application/json"

    def describe(description: str, example: object) -> dict[str, Any]:
        schema = _EVENT if is_stream else _ENVELOPE
        return {
            "description": description,
            "content": {media: {"schema": schema, "example": example}},
        }

    whole: object = _ANSWER
    wrong: object = _MISSING
    if is_stream:
        whole = _event("challenge", _TOKEN) + _event("close", _ANSWER)
        wrong = _event("error", _MISSING)
    answers: dict[int | str, dict[str, Any]] = {200: describe("The answer.", whole)}
    for status, reason in _REASONS.items():
        answers[status] = describe(reason, wrong if status == 400 else None)
    return answers


def _operation(name: str, method: str) -> dict[str, Any]:
    fields = _SCHEMAS[name]
    title = "three choices" if name == "base-info" else "a free message"
    if method == "GET":
        extra: dict[str, Any] = {
            "parameters": [
                {"name": field, "in": "query", "required": True, "schema": schema}
                for field, schema in fields.items()
            ]
        }
        summary = f"Recommend challenges for {title}, as server-sent events"
    else:
        schema = {
            "type": "object",
            "required": list(fields),
            "properties": fields,
            "additionalProperties": False,
        }
        extra = {
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
        }
        summary = f"Recommend challenges for {title}, as one JSON answer"
    return {
        "summary": summary,
        "description": _DESCRIPTION[method],
        "responses": _responses(is_stream=method == "GET"),
        "openapi_extra": extra,
        "tags": ["recommendation"],
    }


_DESCRIPTION: Final = {
    "GET": (
        "Events: `challenge` (many) with the next piece of readable text, then exactly one "
        "`close` with the whole answer, or one `error`. Every `data` is one JSON object on one "
        "line; a keep-alive is a comment. A client that sends `Accept: text/event-stream` gets "
        "errors as an event of a 200, because a browser's EventSource hides all other bodies."
    ),
    "POST": "The same question and answer at once. Fields that are not named here are refused.",
}
BASE_INFO: Final = {method: _operation("base-info", method) for method in ("GET", "POST")}
FREE_TEXT: Final = {method: _operation("free-text", method) for method in ("GET", "POST")}
HEALTH: Final[dict[str, Any]] = {
    "summary": "Whether the model is ready, warming or degraded, and why",
    "tags": ["operation"],
}
METRICS: Final[dict[str, Any]] = {
    "summary": "Figures for Prometheus",
    "tags": ["operation"],
    "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}

_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif}"
    "main{max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "pre{overflow-x:auto;padding:.75rem;border:1px solid #8886;border-radius:.5rem}"
    "td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}"
    "code{font-size:.9em}h2{margin-top:2.5rem}"
)


def render_page(openapi: dict[str, Any]) -> str:
    """The description as plain HTML."""
    info = openapi["info"]
    parts = [f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>"]
    parts.append('<p>Machine-readable: <a href="openapi.json">openapi.json</a></p>')
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            parts += _render_operation(path, method, operation)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def _render_operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p><strong>{escape(operation['summary'])}.</strong></p>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    yield from _render_fields(operation)
    yield "<table>"
    for status, response in operation["responses"].items():
        yield f"<tr><th>{escape(str(status))}<td>{escape(response['description'])}"
    yield "</table>"
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            if content.get("example"):
                yield f"<p>Example, {escape(str(status))}:</p>{_render_example(content['example'])}"


def _render_fields(operation: dict[str, Any]) -> Iterator[str]:
    fields = {entry["name"]: entry["schema"] for entry in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        fields = content["schema"]["properties"]
    if not fields:
        return
    yield "<table>"
    for name, schema in fields.items():
        values = " · ".join(schema.get("enum", [])) or f"for example {schema.get('example')}"
        yield f"<tr><th><code>{escape(name)}</code><td>{escape(values)}"
    yield "</table>"


def _render_example(example: object) -> str:
    if not isinstance(example, str):
        example = json.dumps(example, ensure_ascii=False, indent=2)
    return f"<pre><code>{escape(example)}</code></pre>"
