"""Two versions side by side: figures, what they learned from, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from chatbot.ui.diff_view import to_readable
from chatbot.ui.i18n import t
from chatbot.ui.verdict_view import (
    find_metrics,
    format_value,
    metric_label,
    render_change,
)
from finetune.version_diff import VersionDiff

NUM_ANSWERS: Final = 20  # side by side
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Two versions with their reports; "" is the base model."""

    left: str
    right: str
    left_report: Report
    right_report: Report
    diff: VersionDiff | None = None


def render_comparison(comparison: Comparison, lang: str) -> str:
    """The box with everything of both."""
    names = (_name(comparison.left, lang), _name(comparison.right, lang))
    title = t(lang, "comparison_title", left=escape(names[0]), right=escape(names[1]))
    diff = render_diff(comparison.diff, lang) if comparison.diff else ""
    figures = _render_figures(comparison, names, lang)
    answers = render_answers(comparison.left_report, comparison.right_report, names, lang)
    empty = f'<p class="eco-muted">{t(lang, "comparison_empty")}</p>'
    return (
        f'<section class="eco-box" id="adapters-comparison"><h2>{title}</h2>{diff}'
        f"{figures or empty}{answers}</section>"
    )


def _name(version: str, lang: str) -> str:
    return version or t(lang, "base_model")


def render_diff(diff: VersionDiff, lang: str) -> str:
    """What the later one learned from, and with which knobs; in one or two lines."""
    parts = []
    if diff.num_examples is not None and diff.num_added is not None:
        values = {"num": diff.num_examples, "added": diff.num_added, "removed": diff.num_removed}
        key = "diff_examples" if diff.before else "num_examples"
        parts.append(t(lang, key, **values))
    if diff.recipe:
        knobs = ", ".join(
            f"<code>{escape(name)}</code> {_knob(old, lang)} → {_knob(new, lang)}"
            for name, old, new in diff.recipe
        )
        parts.append(f"{t(lang, 'diff_recipe')}: {knobs}")
    elif diff.before:
        parts.append(t(lang, "diff_same_recipe"))
    items = "".join(f"<li>{part}</li>" for part in parts)
    return f'<ul class="eco-diff">{items}</ul>' if items else ""


def is_same_engine(left: Report, right: Report) -> bool:
    """Whether both were answered by the same engine, where both say by which."""
    engines = left.get("engine"), right.get("engine")
    return not all(engines) or engines[0] == engines[1]


def render_other_engine(lang: str) -> str:
    """In place of the changes, where they could be the engine's."""
    return f'<p class="eco-small eco-other-engine">{t(lang, "other_engine")}</p>'


def _knob(value: Any, lang: str) -> str:
    if value is None:  # chosen by the trainer
        return t(lang, "knob_auto")
    return escape(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _render_figures(comparison: Comparison, names: tuple[str, str], lang: str) -> str:
    left, right = find_metrics(comparison.left_report), find_metrics(comparison.right_report)
    is_comparable = is_same_engine(comparison.left_report, comparison.right_report)
    earlier = left if is_comparable else {}
    rows = [
        f'<tr data-metric="{escape(name)}"><th scope="row">{escape(metric_label(name, lang))}</th>'
        f"<td>{_figure(left.get(name))}</td>"
        f"<td>{_figure(metric)}{render_change(metric, earlier.get(name))}</td></tr>"
        for name, metric in right.items()
        if name in left or metric.get("value") is not None
    ]
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{escape(head)}</th>' for head in (t(lang, "column_metric"), *names)
    )
    return (
        f"{'' if is_comparable else render_other_engine(lang)}"
        f'<div class="eco-scroll"><table class="eco-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figure(metric: Mapping[str, Any] | None) -> str:
    if metric is None:
        return "–"
    return format_value(metric.get("value"), str(metric.get("unit")))


def _answers(report: Report) -> list[Mapping[str, Any]]:
    answers = report.get("answers") or []
    return list(answers) if isinstance(answers, list | tuple) else []


def choose_answers(left: Report, right: Report) -> list[tuple[Mapping[str, Any], str | None]]:
    """Up to twenty answers of the right one, each with the left one's to the same question: first
    those that both gave, as people get them, and that differ.
    """
    earlier = {answer["answer_id"]: str(answer["text"]) for answer in _answers(left)}
    pairs = [(answer, earlier.get(answer["answer_id"])) for answer in _answers(right)]
    pairs.sort(
        key=lambda pair: (
            pair[1] is None,
            not pair[0].get("constrained", True),
            pair[1] == pair[0]["text"],
        )
    )
    return pairs[:NUM_ANSWERS]


def _faults(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for failure in report.get("failures") or ():
        found.setdefault(str(failure["answer_id"]), []).append(str(failure["metric"]))
    return found


def _render_answer(text: str | None, faults: Sequence[str], lang: str) -> str:
    if text is None:
        return "<td>–</td>"
    tags = "".join(
        f'<span class="eco-tag eco-tag-bad">{escape(metric_label(name, lang))}</span> '
        for name in dict.fromkeys(faults)
    )
    return f"<td>{tags}{escape(to_readable(text))}</td>"


def render_answers(left: Report, right: Report, names: tuple[str, str], lang: str) -> str:
    """The same questions answered by both."""
    left_faults, right_faults = _faults(left), _faults(right)
    rows = [
        f'<tr><th scope="row">{escape(str(answer["prompt"]))}</th>'
        f"{_render_answer(before, left_faults.get(answer['answer_id'], ()), lang)}"
        f"{_render_answer(str(answer['text']), right_faults.get(answer['answer_id'], ()), lang)}"
        "</tr>"
        for answer, before in choose_answers(left, right)
    ]
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{escape(head)}</th>' for head in (t(lang, "question"), *names)
    )
    return (
        f'<div class="eco-scroll"><table class="eco-table eco-answers"><thead><tr>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
