"""The chat as HTML: first screen, turns, the answer being written, and the list of earlier talks.

Pure functions of stored records; everything from models and people is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from chatbot.recommendation import Recommendation, from_dict, to_text
from chatbot.stream import ReadableStream
from chatbot.themes import BaseInfo
from chatbot.ui.cards import render_answer, render_info, render_recommendation, render_text
from chatbot.ui.feedback_view import render_edit_form, render_reason_panel
from chatbot.ui.i18n import describe_error, t, wording
from chatbot.ui.icons import icon, logo
from chatbot.ui.live import LiveAnswer
from feedback_store.records import Conversation, Feedback, Turn

NUM_EXAMPLES: Final = 4


@dataclass(frozen=True)
class ChatView:
    """One open conversation as the screen shows it."""

    lang: str
    conversation_id: str = ""
    turns: Sequence[Turn] = ()
    feedback: Mapping[int, Feedback] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)  # adapter version → what is new in it
    editing: int | None = None
    panel: int | None = None  # the turn whose reason panel is open
    message: str = ""  # a sentence on the open panel or form
    asks_consent: bool = False
    may_train: bool = False
    is_busy: bool = False
    notice: str = ""  # what strangers are told about their data before they write
    is_text: bool = False  # this project answers in free text

    def say(self, key: str) -> str:
        """The words of a key, as this project says it."""
        return t(self.lang, wording(key, is_text=self.is_text))


def render_welcome(view: ChatView) -> str:
    """The first screen: what this is, and questions that people really ask."""
    notice = view.notice
    told = f'<p class="eco-told" id="privacy-notice">{escape(notice)}</p>' if notice else ""
    examples = "" if view.is_text else _render_examples(view.lang)  # nobody knows what it is about
    return (
        f'<section class="eco-welcome" data-conversation="">{logo(56)}'
        f"<h2>{view.say('welcome_title')}</h2><p>{view.say('welcome_text')}</p>"
        f"{examples}{told}</section>"
    )


def _render_examples(lang: str) -> str:
    examples = "".join(
        f'<button type="button" class="eco-example" id="example-{number}" data-action="ask" '
        f'data-text="{escape(t(lang, f"example_{number}"))}">'
        f"<span>{escape(t(lang, f'example_{number}'))}</span>{icon('next')}</button>"
        for number in range(1, NUM_EXAMPLES + 1)
    )
    return (
        f'<div class="eco-examples" role="group" aria-label="{t(lang, "welcome_examples")}">'
        f"{examples}</div>"
    )


def _render_said(text: str, lang: str) -> str:
    body = escape(text).replace("\n", "<br>")
    return (
        f'<div class="eco-said" data-said="{escape(text)}"><span class="eco-hidden">'
        f"{t(lang, 'you_said')}</span>{body}</div>"
    )


def _said(turn: Turn, lang: str) -> str:
    if turn.mode == "free_text":
        return _render_said(turn.user_text, lang)
    tags = render_info(turn.location, turn.work_type, turn.category, lang)
    hidden = f'<span class="eco-hidden">{t(lang, "you_said")}</span>'
    return f'<div class="eco-said">{hidden}{tags}<span>{t(lang, "asked_base")}</span></div>'


def shown_recommendation(turn: Turn, feedback: Feedback | None) -> Recommendation | None:
    """The person's own correction if there is one, else what was answered."""
    if feedback and feedback.correction:
        return from_dict(feedback.correction)
    return from_dict(turn.recommendation) if turn.recommendation else None


def _render_body(view: ChatView, turn: Turn) -> str:
    shown = shown_recommendation(turn, view.feedback.get(turn.turn_id))
    if shown and turn.status == "ok":
        return render_recommendation(shown, str(turn.turn_id))
    if view.is_text:
        text = render_text(turn.raw_text) if turn.raw_text else ""
        is_whole = turn.status == "ok"
        return text if is_whole else text + render_notice(view.say(f"status_{turn.status}"), "warn")
    stream = ReadableStream()
    challenges = stream.feed(turn.raw_text).challenges
    last = stream.finish()
    challenges += last.challenges
    body = ""
    if last.recommend or challenges:
        body = render_answer(last.recommend, challenges, str(turn.turn_id))
    return body + render_notice(view.say(f"status_{turn.status}"), "warn")


