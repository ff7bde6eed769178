"""Raincloud: how much an arm's score varies from speaker to speaker, and from seed to seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.base import evaluate
from serlab.bench.seeds import generator
from serlab.reports.effects import by_speaker, foremost
from serlab.reports.figure import (
    BLUE,
    DASHES,
    FIGURES,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Arm, Block, Pooled, groups
from serlab.reports.words import (
    are_not,
    clean,
    listed,
    marks_of,
    number,
    plural,
    tagged,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]
Unit = Literal["speaker", "seed"]

LEAST = 10
"""Fewer points are shown as dots and a mean: a density or quartiles of them would tell nothing."""

MOST = 16
"""Arms that are drawn: the base and the largest effects."""

CLOUD, BOX, RAIN, TICKS = (-0.10, -0.44), 0.055, (0.13, 0.29), 0.40
"""Where a row's parts lie around its middle: density, half a box, dots, seeds; down is more."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The metric of one speaker (mean over seeds) or of one seed (all speakers together)."""

    unit: Unit
    name: str
    value: float
    n_rows: int
    """Utterances, or frames of traces, that it is of."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """The points of one arm."""

    arm: str
    kind: str
    points: tuple[Point, ...]
    undefined: tuple[str, ...]
    """Speakers of whom the metric has no value."""

    def of(self, unit: Unit) -> Values:
        """The values of one kind of unit."""
        return np.array([p.value for p in self.points if p.unit == unit], np.float64)


@dataclass(frozen=True, kw_only=True)
class RaincloudNumbers:
    """Clouds, the base's first, the others in the order of the table."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    clouds: tuple[Cloud, ...]
    has_base: bool
    n_left_out: int

    def rows(self) -> list[dict[str, object]]:
        """One row a point."""
        return [
            {"arm": c.arm, "metric": self.metric, "unit": p.unit, "name": p.name,
             "value": p.value, "n_rows": p.n_rows}
            for c in self.clouds
            for p in c.points
        ]  # fmt: skip

    def caption(self) -> str:
        """The caption."""
        text = (
            f"{title_of(self.metric)} on {clean(self.corpus)}: a dot is one speaker (mean over "
            "seeds), a tick below one seed (all speakers pooled). "
        )
        if any(len(c.of("speaker")) >= LEAST for c in self.clouds):
            text += (
                "The box holds the middle half of the speakers and their median, its whiskers the "
                "speakers within 1.5 times its length; the density is cut at the lowest and the "
                "highest speaker, and its height is the same for every arm. "
            )
        if any(len(c.of("speaker")) < LEAST for c in self.clouds):
            text += f"The bar is the mean; fewer than {LEAST} speakers have no density or box. "
        text += (
            "Speakers are tested on few utterances each, so dots spread more than speakers differ; "
            "differences between arms are paired by speaker and judged elsewhere."
        )
        if self.has_base:
            text += " The dashed line is the base's mean over speakers."
        lost = {name for c in self.clouds for name in c.undefined}
        text += f" Without a value in some arm: {plural(len(lost), 'speaker')}." if lost else ""
        if self.n_left_out:
            text += f" The base and the largest effects are drawn, {are_not(self.n_left_out)}."
        return text

    def alt(self) -> str:
        """Range and mean of each arm, in words."""
        told = []
        for cloud in self.clouds:
            held, seeds = cloud.of("speaker"), cloud.of("seed")
            told.append(
                f"{clean(cloud.arm)} mean {number(float(held.mean()))} over "
                f"{plural(len(held), 'speaker')} from {number(float(held.min()))} to "
                f"{number(float(held.max()))}, {plural(len(seeds), 'seed')} from "
                f"{number(float(seeds.min()))} to {number(float(seeds.max()))}"
            )
        return f"{title_of(self.metric)} of speakers and seeds: {'; '.join(told)}."


