"""What people are told about their data, and what they can do with it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from chatbot.ui.i18n import t
from chatbot.ui.icons import icon


@dataclass(frozen=True)
class PrivacyView:
    """What one person has chosen; None where nothing is asked, as in the studio."""

    lang: str
    root_path: str = ""
    retention_days: int = 30
    may_keep: bool | None = None
    may_train: bool | None = None


def describe_retention(lang: str, days: int) -> str:
    """How long chats are kept and what for, in one plain sentence or two."""
    return t(lang, "notice", days=days) if days else t(lang, "notice_forever")


def render_privacy(view: PrivacyView) -> str:
    """What belongs to the person: two consents, take it along, or have it forgotten."""
    lang = view.lang
    switches = ""
    if view.may_keep is not None and view.may_train is not None:
        text = t(lang, "my_keep", days=view.retention_days or 30)
        if view.retention_days:
            switches = _render_switch("keep", text, is_on=view.may_keep)
        switches += _render_switch("train", t(lang, "my_train"), is_on=view.may_train)
    return (
        f'<details class="eco-privacy"><summary>{t(lang, "my_data")}</summary>'
        f"<p>{t(lang, 'my_data_text')}</p>{switches}"
        f'<a class="eco-button" id="my-data-export" href="{escape(view.root_path)}/ui/my-data" '
        f"download>{icon('download')}<span>{t(lang, 'my_data_export')}</span></a>"
        f'<button type="button" class="eco-button" id="my-data-delete" data-action="forget" '
        f'data-confirm="{t(lang, "my_data_confirm")}">{icon("trash")}'
        f"<span>{t(lang, 'my_data_delete')}</span></button></details>"
    )


def _render_switch(kind: str, text: str, *, is_on: bool) -> str:
    checked = " checked" if is_on else ""
    return (
        f'<label class="eco-consent"><input type="checkbox" id="my-{kind}" data-action="consent" '
        f'data-kind="{kind}"{checked}><span>{text}</span></label>'
    )
