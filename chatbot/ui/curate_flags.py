"""Flags as people read them: what it is, what was seen, what to do, and one button to do it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from chatbot.themes import FIELDS
from chatbot.ui.cards import option_label
from chatbot.ui.i18n import TEXTS, t, translate_error
from feedback_store.records import Example

_SEVERITIES: Final = {"error": "bad", "warning": "warn", "info": ""}
_CATEGORIES: Final = {option.code for option in FIELDS["category"]}
# What a suggestion puts right; for the others a person writes, looks or leaves out.
_FIXED_BY_SUGGESTION: Final = frozenset(
    {"needs_repair", "invisible_characters", "escaped_text", "line_break", "template_text"}
    | {"leading_number", "personal_data"}
)
_COPIES: Final = frozenset({"near_duplicate", "answer_of_another_prompt", "contradicting_answers"})
_WRITTEN_BY_HAND: Final = frozenset(
    {"not_an_answer", "truncated", "ambiguous", "wrong_count", "missing_key", "extra_key"}
    | {"empty_field", "wrong_type", "too_long", "missing_recommend", "unclear_recommend"}
    | {"unclear_title", "unclear_numbering", "field_stuffing", "duplicate_titles", "odd_length"}
    | {"loop", "foreign_words", "missing_spaces", "broken_hangul", "off_category"}
)


def flag_label(name: str, lang: str) -> str:
    """The name of a flag for people."""
    return TEXTS[lang].get(f"flag_{name}", name.replace("_", " "))


def _shown_value(name: str, value: str | int, lang: str) -> str:
    """A value of a flag in the reader's language: codes become labels."""
    texts, text = TEXTS[lang], str(value)
    if name in ("kind", "where"):
        return texts.get(f"{name}_{text}", text)
    if name in ("found", "wanted"):
        return texts.get(f"type_{text}", text)
    if name == "field":
        return _part_label(text, lang)
    if name == "keys":
        return ", ".join(_part_label(key, lang) for key in text.split(", "))
    if name == "repairs":
        return ", ".join(texts.get(f"repair_{repair}", repair) for repair in text.split())
    if name in ("category", "rare_category") and text in _CATEGORIES:
        return option_label("category", text, lang)
    if name == "categories":
        labels = (_shown_value("category", code, lang) for code in text.split())
        return ", ".join(labels)
    return f"{value:,}" if isinstance(value, int) and name != "other" else text


def _part_label(part: str, lang: str) -> str:
    """A part of an answer, perhaps with its number: "title 2"."""
    texts, whole = TEXTS[lang], f"part_{part.removeprefix('the ')}"
    if whole in texts:
        return texts[whole]
    name, _, number = part.partition(" ")
    is_ours = f"part_{name}" in texts and number.isdecimal()
    return f"{texts[f'part_{name}']} {number}" if is_ours else part


def describe_evidence(flag: Mapping[str, Any], lang: str) -> str:
    """What was seen, as HTML: in the reader's language where the flag carries its figures, else
    the piece of the text that shows it.
    """
    params, texts, key = flag.get("params"), TEXTS[lang], f"seen_{flag['name']}"
    if not params:
        return f"<q>{escape(str(flag['evidence']))}</q>"
    names = (f"{key}_{params.get('seen')}", f"{key}_{flag['severity']}", key)
    template = next((texts[name] for name in names if name in texts), None)
    if template is None:
        return f"<q>{escape(str(flag['evidence']))}</q>"
    shown = {name: _shown_value(name, value, lang) for name, value in params.items()}
    if flag["name"] == "extra_key":  # people's own names, whatever they are
        shown["keys"] = str(params["keys"])
    return f"<b>{escape(template.format(**shown))}</b>"


def describe_fix(flag: Mapping[str, Any], lang: str) -> str:
    """What to do about it, as HTML; where there is nothing to do, that."""
    texts, key = TEXTS[lang], f"flagfix_{flag['name']}"
    usual = texts.get(key, str(flag["fix"]))
    return escape(texts.get(f"{key}_{flag['severity']}", usual))


def describe_refusal(code: str, message: str, lang: str) -> str:
    """Why an example was not accepted: the flag that stands in the way and what to do about it, or
    what else went wrong.
    """
    texts = TEXTS[lang]
    if f"flag_{code}" not in texts:
        return translate_error(lang, code, message)
    fix = texts.get(f"flagfix_{code}_error", texts.get(f"flagfix_{code}", message))
    return f"{flag_label(code, lang)}: {fix}"


def render_flags(example: Example, lang: str, *, has_suggestion: bool) -> str:
    """All flags of an example; nothing where it has none."""
    if not example.flags:
        return ""
    items = "".join(_render_flag(flag, example, lang, has_suggestion) for flag in example.flags)
    return f'<ul class="eco-flags" aria-label="{t(lang, "flags")}">{items}</ul>'


def _render_flag(flag: Mapping[str, Any], example: Example, lang: str, has_suggestion: bool) -> str:
    name = str(flag["name"])
    kind = _SEVERITIES.get(str(flag["severity"]), "")
    return (
        f'<li data-flag="{escape(name)}"><span class="eco-tag eco-tag-{kind}">'
        f"{escape(flag_label(name, lang))}</span>"
        f"<span>{describe_evidence(flag, lang)} {describe_fix(flag, lang)}</span>"
        f"{_render_buttons(flag, example, lang, has_suggestion)}</li>"
    )


def _render_buttons(
    flag: Mapping[str, Any], example: Example, lang: str, has_suggestion: bool
) -> str:
    """The one click that settles it, and beside it the one that shows more."""
    name, params = str(flag["name"]), flag.get("params", {})
    if name in _COPIES:
        other = escape(str(params.get("other", "")))
        show = _button(lang, "compare", f'data-action="compare" data-other="{other}"')
        return show + _button(lang, "exclude", 'data-action="exclude"')
    if name == "burst":
        return _filter_button(lang, "person", "person_id", example.person_id)
    if name == "repeated_phrase" and "phrase" in params:
        return _filter_button(lang, "phrase", "query", str(params["phrase"]))
    if name in _FIXED_BY_SUGGESTION and has_suggestion:
        return _button(lang, "accept", 'data-action="accept"')
    if name in _WRITTEN_BY_HAND:
        return _button(lang, "edit", 'data-action="fix"')
    return _button(lang, "exclude", 'data-action="exclude"')


def _filter_button(lang: str, key: str, name: str, value: str) -> str:
    attributes = f'data-action="filter" data-name="{name}" data-value="{escape(value)}"'
    return _button(lang, key, attributes)


def _button(lang: str, key: str, attributes: str) -> str:
    text = t(lang, f"flag_do_{key}")
    return f'<button type="button" class="eco-flag-do" {attributes}>{escape(text)}</button>'
