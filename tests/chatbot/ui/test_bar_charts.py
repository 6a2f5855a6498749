import re
from xml.etree import ElementTree

from chatbot.ui.bar_charts import Day, render_counts, render_days


def test_every_day_has_its_two_bars_inside_the_frame() -> None:
    days = [Day(f"2026-11-{n:02}", n, n % 3) for n in range(1, 31)]
    match = re.search(r"<svg.*</svg>", render_days(days, "name"), re.DOTALL)
    assert match
    bars = list(ElementTree.fromstring(match[0]).iter("rect"))
    assert len(bars) == 60
    assert all(float(bar.get("y") or -1) >= 0 for bar in bars)


def test_days_without_ratings_draw_nothing_and_do_not_divide_by_zero() -> None:
    assert render_days([], "name") == ""
    assert "rect" in render_days([Day("2026-11-21", 0, 0)], "name")


def test_the_longest_bar_fills_its_place() -> None:
    html = render_counts([("<b>", 4, "good"), ("two", 1, "bad")])
    assert "width:100.0%" in html
    assert "width:25.0%" in html
    assert "<b><" not in html
