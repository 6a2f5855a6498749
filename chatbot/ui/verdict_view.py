"""What the gate decided, in sentences, and what an evaluation measured, as figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from chatbot.ui.i18n import TEXTS, t

HEADLINES: Final = ("good_answer", "valid_json", "category_fit", "distinct_challenges")
_KINDS: Final = {"pass": "accent", "fail": "bad", "incomplete": "warn"}


def metric_label(name: str, lang: str) -> str:
    """The name of a metric for people."""
    return TEXTS[lang].get(f"metric_{name}", name.replace("_", " "))


def format_value(value: float | None, unit: str) -> str:
    """A figure with its unit; a dash where it is missing."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.0%}"
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"{value:,.3g}"


def _values(params: Mapping[str, Any], lang: str) -> dict[str, Any]:
    values = dict(params)
    for name in ("value", "limit"):
        if isinstance(values.get(name), int | float):
            values[name] = f"{values[name]:.0%}"
    values |= params.get("shown") or {}
    if isinstance(values.get("p"), int | float):
        values["p"] = f"= {values['p']:.3f}" if values["p"] >= 0.0005 else "< 0.001"
    if values.get("count") and "needed" in values:  # verdicts of before do not say it
        values.setdefault("times", math.ceil(values["needed"] / values["count"]))
    if "metric" in values:
        values["metric"] = metric_label(str(values["metric"]), lang)
    if "metrics" in values:
        values["metrics"] = ", ".join(metric_label(str(m), lang) for m in values["metrics"])
    return values


def describe_reason(reason: Mapping[str, Any] | str, lang: str) -> str:
    """One reason as a sentence; the English one of the gate where there is no translation."""
    if isinstance(reason, str):
        return reason
    template = TEXTS[lang].get(f"reason_gate_{reason.get('code')}")
    if template is None:
        return str(reason.get("message", ""))
    try:
        return template.format(**_values(reason.get("params") or {}, lang))
    except (KeyError, IndexError, ValueError):
        return str(reason.get("message", ""))


def render_verdict_tag(verdict: Mapping[str, Any], lang: str) -> str:
    """The outcome in one or two words."""
    outcome = str(verdict.get("outcome", "incomplete"))
    kind = _KINDS.get(outcome, "warn")
    label = t(lang, f"verdict_{outcome if outcome in _KINDS else 'incomplete'}")
    return f'<span class="eco-tag eco-tag-{kind}" data-outcome="{escape(outcome)}">{label}</span>'


def render_verdict(verdict: Mapping[str, Any], lang: str) -> str:
    """The reasons, the one that decided first."""
    reasons: Sequence[Any] = verdict.get("reasons") or ()
    items = "".join(f"<li>{escape(describe_reason(reason, lang))}</li>" for reason in reasons)
    return f'<ul class="eco-reasons">{items}</ul>' if items else ""


def find_metrics(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The metrics of a stored report by name."""
    return {str(metric["name"]): metric for metric in report.get("metrics") or ()}


def render_change(metric: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """The change of a share in points; green where it is for the better."""
    new, old = metric.get("value"), before.get("value") if before else None
    if new is None or old is None or metric.get("unit") != "share":
        return ""
    points = round((new - old) * 100)
    if not points:
        return '<i class="eco-change">±0</i>'
    if metric.get("better") == "neither":
        return f'<i class="eco-change">{points:+d}</i>'
    is_better = (points > 0) == (metric.get("better") == "higher")
    kind = "good" if is_better else "bad"
    return f'<i class="eco-change eco-change-{kind}">{points:+d}</i>'


def render_headlines(report: Mapping[str, Any], before: Mapping[str, Any] | None, lang: str) -> str:
    """The few figures that tell most, each with the change against the version before."""
    metrics, earlier = find_metrics(report), find_metrics(before or {})
    parts = []
    for name in HEADLINES:
        metric = metrics.get(name)
        if metric is None:
            continue
        value = format_value(metric.get("value"), str(metric.get("unit")))
        change = render_change(metric, earlier.get(name))
        parts.append(
            f'<div class="eco-figure" data-metric="{name}"><b>{value}</b>{change}'
            f"<span>{escape(metric_label(name, lang))}</span></div>"
        )
    return f'<div class="eco-figures">{"".join(parts)}</div>' if parts else ""


def render_metrics_table(
    report: Mapping[str, Any], before: Mapping[str, Any] | None, lang: str
) -> str:
    """All figures with their counts and intervals."""
    metrics, earlier = find_metrics(report), find_metrics(before or {})
    if not metrics:
        return ""
    rows = []
    for name, metric in metrics.items():
        unit = str(metric.get("unit"))
        span = ""
        if metric.get("low") is not None and metric.get("high") is not None:
            span = f"{format_value(metric['low'], unit)} … {format_value(metric['high'], unit)}"
        old = earlier.get(name)
        rows.append(
            f'<tr><th scope="row">{escape(metric_label(name, lang))}</th>'
            f"<td>{format_value(metric.get('value'), unit)}{render_change(metric, old)}</td>"
            f"<td>{span}</td><td>{metric.get('count', 0)}</td></tr>"
        )
    heads = "".join(
        f'<th scope="col">{t(lang, key)}</th>'
        for key in ("column_metric", "column_value", "column_interval", "column_count")
    )
    return (
        f'<div class="eco-scroll"><table class="eco-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
