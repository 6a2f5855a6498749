"""The Fine-tune tab as HTML: the button and what it lacks, the stages, the loss, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from chatbot.ui.i18n import TEXTS, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.parts import Blocker
from chatbot.ui.training_view import render_before, render_run, render_samples
from chatbot.ui.verdict_view import render_headlines, render_verdict, render_verdict_tag
from feedback_store.records import Adapter, Run

if TYPE_CHECKING:
    from finetune.preferences import Offer
    from finetune.progress import LoopProgress

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
    answering: str | None = None  # the version; None is the base
    is_cancelling: bool = False
    offers: Sequence[Offer] = ()  # what else there is to learn from
    resumable: Run | None = None  # a retrain that broke off


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
    return _render_result(view) + _render_resumable(view) + _render_start(view)


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


def _render_offers(view: FinetuneView) -> str:
    """Preferences on top of the examples: to choose where they suffice, explained where not."""
    if not view.offers:
        return ""
    lang = view.lang
    options = [_render_source("sft", t(lang, "learn_text_sft", num=view.num_accepted), lang)]
    for offer in view.offers:
        key = f"learn_{'enough' if offer.is_offered else 'few'}_{offer.kind}"
        values = {
            "have": offer.num_have,
            "need": offer.num_needed,
            "rarer": offer.num_rarer,
            "rarer_need": offer.num_rarer_needed,
        }
        text = t(lang, key, **values)
        options.append(_render_source(offer.kind, text, lang, is_off=not offer.is_offered))
    return (
        f'<fieldset class="eco-options" id="retrain-kind"><legend>{t(lang, "learn_from")}</legend>'
        f"{''.join(options)}</fieldset>"
    )


def _render_source(kind: str, text: str, lang: str, *, is_off: bool = False) -> str:
    state = " disabled" if is_off else " checked" if kind == "sft" else ""
    off = " eco-option-off" if is_off else ""
    return (
        f'<label class="eco-option{off}"><input type="radio" name="kind" value="{kind}" '
        f'id="kind-{kind}"{state}><span><b>{t(lang, f"learn_{kind}")}</b>'
        f"<small>{escape(text)}</small></span></label>"
    )


def _render_resumable(view: FinetuneView) -> str:
    """A retrain that broke off, and the button that goes on with it."""
    run = view.resumable
    if run is None:
        return ""
    missing = [item for item in view.blockers if item.code != "too_few_examples"]
    disabled = " disabled" if missing else ""
    key = "resume_trained" if run.state == "done" else "resume_text"
    recipe = recipe_label(str(run.recipe.get("name", "")), view.lang)
    began = (run.started_at or "")[:16].replace("T", " ")
    text = t(view.lang, key, recipe=recipe, at=began)
    return (
        f'<section class="eco-box" id="retrain-resumable" data-run="{escape(run.run_id)}">'
        f"<h2>{t(view.lang, 'resume_title')}</h2>"
        f'<p>{escape(text)}</p><div class="eco-form-buttons eco-left"><button type="button" '
        f'class="eco-button eco-button-main" id="retrain-resume" data-action="resume"{disabled}>'
        f"{t(view.lang, 'resume_button')}</button></div></section>"
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
        f"{_render_recipes(view)}{_render_offers(view)}{_render_blockers(view)}"
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
        f"{render_run(progress.run, view.lang)}{render_before(progress.run, view.lang)}"
        f"{render_samples(progress.run, view.lang)}"
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
    is_live = adapter.version == view.answering
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
        text = translate_error(view.lang, progress.code, progress.message, progress.values)
    stages = _render_stages(view.reached, "bad", view.lang) if view.reached else ""
    return (
        f'<section class="eco-box" id="retrain-result" data-stage="{progress.stage}">'
        f"<h2>{t(view.lang, title)}</h2>{stages}"
        f'<p class="eco-notice eco-notice-{kind}" role="status">{icon("warn")}'
        f"<span>{escape(text)}</span></p>{_render_log(view.log, view.lang)}</section>"
    )
