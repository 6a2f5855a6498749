"""Dataset versions as HTML: a table, one version in full, and the difference of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from chatbot.ui.cards import option_label
from chatbot.ui.diff_view import mark_differences, to_readable_alike
from chatbot.ui.folds import render_fold
from chatbot.ui.i18n import TEXTS, t
from chatbot.ui.icons import icon
from feedback_store.records import Dataset
from finetune.dataset_diff import DatasetDiff

SHORT_ID: Final = 8
_SHOWN_IDS: Final = 15
_MAX_TABLE: Final = 30
_COUNTED: Final = ("category", "location", "work_type", "lang", "source")


@dataclass(frozen=True)
class ChangedRow:
    """An example whose answer or prompt is another in the later version."""

    example_id: int
    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """Two versions and what lies between them: nothing where the same was picked twice."""

    before_id: str
    after_id: str
    diff: DatasetDiff | None
    changed: Sequence[ChangedRow] = ()


@dataclass(frozen=True)
class DatasetsView:
    """Everything that the part shows."""

    lang: str
    is_open: bool
    datasets: Sequence[Dataset]
    versions: Mapping[str, Sequence[str]]  # dataset → adapter versions trained on it
    num_accepted: int
    shown_id: str = ""
    comparison: Comparison | None = None
    message: str = ""
    is_admin: bool = True  # else neither freezes nor downloads


def render_datasets(view: DatasetsView) -> str:
    """The whole part."""
    lang, count = view.lang, len(view.datasets)
    note = t(lang, "datasets_note", num=count) if count else t(lang, "datasets_none")
    body = _render_body(view) if view.is_open else ""
    return render_fold("datasets", t(lang, "datasets_title"), note, body, is_open=view.is_open)


def _render_body(view: DatasetsView) -> str:
    lang = view.lang
    notice = (
        f'<p class="eco-notice eco-notice-warn" role="alert">{icon("warn")}'
        f"<span>{escape(view.message)}</span></p>"
        if view.message
        else ""
    )
    disabled = "" if view.num_accepted else " disabled"
    freeze = (
        '<button type="button" class="eco-button" id="dataset-freeze" data-action="freeze"'
        f"{disabled}>"
        f"{t(lang, 'dataset_freeze', num=f'{view.num_accepted:,}')}</button>"
    )
    freeze = freeze if view.is_admin else ""
    parts = [f"<p class='eco-muted'>{t(lang, 'datasets_text')}</p>", notice, freeze]
    if view.datasets:
        parts.append(_render_table(view))
    if view.comparison:
        parts.append(_render_comparison(view, view.comparison))
    elif len(view.datasets) == 1:
        parts.append(f'<p class="eco-muted" id="dataset-one">{t(lang, "datasets_need_two")}</p>')
    return "".join(parts)


def _render_table(view: DatasetsView) -> str:
    lang = view.lang
    names = ("dataset", "created", "train", "validation", "versions", "download")
    head = "".join(f"<th>{t(lang, f'dataset_column_{name}')}</th>" for name in names)
    rows = "".join(_render_row(dataset, view) for dataset in view.datasets[:_MAX_TABLE])
    return (
        f'<div class="eco-scroll" tabindex="0"><table class="eco-table" id="datasets-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _render_row(dataset: Dataset, view: DatasetsView) -> str:
    lang, id_ = view.lang, escape(dataset.dataset_id)
    is_shown = dataset.dataset_id == view.shown_id
    versions = " ".join(
        f'<span class="eco-tag">{escape(version)}</span>'
        for version in view.versions.get(dataset.dataset_id, ())
    )
    links = " ".join(
        f'<a class="eco-link" href="../ui/datasets/{id_}/{kind}" download>{label}</a>'
        for kind, label in (("jsonl", "JSONL"), ("parquet", "Parquet"))
        if view.is_admin
    )
    row = (
        f'<tr><td><button type="button" class="eco-link" data-action="show" data-value="{id_}" '
        f'aria-expanded="{"true" if is_shown else "false"}"><code>{id_[:SHORT_ID]}</code></button>'
        f'</td><td><time datetime="{escape(dataset.created_at)}">{escape(dataset.created_at[:10])}'
        f"</time></td><td>{dataset.num_train:,}</td><td>{dataset.num_validation:,}</td>"
        f"<td>{versions}</td><td>{links}</td></tr>"
    )
    if is_shown:
        row += f'<tr><td colspan="6">{_render_manifest(dataset.manifest, lang)}</td></tr>'
    return row


def _render_manifest(manifest: Mapping[str, Any], lang: str) -> str:
    """What the manifest counts: by category and so on, what was left out, the settings, the id."""
    facts = [(t(lang, "dataset_id"), str(manifest.get("dataset_id", "")))]
    for name in _COUNTED:
        counts = manifest.get("counts", {}).get(name, {})
        shown = ", ".join(f"{_count_label(name, c, lang)} {n:,}" for c, n in counts.items())
        facts.append((t(lang, f"dataset_by_{name}"), shown))
    left_out = manifest.get("left_out", {})
    shown = ", ".join(
        f"{TEXTS[lang].get(f'left_out_{reason}', reason)} {n:,}" for reason, n in left_out.items()
    )
    facts.append((t(lang, "dataset_left_out"), shown or "0"))
    settings = ", ".join(f"{name} {value}" for name, value in manifest.get("settings", {}).items())
    facts.append((t(lang, "dataset_settings"), settings))
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts if v)
    return f'<dl class="eco-papers">{rows}</dl>'


def _count_label(name: str, code: str, lang: str) -> str:
    if not code:
        return t(lang, "not_named")
    if name in ("category", "location", "work_type"):
        return option_label(name, code, lang)
    return TEXTS[lang].get(f"source_{code}", code)


def _render_comparison(view: DatasetsView, comparison: Comparison) -> str:
    lang = view.lang
    picks = "".join(
        _render_pick(side, chosen, view)
        for side, chosen in (("before", comparison.before_id), ("after", comparison.after_id))
    )
    difference = (
        f'<p class="eco-notice" id="dataset-same">{icon("warn")}'
        f"<span>{t(lang, 'datasets_same')}</span></p>"
    )
    if comparison.diff is not None:
        difference = _render_difference(comparison.diff, lang)
    return (
        f'<h3>{t(lang, "datasets_compare")}</h3><div class="eco-filter">{picks}</div>{difference}'
        f"{''.join(map(_render_changed, comparison.changed))}"
    )


def _render_difference(diff: DatasetDiff, lang: str) -> str:
    rows = "".join(
        f'<li data-diff="{name}"><b>{len(ids):,}</b> {t(lang, f"diff_{name}")}'
        f"{_render_ids(ids)}</li>"
        for name, ids in (
            ("added", diff.added),
            ("removed", diff.removed),
            ("changed", diff.changed),
            ("moved", diff.moved),
        )
    )
    rows += "".join(
        f"<li>{t(lang, 'diff_setting')} {escape(f'{name}: {old} → {new}')}</li>"
        for name, (old, new) in diff.settings.items()
    )
    return f'<ul class="eco-notes" id="dataset-diff">{rows}</ul>'


def _render_pick(side: str, chosen: str, view: DatasetsView) -> str:
    options = "".join(
        f'<option value="{escape(d.dataset_id)}"{" selected" if d.dataset_id == chosen else ""}>'
        f"{escape(d.dataset_id[:SHORT_ID])} · {escape(d.created_at[:10])} · "
        f"{d.num_train + d.num_validation:,}</option>"
        for d in view.datasets
    )
    return (
        f'<label class="eco-select"><span>{t(view.lang, f"datasets_{side}")}</span>'
        f'<select id="dataset-{side}" name="{side}" data-action="{side}">{options}</select></label>'
    )


def _render_ids(ids: Sequence[int]) -> str:
    if not ids:
        return ""
    shown = ", ".join(f"#{number}" for number in ids[:_SHOWN_IDS])
    return f' <small class="eco-muted">{shown}{", …" if len(ids) > _SHOWN_IDS else ""}</small>'


def _render_changed(row: ChangedRow) -> str:
    left, right = mark_differences(*to_readable_alike(row.before, row.after))
    return (
        f'<h3>#{row.example_id}</h3><div class="eco-sides eco-sides-two">'
        f'<div class="eco-side-text"><p>{left}</p></div>'
        f'<div class="eco-side-text eco-side-new"><p>{right}</p></div></div>'
    )
