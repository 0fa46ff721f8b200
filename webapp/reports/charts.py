"""The charts of a report, as inline SVG that takes its colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup, escape

from index.evaluation.axes import Accepted, LearningPoint
from index.evaluation.labelmeasures import CoverageCurve, Reliability

_WIDTH, _HEIGHT = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 14, 50  # margins of the drawing area
_STRIP = 44  # height of the strip of counts below a reliability diagram
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Scale = Callable[[float], float]


class Plot:
    """A drawing area with two axes, whose scales turn values into pixels."""

    def __init__(self, x: Scale, y: Scale, height: int = _HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height
        self._parts: list[Markup] = []

    def add(self, markup: str, *values: object) -> None:
        """Add SVG, with values put in as text."""
        self._parts.append(Markup(markup).format(*values))

    def ticks(self, x: Sequence[tuple[float, str]], y: Sequence[tuple[float, str]]) -> None:
        """Draw the grid, and the values at the axes."""
        for value, text in x:
            at = f"{self.x(value):.1f}"
            self.add('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>', at, _TOP, _LOW)
            self.add('<text x="{}" y="{}" text-anchor="middle">{}</text>', at, _LOW + 18, text)
        for value, text in y:
            at = f"{self.y(value):.1f}"
            end = _WIDTH - _RIGHT
            self.add('<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>', _LEFT, end, at)
            self.add(
                '<text x="{}" y="{}" dy=".35em" text-anchor="end">{}</text>', _LEFT - 6, at, text
            )

    def titles(self, x: str, y: str) -> None:
        """Write what the axes are."""
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        at = self.height - 8
        self.add('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>', middle, at, x)
        turned = f"translate(13 {(_TOP + _LOW) / 2:.0f}) rotate(-90)"
        self.add('<text class="axis" transform="{}" text-anchor="middle">{}</text>', turned, y)

    def line(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        """Draw a line through points; ``kind`` is its class in the style sheet."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.add('<polyline class="{}" points="{}"/>', kind, path)

    def dot(self, kind: str, x: float, y: float, says: str) -> None:
        """Draw a point that says something when it is pointed at."""
        at = f"{self.x(x):.1f}", f"{self.y(y):.1f}"
        self.add(
            '<circle class="{}" cx="{}" cy="{}" r="4"><title>{}</title></circle>', kind, *at, says
        )

    def bar(self, span: tuple[float, float], low: float, high: float, shade: float) -> None:
        """Draw a bar over ``span`` of the x axis, between two heights in pixels; ``shade`` is how
        strongly, from 0 to 1."""
        left, right = self.x(span[0]) + 1, self.x(span[1]) - 1
        box = (f"{value:.2f}" for value in (left, high, right - left, low - high, shade))
        self.add('<rect class="bar" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>', *box)

    def svg(self, label: str) -> Markup:
        """Return the whole drawing; ``label`` says to those who do not see it what it shows."""
        head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        return head.format(_WIDTH, self.height, label) + Markup("").join(self._parts) + _END


_LOW = _HEIGHT - _BOTTOM
_END = Markup("</svg>")


def reliability_chart(bins: Reliability, ece: float) -> Markup:
    """Draw how often predictions are right against how sure they are, and how many there are."""
    plot = Plot(_linear_x(0, 1), linear_y(0, 1), _HEIGHT + _STRIP)
    plot.ticks(_percents(_TICKS), _percents(_TICKS))
    total, most = max(1, int(bins.count.sum())), max(1, int(bins.count.max()))
    width, base = 1 / len(bins.count), plot.height - _BOTTOM + 24
    filled = np.flatnonzero(bins.count).tolist()
    for at in filled:
        part = int(bins.count[at]) / most
        span = (at * width, (at + 1) * width)
        plot.bar(span, plot.y(0), plot.y(float(bins.accuracy[at])), 0.1 + 0.4 * math.sqrt(part))
        plot.bar(span, base, base - 1 - (_STRIP - 16) * part, 0.8)
    plot.line("ideal", [(0, 0), (1, 1)])
    for at in filled:
        count, sure, right = int(bins.count[at]), bins.confidence[at], bins.accuracy[at]
        says = f"{count} predictions ({count / total:.0%}): {sure:.0%} sure, {right:.0%} right"
        plot.dot("mark", float(sure), float(right), says)
    plot.titles("how sure (below: how many predictions)", "how often right")
    return plot.svg(f"Reliability diagram, calibration error {ece:.3f}")


