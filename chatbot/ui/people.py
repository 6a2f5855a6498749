"""Who is asking: identity, role and language of the request behind a Gradio event; and which role
each event function needs.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Literal, TypeVar

import gradio as gr
from starlette.requests import Request

from chatbot.identity import Role
from chatbot.ui.blocks import refusal
from chatbot.ui.i18n import t
from chatbot.ui.page import request_lang
from chatbot.ui.parts import Parts

Needed = Literal["chatter", "curator", "admin"]
Function = TypeVar("Function", bound=Callable[..., Any])

_MARK: Final = "needed_role"


@dataclass(frozen=True)
class Person:
    """Whoever is behind a request; role is None for a chatter."""

    person_id: str
    role: Role | None
    lang: str

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return self.role == "admin"


def who(parts: Parts, request: gr.Request) -> Person:
    """Identity by the signed cookie, language by cookie or browser."""
    inner: Request = request.request
    person_id, role = parts.identify(inner)
    lang = request_lang(inner.headers, inner.cookies, parts.settings.lang)
    return Person(person_id, role, lang)


def require_curator(parts: Parts, request: gr.Request) -> Person:
    """The person, or an error on the screen when they have no role. Every studio function calls
    this or require_admin, because hiding a button hides nothing.
    """
    person = who(parts, request)
    if person.role is None:
        raise refusal(person.lang, t(person.lang, "error_not_admin"))
    return person


def require_admin(parts: Parts, request: gr.Request) -> Person:
    """The person, or an error on the screen when it is no admin."""
    person = require_curator(parts, request)
    if not person.is_admin:
        parts.store.record(person.person_id, "refused", "needs an admin")
        raise refusal(person.lang, t(person.lang, "error_only_admin"))
    return person


def needs(role: Needed) -> Callable[[Function], Function]:
    """Declare which role an event function needs. A page whose event declares none does not
    start, and a test calls every event as everybody below its role. In the studio, "chatter" means
    whoever may enter it.
    """

    def declare(function: Function) -> Function:
        if inspect.isasyncgenfunction(function):
            function = _keep_outputs(function)
        setattr(function, _MARK, role)
        return function

    return declare


def _keep_outputs(function: Any) -> Any:
    """Gradio empties every output of a generator that says nothing: let it say "as it was"."""

    @wraps(function)
    async def run(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        has_spoken = False
        async for updates in function(*arguments, **named):
            has_spoken = True
            yield updates
        if not has_spoken:
            yield gr.skip()

    return run


def needed_role(function: Callable[..., Any]) -> Needed | None:
    """What the function declares."""
    role: Needed | None = getattr(function, _MARK, None)
    return role


def check_declared(demo: gr.Blocks, *, is_studio: bool) -> None:
    """Raise RuntimeError for an event that declares no role, or that has no place on this page."""
    for event in demo.fns.values():
        if event.fn is None:
            continue
        role = needed_role(event.fn)
        name = getattr(event.fn, "__qualname__", repr(event.fn))
        if role is None:
            raise RuntimeError(f"{name} declares no role: decorate it with @needs(...).")
        if role != "chatter" and not is_studio:
            raise RuntimeError(f"{name} needs a {role} and stands on the public page.")
