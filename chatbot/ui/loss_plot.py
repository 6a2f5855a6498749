"""The loss of a run as SVG: drawn here, so that following a run costs the browser nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from chatbot.ui.i18n import t

Points = Sequence[tuple[int, float]]

WIDTH: Final = 720
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 34  # margins
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
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * step / self.last_step

    def y(self, value: float) -> float:
        """The highest value stands on top."""
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share

    def path(self, points: Points) -> str:
        """A line through the points."""
        places = (f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)
        return "M" + " L".join(places)


def _render_grid(scale: _Scale, lang: str) -> str:
    parts = []
    num_lines = round((scale.high - scale.low) / scale.tick)
    for number in range(num_lines + 1):
        value = scale.low + number * scale.tick
        y = scale.y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for step in sorted({0, scale.last_step // 2, scale.last_step}):
        anchor = "end" if step == scale.last_step else "middle"
        parts.append(
            f'<text x="{scale.x(step):.1f}" y="{HEIGHT - 12}" text-anchor="{anchor}">{step}</text>'
        )
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 12}" dx="14">{t(lang, "plot_step")}</text>')
    return f'<g class="eco-plot-grid">{"".join(parts)}</g>'


def render_loss_plot(losses: Points, eval_losses: Points, lang: str) -> str:
    """Training loss as a thin line, validation loss as a strong one; "" without points."""
    train, validation = _finite(losses), _finite(eval_losses)
    if not train and not validation:
        return ""
    scale = _Scale([*train, *validation])
    lines = f'<path class="eco-plot-train" d="{scale.path(train)}"/>' if train else ""
    if validation:
        dots = "".join(
            f'<circle cx="{scale.x(step):.1f}" cy="{scale.y(value):.1f}" r="3.5"/>'
            for step, value in validation
        )
        lines += f'<g class="eco-plot-eval"><path d="{scale.path(validation)}"/>{dots}</g>'
    last = validation[-1][1] if validation else train[-1][1]
    name = t(lang, "plot_label", value=f"{last:.3f}")
    legend = (
        f'<p class="eco-plot-legend"><span class="eco-key eco-key-train"></span>'
        f'{t(lang, "plot_train")}<span class="eco-key eco-key-eval"></span>'
        f"{t(lang, 'plot_eval')}</p>"
    )
    return (
        f'<figure class="eco-plot" id="loss-plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{name}">{_render_grid(scale, lang)}{lines}</svg>'
        f"<figcaption>{legend}</figcaption></figure>"
    )