def render_notice(sentence: str, kind: str) -> str:
    """A sentence that tells what happened; kind is warn or info."""
    return (
        f'<p class="eco-notice eco-notice-{kind}" role="status">{icon("warn")}'
        f"<span>{escape(sentence)}</span></p>"
    )


def _render_badge(turn: Turn, notes: Mapping[str, str], lang: str) -> str:
    name = turn.adapter or t(lang, "base_model")
    note = notes.get(turn.adapter, t(lang, "base_note") if not turn.adapter else "")
    return (
        f'<details class="eco-badge" data-version="{escape(turn.adapter)}">'
        f'<summary title="{t(lang, "version_label")}">{escape(name)}</summary>'
        f'<div class="eco-badge-note"><b>{escape(turn.base_model)}</b>'
        f"<span>{escape(note)}</span></div></details>"
    )


@dataclass(frozen=True)
class _Action:
    name: str
    icon: str
    label: str
    is_pressed: bool | None = None
    extra: str = ""


def _render_action(action: _Action, turn: Turn, is_latest: bool, view: ChatView) -> str:
    label = view.say(action.label)
    element_id = action.name if is_latest else f"{action.name}-{turn.turn_id}"
    pressed = (
        "" if action.is_pressed is None else f' aria-pressed="{str(action.is_pressed).lower()}"'
    )
    send = "" if action.extra else f' data-action="{action.name}"'
    if action.is_pressed is not None:  # what the press asks for, so that twice is as good as once
        send += f' data-wanted="{"off" if action.is_pressed else "on"}"'
    return (
        f'<button type="button" class="eco-action" id="{element_id}"{send} '
        f'data-turn="{turn.turn_id}" title="{label}"{pressed}{action.extra}>{icon(action.icon)}'
        f'<span class="eco-action-label">{label}</span></button>'
    )


def _actions(view: ChatView, turn: Turn) -> list[_Action]:
    feedback = view.feedback.get(turn.turn_id)
    retry = _Action("retry", "retry", "retry")
    shown = shown_recommendation(turn, feedback)
    if turn.status != "ok" or not (shown or view.is_text):
        return [retry]
    rating = feedback.rating if feedback else None
    text = to_text(shown) if shown else turn.raw_text
    copy = f' data-copy="{escape(text)}" data-done="{t(view.lang, "copied")}"'
    edit = [_Action("edit-open", "edit", "edit")] if shown else []  # by its fields; text has none
    return [
        _Action("thumb-up", "up", "thumb_up", rating == "like"),
        _Action("thumb-down", "down", "thumb_down", rating == "dislike"),
        *edit,
        retry,
        _Action("copy-answer", "copy", "copy", extra=copy),
    ]


def _render_foot(view: ChatView, turn: Turn, is_latest: bool) -> str:
    feedback = view.feedback.get(turn.turn_id)
    corrected = ""
    if feedback and feedback.correction:
        corrected = f'<span class="eco-tag eco-tag-accent">{t(view.lang, "corrected")}</span>'
    buttons = "".join(
        _render_action(action, turn, is_latest, view) for action in _actions(view, turn)
    )
    badge = _render_badge(turn, view.notes, view.lang)
    return (
        f'<div class="eco-foot">{badge}{corrected}'
        f'<div class="eco-actions" role="group" aria-label="{t(view.lang, "answer_actions")}">'
        f"{buttons}</div></div>"
    )


