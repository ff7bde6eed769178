"""How much of the speakers the embeddings hold, beside what the arm recognises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import (
    BLUE,
    FAINT,
    FIGURES,
    INK,
    MUTED,
    ORANGE,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Arm, Block, Measured
from serlab.reports.tables import PROBE, chance_of
from serlab.reports.words import (
    clean,
    interval,
    listed,
    marks_of,
    number,
    short,
    tagged,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm: its primary metric, and the probe over its trainings."""

    arm: str
    score: Estimate | None
    probe: float
    low: float
    """10th percentile over trainings; high is the 90th."""
    high: float
    n: int
    chance: float | None


@dataclass(frozen=True, kw_only=True)
class ProbeNumbers:
    """Arms that were probed, the base first where it is one of them."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    level: float
    arms: tuple[Row, ...]
    has_base: bool
    left_out: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row an arm."""
        return [
            {
                "arm": row.arm,
                self.metric: row.score.mean if row.score else None,
                "low": row.score.low if row.score else None,
                "high": row.score.high if row.score else None,
                "speaker_probe": row.probe,
                "speaker_probe_p10": row.low,
                "speaker_probe_p90": row.high,
                "n_trainings": row.n,
                "chance": row.chance,
            }
            for row in self.arms
        ]

    def caption(self) -> str:
        """The caption."""
        title = title_of(self.metric)
        text = (
            f"Left: pooled {title} on {clean(self.corpus)} with {self.level:.0%} intervals. Right: "
            "balanced accuracy at which a linear probe tells the training speakers from the "
            "embeddings, median over trainings with the 10th to 90th percentile; the dashed "
            "stretch is chance. What is left of it holds nothing of the speakers that a line "
            "can tell."
        )
        if self.has_base:
            text += " Vertical lines are the base's values."
        return text + (f" Not probed: {listed(self.left_out)}." if self.left_out else "")

    def alt(self) -> str:
        """Each arm's numbers in words."""
        told = [
            f"{clean(r.arm)} {title_of(self.metric)} {interval(r.score)}, "
            f"probe {number(r.probe)} (chance {number(r.chance)})"
            for r in self.arms
        ]
        return f"{title_of(self.metric)} and speaker probe: {'; '.join(told)}."


@FIGURES.register("probe", order=3)
class Probe:
    """Whether an arm hides its speakers, and what it recognises then."""

    def info(self, block: Block) -> ProbeNumbers | Absent:
        """The arms that were probed."""
        arms = sorted((a for a in block.arms if _held(a)), key=lambda a: not a.is_base)
        if not arms:
            return Absent(reason="no embeddings were probed", notable=False)
        return ProbeNumbers(
            marks=marks_of(block, arms),
            corpus=block.corpus.name,
            metric=block.study.metric,
            level=block.study.level,
            arms=tuple(_row(arm, held, block) for arm in arms if (held := _held(arm))),
            has_base=arms[0].is_base,
            left_out=tuple(tagged(a) for a in block.arms if not _held(a)),
        )

    def draw(self, numbers: ProbeNumbers, width_in: float) -> Figure:
        """A line an arm, in two panels."""
        n = len(numbers.arms)
        figure = new_figure(width_in, 0.85 + 0.34 * n + 0.16 * bool(numbers.marks))
        title = f"{title_of(numbers.metric)} and what the embeddings hold of speakers"
        mark(figure, numbers.marks, f"{title}, {short(numbers.corpus, 24)}")
        left, right = figure.subplots(1, 2, sharey=True)
        for y, row in enumerate(numbers.arms):
            if row.score:
                score = row.score
                _line(left, y, (score.low, score.mean, score.high), BLUE)
            _line(right, y, (row.low, row.probe, row.high), ORANGE)
            if row.chance is not None:
                right.plot([row.chance] * 2, [y - 0.5, y + 0.5], "--", color=MUTED, linewidth=1)
        _base_lines(left, right, numbers)
        left.set_yticks(range(n), [wrapped(row.arm, 30) for row in numbers.arms])
        left.set_ylim(n - 0.5, -0.5)
        left.set_xlabel(f"pooled {title_of(numbers.metric)}")
        between = "\n" if is_narrow(width_in) else " "
        right.set_xlabel(f"speaker probe{between}(dashed: chance)")
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
            quiet(axes, grid="x")
            axes.spines["left"].set_visible(False)
        right.set_xlim(0, 1.02)
        return figure


def _held(arm: Arm) -> Measured | None:
    held = arm.measured.get(PROBE)
    return held if held and held.median is not None else None


def _row(arm: Arm, held: Measured, block: Block) -> Row:
    score = arm.scores.get(block.study.metric)
    assert held.median is not None
    assert held.low is not None
    assert held.high is not None
    return Row(
        arm=tagged(arm),
        score=score.pooled if score else None,
        probe=held.median,
        low=held.low,
        high=held.high,
        n=held.n,
        chance=chance_of(arm),
    )


def _line(axes: Axes, y: int, values: tuple[float, float, float], colour: str) -> None:
    low, middle, high = values
    axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
    axes.plot([middle], [y], marker="o", color=colour, markersize=5.5)


def _base_lines(left: Axes, right: Axes, numbers: ProbeNumbers) -> None:
    if not numbers.has_base:
        return
    base = numbers.arms[0]
    if base.score:
        left.axvline(base.score.mean, color=INK, linewidth=0.6, zorder=0)
    right.axvline(base.probe, color=INK, linewidth=0.6, zorder=0)
    for axes in (left, right):
        axes.axhline(0.5, color=FAINT, linewidth=0.8, zorder=0)
