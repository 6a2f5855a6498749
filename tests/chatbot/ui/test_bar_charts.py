import re

from chatbot.ui.bar_charts import Day, render_counts, render_days


def heights_of(html: str) -> list[float]:
    """Per cent, a dislike and a like for each day."""
    return [float(height) for height in re.findall(r"height:([\d.]+)%", html)]


def test_every_day_has_its_two_bars_inside_the_frame() -> None:
    days = [Day(f"2026-11-{n:02}", n, n % 3) for n in range(1, 31)]
    heights = heights_of(render_days(days, "name"))
    assert len(heights) == 60
    columns = [sum(pair) for pair in zip(heights[::2], heights[1::2], strict=True)]
    assert max(columns) == 100


def test_days_without_ratings_keep_their_place() -> None:
    html = render_days([Day("2026-10-30", 1, 0), Day("2026-11-21", 0, 2)], "name")
    heights = heights_of(html)
    assert len(heights) == 2 * 23
    assert heights[:2] == [0, 50]
    assert heights[-2:] == [100, 0]
    assert sum(heights[2:-2]) == 0


def test_one_day_stands_at_the_right_of_two_weeks() -> None:
    heights = heights_of(render_days([Day("2026-11-21", 1, 0)], "name"))
    assert len(heights) == 28
    assert heights[-1] == 100


def test_older_days_than_two_months_are_left_out() -> None:
    heights = heights_of(render_days([Day("2020-01-01", 9, 0), Day("2026-11-21", 1, 0)], "name"))
    assert len(heights) == 120
    assert heights[-1] == 100


def test_days_without_ratings_draw_nothing_and_do_not_divide_by_zero() -> None:
    assert render_days([], "name") == ""
    assert set(heights_of(render_days([Day("2026-11-21", 0, 0)], "name"))) == {0}


def test_the_longest_bar_fills_its_place() -> None:
    html = render_counts([("<b>", 4, "good"), ("two", 1, "bad")])
    assert "width:100.0%" in html
    assert "width:25.0%" in html
    assert "<b><" not in html
