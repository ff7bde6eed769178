"""Importance: how much of the differences between a search's trials each hyperparameter tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.statistics.records import Floats
from serlab.reports.figure import (
    BLUE,
    DASHES,
    FIGURES,
    INK,
    MUTED,
    PAPER,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Block
from serlab.reports.searched import Space, space_of
from serlab.reports.words import clean, listed, number, plural, title_of, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 20
"""Fewer variants leave a forest too little to learn from and to be judged by."""

SEEDS, FOLDS, TREES, SHUFFLES = 10, 5, 30, 2
"""Repetitions, parts that are held out in turn, trees of a forest, shuffles of a column."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One hyperparameter: the loss of held-out R squared when it is shuffled, by repetition."""

    name: str
    losses: Floats
    """(seed,)"""

    @property
    def median(self) -> float:
        """Over the repetitions."""
        return float(np.median(self.losses))


@dataclass(frozen=True, kw_only=True)
class ImportanceNumbers:
    """Hyperparameters, the most important first."""

    marks: tuple[str, ...]
    metric: str
    parts: tuple[Importance, ...]
    explained: Floats
    """Held-out R squared of the forest, (seed,)."""
    n_variants: int

    def rows(self) -> list[dict[str, object]]:
        """One row a hyperparameter and repetition."""
        return [
            {"hyperparameter": part.name, "repetition": i, "loss_of_r2": float(loss),
             "forest_r2": float(self.explained[i])}
            for part in self.parts
            for i, loss in enumerate(part.losses)
        ]  # fmt: skip

    def caption(self) -> str:
        """The caption."""
        return (
            f"Importance in the search: how much less of the variance of {title_of(self.metric)} "
            "on validation speakers a random forest explains when the values of one "
            f"hyperparameter are shuffled. Judged on held-out variants ({FOLDS} parts) of "
            f"{self.n_variants}; dots are {SEEDS} repetitions with other parts and seeds, the bar "
            f"their median. The forest explains {number(float(np.median(self.explained)), 2)} of "
            "the variance; a loss is larger than that where shuffled values mislead it. This "
            "describes the variants that were tried, most of them where the search found good "
            "scores: it is no effect of a hyperparameter, and has no test."
        )

    def alt(self) -> str:
        """Median and span of each, in words."""
        told = [
            f"{clean(p.name)} {number(p.median, 2)} ({number(float(p.losses.min()), 2)} to "
            f"{number(float(p.losses.max()), 2)})"
            for p in self.parts
        ]
        return f"Loss of explained variance when shuffled, median and range: {listed(told)}."


@FIGURES.register("importance", order=10)
class ImportanceFigure:
    """What a forest that is fitted on a search's trials makes use of."""

    def info(self, block: Block) -> ImportanceNumbers | Absent:
        """Of the variants whose score is known, where they are enough and tell something."""
        asked = block.study.design == "search"
        if not block.search:
            return Absent(reason="no search was made, or it has not ended yet", notable=asked)
        space = space_of(block)
        if len(space.points) < LEAST or len(space.dimensions) < 2:
            return Absent(
                reason=f"the search scored {plural(len(space.points), 'variant')} in "
                f"{plural(len(space.dimensions), 'hyperparameter')}; importance needs {LEAST} in 2",
                notable=asked,
            )
        if not np.ptp(space.scores):
            return Absent(reason="all variants have the same score", notable=asked)
        explained, losses = _judged(space)
        if np.median(explained) <= 0:
            return Absent(
                reason="a forest on the trials predicts held-out ones no better than their mean "
                f"(R squared {number(float(np.median(explained)), 2)})",
                notable=asked,
            )
        parts = [
            Importance(name=d.name, losses=column)
            for d, column in zip(space.dimensions, losses.T, strict=True)
        ]
        return ImportanceNumbers(
            marks=block.corpus.marks,
            metric=block.study.metric,
            parts=tuple(sorted(parts, key=lambda p: -p.median)),
            explained=explained,
            n_variants=len(space.points),
        )

    def draw(self, numbers: ImportanceNumbers, width_in: float) -> Figure:
        """A row a hyperparameter: dots, and a bar at their median."""
        n, wide = len(numbers.parts), not is_narrow(width_in)
        figure = new_figure(width_in, 0.95 + 0.27 * n + 0.16 * bool(numbers.marks))
        mark(figure, numbers.marks, "Importance of hyperparameters (descriptive)")
        axes = figure.add_subplot()
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=DASHES[1], zorder=1)
        aside = np.linspace(-0.2, 0.2, SEEDS)
        for y, part in enumerate(numbers.parts):
            axes.plot(part.losses, y + aside, "o", color=BLUE, markersize=3.4, zorder=3,
                      markeredgecolor=PAPER, markeredgewidth=0.4)  # fmt: skip
            axes.plot([part.median] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=1.6, zorder=4)
            axes.text(1.02, y, number(part.median, 2), transform=axes.get_yaxis_transform(),
                      va="center", fontsize=7.5)  # fmt: skip
        axes.set_yticks(range(n), [wrapped(p.name, 30 if wide else 18) for p in numbers.parts])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(n - 0.5, -0.5)
        gap = " " if wide else "\n"
        title = title_of(numbers.metric)
        axes.set_xlabel(f"loss of held-out R²{gap}of validation {title} when shuffled")
        quiet(axes, grid="x")
        axes.spines["left"].set_visible(False)
        return figure


def _judged(space: Space) -> tuple[Floats, Floats]:
    """Held-out R squared (seed,), and its loss with each column shuffled (seed, dimension)."""
    columns = np.stack([d.values for d in space.dimensions], axis=1)
    return _forests(tuple(map(tuple, columns.tolist())), tuple(space.scores.tolist()))


@lru_cache(maxsize=1)
def _forests(
    rows: tuple[tuple[float, ...], ...], held_scores: tuple[float, ...]
) -> tuple[Floats, Floats]:
    """Kept, as all corpora of a run have one search; it takes seconds."""
    from sklearn.ensemble import RandomForestRegressor  # costs a second
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    columns, scores = np.array(rows), np.array(held_scores)
    whole = float(((scores - scores.mean()) ** 2).sum())
    explained, losses = np.ones(SEEDS), np.zeros((SEEDS, columns.shape[1]))
    for seed in range(SEEDS):
        for fit, held in KFold(FOLDS, shuffle=True, random_state=seed).split(columns):
            forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed)
            forest.fit(columns[fit], scores[fit])
            errors = (forest.predict(columns[held]) - scores[held]) ** 2
            explained[seed] -= errors.sum() / whole
            found = permutation_importance(
                forest, columns[held], scores[held], scoring="neg_mean_squared_error",
                n_repeats=SHUFFLES, random_state=seed,
            )  # fmt: skip
            losses[seed] += found.importances_mean * len(held) / whole
    return explained, losses
