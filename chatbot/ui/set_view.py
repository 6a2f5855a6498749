"""The report on the whole set, as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES
from chatbot.ui.cards import option_label
from chatbot.ui.curate_flags import describe_evidence, describe_fix, flag_label
from chatbot.ui.folds import render_fold
from chatbot.ui.i18n import TEXTS, t
from chatbot.ui.icons import icon
from finetune.flags import Flag
from finetune.set_checks import SetReport

_KINDS: Final = {"error": "bad", "warning": "warn", "info": ""}
_SHADES: Final = 4  # of a cell of the table


def render_set(report: SetReport | None, lang: str, *, is_open: bool, is_busy: bool) -> str:
    """The whole part."""
    body = ""
    if is_busy:
        body = (
            '<p class="eco-waiting" role="status"><span class="eco-dots" aria-hidden="true"><i></i>'
            f"<i></i><i></i></span><span>{t(lang, 'set_checking')}</span></p>"
        )
    elif report:
        body = _render_report(report, lang)
    return render_fold(
        "set", t(lang, "set_title"), _note(report, lang), body, is_open=is_open or is_busy
    )


def _note(report: SetReport | None, lang: str) -> str:
    if report is None:
        return t(lang, "set_note")
    doubts = sum(flag.severity != "info" for flag in report.flags)
    return t(lang, "set_note_doubts", num=doubts) if doubts else t(lang, "set_note_fine")


def _render_report(report: SetReport, lang: str) -> str:
    figures = "".join(
        f'<div class="eco-figure" data-set="{name}"><b>{value:,}</b>'
        f"<span>{t(lang, f'set_{name}')}</span></div>"
        for name, value in (
            ("examples", report.num_examples),
            ("similar", len(report.row_flags)),
            ("suspicious", len(report.people_flags)),
        )
    )
    flags = "".join(_render_flag(flag, lang) for flag in report.flags)
    listing = (
        f'<ul class="eco-flags eco-set-flags">{flags}</ul>'
        if flags
        else f"<p>{icon('check')} {t(lang, 'set_fine')}</p>"
    )
    again = (
        f'<div class="eco-form-buttons"><button type="button" class="eco-button" id="set-again" '
        f'data-action="check">{icon("retry")}<span>{t(lang, "set_again")}</span></button></div>'
    )
    return (
        f'<div class="eco-figures">{figures}</div>{listing}{_render_formats(report, lang)}'
        f"{_render_balance(report, lang)}{again}"
    )


def _render_flag(flag: Flag, lang: str) -> str:
    kind, shown = _KINDS[flag.severity], flag.to_dict()
    return (
        f'<li data-flag="{flag.name}"><span class="eco-tag eco-tag-{kind}">'
        f"{escape(flag_label(flag.name, lang))}</span>"
        f"<span>{describe_evidence(shown, lang)} {describe_fix(shown, lang)}</span></li>"
    )


def _render_formats(report: SetReport, lang: str) -> str:
    """The shapes in which the answers came."""
    if len(report.formats) < 2:
        return ""
    total = sum(report.formats.values())
    parts = ", ".join(
        f"{TEXTS[lang].get(f'format_{name}', name)} {100 * count / total:.0f}%"
        for name, count in report.formats.items()
    )
    return f'<p class="eco-muted">{t(lang, "set_formats", parts=parts)}</p>'


def _render_balance(report: SetReport, lang: str) -> str:
    """Location and work type down, category across; the darker the more."""
    cells = {cell: number for cell, number in report.num_by_cell.items() if all(cell)}
    if not cells:
        return ""
    most = max(cells.values())
    head = "".join(f"<th>{escape(option_label('category', o.code, lang))}</th>" for o in CATEGORIES)
    rows = "".join(_balance_rows(cells, most, lang))
    return (
        f'<h3>{t(lang, "set_balance")}</h3><div class="eco-scroll" tabindex="0">'
        f'<table class="eco-table eco-balance"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _balance_rows(cells: dict[tuple[str, str, str], int], most: int, lang: str) -> Iterator[str]:
    for place in LOCATIONS:
        for work in WORK_TYPES:
            title = " · ".join(
                (
                    option_label("location", place.code, lang),
                    option_label("work_type", work.code, lang),
                )
            )
            counts = [cells.get((place.code, work.code, o.code), 0) for o in CATEGORIES]
            tds = "".join(
                f'<td data-shade="{-(-_SHADES * number // most)}">{number or "–"}</td>'
                for number in counts
            )
            yield f"<tr><th>{escape(title)}</th>{tds}</tr>"
