"""The answers that failed, by what was wrong with them, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from chatbot.ui.i18n import t
from chatbot.ui.verdict_view import metric_label

NUM_SHOWN: Final = 3  # of each kind


def render_failures(report: Mapping[str, Any], lang: str) -> str:
    """For each figure the first answers that failed it: the question, and the piece of text that
    shows it.
    """
    prompts = {a["answer_id"]: str(a["prompt"]) for a in report.get("answers") or ()}
    by_metric: dict[str, list[Mapping[str, Any]]] = {}
    for failure in report.get("failures") or ():
        by_metric.setdefault(str(failure["metric"]), []).append(failure)
    parts = []
    for metric, failures in by_metric.items():
        items = "".join(
            f"<li><p>{escape(prompts.get(failure['answer_id'], str(failure['answer_id'])))}</p>"
            f"<q>{escape(str(failure['evidence']))}</q></li>"
            for failure in failures[:NUM_SHOWN]
        )
        left = len(failures) - NUM_SHOWN
        more = (
            f'<li class="eco-muted">{t(lang, "failures_more", num=left)}</li>' if left > 0 else ""
        )
        parts.append(
            f'<div class="eco-failure" data-metric="{escape(metric)}"><h4>'
            f'{escape(metric_label(metric, lang))} <span class="eco-muted">{len(failures)}</span>'
            f"</h4><ul>{items}{more}</ul></div>"
        )
    if not parts:
        return ""
    return f'<h4 class="eco-muted">{t(lang, "failures_title")}</h4>{"".join(parts)}'
