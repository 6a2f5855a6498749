"""The Insights tab: what the feedback says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import gradio as gr

from chatbot.themes import CATEGORIES
from chatbot.ui.bar_charts import Day
from chatbot.ui.blocks import SHORT, event_data, html_part
from chatbot.ui.event_input import read_form, read_text
from chatbot.ui.feedback_view import REASONS
from chatbot.ui.insights_view import (
    ALL,
    Advice,
    BadTurn,
    CategoryRow,
    InsightsView,
    VersionRow,
    find_weakest,
    render_insights,
)
from chatbot.ui.parts import Parts
from chatbot.ui.people import needs, require_curator
from feedback_store.records import ExampleFilter, TurnFilter, TurnHit

NUM_DAYS: Final = 60
NUM_RECENT: Final = 500  # turns whose times are looked at
NUM_WORST: Final = 8


class InsightsTab:
    """Builds the tab and answers its events, for admins and curators."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the tab inside the current Blocks."""
        with gr.Column(elem_classes="eco-page"):
            self.view = html_part("insights-view")
        self.view.act(self.on_filter, outputs=[self.view], **SHORT)

    def wire_select(self, tab: gr.Tab) -> None:
        """Count anew whenever the tab is opened."""
        tab.select(self.on_select, outputs=[self.view], **SHORT)

    @needs("curator")
    def on_select(self, request: gr.Request) -> str:
        """Everything, from the store."""
        return self._show(require_curator(self.parts, request).lang)

    @needs("curator")
    def on_filter(self, event: gr.EventData, request: gr.Request) -> str:
        """The chart of one version, or of one theme."""
        person, data = require_curator(self.parts, request), event_data(event)
        form = read_form(data)
        version, theme = (
            read_text(form, name) if name in form else ALL for name in ("version", "theme")
        )
        return self._show(person.lang, version, theme)

    def _show(self, lang: str, version: str = ALL, theme: str = ALL) -> str:
        store = self.parts.store
        recent = store.search_turns(limit=NUM_RECENT).items
        ratings = store.read_view("ratings_over_time")
        categories = self._categories(ratings)
        chosen = [
            row
            for row in ratings
            if version in (ALL, row["adapter"]) and theme in (ALL, row["category"])
        ]
        view = InsightsView(
            lang=lang,
            advice=self._advice(categories),
            days=_sum_days(chosen)[-NUM_DAYS:],
            versions=self._versions(recent),
            categories=categories,
            reasons=self._reasons(),
            worst=self._worst(),
            shown_version=version,
            shown_category=theme,
        )
        return render_insights(view)

    def _categories(self, ratings: Sequence[Mapping[str, Any]]) -> list[CategoryRow]:
        likes, dislikes = Counter[str](), Counter[str]()
        for row in ratings:
            likes[row["category"]] += row["num_likes"]
            dislikes[row["category"]] += row["num_dislikes"]
        asked = {
            row["category"]: row["num_turns"]
            for row in self.parts.store.read_view("turns_by_category")
        }
        return [
            CategoryRow(code, asked[code], likes[code], dislikes[code])
            for code in _codes()
            if code in asked
        ]

    def _worst(self) -> list[BadTurn]:
        store = self.parts.store
        found = store.search_turns(filter=TurnFilter(rating="dislike"), limit=NUM_WORST).items
        given = [(hit.turn, store.get_feedback(hit.turn.turn_id, hit.person_id)) for hit in found]
        return [
            BadTurn(turn, feedback.reasons, feedback.comment) if feedback else BadTurn(turn)
            for turn, feedback in given
        ]

    def _versions(self, recent: Sequence[TurnHit]) -> list[VersionRow]:
        rows = self.parts.store.read_view("ratings_by_adapter")
        return [_version_row(row, recent) for row in rows]

    def _reasons(self) -> list[tuple[str, str, int]]:
        counted: Counter[tuple[str, str]] = Counter()
        known = {code for codes in REASONS.values() for code in codes}
        for row in self.parts.store.read_view("reasons_by_adapter"):
            if row["reason"] in known and row["rating"]:
                counted[row["reason"], row["rating"]] += row["num_feedback"]
        return [(code, rating, count) for (code, rating), count in counted.most_common()]

    def _advice(self, categories: Sequence[CategoryRow]) -> Advice:
        store = self.parts.store
        accepted = store.read_view("accepted_by_category")
        new = {row["category"]: row["num_new"] for row in accepted}
        blockers = self.parts.learning.blockers()
        weakest = find_weakest(categories)
        return Advice(
            num_accepted=sum(row["num_accepted"] for row in accepted),
            num_new=sum(new.values()),
            num_pending=store.count_examples(ExampleFilter(state="pending")),
            missing=next((b.need - b.have for b in blockers if b.code == "too_few_examples"), 0),
            weakest=weakest,
            num_new_of_weakest=new.get(weakest.category, 0) if weakest else 0,
        )


def _sum_days(ratings: Sequence[Mapping[str, Any]]) -> list[Day]:
    likes, dislikes = Counter[str](), Counter[str]()
    for row in ratings:
        likes[row["day"]] += row["num_likes"]
        dislikes[row["day"]] += row["num_dislikes"]
    return [Day(day, likes[day], dislikes[day]) for day in sorted(likes)]


def _codes() -> list[str]:
    return [option.code for option in CATEGORIES]


def _version_row(row: dict[str, Any], recent: Sequence[TurnHit]) -> VersionRow:
    turns = [hit.turn for hit in recent if hit.turn.adapter == row["adapter"]]
    first = [t.time_to_first_token_ms for t in turns if t.time_to_first_token_ms is not None]
    durations = [turn.duration_ms for turn in turns if turn.status == "ok"]
    return VersionRow(
        version=row["adapter"],
        num_turns=row["num_turns"],
        num_likes=row["num_likes"],
        num_dislikes=row["num_dislikes"],
        first_token_ms=median(first) if first else None,
        duration_ms=median(durations) if durations else None,
    )
