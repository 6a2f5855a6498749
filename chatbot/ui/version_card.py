"""One adapter version as HTML: its figures, its verdict, what it was made from, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from chatbot.ui.compare_view import (
    is_same_engine,
    render_answers,
    render_diff,
    render_other_engine,
)
from chatbot.ui.event_view import NOBODY, Reader, describe_actor, describe_why, render_time
from chatbot.ui.failures_view import render_failures
from chatbot.ui.i18n import t
from chatbot.ui.trial_view import render_trial_form
from chatbot.ui.verdict_view import (
    render_headlines,
    render_metrics_table,
    render_verdict,
    render_verdict_tag,
)
from feedback_store.records import Adapter, AliasEvent
from finetune.version_diff import VersionDiff


@dataclass(frozen=True)
class VersionCard:
    """A version beside the one before it ("" is the base model). is_waiting: it is production, but
    cannot be served now.
    """

    adapter: Adapter
    is_production: bool = False
    is_waiting: bool = False
    is_on_trial: bool = False
    is_way_back: bool = False
    can_start_trial: bool = False
    before: str = ""
    before_report: Mapping[str, Any] = field(default_factory=dict)
    diff: VersionDiff | None = None
    promotion: AliasEvent | None = None

    @property
    def is_answering(self) -> bool:
        """Whether people talk with it now."""
        return self.is_production and not self.is_waiting

    @property
    def is_comparable(self) -> bool:
        """Whether the engine that answered was the same in both reports."""
        return is_same_engine(self.before_report, self.adapter.report)


def render_card(card: VersionCard, lang: str, reader: Reader = NOBODY) -> str:
    """Everything of one version."""
    adapter = card.adapter
    live = " eco-version-live" if card.is_answering else ""
    version = escape(adapter.version)
    return (
        f'<article class="eco-box eco-version{live}" id="version-{version}" '
        f'data-version="{version}" data-state="{adapter.state}"><div class="eco-origin">'
        f"<h3>{version}</h3>{_render_tags(card, lang)}"
        f"{render_time(adapter.created_at)}</div>"
        f"{render_headlines(adapter.report, _find_earlier(card), lang)}"
        f"{_render_against(card, lang)}{render_verdict(adapter.verdict, lang)}"
        f"{_render_promotion(card.promotion, lang, reader)}{_render_details(card, lang)}"
        f"{_render_buttons(card, lang)}</article>"
    )


def _render_tags(card: VersionCard, lang: str) -> str:
    tags = [render_verdict_tag(card.adapter.verdict, lang)]
    if card.is_answering:
        tags.insert(0, f'<span class="eco-tag eco-tag-live">{t(lang, "current")}</span>')
    elif card.is_production:
        tags.insert(0, f'<span class="eco-tag eco-tag-warn">{t(lang, "waits")}</span>')
    if card.is_on_trial:
        tags.insert(0, f'<span class="eco-tag eco-tag-warn">{t(lang, "on_trial")}</span>')
    if card.adapter.state == "retired":
        tags.append(f'<span class="eco-tag">{t(lang, "retired")}</span>')
    return "".join(tags)


def _find_earlier(card: VersionCard) -> Mapping[str, Any]:
    """What the changes are counted from; nothing where they could be the engine's."""
    return card.before_report if card.is_comparable else {}


def _render_against(card: VersionCard, lang: str) -> str:
    name = card.before or t(lang, "base_model")
    has_both = bool(card.before_report.get("metrics")) and bool(card.adapter.report.get("metrics"))
    against = ""
    if has_both and card.is_comparable:
        against = f'<p class="eco-muted eco-small">{t(lang, "against", version=escape(name))}</p>'
    elif has_both:
        against = render_other_engine(lang)
    return against + (render_diff(card.diff, lang) if card.diff else "")


def _render_promotion(event: AliasEvent | None, lang: str, reader: Reader) -> str:
    if event is None:
        return ""
    values = {
        "date": render_time(event.created_at),
        "actor": escape(describe_actor(event.actor, lang, reader)),
        "reason": escape(describe_why(event, lang)),
    }
    return f'<p class="eco-small eco-promotion">{t(lang, "promoted_by", **values)}</p>'


def _render_details(card: VersionCard, lang: str) -> str:
    report = card.adapter.report
    names = (card.before or t(lang, "base_model"), card.adapter.version)
    details = render_metrics_table(report, _find_earlier(card), lang)
    details += render_failures(report, lang)
    details += render_answers(card.before_report, report, names, lang)
    if not details:
        return ""
    return f"<details><summary>{t(lang, 'all_figures')}</summary>{details}</details>"


def _render_buttons(card: VersionCard, lang: str) -> str:
    adapter = card.adapter
    version = escape(adapter.version)
    ways = ""
    if not card.is_production and adapter.state != "retired":
        ways = _render_ways(card, version, lang)
    export = (
        f'<button type="button" class="eco-button eco-quiet" id="adapter-export-{version}" '
        f'data-action="export" data-version="{version}">{t(lang, "export_adapter")}</button>'
    )
    retire = _render_retire(card, version, lang)
    return f'<div class="eco-decide">{ways}<span class="eco-aside">{export}{retire}</span></div>'


def _render_ways(card: VersionCard, version: str, lang: str) -> str:
    if card.adapter.state != "passed":
        return _render_override(version, lang)
    promote = (
        f'<button type="button" class="eco-button" id="adapter-promote-{version}" '
        f'data-action="promote" data-version="{version}">{t(lang, "promote")}</button>'
    )
    return promote + (render_trial_form(version, lang) if card.can_start_trial else "")


def _render_retire(card: VersionCard, version: str, lang: str) -> str:
    is_in_use = card.is_production or card.is_on_trial or card.is_way_back
    if is_in_use or card.adapter.state == "retired":
        return ""
    question = t(lang, "retire_confirm", version=version)
    return (
        f'<button type="button" class="eco-button eco-quiet" id="adapter-retire-{version}" '
        f'data-action="retire" data-version="{version}" data-confirm="{question}">'
        f"{t(lang, 'retire')}</button>"
    )


def _render_override(version: str, lang: str) -> str:
    return (
        f'<details class="eco-override"><summary>{t(lang, "override")}</summary>'
        f'<form data-action="override" data-version="{version}"><label class="eco-field">'
        f"<span>{t(lang, 'override_reason')}</span>"
        f'<textarea name="reason" id="adapter-reason-{version}" rows="1" required minlength="8" '
        f'maxlength="500"></textarea></label><button type="submit" class="eco-button" '
        f'id="adapter-override-{version}">{t(lang, "override_send")}</button></form></details>'
    )
