"""Small SVG pictures that the page draws itself: a row of the forest plot, and a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from serlab.bench.contracts import FloatArray
from serlab.reports.records import Arm, Block, Verdict
from serlab.reports.scale import reach
from serlab.reports.words import in_points, number

WIDTH, HEIGHT = 160, 26


def forest_row(arm: Arm, block: Block) -> Markup:
    """One arm's effect on the scale of its block, with the margin's band and the zero line."""
    half = _half(block)

    def x(value: float) -> float:
        return WIDTH / 2 * (1 + max(-1.0, min(1.0, value / half)))

    margin, middle = block.study.margin, HEIGHT / 2
    band = x(margin) - x(-margin)
    parts = [
        f'<rect class="band" x="{x(-margin):.1f}" y="0" width="{band:.1f}" height="{HEIGHT}"/>',
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{HEIGHT}"/>',
    ]
    effect = arm.effect
    if effect:
        estimate = effect.estimate
        kind = "far" if effect.verdict in {Verdict.BETTER, Verdict.WORSE} else "near"
        side = effect.verdict.value
        if math.isfinite(estimate.low):
            low, high = x(estimate.low), x(estimate.high)
            parts += [_arrow(at, side) for at in (low, high) if at in (0.0, WIDTH)]
            parts.append(
                f'<line class="ci {side}" x1="{low:.1f}" x2="{high:.1f}" '
                f'y1="{middle:.1f}" y2="{middle:.1f}"/>'
            )
        at = x(estimate.mean)
        parts.append(f'<circle class="dot {kind} {side}" cx="{at:.1f}" cy="{middle:.1f}" r="4.2"/>')
    return _svg(parts, WIDTH, HEIGHT, "mini")


def _arrow(at: float, side: str) -> str:
    """Shows that an interval goes on beyond the scale."""
    inner, middle = (at + 6 if at == 0 else at - 6), HEIGHT / 2
    corners = f"{inner:.1f},{middle - 4:.1f} {at:.1f},{middle:.1f} {inner:.1f},{middle + 4:.1f}"
    return f'<polyline class="ci {side}" fill="none" points="{corners}"/>'


def axis_row(block: Block) -> Markup:
    """The scale of `forest_row`, in points, or for traces in the metric itself."""
    half = _half(block)
    step = _step(half)
    values = [i * step for i in range(-int(half / step), int(half / step) + 1)]
    texts = []
    for value in values:
        at = WIDTH / 2 * (1 + value / half)
        if 10 <= at <= WIDTH - 10:
            label = _tick(value, step, points=in_points(block.study.metric))
            texts.append(f'<text x="{at:.1f}" y="11" text-anchor="middle">{label}</text>')
    return _svg(texts, WIDTH, 14, "mini axis")


def _tick(value: float, step: float, *, points: bool) -> str:
    if points:
        return number(value * 100, 0 if step >= 0.01 else 1, sign=True)
    digits = 1 if step >= 0.1 else 2 if step >= 0.01 else 3
    return number(value, digits, sign=True)


def _half(block: Block) -> float:
    return reach([a.effect.estimate for a in block.others if a.effect], block.study.margin)


def _step(half: float) -> float:
    """A round step that gives at most three ticks a side."""
    for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        if half / step < 2.6:
            return step
    return 1.0


def curve(values: Sequence[float], low: float, high: float) -> Markup:
    """A learning curve as a line, 160 by 40."""
    width, height = 160, 40
    span = (high - low) or 1.0
    last = max(1, len(values) - 1)
    points = " ".join(
        f"{2 + i / last * (width - 4):.1f},{height - 2 - (v - low) / span * (height - 4):.1f}"
        for i, v in enumerate(values)
        if math.isfinite(v)
    )
    return _svg([f'<polyline points="{points}"/>'], width, height, "spark")


def _svg(parts: Sequence[str], width: int, height: int, kind: str) -> Markup:
    """Joins elements that hold nothing but numbers and fixed words."""
    body = "".join(parts)
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-hidden="true" focusable="false">{body}</svg>'
    )


def two_curves(truth: FloatArray, said: FloatArray, low: float, high: float) -> Markup:
    """Two courses on one scale, 160 by 30: the truth solid, the prediction dashed."""
    width, height, span = 160, 30, (high - low) or 1.0
    parts = []
    for kind, values in (("truth", truth), ("said", said)):
        kept = _thinned(values)
        points = " ".join(
            f"{i / max(1, len(kept) - 1) * width:.0f},{height - 1 - (v - low) / span * 28:.1f}"
            for i, v in enumerate(kept.tolist())
        )
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    return _svg(parts, width, height, "spark")


def _thinned(values: FloatArray, most: int = 80) -> FloatArray:
    """Means of equal stretches, where there are more values than a line this small can show."""
    if len(values) <= most:
        return values
    edges = np.arange(most) * len(values) // most
    means = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    return means.astype(np.float32)
