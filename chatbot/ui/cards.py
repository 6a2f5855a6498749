"""A recommendation as HTML: the sentence, then one card for each challenge.

Pure text in, HTML out. Everything that a model or a person wrote is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from chatbot.recommendation import NUM_CHALLENGES, Challenge, Recommendation
from chatbot.themes import get_label
from chatbot.ui.i18n import t


def render_card(challenge: Challenge, number: int, card_id: str) -> str:
    """One challenge; card_id is its element id."""
    return (
        f'<li class="eco-card" id="{escape(card_id)}">'
        f'<span class="eco-card-number" aria-hidden="true">{number}</span>'
        f'<h4 class="eco-card-title">{escape(challenge.title)}</h4>'
        f'<p class="eco-card-text">{escape(challenge.description)}</p></li>'
    )


def _render_waiting_card(number: int) -> str:
    return (
        '<li class="eco-card eco-card-waiting" aria-hidden="true">'
        f'<span class="eco-card-number">{number}</span>'
        '<span class="eco-bone eco-bone-short"></span><span class="eco-bone"></span></li>'
    )


_CARET: Final = '<span class="eco-caret" aria-hidden="true"></span>'


def render_text(text: str, *, is_writing: bool = False) -> str:
    """An answer in free text."""
    shown = escape(text).replace("\n", "<br>")
    return f'<p class="eco-recommend">{shown}{_CARET if is_writing else ""}</p>'


def render_answer(
    recommend: str, challenges: Sequence[Challenge], turn_key: str, *, is_writing: bool = False
) -> str:
    """The sentence and the cards; while the answer is being written, with a caret and places for
    the cards to come.
    """
    cards = [
        render_card(challenge, number, f"card-{turn_key}-{number}")
        for number, challenge in enumerate(challenges, 1)
    ]
    if is_writing:
        cards += [_render_waiting_card(n) for n in range(len(cards) + 1, NUM_CHALLENGES + 1)]
    listing = f'<ol class="eco-cards">{"".join(cards)}</ol>' if cards else ""
    return render_text(recommend, is_writing=is_writing and not challenges) + listing


def render_recommendation(recommendation: Recommendation, turn_key: str) -> str:
    """A complete answer."""
    return render_answer(recommendation.recommend, recommendation.challenges, turn_key)


def option_label(field: str, code: str, lang: str) -> str:
    """The label of an option as it stands alone, with a capital letter."""
    label = get_label(field, code, lang)
    return label[:1].upper() + label[1:]


def render_info(location: str, work_type: str, category: str, lang: str) -> str:
    """The three choices behind an answer as small tags."""
    labels = (
        option_label("location", location, lang),
        option_label("work_type", work_type, lang),
        option_label("category", category, lang),
    )
    tags = "".join(f'<span class="eco-tag">{escape(label)}</span>' for label in labels)
    return f'<span class="eco-tags" aria-label="{escape(t(lang, "info_label"))}">{tags}</span>'
