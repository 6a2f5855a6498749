"""The audit log as HTML and as CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from chatbot.route_path import STUDIO_PREFIX
from chatbot.ui.event_view import Reader, describe_actor, describe_reason
from chatbot.ui.i18n import TEXTS, t
from chatbot.ui.icons import icon
from feedback_store.csv_text import to_csv
from feedback_store.records import AuditEntry

CSV_PATH: Final = f"{STUDIO_PREFIX}/log.csv"
_HEADER: Final = ("time", "who", "name", "what", "on what", "detail")
_MAX_SHOWN: Final = 160  # characters of the detail on the screen
# What the application wrote itself is translated; names of files, versions and people stay.
_WORDS: Final = (
    (re.compile(r"example (\d+)"), "log_of_example"),
    (re.compile(r"(\d+) examples"), "log_of_examples"),
    (re.compile(r"(\d+) entries"), "log_of_entries"),
    (re.compile(r"(\d+) chats"), "log_of_chats"),
    (re.compile(r"goes on with (.+)"), "log_of_resumed"),
    (re.compile(r"needs an admin"), "log_of_admin"),
    (re.compile(r"base model"), "base_model"),
)


def render_log(
    entries: Sequence[AuditEntry], reader: Reader, lang: str, root: str, *, has_more: bool
) -> str:
    """The newest entries as a table, with the way to all of them."""
    if not entries:
        return f'<p class="eco-empty">{t(lang, "log_empty")}</p>'
    rows = "".join(_render_row(entry, reader, lang) for entry in entries)
    heads = "".join(f"<th>{t(lang, f'log_{name}')}</th>" for name in ("when", "who", "what"))
    more = ""
    if has_more:
        more = (
            f'<button type="button" class="eco-button" id="log-more" data-action="more" '
            f'data-before="{entries[-1].entry_id}">{t(lang, "log_more")}</button>'
        )
    return (
        f'<div class="eco-log-head"><p>{t(lang, "log_text")}</p>'
        f'<a class="eco-button" id="log-csv" href="{escape(root)}{CSV_PATH}" download>'
        f"{icon('download')}<span>{t(lang, 'log_csv')}</span></a></div>"
        f'<table class="eco-table" id="log-table"><thead><tr>{heads}'
        f"<th>{t(lang, 'log_target')}</th></tr></thead><tbody>{rows}</tbody></table>{more}"
    )


def _render_row(entry: AuditEntry, reader: Reader, lang: str) -> str:
    time = f"{entry.created_at[:10]} {entry.created_at[11:19]}"
    who = describe_actor(entry.actor, lang, reader)
    action = TEXTS[lang].get(f"log_do_{entry.action.replace(' ', '_')}", entry.action)
    detail = _describe(entry, lang)[:_MAX_SHOWN]
    return (
        f'<tr data-action-name="{escape(entry.action)}"><td><time datetime="'
        f'{escape(entry.created_at)}">{escape(time)}</time></td>'
        f'<td title="{escape(entry.actor)}">{escape(who)}</td><td>{escape(action)}</td>'
        f"<td>{escape(_translate(entry.target, lang))}"
        f'<small class="eco-muted">{escape(detail)}</small></td></tr>'
    )


def _translate(text: str, lang: str) -> str:
    """On what it was done, or how much of it, in the language of the reader."""
    for pattern, key in _WORDS:
        if found := pattern.fullmatch(text):
            return t(lang, key, what="".join(found.groups()))
    return text


def _describe(entry: AuditEntry, lang: str) -> str:
    """What is worth showing of the detail; all of it is in the CSV."""
    shown = {key: str(value) for key, value in entry.detail.items() if value and key != "ids"}
    if "role" in shown:
        shown["role"] = TEXTS[lang].get(f"role_{shown['role']}", shown["role"])
    return " · ".join(describe_reason(_translate(v, lang), lang) for v in shown.values())


def render_csv(entries: Sequence[AuditEntry], names: Mapping[str, str]) -> str:
    """All entries for a spreadsheet."""
    return to_csv(
        _HEADER,
        (
            (
                entry.created_at,
                entry.actor,
                names.get(entry.actor, ""),
                entry.action,
                entry.target,
                json.dumps(entry.detail, ensure_ascii=False),
            )
            for entry in entries
        ),
    )
