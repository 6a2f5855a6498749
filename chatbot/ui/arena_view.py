"""The Arena tab as HTML: two answers without names, four votes, and the standings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from chatbot.ui.arena_votes import VOTES, Standing
from chatbot.ui.cards import render_answer, render_recommendation, render_text
from chatbot.ui.chat_view import describe_end, render_notice, shown_recommendation
from chatbot.ui.i18n import TEXTS, t, wording
from chatbot.ui.icons import icon
from chatbot.ui.live import LiveAnswer
from feedback_store.records import Turn


@dataclass(frozen=True)
class Side:
    """One of the two answers: on its way, or stored."""

    live: LiveAnswer | None = None
    turn: Turn | None = None


@dataclass(frozen=True)
class ArenaView:
    """One round, and how the versions stand."""

    lang: str
    question: str = ""
    left: Side = field(default_factory=Side)
    right: Side = field(default_factory=Side)
    vote: str = ""  # once given, the names are shown
    is_over: bool = False  # nothing more will come
    is_text: bool = False  # this project answers in free text
    standings: Sequence[Standing] = ()


def render_round(view: ArenaView) -> str:
    """The question and both answers; nothing before the first question."""
    if not view.question:
        return ""
    sides = _render_side("left", view.left, view) + _render_side("right", view.right, view)
    is_lost = view.is_over and not view.left.turn  # kept nowhere: it goes back into the box
    back = f' data-restore="{escape(view.question)}" data-box="arena-input"' if is_lost else ""
    return (
        f'<section class="eco-arena" id="arena-round"{back}><div class="eco-said">'
        f'{escape(view.question)}</div><div class="eco-sides eco-sides-two">{sides}</div>'
        f"{_render_votes(view)}</section>"
    )


def render_below(view: ArenaView) -> str:
    """What this is for, until something is asked, and how the versions stand."""
    empty = (
        f'<div class="eco-empty" id="arena-empty">{icon("scale")}'
        f"<h3>{t(view.lang, 'arena_title')}</h3><p>{t(view.lang, 'arena_text')}</p></div>"
    )
    return f"{'' if view.question else empty}{_render_standings(view)}"


def _render_side(name: str, side: Side, view: ArenaView) -> str:
    lang = view.lang
    mark = ""
    if view.vote:
        version = side.turn.adapter if side.turn else ""
        won = ' <span class="eco-tag eco-tag-live">✓</span>' if view.vote == name else ""
        mark = f'<span class="eco-tag">{escape(version or t(lang, "base_model"))}</span>{won}'
    return (
        f'<div class="eco-side-text" id="arena-{name}"><h3>{t(lang, f"arena_{name}")} {mark}</h3>'
        f"{_render_side_answer(name, side, view)}</div>"
    )


def _render_side_answer(name: str, side: Side, view: ArenaView) -> str:
    lang = view.lang
    if side.turn:
        shown = shown_recommendation(side.turn, None)
        if shown and side.turn.status == "ok":
            return render_recommendation(shown, name)
        if view.is_text and side.turn.status == "ok":
            return render_text(side.turn.raw_text)
        return render_notice(t(lang, _find_end(side.turn.status, view)), "warn")
    if side.live and side.live.phase == "writing":
        if view.is_text and not side.live.challenges:
            return render_text(side.live.recommend, is_writing=True)
        return render_answer(side.live.recommend, side.live.challenges, name, is_writing=True)
    if side.live and side.live.phase == "done":
        return render_notice(describe_end(side.live, lang), "warn")
    if view.is_over:
        return f'<p class="eco-muted">{t(lang, "arena_not_asked")}</p>'
    return (
        '<p class="eco-waiting"><span class="eco-dots" aria-hidden="true"><i></i><i></i><i></i>'
        f"</span><span>{t(lang, 'arena_waiting')}</span></p>"
    )


def _find_end(status: str, view: ArenaView) -> str:
    """The key of how an answer ended; the chat's own sentences name a button that is not here."""
    own = f"arena_{status}"
    return own if own in TEXTS["ko"] else wording(f"status_{status}", is_text=view.is_text)


def _render_votes(view: ArenaView) -> str:
    if not (view.left.turn and view.right.turn):
        return ""
    if view.vote:
        return f'<p class="eco-muted" role="status">{t(view.lang, "arena_thanks")}</p>'
    if view.left.turn.status != "ok" or view.right.turn.status != "ok":
        return ""
    buttons = "".join(
        f'<button type="button" class="eco-button" id="arena-vote-{vote}" data-action="vote" '
        f'data-vote="{vote}" data-key="{number}" aria-keyshortcuts="{number}">'
        f"<span>{t(view.lang, f'vote_{vote}')}</span><kbd>{number}</kbd></button>"
        for number, vote in enumerate(VOTES, 1)
    )
    return (
        f'<div class="eco-decide eco-votes" role="group" '
        f'aria-label="{t(view.lang, "arena_vote")}">{buttons}</div>'
    )


def _render_standings(view: ArenaView) -> str:
    if not view.standings:
        return ""
    lang = view.lang
    rows = "".join(
        f'<tr data-version="{escape(s.version)}"><th scope="row">'
        f"{escape(s.version or t(lang, 'base_model'))}</th>"
        f"<td>{'–' if s.win_rate is None else f'{s.win_rate:.0%}'}</td>"
        f"<td>{'–' if s.win_rate is None else f'{s.low:.0%} … {s.high:.0%}'}</td>"
        f"<td>{s.num_wins}</td><td>{s.num_losses}</td><td>{s.num_ties}</td></tr>"
        for s in view.standings
    )
    heads = "".join(
        f'<th scope="col">{t(lang, key)}</th>'
        for key in (
            "column_version", "column_win_rate", "column_interval", "column_wins",
            "column_losses", "column_ties",
        )
    )  # fmt: skip
    return (
        f'<section class="eco-box"><h2>{t(lang, "standings")}</h2><div class="eco-scroll">'
        f'<table class="eco-table" id="arena-standings"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )
