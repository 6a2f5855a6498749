import math
import re
from xml.etree import ElementTree

import pytest

from chatbot.ui.loss_plot import render_loss_plot

Points = list[tuple[int, float]]


def svg_of(html: str) -> ElementTree.Element:
    match = re.search(r"<svg.*</svg>", html, re.DOTALL)
    assert match
    return ElementTree.fromstring(match[0])


def test_without_points_there_is_no_plot() -> None:
    assert render_loss_plot([], [], "ko") == ""
    assert render_loss_plot([(1, math.nan)], [], "ko") == ""


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ([(1, 2.0)], []),
        ([(1, 2.0), (2, 2.0)], [(2, 2.0)]),
        ([], [(5, 0.1), (10, 0.05)]),
        ([(step, 4.6 - step * 1e-5) for step in range(1, 5000)], [(5000, 4.5)]),
        ([(1, math.inf), (2, 1e6), (3, -2.0)], [(3, 1e-9)]),
    ],
)
def test_any_run_gives_a_drawing_inside_its_frame(train: Points, validation: Points) -> None:
    svg = svg_of(render_loss_plot(train, validation, "ko"))
    numbers = [
        float(number)
        for path in svg.iter("path")
        for number in re.findall(r"-?\d+\.?\d*", path.get("d") or "")
    ]
    assert all(-1 <= number <= 1001 for number in numbers)


def test_a_long_run_is_thinned_out() -> None:
    svg = svg_of(render_loss_plot([(step, 1.0 / step) for step in range(1, 9000)], [], "ko"))
    paths = [path.get("d") or "" for path in svg.iter("path")]
    assert len(paths[0].split(" ")) < 500


def test_the_name_for_screen_readers_has_the_last_validation_loss() -> None:
    html = render_loss_plot([(1, 3.0)], [(1, 2.5)], "en")
    assert 'aria-label="Loss plot, last value 2.500"' in html
