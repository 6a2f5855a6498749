"""The Insights tab: what the feedback says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import gradio as gr

from chatbot.themes import CATEGORIES
from chatbot.ui.bar_charts import Day
from chatbot.ui.blocks import SHORT, html_part
from chatbot.ui.feedback_view import REASONS
from chatbot.ui.insights_view import (
    Advice,
    CategoryRow,
    InsightsView,
    VersionRow,
    find_weakest,
    render_insights,
)
from chatbot.ui.parts import Parts
from chatbot.ui.people import needs, require_curator
from feedback_store.records import ExampleFilter, Rating, TurnFilter, TurnHit

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

    def wire_select(self, tab: gr.Tab) -> None:
        """Count anew whenever the tab is opened."""
        tab.select(self.on_select, outputs=[self.view], **SHORT)

    @needs("curator")
    def on_select(self, request: gr.Request) -> str:
        """Everything, from the store."""
        person = require_curator(self.parts, request)
        store = self.parts.store
        recent = store.search_turns(limit=NUM_RECENT).items
        categories = [row for row in map(self._category, _codes()) if row.num_turns]
        days = [Day(**row) for row in store.read_view("ratings_by_day")][-NUM_DAYS:]
        view = InsightsView(
            lang=person.lang,
            advice=self._advice(categories),
            days=days,
            versions=self._versions(recent),
            categories=categories,
            reasons=self._reasons(),
            worst=store.search_turns(filter=TurnFilter(rating="dislike"), limit=NUM_WORST).items,
        )
        return render_insights(view)

    def _count(self, category: str, rating: Rating | None) -> int:
        wanted = TurnFilter(category=category, rating=rating)
        return self.parts.store.search_turns(filter=wanted, limit=1).total

    def _category(self, code: str) -> CategoryRow:
        likes, dislikes = self._count(code, "like"), self._count(code, "dislike")
        return CategoryRow(code, self._count(code, None), likes, dislikes)

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
        datasets = store.list_datasets()
        newest = max(datasets, key=lambda dataset: dataset.created_at, default=None)
        num_accepted = store.count_examples(ExampleFilter(state="accepted"))
        num_learned = newest.num_train + newest.num_validation if newest else 0
        blockers = self.parts.learning.blockers()
        return Advice(
            num_accepted=num_accepted,
            num_new=max(0, num_accepted - num_learned),
            num_pending=store.count_examples(ExampleFilter(state="pending")),
            missing=next((b.need - b.have for b in blockers if b.code == "too_few_examples"), 0),
            weakest=find_weakest(categories),
        )


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
