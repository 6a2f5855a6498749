"""The line on top: name, where the engine stands, language, theme."""

from __future__ import annotations

from html import escape
from typing import Any, Final

import gradio as gr

from chatbot.engines.base import EngineStatus
from chatbot.identity import Role
from chatbot.ui.blocks import SHORT, html_part
from chatbot.ui.i18n import t, wording
from chatbot.ui.icons import icon, logo
from chatbot.ui.parts import Parts, find_answering
from chatbot.ui.people import Person, needs, require_curator, who

# How soon the page asks again while the engine is not ready; half a service may last for hours.
INTERVALS_S: Final[dict[str, float]] = {"starting": 1.5, "asleep": 1.5, "degraded": 15.0}
_KINDS: Final = {
    "starting": "busy",
    "asleep": "busy",
    "ready": "good",
    "degraded": "warn",
    "failed": "bad",
    "stopped": "bad",
}


# What the application says itself is translated; a line of the engine's log stays as it is.
_DETAILS: Final = {
    "The engine is ready.": "engine_ready",
    "The engine is warming up.": "engine_starting",
    "The engine is stopped.": "engine_stopped",
    "Loading the current adapter.": "engine_loading",
    "The model sleeps while a training uses the card.": "engine_asleep",
    "The base model answers meanwhile": "engine_base_answers",
}


def describe_detail(detail: str, lang: str) -> str:
    """Where the engine stands, in the reader's language where the application wrote it."""
    for start, key in _DETAILS.items():
        if detail.startswith(start):
            return t(lang, key)
    return detail


def render_header(
    title: str,
    lang: str,
    *,
    log_out_path: str = "",
    role: Role | None = None,
    is_text: bool = False,
) -> str:
    """Name on the left, switches on the right; log_out_path where there is a login. By the role
    the style hides the tabs that are an admin's: their functions refuse everybody else, too.
    """
    tagline = t(lang, wording("tagline", is_text=is_text))
    other = "en" if lang == "ko" else "ko"
    log_out = (
        f'<form method="post" action="{escape(log_out_path)}"><button type="submit" '
        f'class="eco-icon-button" id="log-out">{t(lang, "log_out")}</button></form>'
        if log_out_path
        else ""
    )
    shown_role = (
        f'<span class="eco-tag" id="role">{t(lang, "role_curator")}</span>'
        if role == "curator"
        else ""
    )
    return (
        f'<header class="eco-header" data-role="{role or ""}">'
        f'<button type="button" class="eco-icon-button eco-side-toggle" data-ui="side" '
        f'aria-label="{t(lang, "open_talks")}">{icon("menu")}</button>'
        f'{logo(30)}<h1>{escape(title)}</h1><span class="eco-tagline">{tagline}</span>'
        f'{shown_role}<span class="eco-space"></span>'
        f'<button type="button" class="eco-icon-button" data-ui="lang" data-lang="{other}" '
        f'id="lang-switch" lang="{other}">{icon("globe")}<span>{t(lang, "switch_lang")}</span>'
        "</button>"
        f'<button type="button" class="eco-icon-button" data-ui="theme" id="theme-switch" '
        f'aria-label="{t(lang, "switch_theme")}">{icon("moon")}</button>{log_out}</header>'
    )


def render_status(
    status: EngineStatus, production: str | None, lang: str, *, shows_detail: bool
) -> str:
    """One line: ready with which version, or what is being waited for. The detail may hold a line
    of the engine's log, so it is for the studio only.
    """
    kind = _KINDS[status.state]
    sentence = t(lang, f"engine_{status.state}")
    version = production or t(lang, "base_model")
    detail = escape(f"{status.base_model} · {describe_detail(status.detail, lang)}")
    title = f' title="{detail}"' if shows_detail else ""
    shown = f"{sentence} · {version}" if status.state == "ready" else sentence
    return (
        f'<p class="eco-status eco-status-{kind}" data-state="{status.state}" role="status"'
        f'{title}><span class="eco-dot" aria-hidden="true"></span>'
        f"{escape(shown)}</p>"
    )


def look_again(status: EngineStatus) -> gr.Timer:
    """The timer as the status wants it; off once there is nothing to wait for."""
    interval_s = INTERVALS_S.get(status.state)
    return gr.Timer(interval_s, active=True) if interval_s else gr.Timer(active=False)


class Header:
    """The header and the engine's status, which is asked for only until it is ready."""

    def __init__(self, parts: Parts, *, is_studio: bool) -> None:
        self.parts = parts
        self.is_studio = is_studio
        can_log_out = is_studio and parts.settings.has_login
        self.log_out_path = f"{parts.settings.root_path}/studio/logout" if can_log_out else ""
        with gr.Row(elem_classes="eco-top"):
            self.bar = html_part("header")
            self.status = html_part("engine-status")
        self.timer = gr.Timer(INTERVALS_S["starting"], active=False)

    def wire(self, demo: gr.Blocks) -> None:
        """Fill in on load, then look again while the engine is not ready."""
        demo.load(self.on_load, outputs=[self.bar, self.status, self.timer], **SHORT)
        self.timer.tick(self.on_tick, outputs=[self.status, self.timer], **SHORT)

    @needs("chatter")
    def on_load(self, request: gr.Request) -> tuple[str, str, Any]:
        """The whole header."""
        person = self._person(request)
        lang = person.lang
        status, timer = self.on_tick(request)
        role = person.role if self.is_studio else None
        bar = render_header(
            self.parts.settings.title,
            lang,
            log_out_path=self.log_out_path,
            role=role,
            is_text=self.parts.is_text,
        )
        return bar, status, timer

    @needs("chatter")
    def on_tick(self, request: gr.Request) -> tuple[str, Any]:
        """The status only."""
        lang = self._person(request).lang
        status = self.parts.engine_status()
        answering = find_answering(self.parts.learning)
        html = render_status(status, answering, lang, shows_detail=self.is_studio)
        return html, look_again(status)

    def _person(self, request: gr.Request) -> Person:
        return require_curator(self.parts, request) if self.is_studio else who(self.parts, request)
