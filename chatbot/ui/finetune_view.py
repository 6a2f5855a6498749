"""The Fine-tune tab as HTML: the button and what it lacks, the stages, the loss, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from chatbot.ui.diff_view import to_readable
from chatbot.ui.i18n import TEXTS, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.loss_plot import render_loss_plot
from chatbot.ui.parts import Blocker
from chatbot.ui.verdict_view import render_headlines, render_verdict, render_verdict_tag
from feedback_store.records import Adapter

if TYPE_CHECKING:
    from finetune.progress import LoopProgress
    from finetune.runs import RunProgress

STAGES: Final = ("dataset", "train", "evaluate", "gate", "publish", "promote")
USUAL_RECIPES: Final = ("balanced", "quick", "thorough")
ENDED: Final = ("done", "failed", "cancelled")
_SHOWN_AS: Final = {"load": "evaluate"}


@dataclass(frozen=True)
class FinetuneView:
    """What there is to show."""

    lang: str
    recipes: Sequence[str]
    recipe: str
    num_accepted: int
    blockers: Sequence[Blocker] = ()
    progress: LoopProgress | None = None
    reached: str = ""  # the last stage before a failure
    log: Sequence[str] = ()
    adapter: Adapter | None = None  # what the last retrain made
    production: str | None = None
    is_cancelling: bool = False


def is_running(progress: LoopProgress | None) -> bool:
    """Whether a retrain is going on."""
    return progress is not None and progress.stage not in ENDED


def recipe_label(name: str, lang: str) -> str:
    """The name of a recipe for people."""
    return TEXTS[lang].get(f"recipe_{name}", name.replace("_", " "))


def render_finetune(view: FinetuneView) -> str:
    """The whole tab."""
    if is_running(view.progress):
        return _render_running(view)
    return _render_result(view) + _render_start(view)


# ---- before


def _render_recipe(name: str, view: FinetuneView) -> str:
    text = TEXTS[view.lang].get(f"recipe_text_{name}", "")
    return (
        f'<label class="eco-option"><input type="radio" name="recipe" value="{escape(name)}" '
        f'id="recipe-{escape(name)}"{" checked" if name == view.recipe else ""}>'
        f"<span><b>{escape(recipe_label(name, view.lang))}</b><small>{escape(text)}</small></span>"
        "</label>"
    )


def _render_recipes(view: FinetuneView) -> str:
    """The usual ones at once, those that repeat other teams' experiments folded away."""
    usual = [name for name in view.recipes if name in USUAL_RECIPES or name == view.recipes[0]]
    others = [name for name in view.recipes if name not in usual]
    shown = "".join(_render_recipe(name, view) for name in usual)
    folded = ""
    if others:
        rows = "".join(_render_recipe(name, view) for name in others)
        folded = (
            f'<details class="eco-log"><summary>{t(view.lang, "more_recipes")}</summary>'
            f'<div class="eco-options">{rows}</div></details>'
        )
    return (
        f'<fieldset class="eco-options" id="retrain-recipe"><legend>{t(view.lang, "recipe")}'
        f"</legend>{shown}</fieldset>{folded}"
    )


def describe_blocker(blocker: Blocker, lang: str) -> str:
    """What is missing, as a sentence."""
    template = TEXTS[lang].get(f"blocker_{blocker.code}")
    if template is None:
        return blocker.message
    return template.format(have=blocker.have, need=blocker.need, left=blocker.need - blocker.have)


def _render_blockers(view: FinetuneView) -> str:
    if not view.blockers:
        return f'<p class="eco-muted" id="retrain-missing">{t(view.lang, "retrain_time")}</p>'
    items = "".join(
        f"<li>{icon('warn')}<span>{escape(describe_blocker(blocker, view.lang))}</span></li>"
        for blocker in view.blockers
    )
    return f'<ul class="eco-missing" id="retrain-missing">{items}</ul>'


def _render_start(view: FinetuneView) -> str:
    disabled = " disabled" if view.blockers else ""
    return (
        f'<form class="eco-box" data-action="start"><div><h2>{t(view.lang, "retrain_title")}</h2>'
        f'<p class="eco-muted">{t(view.lang, "retrain_text", num=view.num_accepted)}</p></div>'
        f"{_render_recipes(view)}{_render_blockers(view)}"
        f'<div class="eco-form-buttons eco-left"><button type="submit" '
        f'class="eco-button eco-button-main eco-big" id="retrain-start" '
        f'aria-describedby="retrain-missing"{disabled}>{t(view.lang, "retrain_start")}</button>'
        "</div></form>"
    )


# ---- during


