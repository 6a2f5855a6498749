"""The reason panel after a thumb, and the answer as a form, as HTML."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from chatbot.feedback import MAX_COMMENT
from chatbot.recommendation import (
    MAX_DESCRIPTION,
    MAX_RECOMMEND,
    MAX_TITLE,
    Challenge,
    Recommendation,
    from_dict,
    to_dict,
)
from chatbot.ui.event_input import read_text
from chatbot.ui.i18n import t, wording
from chatbot.ui.icons import icon
from feedback_store.records import Feedback

REASONS: Final = {
    "like": ("doable", "fits_me", "fresh", "clear"),
    "dislike": ("off_topic", "not_my_life", "too_hard", "repeated", "odd_wording", "untrue"),
}


# Where answers are free text, there is nothing to do and nothing that repeats itself.
_NOT_OF_TEXT: Final = frozenset({"doable", "fits_me", "not_my_life", "too_hard", "repeated"})


def _render_reason(code: str, is_chosen: bool, lang: str, is_text: bool) -> str:
    checked = " checked" if is_chosen else ""
    return (
        f'<label class="eco-chip"><input type="checkbox" name="reasons" value="{code}"{checked}>'
        f"<span>{t(lang, wording(f'reason_{code}', is_text=is_text))}</span></label>"
    )


def render_reason_panel(
    feedback: Feedback, lang: str, *, may_train: bool | None, is_text: bool = False
) -> str:
    """Why was it good or bad: chips, a comment and, unless may_train is None, the consent."""
    rating = feedback.rating or "like"
    chips = "".join(
        _render_reason(code, code in feedback.reasons, lang, is_text)
        for code in REASONS[rating]
        if not (is_text and code in _NOT_OF_TEXT)
    )
    consent = ""
    if may_train is not None:
        checked = " checked" if may_train else ""
        consent = (
            f'<label class="eco-consent"><input type="checkbox" name="may_train" value="1"'
            f' id="consent-train"{checked}><span>{t(lang, "consent_train")}</span></label>'
        )
    return (
        f'<form class="eco-panel" id="reason-panel" data-action="reasons" '
        f'data-turn="{feedback.turn_id}"><fieldset><legend>{t(lang, f"why_{rating}")}</legend>'
        f'<div class="eco-chips">{chips}</div></fieldset>'
        f'<label class="eco-field"><span>{t(lang, "comment_label")}</span>'
        f'<textarea name="comment" id="reason-comment" rows="1" maxlength="{MAX_COMMENT}" '
        f'placeholder="{t(lang, "comment_placeholder")}">{escape(feedback.comment)}</textarea>'
        f"</label>{consent}"
        '<div class="eco-form-buttons">'
        f'<button type="button" class="eco-button" id="reason-close" data-action="panel-close" '
        f'data-escape="1">{t(lang, "close")}</button>'
        f'<button type="submit" class="eco-button eco-button-main" id="reason-send">'
        f"{t(lang, 'send_reasons')}</button></div></form>"
    )


def _field(name: str, label: str, value: str, rows: int, limit: int) -> str:
    return (
        f'<label class="eco-field"><span>{label}</span><textarea name="{name}" id="edit-{name}" '
        f'rows="{rows}" maxlength="{limit}" required>{escape(value)}</textarea></label>'
    )


def render_fields(recommendation: Recommendation, lang: str) -> str:
    """The fields of an answer, so that whatever is typed stays a valid answer."""
    parts = [
        _field("recommend", t(lang, "field_recommend"), recommendation.recommend, 2, MAX_RECOMMEND)
    ]
    for number, challenge in enumerate(recommendation.challenges, 1):
        parts.append(
            f'<fieldset class="eco-card"><legend>{t(lang, "field_challenge", number=number)}'
            "</legend>"
            + _field(f"title-{number}", t(lang, "field_title"), challenge.title, 1, MAX_TITLE)
            + _field(
                f"description-{number}",
                t(lang, "field_description"),
                challenge.description,
                3,
                MAX_DESCRIPTION,
            )
            + "</fieldset>"
        )
    return f'{parts[0]}<div class="eco-cards">{"".join(parts[1:])}</div>'


def render_edit_form(turn_id: int, shown: Recommendation, lang: str, message: str) -> str:
    """The answer as fields, in its own place."""
    error = (
        f'<p class="eco-notice eco-notice-warn" role="alert">{icon("warn")}'
        f"<span>{escape(message)}</span></p>"
        if message
        else ""
    )
    return (
        f'<form class="eco-edit" id="edit-form" data-action="edit-save" data-turn="{turn_id}">'
        f"{render_fields(shown, lang)}{error}"
        '<div class="eco-form-buttons">'
        f'<button type="button" class="eco-button" id="edit-cancel" data-action="edit-cancel" '
        f'data-escape="1">{t(lang, "cancel")}</button>'
        f'<button type="submit" class="eco-button eco-button-main" id="edit-save">'
        f"{t(lang, 'save')}</button></div></form>"
    )


def keep_fields(form: dict[str, Any]) -> Recommendation:
    """What was typed, whatever it is worth: to draw the form again."""
    challenges = tuple(
        Challenge(
            read_text(form, f"title-{number}").strip(),
            read_text(form, f"description-{number}").strip(),
        )
        for number in (1, 2, 3)
    )
    return Recommendation(read_text(form, "recommend").strip(), challenges)


def read_fields(form: dict[str, Any]) -> Recommendation:
    """The recommendation that was typed; raises RecommendationError naming the field."""
    return from_dict(to_dict(keep_fields(form)))


def read_reasons(form: dict[str, Any], rating: str) -> tuple[str, ...]:
    """The chosen reason codes that belong to the rating."""
    value = form.get("reasons", [])
    chosen = [value] if isinstance(value, str) else list(value)
    return tuple(code for code in REASONS[rating] if code in chosen)
