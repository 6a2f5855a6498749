"""The Adapters tab as HTML: what answers, what is on trial, every version as a point on one line
and as a card, and what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from chatbot.ui.compare_view import Comparison, render_comparison
from chatbot.ui.event_view import NOBODY, Reader, render_events
from chatbot.ui.i18n import TEXTS, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.trial_view import render_trial
from chatbot.ui.version_card import VersionCard, render_card
from feedback_store.records import AliasEvent
from finetune.canary import CanaryStatus
from finetune.swap import Unserved


@dataclass(frozen=True)
class AdaptersView:
    """All versions, newest first; production, if any, answers unless it waits."""

    lang: str
    cards: Sequence[VersionCard] = ()
    events: Sequence[AliasEvent] = ()
    production: str | None = None  # what should answer; None is the base
    waiting: Unserved | None = None  # why production cannot be served now, so the base answers
    previous: str | None = None  # where a roll-back leads
    can_roll_back: bool = False
    base_model: str = ""
    message: str = ""  # why something was not done
    notice: str = ""  # what was done, where people need more than a moment to read it
    trial: CanaryStatus | None = None
    comparison: Comparison | None = None
    reader: Reader = NOBODY

    @property
    def answering(self) -> str | None:
        """What answers now; None is the base."""
        return None if self.waiting else self.production


def version_name(version: str | None, lang: str) -> str:
    """The version, or "base model"."""
    return version or t(lang, "base_model")


def render_adapters(view: AdaptersView) -> str:
    """The whole tab."""
    notice = _render_notice(view.message, "eco-notice-warn", "warn") + _render_notice(
        view.notice, "eco-notice-info", "check"
    )
    cards = "".join(render_card(card, view.lang, view.reader) for card in view.cards)
    comparison = render_comparison(view.comparison, view.lang) if view.comparison else ""
    return (
        f"{_render_current(view)}{_render_waiting(view)}{notice}"
        f"{render_trial(view.trial, view.lang)}"
        f"{_render_line(view)}{comparison}"
        f'<div class="eco-versions" id="adapters-table">{cards or _render_empty(view.lang)}'
        f"{_render_base(view)}</div>{render_events(view.events, view.lang, view.reader)}"
    )


def _render_notice(text: str, kind: str, sign: str) -> str:
    if not text:
        return ""
    return f'<p class="eco-notice {kind}" role="alert">{icon(sign)}<span>{escape(text)}</span></p>'


def _render_waiting(view: AdaptersView) -> str:
    """Why the version that should answer does not."""
    if view.waiting is None:
        return ""
    lang = view.lang
    sentence = t(lang, "production_waits", version=escape(view.production or ""))
    if view.trial is not None and view.trial.trial is not None:
        sentence = f"{sentence} {t(lang, 'trial_rests')}"
    why, own = _why_waiting(view.waiting, lang), ""
    if not view.waiting.values:  # the server's own words name what ours leave out
        own = f' title="{escape(view.waiting.message)}"'
    return (
        f'<div class="eco-notice eco-notice-warn" id="adapters-waiting" role="status">'
        f'{icon("warn")}<div><p>{sentence}</p><p class="eco-small"{own}>{escape(why)}</p>'
        "</div></div>"
    )


def _why_waiting(unserved: Unserved, lang: str) -> str:
    """The cause in the reader's language, with its names where it has any."""
    template = TEXTS[lang].get(f"waits_{unserved.code}")
    if template is None or not unserved.values:
        return translate_error(lang, unserved.code, unserved.message)
    return template.format(**unserved.values)


def _render_empty(lang: str) -> str:
    return (
        f'<div class="eco-empty" id="adapters-empty">{icon("inbox")}<h3>'
        f"{t(lang, 'adapters_empty')}</h3><p>{t(lang, 'adapters_empty_text')}</p></div>"
    )


def _render_current(view: AdaptersView) -> str:
    button = ""
    if view.can_roll_back:
        target = version_name(view.previous, view.lang)
        button = (
            '<button type="button" class="eco-button" id="adapter-rollback" '
            f'data-action="rollback">{icon("back")}'
            f"<span>{t(view.lang, 'roll_back', version=escape(target))}</span></button>"
        )
    return (
        '<section class="eco-box eco-current"><div>'
        f'<p class="eco-muted">{t(view.lang, "answers_now")}</p>'
        f'<h2 id="adapter-current" data-version="{escape(view.answering or "")}">'
        f"{escape(version_name(view.answering, view.lang))}</h2></div>{button}</section>"
    )


def _render_line(view: AdaptersView) -> str:
    """All versions from the base to the newest, each with its verdict; and any two to compare."""
    if not view.cards:
        return ""
    lang = view.lang
    points = [_render_point("", "base", t(lang, "base_model"), is_live=view.answering is None)]
    for card in reversed(view.cards):
        adapter = card.adapter
        kind = "retired" if adapter.state == "retired" else adapter.verdict.get("outcome", "")
        points.append(
            _render_point(
                adapter.version,
                "trial" if card.is_on_trial else str(kind),
                adapter.version,
                is_live=card.is_answering,
            )
        )
    return (
        f'<section class="eco-box"><h2>{t(lang, "versions_line")}</h2>'
        f'<ol class="eco-line" id="adapters-line">{"".join(points)}</ol>'
        f"{_render_compare_form(view)}</section>"
    )


def _render_point(version: str, kind: str, name: str, *, is_live: bool) -> str:
    live = " eco-point-live" if is_live else ""
    return (
        f'<li class="eco-point eco-point-{escape(kind)}{live}" data-version="{escape(version)}">'
        f'<a href="#version-{escape(version or "base")}"><i></i>{escape(name)}</a></li>'
    )


def _render_compare_form(view: AdaptersView) -> str:
    lang = view.lang
    names = ["", *(card.adapter.version for card in reversed(view.cards))]
    shown = view.comparison
    left = shown.left if shown else names[-2]
    right = shown.right if shown else names[-1]

    def select(name: str, chosen: str) -> str:
        options = "".join(
            f'<option value="{escape(version)}"{" selected" if version == chosen else ""}>'
            f"{escape(version_name(version, lang))}</option>"
            for version in names
        )
        return (
            f'<label class="eco-select"><span>{t(lang, f"compare_{name}")}</span>'
            f'<select name="{name}" id="compare-{name}">{options}</select></label>'
        )

    return (
        '<form class="eco-compare-form" data-action="compare">'
        f"{select('left', left)}{select('right', right)}"
        f'<button type="submit" class="eco-button" id="compare-send">{t(lang, "compare")}</button>'
        "</form>"
    )


def _render_base(view: AdaptersView) -> str:
    is_live = view.answering is None
    tag = f'<span class="eco-tag eco-tag-live">{t(view.lang, "current")}</span>' if is_live else ""
    live = " eco-version-live" if is_live else ""
    return (
        f'<article class="eco-box eco-version{live}" id="version-base" data-version="">'
        f'<div class="eco-origin"><h3>{t(view.lang, "base_model")}</h3>{tag}'
        f'<span class="eco-muted">{escape(view.base_model)}</span></div>'
        f'<p class="eco-muted">{t(view.lang, "base_note")}</p></article>'
    )
