"""Static labels for Gradio components, translated in the browser."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from chatbot.themes import FIELDS
from chatbot.ui.cards import option_label
from chatbot.ui.i18n import LANGS, TEXTS


def _with_options(lang: str) -> dict[str, str]:
    options = {
        f"option_{option.code}": option_label(field, option.code, lang)
        for field, options in FIELDS.items()
        for option in options
    }
    return {**TEXTS[lang], **options}


I18N: Final = gr.I18n(**{lang: _with_options(lang) for lang in LANGS})


def label(key: str) -> Any:
    """The label of a key in the language of whoever looks."""
    if key not in I18N.translations["ko"]:
        raise KeyError(f"The screen has no text {key!r}; add it to chatbot/ui/i18n/*.json.")
    return I18N(key)