def coverage_chart(curve: CoverageCurve, accepted: Accepted, precision: float) -> Markup:
    """Draw precision against coverage, what is asked for, and where the head's threshold is."""
    lowest = min([precision, accepted.precision or 1.0, *curve.precision.tolist()])
    floor = math.floor(min(lowest, 0.9) * 10) / 10
    plot = Plot(_linear_x(0, 1), linear_y(floor, 1))
    plot.ticks(_percents(_TICKS), _percents(np.linspace(floor, 1, 6).tolist()))
    plot.line("asked", [(0, precision), (1, precision)])
    # Nothing is accepted without its equals, so that the first step begins at no coverage.
    start = [(0.0, float(curve.precision[0]))] if len(curve.precision) else []
    points = zip(curve.coverage.tolist(), curve.precision.tolist(), strict=True)
    plot.line("line", [*start, *points])
    says = "nothing is accepted"
    if accepted.precision is not None:
        says = f"accepted: {accepted.coverage:.1%} of all, {accepted.precision:.1%} of it right"
        plot.dot("mark", accepted.coverage, accepted.precision, says)
    plot.titles("coverage: share accepted", "precision: share of it right")
    return plot.svg(f"Precision against coverage; {says}")


def learning_chart(points: Sequence[LearningPoint]) -> Markup:
    """Draw accuracy and coverage against the number of labelled products, on a log scale."""
    counts = [point.examples for point in points]
    low, high = min(counts), max(*counts, min(counts) + 1)
    plot = Plot(log_x(low, high), linear_y(0, 1))
    plot.ticks(_apart([(value, str(value)) for value in counts], plot.x), _percents(_TICKS))
    for kind, name in (("line", "accuracy"), ("second", "coverage")):
        plot.line(kind, [(point.examples, getattr(point, name)) for point in points])
        for point in points:
            value = getattr(point, name)
            each = f", at most {point.each} of a category" if point.each else ""
            says = f"{point.examples} products{each}: {name} {value:.1%}"
            plot.dot(f"{kind} mark", point.examples, value, says)
    plot.titles("labelled products", "accuracy, and share accepted")
    return plot.svg("Learning curve: accuracy and coverage against labelled products")


def share_bar(share: float) -> Markup:
    """Draw a share as a small bar, to stand beside its number."""
    return Markup(
        '<svg class="share" viewBox="0 0 60 8" aria-hidden="true"><rect class="track" width="60" '
        'height="8" rx="2"/><rect class="fill" width="{}" height="8" rx="2"/></svg>'
    ).format(escape(f"{60 * min(1.0, max(0.0, share)):.1f}"))


def _linear_x(low: float, high: float) -> Scale:
    span = _WIDTH - _LEFT - _RIGHT
    return lambda value: _LEFT + span * (value - low) / (high - low)


def log_x(low: float, high: float) -> Scale:
    """Return the scale of a logarithmic x axis."""
    linear = _linear_x(math.log(low), math.log(high))
    return lambda value: linear(math.log(value))


def linear_y(low: float, high: float) -> Scale:
    """Return the scale of an even y axis."""
    span = _LOW - _TOP
    return lambda value: _LOW - span * (value - low) / (high - low)


def _percents(values: Sequence[float]) -> list[tuple[float, str]]:
    return [(value, f"{value:.0%}") for value in values]


def _apart(ticks: Sequence[tuple[float, str]], x: Scale) -> list[tuple[float, str]]:
    """Leave out ticks whose texts would run into each other, but not the last."""
    kept = list(ticks[-1:])
    for tick in reversed(ticks[:-1]):
        if x(kept[-1][0]) - x(tick[0]) >= 34:
            kept.append(tick)
    return kept[::-1]
