"""Bars as HTML, drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import Final

_MIN_DAYS: Final = 14  # fewer would look like a wall
_MAX_DAYS: Final = 60  # more would not be told apart on a phone


@dataclass(frozen=True)
class Day:
    """Ratings of one day."""

    day: str  # YYYY-MM-DD
    num_likes: int
    num_dislikes: int


def _fill(days: Sequence[Day]) -> list[Day]:
    """Every day up to the last one, those without ratings too; two weeks to two months."""
    known = {day.day: day for day in days}
    last = date.fromisoformat(days[-1].day)
    span = (last - date.fromisoformat(days[0].day)).days + 1
    num = min(max(_MIN_DAYS, span), _MAX_DAYS)
    names = [(last - timedelta(days=back)).isoformat() for back in reversed(range(num))]
    return [known.get(name, Day(name, 0, 0)) for name in names]


def render_days(days: Sequence[Day], name: str) -> str:
    """Likes upwards, dislikes on top of them in another colour; "" without days (in order)."""
    if not days:
        return ""
    filled = _fill(days)
    highest = max(1, *(day.num_likes + day.num_dislikes for day in filled))
    bars = "".join(
        f'<i title="{day.day}: +{day.num_likes} −{day.num_dislikes}">'
        f'<b class="eco-bar-dislike" style="height:{100 * day.num_dislikes / highest:.1f}%"></b>'
        f'<b class="eco-bar-like" style="height:{100 * day.num_likes / highest:.1f}%"></b></i>'
        for day in filled
    )
    return (
        f'<figure class="eco-plot"><div class="eco-plot-values"><span>{highest}</span></div>'
        f'<div class="eco-days" role="img" aria-label="{escape(name)}">{bars}</div>'
        f'<div class="eco-plot-steps"><span>{filled[0].day[5:]}</span>'
        f"<span>{filled[-1].day[5:]}</span></div></figure>"
    )


def render_counts(rows: Sequence[tuple[str, int, str]]) -> str:
    """One bar for each (label, count, kind); kind is good, bad or ""."""
    highest = max((count for _, count, _ in rows), default=0)
    items = "".join(
        f'<li><span>{escape(label)}</span><span class="eco-meter eco-meter-{kind}">'
        f'<i style="width:{100 * count / highest:.1f}%"></i></span><b>{count:,}</b></li>'
        for label, count, kind in rows
    )
    return f'<ul class="eco-bars">{items}</ul>' if rows else ""
