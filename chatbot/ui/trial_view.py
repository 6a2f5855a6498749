"""A version on trial as HTML: whom it answers, what people say so far, and the way out."""

from __future__ import annotations

from html import escape
from typing import Final

from chatbot.ui.event_view import render_time
from chatbot.ui.i18n import t
from finetune.canary import CanaryStatus
from finetune.sequential import Thumbs

SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.5)
_PROOF: Final = 20.0  # an e-value that decides


def render_trial(status: CanaryStatus | None, lang: str) -> str:
    """The box of a running trial; nothing without one."""
    if status is None or status.trial is None or status.thumbs is None:
        return ""
    trial, thumbs = status.trial, status.thumbs
    against = trial.against or t(lang, "base_model")
    bars = _render_likes(trial.version, thumbs.canary_likes, thumbs.num_blocks) + _render_likes(
        against, thumbs.production_likes, thumbs.num_production
    )
    evidence = "".join(
        f'<li><span>{t(lang, key)}</span><span class="eco-meter eco-meter-{kind}"><i '
        f'style="width:{min(100.0, 100 * _closeness(value)):.0f}%"></i></span>'
        f"<b>{value:,.1f}</b></li>"
        for key, kind, value in (
            ("trial_better", "good", status.evidence_better),
            ("trial_worse", "bad", status.evidence_worse),
        )
    )
    version = escape(trial.version)
    return (
        f'<section class="eco-box" id="adapter-trial" data-version="{version}" '
        f'data-decision="{status.decision}"><div class="eco-origin"><h2>'
        f"{t(lang, 'trial_title', version=version)}</h2>"
        f'<span class="eco-tag eco-tag-warn">{trial.share:.0%}</span>'
        f"{render_time(trial.started_at)}</div>"
        f'<p class="eco-muted">{t(lang, "trial_text", share=f"{trial.share:.0%}")}</p>'
        f'<ul class="eco-bars">{bars}</ul>'
        f'<p class="eco-muted eco-small">{t(lang, "trial_evidence")} '
        f'<span id="trial-fewest">{_describe_fewest(thumbs, status.min_blocks, lang)}</span></p>'
        f'<ul class="eco-bars">{evidence}</ul>'
        f"<p>{t(lang, f'trial_{status.decision}_now')}</p>"
        f'<div class="eco-decide"><button type="button" class="eco-button" id="trial-stop" '
        f'data-action="stop_trial">{t(lang, "trial_stop")}</button>'
        f'<button type="button" class="eco-button" id="trial-promote" data-action="promote" '
        f'data-version="{version}">{t(lang, "promote")}</button></div></section>'
    )


def _describe_fewest(thumbs: Thumbs, fewest: int, lang: str) -> str:
    """How many thumbs must come before anything is decided, whatever the odds."""
    key = "trial_fewest" if thumbs.num_blocks < fewest else "trial_fewest_reached"
    return t(lang, key, need=fewest, have=thumbs.num_blocks, per=thumbs.per_block)


def _closeness(evidence: float) -> float:
    """0 at an e-value of 1 or less, 1 where it decides."""
    return max(0.0, (evidence - 1) / (_PROOF - 1))


def _render_likes(name: str, num_likes: int, num_thumbs: int) -> str:
    share = num_likes / num_thumbs if num_thumbs else 0.0
    return (
        f'<li><span>{escape(name)}</span><span class="eco-meter eco-meter-good">'
        f'<i style="width:{share:.0%}"></i></span><b>{num_likes} / {num_thumbs}</b></li>'
    )


def render_trial_form(version: str, lang: str) -> str:
    """Begin a trial of this version with a share of the conversations."""
    name = escape(version)
    options = "".join(
        f'<option value="{share}"{" selected" if share == 0.1 else ""}>{share:.0%}</option>'
        for share in SHARES
    )
    return (
        f'<form class="eco-trial-form" data-action="start_trial" data-version="{name}">'
        f'<label class="eco-select"><span>{t(lang, "trial_share")}</span>'
        f'<select name="share" id="trial-share-{name}">{options}</select></label>'
        f'<button type="submit" class="eco-button" id="trial-start-{name}">'
        f"{t(lang, 'trial_start')}</button></form>"
    )
