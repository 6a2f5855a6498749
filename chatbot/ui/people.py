"""Who is asking: identity, role and language of the request behind a Gradio event."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from starlette.requests import Request

from chatbot.ui.i18n import t
from chatbot.ui.page import request_lang
from chatbot.ui.parts import Parts


@dataclass(frozen=True)
class Person:
    """Whoever is behind a request."""

    person_id: str
    is_admin: bool
    lang: str


def who(parts: Parts, request: gr.Request) -> Person:
    """Identity by the signed cookie, language by cookie or browser."""
    inner: Request = request.request
    person_id, is_admin = parts.identify(inner)
    lang = request_lang(inner.headers, inner.cookies, parts.settings.lang)
    return Person(person_id, is_admin, lang)


def require_admin(parts: Parts, request: gr.Request) -> Person:
    """The person, or an error on the screen when it is no admin. Every studio function calls it,
    because hiding a button hides nothing.
    """
    person = who(parts, request)
    if not person.is_admin:
        raise gr.Error(t(person.lang, "error_not_admin"), print_exception=False)
    return person
