"""Bars as SVG and HTML, drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 180
_LEFT, _TOP, _BOTTOM = 34, 10, 26  # margins


@dataclass(frozen=True)
class Day:
    """Ratings of one day."""

    day: str  # YYYY-MM-DD
    num_likes: int
    num_dislikes: int


def render_days(days: Sequence[Day], name: str) -> str:
    """Likes upwards, dislikes on top of them in another colour; "" without days."""
    if not days:
        return ""
    highest = max(1, *(day.num_likes + day.num_dislikes for day in days))
    step = (WIDTH - _LEFT) / max(len(days), 14)
    room = HEIGHT - _TOP - _BOTTOM
    bars = []
    for number, day in enumerate(days):
        x = _LEFT + number * step
        likes, dislikes = (room * n / highest for n in (day.num_likes, day.num_dislikes))
        base = HEIGHT - _BOTTOM
        bars.append(
            f"<g><title>{escape(day.day)}: +{day.num_likes} −{day.num_dislikes}</title>"
            f'<rect class="eco-bar-like" x="{x:.1f}" y="{base - likes:.1f}" '
            f'width="{step * 0.7:.1f}" height="{likes:.1f}" rx="2"/>'
            f'<rect class="eco-bar-dislike" x="{x:.1f}" y="{base - likes - dislikes:.1f}" '
            f'width="{step * 0.7:.1f}" height="{dislikes:.1f}" rx="2"/></g>'
        )
    ends = {0: days[0].day, len(days) - 1: days[-1].day}
    labels = "".join(
        f'<text x="{_LEFT + number * step:.1f}" y="{HEIGHT - 8}">{escape(day[5:])}</text>'
        for number, day in ends.items()
    )
    scale = f'<text x="{_LEFT - 8}" y="{_TOP + 8}" text-anchor="end">{highest}</text>'
    return (
        f'<figure class="eco-plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)}">{"".join(bars)}<g class="eco-plot-grid">{labels}{scale}</g>'
        "</svg></figure>"
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
