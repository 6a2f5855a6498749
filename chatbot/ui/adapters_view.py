"""The Adapters tab as HTML: every version with its figures and its verdict, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from chatbot.ui.diff_view import to_readable
from chatbot.ui.i18n import t
from chatbot.ui.icons import icon
from chatbot.ui.verdict_view import (
    render_headlines,
    render_metrics_table,
    render_verdict,
    render_verdict_tag,
)
from feedback_store.records import Adapter, AliasEvent, Dataset

NUM_ANSWERS: Final = 20  # answers shown side by side with those of the version before


@dataclass(frozen=True)
class AdaptersView:
    """All versions, newest first; production is None when the base model answers."""

    lang: str
    adapters: Sequence[Adapter]
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    events: Sequence[AliasEvent] = ()
    production: str | None = None
    previous: str | None = None  # where a roll-back leads
    can_roll_back: bool = False
    base_model: str = ""
    message: str = ""


def version_name(version: str | None, lang: str) -> str:
    """The version, or "base model"."""
    return version or t(lang, "base_model")


def render_adapters(view: AdaptersView) -> str:
    """The whole tab."""
    notice = (
        f'<p class="eco-notice eco-notice-warn" role="alert">{icon("warn")}'
        f"<span>{escape(view.message)}</span></p>"
        if view.message
        else ""
    )
    cards = [
        _render_adapter(view, adapter, _predecessor(view.adapters, number))
        for number, adapter in enumerate(view.adapters)
    ]
    empty = "" if cards else _render_empty(view.lang)
    return (
        f"{_render_current(view)}{notice}"
        f'<div class="eco-versions" id="adapters-table">{empty}{"".join(cards)}'
        f"{_render_base(view)}</div>{_render_events(view)}"
    )


def _predecessor(adapters: Sequence[Adapter], number: int) -> Adapter | None:
    return next((a for a in adapters[number + 1 :] if a.report), None)


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
        f'<h2 id="adapter-current" data-version="{escape(view.production or "")}">'
        f"{escape(version_name(view.production, view.lang))}</h2></div>{button}</section>"
    )


def _render_tags(view: AdaptersView, adapter: Adapter) -> str:
    tags = [render_verdict_tag(adapter.verdict, view.lang)]
    if adapter.version == view.production:
        tags.insert(0, f'<span class="eco-tag eco-tag-live">{t(view.lang, "current")}</span>')
    if adapter.state == "retired":
        tags.append(f'<span class="eco-tag">{t(view.lang, "retired")}</span>')
    dataset = view.datasets.get(adapter.dataset_id or "")
    if dataset:
        num = dataset.num_train + dataset.num_validation
        tags.append(f'<span class="eco-tag">{t(view.lang, "num_examples", num=num)}</span>')
    return "".join(tags)


def _render_promote(view: AdaptersView, adapter: Adapter) -> str:
    if adapter.version == view.production or adapter.state == "retired":
        return ""
    version = escape(adapter.version)
    if adapter.verdict.get("outcome") == "pass":
        return (
            f'<button type="button" class="eco-button" id="adapter-promote-{version}" '
            f'data-action="promote" data-version="{version}">'
            f"{t(view.lang, 'promote')}</button>"
        )
    return (
        f'<details class="eco-override"><summary>{t(view.lang, "override")}</summary>'
        f'<form data-action="override" data-version="{version}"><label class="eco-field">'
        f"<span>{t(view.lang, 'override_reason')}</span>"
        f'<textarea name="reason" id="adapter-reason-{version}" rows="1" required minlength="8" '
        f'maxlength="500"></textarea></label><button type="submit" class="eco-button" '
        f'id="adapter-override-{version}">{t(view.lang, "override_send")}</button></form></details>'
    )


def _render_adapter(view: AdaptersView, adapter: Adapter, before: Adapter | None) -> str:
    lang = view.lang
    old = before.report if before else None
    live = " eco-version-live" if adapter.version == view.production else ""
    details = render_metrics_table(adapter.report, old, lang) + _render_answers(
        adapter.report, old, lang
    )
    more = f"<details><summary>{t(lang, 'all_figures')}</summary>{details}</details>"
    against = (
        f'<p class="eco-muted eco-small">{t(lang, "against", version=escape(before.version))}</p>'
        if before and adapter.report
        else ""
    )
    return (
        f'<article class="eco-box eco-version{live}" data-version="{escape(adapter.version)}" '
        f'data-state="{adapter.state}"><div class="eco-origin"><h3>{escape(adapter.version)}</h3>'
        f"{_render_tags(view, adapter)}"
        f'<time datetime="{escape(adapter.created_at)}">{escape(adapter.created_at[:10])}</time>'
        f"</div>{render_headlines(adapter.report, old, lang)}{against}"
        f"{render_verdict(adapter.verdict, lang)}{more if details else ''}"
        f"{_render_promote(view, adapter)}</article>"
    )


def _render_answers(
    report: Mapping[str, object], before: Mapping[str, object] | None, lang: str
) -> str:
    """The same questions answered by this version and by the one before."""
    earlier = {a["answer_id"]: a["text"] for a in _answers(before)}
    rows = []
    for answer in _answers(report)[:NUM_ANSWERS]:
        old = earlier.get(answer["answer_id"])
        left = f"<td>{escape(to_readable(str(old)))}</td>" if old is not None else "<td>–</td>"
        rows.append(
            f'<tr><th scope="row">{escape(str(answer["prompt"]))}</th>{left}'
            f"<td>{escape(to_readable(str(answer['text'])))}</td></tr>"
        )
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{t(lang, key)}</th>'
        for key in ("question", "answer_before", "answer_after")
    )
    return (
        f'<div class="eco-scroll"><table class="eco-table eco-answers"><thead><tr>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _answers(report: Mapping[str, object] | None) -> list[Mapping[str, object]]:
    answers = (report or {}).get("answers") or []
    return list(answers) if isinstance(answers, list | tuple) else []


def _render_base(view: AdaptersView) -> str:
    is_live = view.production is None
    tag = f'<span class="eco-tag eco-tag-live">{t(view.lang, "current")}</span>' if is_live else ""
    live = " eco-version-live" if is_live else ""
    return (
        f'<article class="eco-box eco-version{live}" data-version=""><div class="eco-origin">'
        f"<h3>{t(view.lang, 'base_model')}</h3>{tag}"
        f'<span class="eco-muted">{escape(view.base_model)}</span></div>'
        f'<p class="eco-muted">{t(view.lang, "base_note")}</p></article>'
    )


_REASONS: Final = {
    "passed the gate": "event_passed",
    "rolled back": "event_rolled_back",
    "promoted by hand": "event_by_hand",
}


def _describe_reason(reason: str, lang: str) -> str:
    """What the application wrote itself is translated; what a person wrote stays."""
    for start, key in _REASONS.items():
        if reason.startswith(start):
            return t(lang, key)
    return reason


def _render_events(view: AdaptersView) -> str:
    if not view.events:
        return ""
    lang = view.lang
    items = []
    for event in view.events:
        moved = t(
            lang,
            "event_moved",
            before=escape(version_name(event.from_version, lang)),
            after=escape(version_name(event.to_version, lang)),
        )
        reason = _describe_reason(event.reason, lang)
        items.append(
            f'<li><time datetime="{escape(event.created_at)}">{escape(event.created_at[:16])}'
            f"</time><span><b>{moved}</b> {escape(reason)}</span>"
            f'<span class="eco-muted">{escape(event.actor)}</span></li>'
        )
    return (
        f'<section class="eco-box"><h2>{t(lang, "events")}</h2>'
        f'<ul class="eco-events" id="adapter-events">{"".join(items)}</ul></section>'
    )