def _render_turn(view: ChatView, turn: Turn, is_latest: bool) -> str:
    feedback = view.feedback.get(turn.turn_id)
    shown = shown_recommendation(turn, feedback)
    said = "" if turn.retry_of else _said(turn, view.lang)
    if view.editing == turn.turn_id and shown:
        inside = render_edit_form(turn.turn_id, shown, view.lang, view.message)
    else:
        inside = _render_body(view, turn) + _render_foot(view, turn, is_latest)
    panel = ""
    if view.panel == turn.turn_id and feedback and feedback.rating:
        panel = render_reason_panel(
            feedback,
            view.lang,
            may_train=view.may_train if view.asks_consent else None,
            is_text=view.is_text,
        )
    return (
        f'<article class="eco-turn" data-turn="{turn.turn_id}" data-status="{turn.status}">{said}'
        f'<div class="eco-answer"><h3 class="eco-hidden">{view.say("answer_title")}</h3>'
        f"{inside}{panel}</div></article>"
    )


def _fold_retried(view: ChatView, turn: Turn) -> str:
    said = "" if turn.retry_of else _said(turn, view.lang)
    body = _render_body(view, turn)
    return (
        f'<article class="eco-turn" data-turn="{turn.turn_id}">{said}'
        f'<details class="eco-earlier"><summary>{t(view.lang, "earlier_answer")}</summary>'
        f"{body}{_render_badge(turn, view.notes, view.lang)}</details></article>"
    )


def render_transcript(view: ChatView) -> str:
    """All turns of the open conversation, or the first screen when there is none."""
    if not view.turns and not view.is_busy:
        return render_welcome(view)
    retried = {turn.retry_of for turn in view.turns if turn.retry_of}
    latest = view.turns[-1].turn_id if view.turns else None
    parts = [
        _fold_retried(view, turn)
        if turn.turn_id in retried
        else _render_turn(view, turn, turn.turn_id == latest)
        for turn in view.turns
    ]
    return (
        f'<div class="eco-transcript" data-conversation="{escape(view.conversation_id)}">'
        f"{''.join(parts)}</div>"
    )


def describe_end(answer: LiveAnswer, lang: str) -> str:
    """One sentence: how it ended."""
    if answer.turn:
        is_read = answer.is_text or answer.turn.recommendation is not None
        if answer.turn.status == "ok" and is_read:
            return t(lang, "answer_ready")
        return t(lang, wording(f"status_{answer.turn.status}", is_text=answer.is_text))
    code = answer.error[0] if answer.error else "unexpected"
    return t(lang, "status_stopped") if code == "stopped" else describe_error(lang, code)


def render_unsaved(answer: LiveAnswer, lang: str) -> str:
    """A question that was not answered and is kept nowhere: it goes back into the box, if that is
    empty; else it stands here.
    """
    request = answer.request
    is_words = request.mode == "free_text" and not request.retry_of
    back = f' data-restore="{escape(request.text)}"' if is_words else ""
    said = _render_asked(answer, lang)
    notice = render_notice(describe_end(answer, lang), "warn")
    return (
        f'<article class="eco-turn" id="chat-unsaved" data-told="1"{back}>{said}{notice}</article>'
    )


def render_refusal(answer: LiveAnswer, lang: str) -> str:
    """Why a question was not taken; what was typed is still in the box."""
    notice = render_notice(describe_end(answer, lang), "warn")
    return f'<div class="eco-turn" data-told="1">{notice}</div>'


def _render_asked(answer: LiveAnswer, lang: str) -> str:
    """What was asked; with a retry it stands above already."""
    if answer.request.retry_of:
        return ""
    info = answer.request.base_info
    if answer.request.mode == "base_info" and info:
        tags = render_info(info.location, info.work_type, info.category, lang)
        return f'<div class="eco-said">{tags}<span>{t(lang, "asked_base")}</span></div>'
    return _render_said(answer.request.text, lang)


