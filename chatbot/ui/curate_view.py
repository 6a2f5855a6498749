"""The Curate queue as HTML: one example large, what is doubtful about it, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from chatbot.recommendation import Recommendation, RecommendationError, parse
from chatbot.themes import FIELDS
from chatbot.ui.cards import option_label, render_info
from chatbot.ui.curate_flags import flag_label, render_flags
from chatbot.ui.diff_view import mark_differences, to_readable, to_readable_alike
from chatbot.ui.event_input import read_text
from chatbot.ui.feedback_view import render_fields
from chatbot.ui.i18n import t
from chatbot.ui.icons import icon
from feedback_store.records import Example, Feedback
from finetune.retrain_goal import RetrainGoal

NO_GOAL: Final = RetrainGoal(0, 0, is_first=True)

_KEYS: Final = {"accept": "a", "fix": "f", "exclude": "x", "next": "n", "undo": "u", "tokens": "t"}
_ICONS: Final = {
    "accept": "check", "fix": "edit", "exclude": "close", "next": "next", "undo": "back",
    "tokens": "tokens",
}  # fmt: skip


@dataclass(frozen=True)
class QueueFilter:
    """Which examples the queue offers; "" leaves a field open."""

    state: str = "pending"
    purpose: str = "train"
    source: str = ""
    category: str = ""
    location: str = ""
    work_type: str = ""
    flag: str = ""
    query: str = ""
    person_id: str = ""


@dataclass(frozen=True)
class QueueCounts:
    """How far the queue is, and what the next retrain still wants."""

    pending: int = 0
    accepted: int = 0
    excluded: int = 0
    goal: RetrainGoal = NO_GOAL
    matching: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueView:
    """The row on the screen and everything around it."""

    lang: str
    counts: QueueCounts
    filter: QueueFilter
    example: Example | None = None
    feedback: Feedback | None = None
    suggestion: str | None = None  # a better completion, where one is certain
    is_fixing: bool = False
    draft: Recommendation | str | None = None  # what was typed, where it could not be saved
    message: str = ""
    can_undo: bool = False
    twin: Example | None = None  # a second example to compare with
    tokens: str = ""  # the strip of tokens, where it is asked for


# ---- counts and filter


def render_counts(counts: QueueCounts, lang: str) -> str:
    """How many wait, are accepted and are excluded, and how many are still wanted."""
    figures = "".join(
        f'<div class="eco-figure" data-count="{name}"><b>{value:,}</b>'
        f"<span>{t(lang, f'count_{name}')}</span></div>"
        for name, value in (
            ("pending", counts.pending),
            ("accepted", counts.accepted),
            ("excluded", counts.excluded),
        )
    )
    goal = counts.goal
    share = min(1.0, goal.num_new / goal.need) if goal.need else 1.0
    when = "first" if goal.is_first else "again"
    key = f"goal_missing_{when}" if goal.missing else f"goal_reached_{when}"
    sentence = t(lang, key, num=goal.missing, new=goal.num_new)
    return (
        f'<div class="eco-figures">{figures}<div class="eco-goal">'
        f'<span id="curate-goal">{sentence}</span><progress class="eco-progress" max="1" '
        f'value="{share:.3f}" aria-labelledby="curate-goal"></progress></div></div>'
    )


def _render_select(name: str, value: str, options: Sequence[tuple[str, str]], lang: str) -> str:
    rows = "".join(
        f'<option value="{escape(code)}"{" selected" if code == value else ""}>{escape(text)}'
        "</option>"
        for code, text in options
    )
    return (
        f'<label class="eco-select"><span>{t(lang, f"filter_{name}")}</span>'
        f'<select id="curate-filter-{name}" name="{name}" data-action="filter" '
        f'data-name="{name}">{rows}</select></label>'
    )


def _labels(field_name: str, lang: str) -> list[tuple[str, str]]:
    codes = [option.code for option in FIELDS[field_name]]
    return [("", t(lang, "filter_all")), *((c, option_label(field_name, c, lang)) for c in codes)]


def render_filter(
    chosen: QueueFilter, flags: Mapping[str, int], lang: str, doubt: str = "", focus: str = ""
) -> str:
    """One native select for each field. doubt: of a plan, whose examples alone are offered; focus:
    the attribute that leads the keyboard there.
    """
    every = ("", t(lang, "filter_all"))
    states = [(code, t(lang, f"count_{code}")) for code in ("pending", "accepted", "excluded")]
    names = sorted({*flags, chosen.flag} - {""})
    options: dict[str, Sequence[tuple[str, str]]] = {
        "state": states,
        "purpose": [(c, t(lang, f"purpose_{c}")) for c in ("train", "regression")],
        "source": [every, *((c, t(lang, f"source_{c}")) for c in ("feedback", "import"))],
        "category": _labels("category", lang),
        "location": _labels("location", lang),
        "work_type": _labels("work_type", lang),
        "flag": [every, *((n, f"{flag_label(n, lang)} ({flags.get(n, 0)})") for n in names)],
    }
    selects = "".join(
        _render_select(name, getattr(chosen, name), options[name], lang) for name in options
    )
    search = (
        f'<label class="eco-select"><span>{t(lang, "filter_query")}</span>'
        f'<input type="search" id="curate-filter-query" name="query" data-action="filter" '
        f'data-name="query" value="{escape(chosen.query)}"></label>'
    )
    only = ""
    if chosen.person_id:
        attributes = 'id="curate-only-person" data-action="filter" data-name="person_id"'
        only += _render_only(attributes, t(lang, "filter_person"))
    if doubt:
        said = t(lang, "filter_doubt", doubt=flag_label(doubt, lang))
        only += _render_only(f'id="curate-only-doubt" data-action="doubt-leave"{focus}', said)
    label = t(lang, "filter")
    return (
        f'<div class="eco-filter" role="group" aria-label="{label}" data-focus-home tabindex="-1">'
        f"{selects}{search}{only}</div>"
    )


def _render_only(attributes: str, said: str) -> str:
    """What narrows the queue beside the selects, and the way out."""
    return (
        f'<button type="button" class="eco-button eco-only" {attributes} data-value="">'
        f"{icon('close')}<span>{escape(said)}</span></button>"
    )


# ---- the row


def render_queue(view: QueueView) -> str:
    """The whole part below the filter."""
    notice = (
        f'<p class="eco-notice eco-notice-warn" role="alert">{icon("warn")}'
        f"<span>{escape(view.message)}</span></p>"
        if view.message
        else ""
    )
    if view.example is None:
        return f'<section class="eco-queue">{notice}{_render_empty(view)}</section>'
    if view.is_fixing:
        body = _render_fix_form(view, view.example)
    else:
        body = _render_answers(view, view.example) + _render_buttons(view)
    return (
        f'<section class="eco-queue" id="curate-row" data-example="{view.example.example_id}" '
        f'data-serial aria-label="{t(view.lang, "queue_label")}">'
        f"{_render_origin(view, view.example)}{_render_prompt(view.example, view.lang)}{notice}"
        f"{render_flags(view.example, view.lang, has_suggestion=view.suggestion is not None)}"
        f"{_render_twin(view, view.example)}{body}{view.tokens}</section>"
    )


def _render_empty(view: QueueView) -> str:
    key = "queue_done" if view.counts.accepted or view.counts.excluded else "queue_empty"
    key = "queue_held" if view.counts.matching else key  # other curators look at all that match
    text = t(view.lang, f"{key}_text", num=f"{view.counts.matching:,}")
    undo = _render_button("undo", view.lang) if view.can_undo else ""
    return (
        f'<div class="eco-empty" id="curate-empty">{icon("inbox")}'
        f"<h3>{t(view.lang, key)}</h3><p>{text}</p>{undo}</div>"
    )


def _render_origin(view: QueueView, example: Example) -> str:
    lang = view.lang
    tags = [f'<span class="eco-tag">{t(lang, f"source_{example.source}")}</span>']
    if view.feedback and view.feedback.rating:
        kind = "accent" if view.feedback.rating == "like" else "bad"
        rated = t(lang, f"rated_{view.feedback.rating}")
        tags.append(f'<span class="eco-tag eco-tag-{kind}">{rated}</span>')
    if view.feedback and view.feedback.correction:
        tags.append(f'<span class="eco-tag eco-tag-accent">{t(lang, "has_correction")}</span>')
    if example.state != "pending":
        tags.append(f'<span class="eco-tag">{t(lang, f"count_{example.state}")}</span>')
    info = ""
    if example.location and example.work_type and example.category:
        info = render_info(example.location, example.work_type, example.category, lang)
    comment = ""
    if view.feedback and view.feedback.comment:
        comment = f'<p class="eco-comment">“{escape(view.feedback.comment)}”</p>'
    return (
        f'<div class="eco-origin"><b>#{example.example_id}</b>{"".join(tags)}{info}'
        f'<time datetime="{escape(example.created_at)}">{escape(example.created_at[:10])}</time>'
        f"</div>{comment}"
    )


def _render_prompt(example: Example, lang: str) -> str:
    talk = [m for m in example.messages if m["role"] != "system"]
    last = talk[-1]["content"] if talk else ""
    earlier = "".join(
        f'<p class="eco-earlier-{escape(m["role"])}">{escape(to_readable(m["content"]))}</p>'
        for m in talk[:-1]
    )
    folded = (
        f'<details class="eco-earlier"><summary>{t(lang, "earlier_turns", num=len(talk) - 1)}'
        f"</summary>{earlier}</details>"
        if earlier
        else ""
    )
    said, _, rest = last.partition("\n\n")
    info = f"<small>{escape(rest)}</small>" if rest else ""
    return (
        f'{folded}<div class="eco-question"><h3>{t(lang, "question")}</h3>'
        f"<p>{escape(said)}</p>{info}</div>"
    )


def _render_answers(view: QueueView, example: Example) -> str:
    lang = view.lang
    proposed, original = to_readable_alike(
        view.suggestion or example.completion, example.rejected or example.original_text
    )
    if not original.strip() or original == proposed:
        return (
            f'<div class="eco-sides"><div class="eco-side-text" id="curate-proposed">'
            f"<h3>{t(lang, 'answer_same')}</h3><p>{escape(proposed)}</p></div></div>"
        )
    left, right = mark_differences(original, proposed)
    key = "answer_suggested" if view.suggestion else "answer_proposed"
    return (
        '<div class="eco-sides eco-sides-two">'
        f'<div class="eco-side-text" id="curate-original"><h3>{t(lang, "answer_original")}</h3>'
        f"<p>{left}</p></div>"
        f'<div class="eco-side-text eco-side-new" id="curate-proposed"><h3>{t(lang, key)}</h3>'
        f"<p>{right}</p></div></div>"
    )


def _render_twin(view: QueueView, example: Example) -> str:
    """The example that this one is nearly the same as, with the differences marked."""
    if view.twin is None:
        return ""
    lang, twin = view.lang, view.twin
    shown = view.suggestion or example.completion
    our_answer, their_answer = to_readable_alike(shown, twin.completion)
    ours, theirs = f"{_asked(example)}\n\n{our_answer}", f"{_asked(twin)}\n\n{their_answer}"
    marked, _ = mark_differences(theirs, ours)
    state = f'<span class="eco-tag">{t(lang, f"count_{twin.state}")}</span>'
    return (
        f'<div class="eco-side-text" id="curate-twin"><h3>{t(lang, "twin", other=twin.example_id)} '
        f"{state}</h3><p>{marked}</p></div>"
    )


def _asked(example: Example) -> str:
    return next((m["content"] for m in reversed(example.messages) if m["role"] == "user"), "")


def _render_button(name: str, lang: str, *, is_main: bool = False, extra: str = "") -> str:
    key = _KEYS[name]
    main = " eco-button-main" if is_main else ""
    return (
        f'<button type="button" class="eco-button{main}" id="curate-{name}" data-action="{name}" '
        f'data-key="{key}" aria-keyshortcuts="{key}"{extra}>{icon(_ICONS[name])}'
        f"<span>{t(lang, f'curate_{name}')}</span><kbd>{key.upper()}</kbd></button>"
    )


def _render_buttons(view: QueueView) -> str:
    disabled = "" if view.can_undo else " disabled"
    buttons = [
        _render_button("accept", view.lang, is_main=True),
        _render_button("fix", view.lang),
        _render_button("exclude", view.lang),
        _render_button("next", view.lang),
        _render_button("tokens", view.lang),
        _render_button("undo", view.lang, extra=disabled),
    ]
    return f'<div class="eco-decide">{"".join(buttons)}</div>'


def _render_fix_form(view: QueueView, example: Example) -> str:
    lang = view.lang
    typed = view.draft
    if typed is None:
        typed = _find_typed(view.suggestion or example.completion)
    if isinstance(typed, Recommendation):
        inputs = render_fields(typed, lang)
    else:
        inputs = (
            f'<label class="eco-field"><span>{t(lang, "field_answer")}</span>'
            f'<textarea name="text" id="edit-text" rows="8" required>{escape(typed)}</textarea>'
            "</label>"
        )
    return (
        f'<form class="eco-edit" id="curate-form" data-action="save" '
        f'data-example="{example.example_id}" data-autofocus="fix-{example.example_id}">{inputs}'
        '<div class="eco-form-buttons">'
        f'<button type="button" class="eco-button" id="curate-cancel" data-action="cancel" '
        f'data-escape="1">{t(lang, "cancel")}</button>'
        f'<button type="submit" class="eco-button eco-button-main" id="curate-save">'
        f"{t(lang, 'save_and_accept')}</button></div></form>"
    )


def _find_typed(text: str) -> Recommendation | str:
    """The fields of an answer, or the text that is none."""
    try:
        return parse(text)
    except RecommendationError:
        return text


def read_answer(form: Mapping[str, Any]) -> str | None:
    """The typed text of the form with one big field; None when it has the fields of an answer."""
    return read_text(form, "text") if "text" in form else None
