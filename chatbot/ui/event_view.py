"""What happened to the versions, as HTML: every move of an alias, who made it and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
_TRIAL_POINTLESS: Final = "; begin a new trial against it."
_COUNTS: Final = re.compile(r": (\d+) of (\d+)")
_OVERRIDE: Final = "override: "
_PERSON: Final = "p_"  # the ids of people begin so
_CODE_CHARS: Final = 4


def render_time(at: str) -> str:
    """A moment; the page shows it in local time."""
    return f'<time datetime="{escape(at)}">{escape(at[:16].replace("T", " "))}</time>'


@dataclass(frozen=True)
class Reader:
    """Who looks, and the names that others gave when they logged in: id → name."""

    person_id: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


NOBODY: Final = Reader()


def describe_actor(actor: str, lang: str, reader: Reader = NOBODY) -> str:
    """Who it was: whoever looks as "me", a part of the application and a person by their name,
    and a person without one by a piece of the id that tells them from others.
    """
    if actor and actor == reader.person_id:
        return t(lang, "actor_me")
    known = reader.names.get(actor) or TEXTS[lang].get(f"actor_{actor.replace(' ', '_')}")
    if known:
        return known
    if actor.startswith(_PERSON):
        return t(lang, "actor_other", code=actor.removeprefix(_PERSON)[:_CODE_CHARS])
    return actor


def describe_reason(reason: str, lang: str) -> str:
    """Why it was, in the language of the reader where the application wrote it."""
    if reason.startswith(_OVERRIDE):
        own = describe_reason(reason.removeprefix(_OVERRIDE), lang)
        return t(lang, "event_override", reason=own)
    for start, key in _REASONS.items():
        if reason.startswith(start):
            counts = " · ".join(f"{likes}/{of}" for likes, of in _COUNTS.findall(reason))
            return t(lang, key) + (f" ({counts})" if counts and "people" in key else "")
    return t(lang, "event_trial_pointless") if reason.endswith(_TRIAL_POINTLESS) else reason


def describe_why(event: AliasEvent, lang: str) -> str:
    """Why it was; a check that put a version aside says so, its own words are in the log."""
    if event.actor == "reconcile":
        return t(lang, "event_unserved")
    return describe_reason(event.reason, lang)


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


def render_events(events: Sequence[AliasEvent], lang: str, reader: Reader = NOBODY) -> str:
    """The newest first."""
    if not events:
        return ""
    items = "".join(
        f'<li data-alias="{escape(event.alias)}">{render_time(event.created_at)}'
        f"<span><b>{_describe_move(event, lang)}</b> "
        f"{escape(describe_why(event, lang))}</span>"
        f'<span class="eco-muted">{escape(describe_actor(event.actor, lang, reader))}</span></li>'
        for event in events
    )
    return (
        f'<section class="eco-box"><h2>{t(lang, "events")}</h2>'
        f'<ul class="eco-events" id="adapter-events">{items}</ul></section>'
    )
