"""A training while it runs: its figures, what was checked before step 1 and why the knobs stand as
they do, and what the model answers now.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final

from chatbot.ui.diff_view import to_readable
from chatbot.ui.i18n import TEXTS, fill, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.loss_plot import render_loss_plot

if TYPE_CHECKING:
    from finetune.run_progress import RunEvent
    from finetune.runs import RunProgress

_MIB_PER_GIB: Final = 1024


def format_duration(seconds: float, lang: str) -> str:
    """Minutes and seconds, without false precision."""
    whole = max(0, round(seconds))
    if whole < 60:
        return t(lang, "seconds", num=whole)
    if whole < 3600:
        return t(lang, "minutes", num=max(1, round(whole / 60)))
    return t(lang, "hours", hours=whole // 3600, minutes=whole % 3600 // 60)


def _facts(run: RunProgress, lang: str) -> list[tuple[str, str]]:
    facts = []
    if run.total_steps:
        facts.append(("fact_step", f"{run.step:,} / {run.total_steps:,}"))
    if run.loss is not None:
        facts.append(("fact_loss", f"{run.loss:.3f}"))
    if run.eval_loss is not None:
        facts.append(("fact_eval_loss", f"{run.eval_loss:.3f}"))
    if run.tokens_per_s:
        facts.append(("fact_speed", f"{run.tokens_per_s:,.0f}"))
    if run.learning_rate:
        facts.append(("fact_learning_rate", f"{run.learning_rate:.2g}"))
    if run.memory_mb:
        facts.append(("fact_memory", f"{run.memory_mb / _MIB_PER_GIB:.1f} GiB"))
    if run.eta_s is not None:
        facts.append(("fact_eta", format_duration(run.eta_s, lang)))
    return facts


def render_run(run: RunProgress | None, lang: str) -> str:
    """Figures and plot of the training."""
    if run is None:
        return ""
    facts = "".join(
        f"<div><dt>{t(lang, key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in _facts(run, lang)
    )
    return (
        f'<dl class="eco-facts">{facts}</dl>{render_loss_plot(run.losses, run.eval_losses, lang)}'
    )


def render_samples(run: RunProgress | None, lang: str) -> str:
    """What the model in training answers to validation questions, beside what was accepted."""
    if run is None or not run.samples:
        return ""
    items = "".join(
        f'<div class="eco-sample"><p><b>{escape(sample.prompt)}</b></p>'
        f'<div class="eco-sides eco-sides-two"><div class="eco-side-text">'
        f"<h3>{t(lang, 'sample_expected')}</h3><p>{escape(to_readable(sample.expected))}</p></div>"
        f'<div class="eco-side-text"><h3>{t(lang, "sample_answer")}</h3>'
        f"<p>{escape(to_readable(sample.answer))}</p></div></div></div>"
        for sample in run.samples
    )
    title = t(lang, "samples", step=run.samples[0].step)
    return (
        f'<details class="eco-log" id="retrain-samples" open><summary>{title}</summary>{items}'
        "</details>"
    )


# ---- before step 1


def render_before(run: RunProgress | None, lang: str) -> str:
    """What the pre-flight read back, what the memory plan says, and why the knobs stand so."""
    if run is None:
        return ""
    found = {event.kind: event for event in run.events}  # of each kind the last
    reasons = [event for event in run.events if event.kind == "reason"]
    preflight, memory, stopping = (found.get(k) for k in ("preflight", "memory", "stopping"))
    facts = _preflight_facts(preflight.values, lang) if preflight else []
    if memory:
        facts.append((t(lang, "pre_memory"), _describe_memory(memory.values, lang)))
    if not facts and not reasons:
        return ""
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    texts = "".join(f"<li>{escape(_describe_reason(event, lang))}</li>" for event in reasons)
    notes = _render_findings(preflight.values if preflight else {}, stopping, lang)
    why = f"<h3>{t(lang, 'why_knobs')}</h3><ul>{texts}</ul>" if texts else ""
    return (
        f'{notes}<details class="eco-log" id="retrain-before"><summary>{t(lang, "before_step_1")}'
        f'</summary><dl class="eco-facts eco-facts-small">{rows}</dl>{why}</details>'
    )


def _preflight_facts(values: Mapping[str, Any], lang: str) -> list[tuple[str, str]]:
    figures = values.get("figures", {})
    if not figures:
        return []
    share = figures["trainable_parameters"] / max(1, figures["parameters"])
    return [
        (t(lang, "pre_supervised"), f"{figures['supervised_share']:.0%}"),
        (t(lang, "pre_rows"), f"{figures['num_train']:,} + {figures['num_validation']:,}"),
        (t(lang, "pre_left_out"), f"{figures['rows_left_out']:,}"),
        (t(lang, "pre_longest"), f"{figures['longest_row']:,}"),
        (t(lang, "pre_vocabulary"), f"{figures['vocabulary']:,}"),
        (t(lang, "pre_special"), f"{figures['eos_token']} · {figures['pad_token']}"),
        (t(lang, "pre_trainable"), f"{figures['trainable_parameters']:,} ({share:.1%})"),
    ]


def _describe_memory(values: Mapping[str, Any], lang: str) -> str:
    needed, there = (values.get(name, 0) / _MIB_PER_GIB for name in ("needed_mib", "available_mib"))
    choice = TEXTS[lang].get(f"memory_{values.get('choice')}", "")
    return f"{needed:.1f} / {there:.1f} GiB {choice}".strip()


def _describe_reason(event: RunEvent, lang: str) -> str:
    template = TEXTS[lang].get(f"reason_knob_{event.values.get('code')}")
    if template is None:
        return event.message
    return template.format(**{name: _plain(value) for name, value in event.values.items()})


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _describe_stop(stopping: RunEvent, lang: str) -> str:
    code, figures = stopping.values.get("reason"), stopping.values.get("figures") or {}
    template = TEXTS[lang].get(f"stop_{code}")
    if template is None:
        return translate_error(lang, str(code), stopping.message, figures)
    return fill(template, figures) or stopping.message


def _describe_finding(item: Mapping[str, Any], lang: str) -> str:
    template = TEXTS[lang].get(f"finding_{item['code']}", "")
    return fill(template, item.get("values") or {}) or f"{item['message']} {item['cure']}"


def _render_findings(values: Mapping[str, Any], stopping: RunEvent | None, lang: str) -> str:
    """Warnings of the pre-flight, and why the watch ends it early."""
    notes = [_describe_finding(item, lang) for item in values.get("findings", ())]
    if stopping:
        notes.append(_describe_stop(stopping, lang))
    return "".join(
        f'<p class="eco-notice" role="status">{icon("warn")}<span>{escape(note)}</span></p>'
        for note in notes
    )
