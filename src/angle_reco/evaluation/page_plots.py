"""Plots of the page: a bar, an interval and the baseline, a row for each ranking."""

import math
from collections.abc import Iterable, Mapping
from html import escape

from angle_reco.evaluation.bootstrap import Interval


def longest(figures: Iterable[Interval]) -> float:
    """Return what the whole width of a plot stands for, so that all *figures* fit."""
    return 1.05 * max((max(known(one.high), known(one.value)) for one in figures), default=0.0)


def plots(figures: Mapping[str, Interval], base: float, *, most: float) -> str:
    """Return a row for each of *figures*, whose width stands for *most*."""
    rows = "".join(_plot(name, one, base, most) for name, one in figures.items())
    return f'<div class="plots">{rows}</div>'


def _plot(name: str, one: Interval, base: float, most: float) -> str:
    if math.isnan(one.value):
        return ""

    def at(value: float) -> str:
        return f"{100 * value / (most or 1.0):.2f}%"

    text = f"{one.value:.4f}"
    label = f"{name}: {text}, from {figure(one.low, 4)} to {figure(one.high, 4)}"
    spread = (
        ""
        if math.isnan(one.low)
        else f'<line class="interval" x1="{at(one.low)}" x2="{at(one.high)}" y1="50%" y2="50%"/>'
    )
    line = (
        ""
        if math.isnan(base)
        else f'<line class="base" x1="{at(base)}" x2="{at(base)}" y1="0" y2="100%"/>'
    )
    return (
        f'<div class="plot"><span class="name">{escape(name)}</span>'
        f'<svg role="img" aria-label="{escape(label)}" height="22" width="100%">'
        f'<rect class="bar" x="0" y="5" height="12" width="{at(one.value)}"/>{line}{spread}'
        f'<circle cx="{at(one.value)}" cy="50%" r="4"/></svg>'
        f'<span class="figure">{text}</span></div>'
    )


def figure(value: float, digits: int) -> str:
    """Return a figure as text, a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def known(value: float) -> float:
    """Return a figure, 0 for NaN."""
    return 0.0 if math.isnan(value) else value
