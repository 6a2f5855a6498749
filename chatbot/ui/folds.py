"""A part of a page that stays folded until it is asked for."""

from __future__ import annotations

from html import escape

from chatbot.ui.icons import icon


def render_fold(
    elem_id: str,
    title: str,
    note: str,
    body: str,
    *,
    is_open: bool,
    key: str = "",
    attributes: str = "",
) -> str:
    """A heading that opens and closes, what is to be known of it while closed, and its body; key
    is the letter that presses it, attributes are further ones of its button.
    """
    shown = f'<div class="eco-fold-body">{body}</div>' if is_open else ""
    expanded = "true" if is_open else "false"
    shortcut = f' data-key="{key}" aria-keyshortcuts="{key}"' if key else ""
    hint = f"<kbd>{key.upper()}</kbd>" if key else ""
    button = (
        f'<button type="button" data-action="fold" aria-expanded="{expanded}" '
        f'id="{elem_id}-fold" data-focus-home{shortcut}{attributes}><span>{escape(title)}</span>'
        f"{hint}<small>{escape(note)}</small>{icon('down_arrow')}</button>"
    )
    return f'<section class="eco-fold" id="{elem_id}"><h2>{button}</h2>{shown}</section>'
