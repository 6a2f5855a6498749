"""A part of a page that stays folded until it is asked for."""

from __future__ import annotations

from html import escape

from chatbot.ui.icons import icon


def render_fold(
    elem_id: str, title: str, note: str, body: str, *, is_open: bool, key: str = ""
) -> str:
    """A heading that opens and closes, what is to be known of it while closed, and its body; key
    is the letter that presses it.
    """
    shown = f'<div class="eco-fold-body">{body}</div>' if is_open else ""
    expanded = "true" if is_open else "false"
    shortcut = f' data-key="{key}" aria-keyshortcuts="{key}"' if key else ""
    hint = f"<kbd>{key.upper()}</kbd>" if key else ""
    return (
        f'<section class="eco-fold" id="{elem_id}"><h2><button type="button" data-action="fold" '
        f'aria-expanded="{expanded}" id="{elem_id}-fold"{shortcut}><span>{escape(title)}</span>'
        f"{hint}<small>{escape(note)}</small>{icon('down_arrow')}</button></h2>{shown}</section>"
    )