def render_live(answer: LiveAnswer, lang: str) -> str:
    """The turn that is being written: the question, then what there is of the answer."""
    said = _render_asked(answer, lang)
    if answer.phase == "writing" and answer.is_text and not answer.challenges:
        inside = render_text(answer.recommend, is_writing=True)
    elif answer.phase == "writing":
        inside = render_answer(answer.recommend, answer.challenges, "live", is_writing=True)
    else:
        inside = _render_waiting(answer, lang)
    talk = answer.conversation_id  # so that a reload finds a new conversation, too
    known = f' data-conversation="{escape(talk)}"' if talk else ""
    return (
        f'<article class="eco-turn eco-live" data-follow="1" data-phase="{answer.phase}"{known}>'
        f'{said}<div class="eco-answer" aria-busy="true">{inside}</div></article>'
    )


def _render_waiting(answer: LiveAnswer, lang: str) -> str:
    key = f"live_{answer.phase}" if answer.phase in ("warming", "asleep") else "live_thinking"
    key = wording(key, is_text=answer.is_text)
    return (
        f'<p class="eco-waiting" role="status"><span class="eco-dots" aria-hidden="true">'
        f"<i></i><i></i><i></i></span><span>{t(lang, key)}</span></p>"
    )


def render_chips_bar(info: BaseInfo | None, lang: str, *, is_open: bool) -> str:
    """What was understood, and the button that opens the choices."""
    shown = f"<span>{t(lang, 'chips_title')}</span>"
    if info:
        shown = render_info(info.location, info.work_type, info.category, lang)
    state = "open" if is_open else "closed"
    return (
        f'<button type="button" class="eco-chips-bar" data-ui="chips" data-chips="{state}" '
        f'aria-expanded="{str(is_open).lower()}" aria-controls="chat-chips-panel">{shown}'
        f"<span>{t(lang, 'chips_change')}</span>{icon('down_arrow')}</button>"
    )


def render_announcement(sentence: str) -> str:
    """What a screen reader hears."""
    return f'<p class="eco-hidden" role="status">{escape(sentence)}</p>'


@dataclass(frozen=True)
class TalksView:
    """The person's conversations, newest first, as far as they are shown."""

    lang: str
    conversations: Sequence[Conversation] = ()
    current: str = ""
    query: str = ""
    has_more: bool = False
    writing: Mapping[str, str] = field(default_factory=dict)  # answers on their way: id → question


def render_talks(view: TalksView) -> str:
    """First the conversations that begin with an answer being written: they are not stored yet."""
    stored = {talk.conversation_id for talk in view.conversations}
    items = [
        _render_talk(view, talk_id, question)
        for talk_id, question in view.writing.items()
        if talk_id not in stored and not view.query
    ]
    items += [
        _render_talk(view, talk.conversation_id, talk.title, talk.updated_at)
        for talk in view.conversations
    ]
    if not items:
        key = "no_conversation_found" if view.query else "no_conversations"
        return f'<p class="eco-side-empty">{t(view.lang, key)}</p>'
    more = ""
    if view.has_more:
        more = (
            f'<button type="button" class="eco-button eco-quiet" id="talks-more" '
            f'data-action="more" data-query="{escape(view.query)}">'
            f"{t(view.lang, 'talks_more')}</button>"
        )
    return f'<ul class="eco-talks">{"".join(items)}</ul>{more}'


def _render_talk(view: TalksView, talk_id: str, title: str, updated_at: str = "") -> str:
    here = ' aria-current="true"' if talk_id == view.current else ""
    if talk_id in view.writing:
        below = f'<span class="eco-talk-writing">{t(view.lang, "talk_writing")}</span>'
    else:
        below = f'<time datetime="{escape(updated_at)}">{escape(updated_at[:10])}</time>'
    return (
        f'<li><button type="button" class="eco-talk" data-action="open" '
        f'data-id="{escape(talk_id)}"{here}><span>'
        f"{escape(title or t(view.lang, 'untitled'))}</span>{below}</button></li>"
    )