@FIGURES.register("raincloud", order=2)
class Raincloud:
    """The spread over speakers and seeds of every arm."""

    def info(self, block: Block) -> RaincloudNumbers | Absent:
        """The points of the arms that have a whole seed."""
        arms = [a for a in block.arms if a.pooled]
        if not arms:
            return Absent(reason="no arm has a seed whose folds all completed")
        shown = foremost(arms, MOST)
        clouds = [_cloud(a, a.pooled, block.study.metric) for a in shown if a.pooled]
        held = [c for c in clouds if len(c.of("speaker")) > 1 and len(c.of("seed"))]
        if not held:
            return Absent(reason="no arm has a score for two speakers or more")
        return RaincloudNumbers(
            marks=marks_of(block, shown),
            corpus=block.corpus.name,
            metric=block.study.metric,
            clouds=tuple(held),
            has_base=shown[0].is_base and held[0].arm == tagged(shown[0]),
            n_left_out=len(arms) - len(held),
        )

    def draw(self, numbers: RaincloudNumbers, width_in: float) -> Figure:
        """One row an arm, mean and deviation beside it where the width allows."""
        n, wide = len(numbers.clouds), not is_narrow(width_in)
        few = all(len(c.of("speaker")) < LEAST for c in numbers.clouds)
        row_in = 0.36 if few else 0.52
        figure = new_figure(width_in, 0.8 + row_in * n + 0.16 * bool(numbers.marks))
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"{title} by speaker and seed, {numbers.corpus}")
        axes = figure.add_subplot()
        if numbers.has_base:
            middle = float(numbers.clouds[0].of("speaker").mean())
            axes.axvline(middle, color=MUTED, linewidth=0.8, linestyle=DASHES[1], zorder=1)
        rng = generator(0, "figures", "raincloud")
        for y, cloud in enumerate(numbers.clouds):
            _row(axes, y, cloud, rng)
        names = [wrapped(c.arm, 30 if wide else 20) for c in numbers.clouds]
        axes.set_yticks(range(n), names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(n - 0.5, -0.55)
        gap = " " if wide else "\n"
        axes.set_xlabel(f"{title} of each speaker (dots){gap}and of each seed (ticks below)")
        quiet(axes, grid="x")
        axes.spines["left"].set_visible(False)
        if wide:
            _texts(axes, numbers)
        return figure


def _cloud(arm: Arm, held: Pooled, metric: str) -> Cloud:
    sizes = {name: len(rows) for name, rows in groups(held.speakers).items()}
    spoken = by_speaker(held, metric)
    undefined = [name for name, value in spoken.items() if not np.isfinite(value)]
    points = [
        Point(unit="speaker", name=name, value=value, n_rows=sizes[name])
        for name, value in spoken.items()
    ]
    for seed, scores in zip(held.seeds, held.scores, strict=True):
        value, n = evaluate(metric, held.truth, scores), len(held.truth)
        points.append(Point(unit="seed", name=str(seed), value=value, n_rows=n))
    known = tuple(p for p in points if np.isfinite(p.value))
    return Cloud(arm=tagged(arm), kind=arm.kind, points=known, undefined=tuple(undefined))


# --- drawing -------------------------------------------------------------------------------


def _row(axes: Axes, y: float, cloud: Cloud, rng: np.random.Generator) -> None:
    colour = {"base": INK, "baseline": ORANGE}.get(cloud.kind, BLUE)
    held, seeds = cloud.of("speaker"), cloud.of("seed")
    few = len(held) < LEAST
    low, high = (-0.16, 0.12) if few else RAIN
    places = y + rng.uniform(low, high, len(held))
    look = "D" if cloud.kind == "baseline" else "o"
    axes.plot(held, places, look, color=colour, markersize=3.6, markeredgecolor=PAPER,
              markeredgewidth=0.4)  # fmt: skip
    ticks = y + (0.28 if few else TICKS)
    axes.plot(seeds, [ticks] * len(seeds), "|", color=colour, markersize=4.5, markeredgewidth=0.9)
    if few:
        mean = float(held.mean())
        axes.plot([mean] * 2, [y - 0.26, y + 0.18], color=colour, linewidth=2, zorder=3)
        return
    _box(axes, y, held, colour)
    _density(axes, y, held, colour, hatched=cloud.kind == "baseline")


def _box(axes: Axes, y: float, held: Values, colour: str) -> None:
    """Quartiles, median, and whiskers to the last values within 1.5 times the box."""
    low, middle, high = np.percentile(held, [25, 50, 75]).tolist()
    reach = 1.5 * (high - low)
    inside = held[(held >= low - reach) & (held <= high + reach)]
    axes.plot([inside.min(), inside.max()], [y, y], color=colour, linewidth=0.9, zorder=2)
    edges = [y - BOX, y + BOX]
    axes.fill_betweenx(edges, [low] * 2, [high] * 2, facecolor=PAPER, edgecolor=colour,
                       linewidth=0.9, zorder=3)  # fmt: skip
    axes.plot([middle] * 2, edges, color=colour, linewidth=1.8, zorder=4)


def _density(axes: Axes, y: float, held: Values, colour: str, *, hatched: bool) -> None:
    """Half a violin between the lowest and the highest value, by Scott's rule."""
    from scipy.stats import gaussian_kde  # costs a second

    if not np.ptp(held):
        return
    grid = np.linspace(held.min(), held.max(), 128)
    density = gaussian_kde(held)(grid)
    foot, top = CLOUD
    heights = y + foot + (top - foot) * density / density.max()
    axes.fill_between(grid, y + foot, heights, facecolor=colour, alpha=0.22, linewidth=0)
    axes.plot(grid, heights, color=colour, linewidth=0.8)
    if hatched:
        axes.fill_between(grid, y + foot, heights, facecolor="none", edgecolor=colour,
                          hatch="////", linewidth=0, alpha=0.5)  # fmt: skip


def _texts(axes: Axes, numbers: RaincloudNumbers) -> None:
    """Mean and standard deviation over speakers, at the right of each row."""
    over = axes.get_yaxis_transform()
    for y, cloud in enumerate(numbers.clouds):
        held = cloud.of("speaker")
        told = f"{number(float(held.mean()))} ({number(float(np.std(held, ddof=1)))})"
        axes.text(1.02, y, told, transform=over, va="center", fontsize=7.5)
    counts = sorted({len(c.of("speaker")) for c in numbers.clouds})
    heading = f"mean (SD) of\n{listed([str(n) for n in counts])} speakers"
    axes.text(1.02, -0.5, heading, transform=over, va="bottom", fontsize=7, color=MUTED)
