"""Critical-difference diagram: mean ranks over corpora, and which arms they do not part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serlab.bench.statistics.ranks import Ranking
from serlab.reports.across import Ranked
from serlab.reports.figure import BLUE, FAINT, INK, MUTED, is_narrow, mark, new_figure
from serlab.reports.records import Arm, Frame
from serlab.reports.words import (
    clean,
    label,
    listed,
    marks_of,
    number,
    p_is,
    short,
    tagged,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP_IN, BAR_IN, ABOVE_IN = 0.2, 0.1, 0.62
"""Height of an arm's line, of a group's bar, and of what is above the line of ranks."""


@dataclass(frozen=True, kw_only=True)
class RankingNumbers:
    """Arms by mean rank, 1 being the best."""

    marks: tuple[str, ...]
    corpora: tuple[str, ...]
    metric: str
    names: tuple[str, ...]
    """Of the arms as they are shown, in the order of the ranking."""
    base: str
    """Its name as it is shown; empty where it is not ranked."""
    held: Ranking
    groups: tuple[str, ...]
    """Numbers of the groups that each arm is in."""
    left_out: tuple[str, ...]

    @property
    def bars(self) -> tuple[tuple[float, float], ...]:
        """Mean ranks of the best and the worst arm of each group."""
        ranks = dict(zip(self.held.arms, self.held.mean_ranks.tolist(), strict=True))
        return tuple((ranks[group[0]], ranks[group[-1]]) for group in self.held.groups)

    def rows(self) -> list[dict[str, object]]:
        """One row an arm."""
        return [
            {
                "arm": name,
                "mean_rank": float(rank),
                "groups": groups,
                "critical_difference": self.held.critical_difference,
                "alpha": self.held.alpha,
                "n_corpora": self.held.n_blocks,
                "metric": self.metric,
            }
            for name, groups, rank in zip(
                self.names, self.groups, self.held.mean_ranks, strict=True
            )
        ]

    def caption(self) -> str:
        """The caption."""
        held = self.held
        text = (
            f"Mean rank in {title_of(self.metric)} over {held.n_blocks} corpora "
            f"({listed([clean(c) for c in self.corpora])}), 1 being the best. A bar joins arms "
            "that are not separable: their mean ranks differ by less than the critical difference, "
            f"{number(held.critical_difference, 2)} (Nemenyi, {held.alpha:.2g}). That all rank "
            f"alike has p {p_is(held.p)} (Friedman, as Iman and Davenport correct it)."
        )
        if self.left_out:
            text += f" Not ranked: {listed([label(name) for name in self.left_out])}."
        return text

    def alt(self) -> str:
        """The ranks and the groups in words."""
        pairs = zip(self.names, self.held.mean_ranks, strict=True)
        told = listed([f"{name} {number(float(rank), 2)}" for name, rank in pairs])
        shown = dict(zip(self.held.arms, self.names, strict=True))
        groups = [listed([shown[arm] for arm in group]) for group in self.held.groups]
        joined = f"Not separable: {'; '.join(groups)}." if groups else "All are separable."
        return f"Mean ranks over {self.held.n_blocks} corpora: {told}. {joined}"


class RankingFigure:
    """Which arms rank apart over five corpora or more; of a whole run, not of one corpus."""

    def info(self, frame: Frame, ranked: Ranked | None) -> RankingNumbers | None:
        """The ranks; None where there are none, whose reason stands in the ranking."""
        if ranked is None or ranked.ranking is None:
            return None
        held, arms = ranked.ranking, _arms(frame)
        return RankingNumbers(
            marks=_marks(frame, [arms[name] for name in held.arms]),
            corpora=tuple(block.corpus.name for block in frame.blocks),
            metric=frame.study.metric,
            names=tuple(tagged(arms[name]) for name in held.arms),
            base=next((tagged(arms[n]) for n in held.arms if arms[n].is_base), ""),
            held=held,
            groups=tuple(ranked.groups.values()),
            left_out=ranked.left_out,
        )

    def draw(self, numbers: RankingNumbers, width_in: float) -> Figure:
        """Ranks along a line with the names at its sides, or a list where there is no room."""
        wide, n = not is_narrow(width_in), len(numbers.names)
        levels = _levels(numbers.bars)
        below = 0.16 + BAR_IN * (max(levels, default=-1) + 1) + STEP_IN * ((n + 1) // 2)
        body = below if wide else STEP_IN * n
        figure = new_figure(width_in, body + ABOVE_IN + 0.35 + 0.16 * bool(numbers.marks))
        title = f"Mean rank in {title_of(numbers.metric)} over {numbers.held.n_blocks} corpora"
        mark(figure, numbers.marks, title)
        axes = figure.add_subplot()
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
        _scale(axes, numbers, n_ticks=12 if wide else 7)
        if wide:
            for bar, level in zip(numbers.bars, levels, strict=True):
                _bar(axes, [bar[0] - 0.04, bar[1] + 0.04], [-0.12 - BAR_IN * level] * 2)
            _sides(axes, numbers, STEP_IN * ((n + 1) // 2) - below - STEP_IN / 2)
        else:
            _list(axes, numbers)
        axes.set_ylim(-body, ABOVE_IN)
        return figure


def _arms(frame: Frame) -> dict[str, Arm]:
    """An arm of each name, from the first corpus that has it."""
    return {arm.name: arm for block in reversed(frame.blocks) for arm in block.arms}


def _marks(frame: Frame, ranked: list[Arm]) -> tuple[str, ...]:
    """The marks of every corpus, with its name where not all have the mark."""
    found: dict[str, list[str]] = {}
    for block in frame.blocks:
        for told in marks_of(block, ranked):
            found.setdefault(told, []).append(clean(block.corpus.name))
    n = len(frame.blocks)
    return tuple(
        told if len(names) == n else _of(told, ", ".join(names)) for told, names in found.items()
    )


def _of(mark: str, corpora: str) -> str:
    """The mark of some corpora, whose names are no part of what a picture holds of it."""
    return f"{mark} ({corpora})" if ":" in mark else f"{mark}: {corpora}"


# --- drawing -------------------------------------------------------------------------------


def _levels(bars: tuple[tuple[float, float], ...]) -> list[int]:
    """The line below the scale on which each bar lies, so that none touch."""
    ends: list[float] = []
    levels = []
    for low, high in bars:
        level = next((i for i, end in enumerate(ends) if end + 0.12 < low), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _scale(axes: Axes, numbers: RankingNumbers, *, n_ticks: int) -> None:
    """The line of ranks, and above it the critical difference."""
    n, apart = len(numbers.names), numbers.held.critical_difference
    axes.plot([1, n], [0, 0], color=INK, linewidth=0.9)
    for rank in range(1, n + 1, -(-n // n_ticks)):
        axes.plot([rank, rank], [0, 0.06], color=INK, linewidth=0.9)
        axes.text(rank, 0.09, str(rank), ha="center", va="bottom", fontsize=7.5)
    axes.plot([1, 1 + apart], [0.36, 0.36], color=MUTED, linewidth=1.2)
    for end in (1, 1 + apart):
        axes.plot([end, end], [0.32, 0.40], color=MUTED, linewidth=1.2)
    told = f"critical difference {number(apart, 2)}"
    axes.text(1, 0.43, told, ha="left", va="bottom", fontsize=7, color=MUTED)


def _bar(axes: Axes, x: list[float], y: list[float]) -> None:
    axes.plot(x, y, color=INK, linewidth=2.6, solid_capstyle="butt", zorder=2)


def _dot(axes: Axes, rank: float, y: float, *, is_base: bool) -> None:
    look = ("s", BLUE) if is_base else ("o", INK)
    axes.plot([rank], [y], look[0], color=look[1], markersize=4, zorder=3)


def _sides(axes: Axes, numbers: RankingNumbers, first: float) -> None:
    """The better half at the left and the worse at the right, the outermost ranks on top."""
    n, ranks = len(numbers.names), numbers.held.mean_ranks.tolist()
    gap = 0.03 * (n - 1)
    for i, (name, rank) in enumerate(zip(numbers.names, ranks, strict=True)):
        left, is_base = i < (n + 1) // 2, name == numbers.base
        y = first - STEP_IN * (i if left else n - 1 - i)
        end = 1 - gap if left else n + gap
        colour = BLUE if is_base else MUTED
        axes.plot([rank, rank, end], [0, y, y], color=colour, linewidth=0.8, zorder=1)
        _dot(axes, rank, 0, is_base=is_base)
        parts = [short(name, 30), number(rank, 2)]
        told = "  ".join(parts if left else reversed(parts))
        axes.annotate(told, (end, y), (-4 if left else 4, 0), textcoords="offset points",
                      ha="right" if left else "left", va="center", fontsize=7.5,
                      fontweight="bold" if is_base else "normal")  # fmt: skip


def _list(axes: Axes, numbers: RankingNumbers) -> None:
    """One line an arm, the best on top; bars at the right join those of a group."""
    n, ranks = len(numbers.names), numbers.held.mean_ranks.tolist()
    places = [-STEP_IN * (i + 0.6) for i in range(n)]
    for name, rank, y in zip(numbers.names, ranks, places, strict=True):
        is_base = name == numbers.base
        axes.plot([1, rank], [y, y], color=BLUE if is_base else FAINT, linewidth=0.8, zorder=1)
        _dot(axes, rank, y, is_base=is_base)
    axes.set_yticks(places, [short(name, 24) for name in numbers.names])
    axes.tick_params(axis="y", length=0)
    of_arm = dict(zip(numbers.held.arms, places, strict=True))
    for level, group in enumerate(numbers.held.groups):
        ends = [of_arm[group[0]] + 0.06, of_arm[group[-1]] - 0.06]
        _bar(axes, [n + (n - 1) * 0.06 * (level + 1)] * 2, ends)
