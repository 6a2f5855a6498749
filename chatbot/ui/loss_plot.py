"""The loss of a run as SVG: drawn here, so that following a run costs the browser nothing.

The lines stretch with the page; the labels are HTML beside them and keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from chatbot.ui.i18n import t

Points = Sequence[tuple[int, float]]

WIDTH: Final = 1000
HEIGHT: Final = 200
_NUM_TICKS: Final = 4
_MAX_POINTS: Final = 400  # more would not be seen


def _finite(points: Points) -> list[tuple[int, float]]:
    kept = [(step, value) for step, value in points if math.isfinite(value)]
    every = max(1, math.ceil(len(kept) / _MAX_POINTS))
    return kept[::every] + (kept[-1:] if every > 1 else [])


def _nice_step(span: float) -> float:
    """A round distance between grid lines."""
    raw = span / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if raw <= factor * power * 1.001)


class _Scale:
    """From steps and losses to places in the picture."""

    def __init__(self, points: Points) -> None:
        self.last_step = max(2, *(step for step, _ in points))
        values = [value for _, value in points]
        low, high = min(values), max(values)
        if high - low < 1e-6:
            low, high = low - 0.5, high + 0.5
        self.tick = _nice_step(high - low)
        self.low = math.floor(low / self.tick) * self.tick
        self.high = math.ceil(high / self.tick) * self.tick

    def x(self, step: float) -> float:
        """Step 0 stands on the left edge."""
        return WIDTH * step / self.last_step

    def y(self, value: float) -> float:
        """The highest value stands on top."""
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT * (1 - share)

    def path(self, points: Points) -> str:
        """A line through the points."""
        places = (f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)
        return "M" + " L".join(places)


def _render_grid(scale: _Scale) -> tuple[str, str]:
    """(lines of the grid, their labels)."""
    lines, labels = [], []
    for number in range(round((scale.high - scale.low) / scale.tick) + 1):
        value = scale.low + number * scale.tick
        y = scale.y(value)
        lines.append(f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        labels.append(f'<span style="top:{100 * y / HEIGHT:.1f}%">{value:.4g}</span>')
    return "".join(lines), "".join(labels)


def render_loss_plot(losses: Points, eval_losses: Points, lang: str) -> str:
    """Training loss as a thin line, validation loss as a strong one; "" without points."""
    train, validation = _finite(losses), _finite(eval_losses)
    if not train and not validation:
        return ""
    scale = _Scale([*train, *validation])
    lines = f'<path class="eco-plot-train" d="{scale.path(train)}"/>' if train else ""
    if validation:
        # Lines without length, so that the round ends stay round however wide the page is.
        dots = "".join(f"M{scale.x(step):.1f},{scale.y(value):.1f}h0" for step, value in validation)
        lines += (
            f'<path class="eco-plot-eval" d="{scale.path(validation)}"/>'
            f'<path class="eco-plot-dots" d="{dots}"/>'
        )
    last = validation[-1][1] if validation else train[-1][1]
    name = t(lang, "plot_label", value=f"{last:.3f}")
    legend = (
        f'<p class="eco-plot-legend"><span class="eco-key eco-key-train"></span>'
        f'{t(lang, "plot_train")}<span class="eco-key eco-key-eval"></span>'
        f"{t(lang, 'plot_eval')}</p>"
    )
    grid, values = _render_grid(scale)
    steps = f"<span>{t(lang, 'plot_step')} 0</span>" + "".join(
        f"<span>{step}</span>" for step in (scale.last_step // 2, scale.last_step)
    )
    return (
        f'<figure class="eco-plot" id="loss-plot"><div class="eco-plot-values">{values}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{name}"><g class="eco-plot-grid">{grid}</g>{lines}</svg>'
        f'<div class="eco-plot-steps">{steps}</div><figcaption>{legend}</figcaption></figure>'
    )
