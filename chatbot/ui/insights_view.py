"""The Insights tab as HTML: how people rate the answers, and whether a retrain is worth it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from chatbot.ui.bar_charts import Day, render_counts, render_days
from chatbot.ui.cards import option_label, render_info
from chatbot.ui.i18n import TEXTS, t
from feedback_store.records import Turn

MIN_RATINGS: Final = 5  # fewer say nothing about a category
ALL: Final = "all"  # no version and no category is called that


@dataclass(frozen=True)
class VersionRow:
    """What people thought of one version, and how fast it was; times in ms."""

    version: str
    num_turns: int
    num_likes: int
    num_dislikes: int
    first_token_ms: float | None = None  # median of the recent turns
    duration_ms: float | None = None


@dataclass(frozen=True)
class CategoryRow:
    """What people thought of the answers of one category."""

    category: str
    num_turns: int
    num_likes: int
    num_dislikes: int


@dataclass(frozen=True)
class Advice:
    """Is a retrain worth it now, and on what? num_new: accepted since the last dataset."""

    num_accepted: int
    num_new: int
    num_pending: int
    missing: int  # accepted examples that are still wanted
    weakest: CategoryRow | None = None  # with the largest share of dislikes
    num_new_of_weakest: int = 0

    @property
    def num_wanted(self) -> int:
        """New examples that make a difference likely: a tenth of all, and not just a handful."""
        return max(10, self.num_accepted // 10)

    @property
    def is_worth_it(self) -> bool:
        """Whether a retrain could change something people notice."""
        return not self.missing and self.num_new >= self.num_wanted


@dataclass(frozen=True)
class BadTurn:
    """A question whose answer people disliked, and what they said about it."""

    turn: Turn
    reasons: Sequence[str] = ()
    comment: str = ""


@dataclass(frozen=True)
class InsightsView:
    """Everything that the tab shows."""

    lang: str
    advice: Advice
    days: Sequence[Day] = ()
    versions: Sequence[VersionRow] = ()
    categories: Sequence[CategoryRow] = ()
    reasons: Sequence[tuple[str, str, int]] = ()  # code, rating, count
    worst: Sequence[BadTurn] = ()
    shown_version: str = ALL  # whose ratings the chart shows
    shown_category: str = ALL


def find_weakest(categories: Sequence[CategoryRow]) -> CategoryRow | None:
    """The category with the largest share of dislikes, if any was rated often enough."""
    rated = [row for row in categories if row.num_likes + row.num_dislikes >= MIN_RATINGS]
    worst = max(rated, key=lambda r: r.num_dislikes / (r.num_likes + r.num_dislikes), default=None)
    return worst if worst and worst.num_dislikes else None


def render_insights(view: InsightsView) -> str:
    """The whole tab."""
    if not view.versions:
        title = t(view.lang, "insights_empty")
        return f'<div class="eco-empty" id="insights-empty"><h3>{title}</h3></div>'
    return (
        f"{_render_advice(view)}{_render_ratings(view)}{_render_versions(view)}"
        f"{_render_categories(view)}{_render_reasons(view)}{_render_worst(view)}"
    )


def _box(element_id: str, title: str, inside: str) -> str:
    return (
        f'<section class="eco-box" id="{element_id}"><h2>{title}</h2>{inside}</section>'
        if inside
        else ""
    )


def describe_advice(advice: Advice, lang: str) -> list[str]:
    """One to three sentences, the decisive one first."""
    sentences = []
    if advice.missing:
        sentences.append(t(lang, "advice_missing", num=advice.missing))
    elif advice.is_worth_it:
        sentences.append(t(lang, "advice_now", num=advice.num_new))
    elif advice.num_new:
        values = {"num": advice.num_new, "needed": advice.num_wanted}
        sentences.append(t(lang, "advice_little", **values))
    else:
        sentences.append(t(lang, "advice_nothing_new"))
    if advice.num_pending:
        sentences.append(t(lang, "advice_pending", num=advice.num_pending))
    if advice.weakest:
        sentences.append(_describe_weakest(advice.weakest, advice.num_new_of_weakest, lang))
    return sentences


def _describe_weakest(row: CategoryRow, num_new: int, lang: str) -> str:
    values = {
        "category": option_label("category", row.category, lang),
        "num": row.num_dislikes,
        "of": row.num_likes + row.num_dislikes,
        "new": num_new,
    }
    return t(lang, "advice_weakest_new" if num_new else "advice_weakest", **values)


def _render_advice(view: InsightsView) -> str:
    first, *more = describe_advice(view.advice, view.lang)
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in more)
    kind = "accent" if view.advice.is_worth_it else "warn"
    word = t(view.lang, "advice_yes" if view.advice.is_worth_it else "advice_no")
    inside = (
        f'<p><span class="eco-tag eco-tag-{kind}" data-worth="{view.advice.is_worth_it}">{word}'
        f"</span> {escape(first)}</p>" + (f'<ul class="eco-reasons">{items}</ul>' if items else "")
    )
    return _box("insights-advice", t(view.lang, "advice_title"), inside)


def _render_ratings(view: InsightsView) -> str:
    likes = sum(row.num_likes for row in view.versions)
    dislikes = sum(row.num_dislikes for row in view.versions)
    turns = sum(row.num_turns for row in view.versions)
    figures = "".join(
        f'<div class="eco-figure"><b>{value}</b><span>{t(view.lang, key)}</span></div>'
        for key, value in (
            ("figure_answers", f"{turns:,}"),
            ("figure_likes", f"{likes:,}"),
            ("figure_dislikes", f"{dislikes:,}"),
            ("figure_share", _share(likes, dislikes)),
        )
    )
    chart = render_days(view.days, t(view.lang, "ratings_title"))
    none = f'<p class="eco-muted">{t(view.lang, "ratings_none")}</p>'
    inside = f'<div class="eco-figures">{figures}</div>{_render_filter(view)}{chart or none}'
    return _box("insights-ratings", t(view.lang, "ratings_title"), inside)


def _render_filter(view: InsightsView) -> str:
    """Whose ratings the chart shows: of all, or of one version, and of one theme."""
    lang = view.lang
    versions = [(row.version, row.version or t(lang, "base_model")) for row in view.versions]
    themes = [
        (row.category, option_label("category", row.category, lang)) for row in view.categories
    ]

    def select(name: str, chosen: str, options: Sequence[tuple[str, str]]) -> str:
        shown = "".join(
            f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
            f"{escape(text)}</option>"
            for value, text in ((ALL, t(lang, f"all_{name}")), *options)
        )
        return (
            f'<label class="eco-select"><span>{t(lang, f"filter_by_{name}")}</span>'
            f'<select name="{name}" id="insights-{name}" data-action="filter">{shown}</select>'
            "</label>"
        )

    return (
        '<form class="eco-filter eco-insights-filter">'
        f"{select('version', view.shown_version, versions)}"
        f"{select('theme', view.shown_category, themes)}</form>"
    )


def _seconds(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _share(likes: int, dislikes: int) -> str:
    return f"{likes / (likes + dislikes):.0%}" if likes + dislikes else "–"


def _render_table(heads: Sequence[str], rows: Sequence[Sequence[str]], lang: str) -> str:
    head = "".join(f'<th scope="col">{t(lang, key)}</th>' for key in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="eco-scroll"><table class="eco-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _render_versions(view: InsightsView) -> str:
    heads = (
        "column_version", "figure_answers", "figure_likes", "figure_dislikes", "figure_share",
        "column_first_token", "column_duration",
    )  # fmt: skip
    rows = [
        (
            row.version or t(view.lang, "base_model"),
            f"{row.num_turns:,}",
            f"{row.num_likes:,}",
            f"{row.num_dislikes:,}",
            _share(row.num_likes, row.num_dislikes),
            _seconds(row.first_token_ms),
            _seconds(row.duration_ms),
        )
        for row in view.versions
    ]
    table = _render_table(heads, rows, view.lang)
    return _box("insights-versions", t(view.lang, "versions_title"), table)


def _render_categories(view: InsightsView) -> str:
    heads = (
        "category", "figure_answers", "figure_likes", "figure_dislikes", "figure_share",
    )  # fmt: skip
    rows = [
        (
            option_label("category", row.category, view.lang),
            f"{row.num_turns:,}",
            f"{row.num_likes:,}",
            f"{row.num_dislikes:,}",
            _share(row.num_likes, row.num_dislikes),
        )
        for row in view.categories
    ]
    table = _render_table(heads, rows, view.lang) if rows else ""
    return _box("insights-categories", t(view.lang, "categories_title"), table)


def _render_reasons(view: InsightsView) -> str:
    rows = [
        (
            TEXTS[view.lang].get(f"reason_{code}", code),
            count,
            "good" if rating == "like" else "bad",
        )
        for code, rating, count in view.reasons
    ]
    return _box("insights-reasons", t(view.lang, "reasons_title"), render_counts(rows))


def _render_worst(view: InsightsView) -> str:
    """What was asked, and what people said was wrong with the answer."""
    lang = view.lang
    items = []
    for bad in view.worst:
        turn = bad.turn
        tags = "".join(
            f'<span class="eco-tag eco-tag-bad">'
            f"{escape(TEXTS[lang].get(f'reason_{code}', code))}</span> "
            for code in bad.reasons
        )
        comment = f'<p class="eco-comment">“{escape(bad.comment)}”</p>' if bad.comment else ""
        version = escape(turn.adapter or t(lang, "base_model"))
        items.append(
            f"<li><div><p>{escape(turn.user_text)}</p>{comment}</div>"
            f"<span>{tags}{render_info(turn.location, turn.work_type, turn.category, lang)} "
            f'<span class="eco-muted eco-small">{version}</span></span></li>'
        )
    inside = f'<ul class="eco-list">{"".join(items)}</ul>' if items else ""
    return _box("insights-worst", t(lang, "worst_title"), inside)
