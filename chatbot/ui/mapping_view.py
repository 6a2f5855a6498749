"""The form that asks which column of a file holds what."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from chatbot.ui.event_input import read_text
from chatbot.ui.i18n import t
from chatbot.ui.icons import icon
from finetune.column_preview import ColumnPreview
from finetune.row_mapping import ColumnMapping

_FIELDS: Final = (
    "completion",
    "prompt",
    "prompt_more",
    "system",
    "location",
    "work_type",
    "category",
)


def render_mapping(name: str, preview: ColumnPreview, lang: str) -> str:
    """The first rows, and one select for each part of an example."""
    selects = "".join(_render_select(field, preview, lang) for field in _FIELDS)
    return (
        f'<form class="eco-box eco-mapping" id="curate-mapping" data-action="map">'
        f"<h3>{escape(t(lang, 'mapping_title', name=name))}</h3>"
        f'<p class="eco-muted">{t(lang, "mapping_text")}</p>{_render_rows(preview)}'
        f'<div class="eco-filter">{selects}</div><div class="eco-form-buttons">'
        f'<button type="button" class="eco-button" id="mapping-cancel" data-action="map-cancel" '
        f'data-escape="1">{t(lang, "cancel")}</button>'
        f'<button type="submit" class="eco-button eco-button-main" id="mapping-go">'
        f"{icon('check')}<span>{t(lang, 'mapping_go')}</span></button></div></form>"
    )


def _render_rows(preview: ColumnPreview) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in preview.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in preview.columns) + "</tr>"
        for row in preview.rows
    )
    return (
        f'<div class="eco-scroll" tabindex="0"><table class="eco-table"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _guessed(field: str, guess: ColumnMapping) -> str:
    if field == "prompt":
        return next(iter(guess.prompt), "")
    return "" if field == "prompt_more" else str(getattr(guess, field))


def _render_select(field: str, preview: ColumnPreview, lang: str) -> str:
    chosen = _guessed(field, preview.guess)
    names = preview.columns if field == "completion" else ("", *preview.columns)
    options = "".join(
        f'<option value="{escape(name)}"{" selected" if name == chosen else ""}>'
        f"{escape(name) or t(lang, 'mapping_none')}</option>"
        for name in names
    )
    return (
        f'<label class="eco-select"><span>{t(lang, f"mapping_{field}")}</span>'
        f'<select id="mapping-{field}" name="{field}">{options}</select></label>'
    )


def read_mapping(form: Mapping[str, Any], preview: ColumnPreview) -> ColumnMapping:
    """What was chosen; names that the file does not have count as none."""
    chosen = {field: read_text(form, field) for field in _FIELDS}
    known = {field: name if name in preview.columns else "" for field, name in chosen.items()}
    prompts = dict.fromkeys(name for name in (known["prompt"], known["prompt_more"]) if name)
    return ColumnMapping(
        prompt=tuple(prompts),
        completion=known["completion"],
        system=known["system"],
        location=known["location"],
        work_type=known["work_type"],
        category=known["category"],
    )