def _render_stages(stage: str, state: str, lang: str) -> str:
    shown = _SHOWN_AS.get(stage, stage)
    at = len(STAGES) if stage == "done" else STAGES.index(shown) if shown in STAGES else 0
    items = []
    for number, name in enumerate(STAGES):
        kind = "done" if number < at else state if number == at else "todo"
        current = ' aria-current="step"' if kind == "now" else ""
        mark = icon("check") if kind == "done" else icon("close") if kind == "bad" else number + 1
        items.append(
            f'<li class="eco-stage eco-stage-{kind}"{current}><span class="eco-stage-mark">{mark}'
            f"</span><span>{t(lang, f'stage_{name}')}</span></li>"
        )
    return (
        f'<ol class="eco-stages" id="retrain-stage" data-stage="{escape(stage)}" '
        f'aria-label="{t(lang, "stages")}">{"".join(items)}</ol>'
    )


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
    if run.eta_s is not None:
        facts.append(("fact_eta", format_duration(run.eta_s, lang)))
    return facts


def _render_run(run: RunProgress | None, lang: str) -> str:
    if run is None:
        return ""
    facts = "".join(
        f"<div><dt>{t(lang, key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in _facts(run, lang)
    )
    return (
        f'<dl class="eco-facts">{facts}</dl>{render_loss_plot(run.losses, run.eval_losses, lang)}'
    )


def _render_samples(run: RunProgress | None, lang: str) -> str:
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
    return f'<details class="eco-log"><summary>{title}</summary>{items}</details>'


def _render_log(log: Sequence[str], lang: str) -> str:
    if not log:
        return ""
    lines = escape("\n".join(log))
    return (
        f'<details class="eco-log"><summary>{t(lang, "show_log")}</summary>'
        f'<pre tabindex="0" id="retrain-log">{lines}</pre></details>'
    )


def _render_running(view: FinetuneView) -> str:
    progress = view.progress
    assert progress is not None
    label = "retrain_cancelling" if view.is_cancelling else "retrain_cancel"
    disabled = " disabled" if view.is_cancelling else ""
    return (
        f'<section class="eco-box" id="retrain-running" data-stage="{escape(progress.stage)}">'
        f"<h2>{t(view.lang, 'retrain_running')}</h2>"
        f"{_render_stages(progress.stage, 'now', view.lang)}"
        f'<div class="eco-overall"><progress class="eco-progress" max="1" '
        f'value="{progress.fraction:.3f}" aria-label="{t(view.lang, "overall")}"></progress>'
        f'<p class="eco-muted" role="status">{t(view.lang, f"stage_text_{progress.stage}")} '
        f"{progress.fraction:.0%}</p></div>"
        f"{_render_run(progress.run, view.lang)}{_render_samples(progress.run, view.lang)}"
        f"{_render_log(view.log, view.lang)}"
        f'<div class="eco-form-buttons eco-left"><button type="button" class="eco-button" '
        f'id="retrain-cancel" data-action="cancel"{disabled}>{t(view.lang, label)}</button></div>'
        "</section>"
    )


# ---- after


def _render_result(view: FinetuneView) -> str:
    progress = view.progress
    if progress is None:
        return ""
    if progress.stage != "done":
        return _render_ended_early(view, progress)
    adapter = view.adapter
    if adapter is None:
        return ""
    is_live = adapter.version == view.production
    headline = t(
        view.lang, "result_live" if is_live else "result_kept", version=escape(adapter.version)
    )
    return (
        f'<section class="eco-box" id="retrain-result" data-stage="done"><div class="eco-origin">'
        f"<h2>{headline}</h2>{render_verdict_tag(adapter.verdict, view.lang)}</div>"
        f"{_render_stages('done', 'done', view.lang)}"
        f"{render_headlines(adapter.report, None, view.lang)}"
        f"{render_verdict(adapter.verdict, view.lang)}{_render_log(view.log, view.lang)}</section>"
    )


def _render_ended_early(view: FinetuneView, progress: LoopProgress) -> str:
    if progress.stage == "cancelled":
        title, text, kind = "result_cancelled", t(view.lang, "result_cancelled_text"), "info"
    else:
        title, kind = "result_failed", "bad"
        text = translate_error(view.lang, progress.code, progress.message)
    stages = _render_stages(view.reached, "bad", view.lang) if view.reached else ""
    return (
        f'<section class="eco-box" id="retrain-result" data-stage="{progress.stage}">'
        f"<h2>{t(view.lang, title)}</h2>{stages}"
        f'<p class="eco-notice eco-notice-{kind}" role="status">{icon("warn")}'
        f"<span>{escape(text)}</span></p>{_render_log(view.log, view.lang)}</section>"
    )
