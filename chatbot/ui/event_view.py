"""What happened to the versions, as HTML: every move of an alias, who made it and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from chatbot.ui.i18n import TEXTS, t
from feedback_store.records import AliasEvent

# What the application wrote itself is translated; what a person wrote stays.
_REASONS: Final = {
    "passed the gate": "event_passed",
    "rolled back": "event_rolled_back",
    "promoted by hand": "event_by_hand",
    "promoted by command": "event_by_command",
    "by command": "event_by_command",
    "It is production now": "event_now_production",
    "trial begun by hand": "event_trial_by_hand",
    "trial ended by hand": "event_trial_by_hand",
    "People like it less": "event_people_less",
    "People like it more": "event_people_more",
}
_COUNTS: Final = re.compile(r": (\d+) of (\d+)")
_OVERRIDE: Final = "override: "


def render_time(at: str) -> str:
    """A moment; the page shows it in local time."""
    return f'<time datetime="{escape(at)}">{escape(at[:16].replace("T", " "))}</time>'


def describe_actor(actor: str, lang: str) -> str:
    """Who it was: a part of the application by its name, a person by the beginning of the id."""
    known = TEXTS[lang].get(f"actor_{actor.replace(' ', '_')}")
    return known or (actor if len(actor) <= 12 else f"{actor[:10]}…")


def describe_reason(reason: str, lang: str) -> str:
    """Why it was, in the language of the reader where the application wrote it."""
    if reason.startswith(_OVERRIDE):
        own = describe_reason(reason.removeprefix(_OVERRIDE), lang)
        return t(lang, "event_override", reason=own)
    for start, key in _REASONS.items():
        if reason.startswith(start):
            counts = " · ".join(f"{likes}/{of}" for likes, of in _COUNTS.findall(reason))
            return t(lang, key) + (f" ({counts})" if counts and "people" in key else "")
    return reason


def _describe_move(event: AliasEvent, lang: str) -> str:
    before, after = (
        escape(version or t(lang, "base_model"))
        for version in (event.from_version, event.to_version)
    )
    if event.alias == "production":
        return t(lang, "event_moved", before=before, after=after)
    if event.to_version is None:
        return t(lang, "event_trial_ended", version=before)
    share = f"{event.share:.0%}" if event.share else ""
    return t(lang, "event_trial_began", version=after, share=share)


def render_events(events: Sequence[AliasEvent], lang: str) -> str:
    """The newest first."""
    if not events:
        return ""
    items = "".join(
        f'<li data-alias="{escape(event.alias)}">{render_time(event.created_at)}'
        f"<span><b>{_describe_move(event, lang)}</b> "
        f"{escape(describe_reason(event.reason, lang))}</span>"
        f'<span class="eco-muted">{escape(describe_actor(event.actor, lang))}</span></li>'
        for event in events
    )
    return (
        f'<section class="eco-box"><h2>{t(lang, "events")}</h2>'
        f'<ul class="eco-events" id="adapter-events">{items}</ul></section>'
    )
