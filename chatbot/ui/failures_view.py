"""The answers that failed, by what was wrong with them, as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from chatbot.recommendation import RecommendationError, parse
from chatbot.themes import FIELDS
from chatbot.ui.cards import option_label
from chatbot.ui.curate_flags import describe_evidence
from chatbot.ui.i18n import t, translate_error
from chatbot.ui.verdict_view import metric_label

NUM_SHOWN: Final = 3  # of each kind
_UNREADABLE: Final = frozenset({"valid_json", "valid_with_schema"})
_MAX_PIECE: Final = 120  # characters
_LED_BY_CATEGORIES: Final = frozenset({"category_fit", "parroted"})
_CODE: Final = f"({'|'.join(option.code for option in FIELDS['category'])})"
_CATEGORIES: Final = re.compile(f"{_CODE}(?: → {_CODE})?: ")  # then the words of an answer


def render_failures(report: Mapping[str, Any], lang: str) -> str:
    """For each figure the first answers that failed it: the question, and the piece of text that
    shows it.
    """
    answers = {a["answer_id"]: a for a in report.get("answers") or ()}
    by_metric: dict[str, list[Mapping[str, Any]]] = {}
    for failure in report.get("failures") or ():
        by_metric.setdefault(str(failure["metric"]), []).append(failure)
    parts = []
    for metric, failures in by_metric.items():
        items = "".join(
            _render_failure(failure, answers.get(failure["answer_id"], {}), lang)
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


def _render_failure(failure: Mapping[str, Any], answer: Mapping[str, Any], lang: str) -> str:
    question = answer.get("prompt") or failure["answer_id"]
    text = str(answer.get("text", ""))
    if failure["metric"] in _UNREADABLE and text:
        shown = _describe_unreadable(text, lang)
    else:
        evidence = str(failure["evidence"])
        if failure["metric"] in _LED_BY_CATEGORIES:
            evidence = _label_categories(evidence, lang)
        shown = f"<q>{escape(evidence)}</q>"
    return f"<li><p>{escape(str(question))}</p>{shown}</li>"


def _describe_unreadable(text: str, lang: str) -> str:
    """Why an answer is none, in the reader's language, and how it begins."""
    piece = text if len(text) <= _MAX_PIECE else text[: _MAX_PIECE - 1] + "…"
    try:
        parse(text)
    except RecommendationError as error:
        flag = {"name": error.code, "severity": "error", "evidence": "", "params": error.values}
        why = describe_evidence(flag, lang) if error.values else ""
        why = why or escape(translate_error(lang, error.code, str(error)))
        return f"<p>{why}</p><q>{escape(piece)}</q>"
    return f"<q>{escape(piece)}</q>"


def _label_categories(evidence: str, lang: str) -> str:
    """The codes in front become their names; what the answer says stays as it is."""
    found = _CATEGORIES.match(evidence)
    if found is None:
        return evidence
    labels = (option_label("category", code, lang) for code in found.groups() if code)
    return f"{' → '.join(labels)}: {evidence[found.end() :]}"
