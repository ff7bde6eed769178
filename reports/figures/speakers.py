"""What each arm recognises of each speaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.base import metric
from serlab.reports.effects import by_speaker, foremost
from serlab.reports.figure import FIGURES, Absent, is_narrow, mark, new_figure
from serlab.reports.heat import DEEPEST, cells
from serlab.reports.records import Block
from serlab.reports.words import (
    are_not,
    clean,
    in_points,
    listed,
    margin_words,
    marks_of,
    number,
    plural,
    short,
    tagged,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]

MOST = 12
"""Speakers that are drawn: those on whom the arms differ most."""

MOST_ARMS = 16
"""Arms that are drawn: the base and the largest effects."""


@dataclass(frozen=True, kw_only=True)
class SpeakersNumbers:
    """The metric (arm, speaker), mean over seeds, the base first where there is one."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    arms: tuple[str, ...]
    has_base: bool
    speakers: tuple[str, ...]
    values: Values
    """nan where the metric has no value."""
    n_left_out: int
    """Arms that are not drawn."""

    @property
    def gains(self) -> Values:
        """How much better than the base (zeros where there is none)."""
        if not self.has_base:
            return np.zeros(self.values.shape)
        sign = 1.0 if metric(self.metric).higher_is_better else -1.0
        return sign * (self.values - self.values[:1])

    @property
    def shown(self) -> npt.NDArray[np.int64]:
        """Places of the speakers that are drawn, those whom the first arm knows least first."""
        about = self.values[0] if self.has_base else np.nanmean(self.values, axis=0)
        apart = np.nan_to_num(np.abs(self.values - about)).sum(axis=0)
        found = np.argsort(-apart, kind="stable")[:MOST]
        return found[np.argsort(about[found], kind="stable")]

    def rows(self) -> list[dict[str, object]]:
        """One row an arm and speaker, of all speakers."""
        shown = set(self.shown.tolist())
        return [
            {
                "arm": arm,
                "speaker": speaker,
                self.metric: float(self.values[i, j]),
                "better_than_base": float(self.gains[i, j]) if self.has_base else None,
                "drawn": j in shown,
            }
            for i, arm in enumerate(self.arms)
            for j, speaker in enumerate(self.speakers)
        ]

    def caption(self) -> str:
        """The caption."""
        unit = " in percent" if in_points(self.metric) else ""
        text = (
            f"{title_of(self.metric)}{unit} of each test speaker on {clean(self.corpus)}, mean "
            "over seeds. Blue cells are better than the base, orange cells worse; the deepest "
            f"colour is a difference of {margin_words(DEEPEST, self.metric)} or more. "
        )
        if len(self.speakers) > MOST:
            text += (
                f"Of {plural(len(self.speakers), 'speaker')}, the {MOST} on whom the arms differ "
                "most are drawn, which makes them no sample of the others. "
            )
        text += (
            "Single cells have no interval and few utterances: read them as where an effect "
            "comes from, not as findings."
        )
        if self.n_left_out:
            text += f" The base and the largest effects are drawn, {are_not(self.n_left_out)}."
        return text

    def alt(self) -> str:
        """The speakers that each arm knows least and best, in words."""
        told = []
        for name, row in zip(self.arms, self.values, strict=True):
            if np.isfinite(row).any():
                worst, best = int(np.nanargmin(row)), int(np.nanargmax(row))
                told.append(
                    f"{clean(name)} from {self._told(row[worst])} ({clean(self.speakers[worst])}) "
                    f"to {self._told(row[best])} ({clean(self.speakers[best])})"
                )
        return f"{title_of(self.metric)} by speaker: {listed(told)}."

    def _told(self, value: float) -> str:
        return number(value * 100, 0) if in_points(self.metric) else number(value, 2)

    def texts(self) -> list[list[str]]:
        """What stands in the cells that are drawn."""
        return [[self._told(value) for value in row] for row in self.values[:, self.shown]]


@FIGURES.register("speakers", order=5)
class Speakers:
    """Which speakers an arm gains and loses."""

    def info(self, block: Block) -> SpeakersNumbers | Absent:
        """The values of the arms that have a whole seed."""
        arms = [a for a in block.arms if a.pooled]
        if not arms:
            return Absent(reason="no arm has a seed whose folds all completed")
        chosen = foremost(arms, MOST_ARMS)
        held = [by_speaker(a.pooled, block.study.metric) for a in chosen if a.pooled]
        speakers = tuple(held[0])
        values = np.array([[one[name] for name in speakers] for one in held], np.float64)
        if len(speakers) < 2 or not np.isfinite(values).any():
            return Absent(reason="no arm has a score for two speakers or more")
        return SpeakersNumbers(
            marks=marks_of(block, chosen),
            corpus=block.corpus.name,
            metric=block.study.metric,
            arms=tuple(tagged(a) for a in chosen),
            has_base=chosen[0].is_base,
            speakers=speakers,
            values=values,
            n_left_out=len(arms) - len(chosen),
        )

    def draw(self, numbers: SpeakersNumbers, width_in: float) -> Figure:
        """A table of numbers, coloured by the difference to the base."""
        shown, n_arms = numbers.shown, len(numbers.arms)
        width = min(width_in, 2.4 + 0.75 * len(shown))
        figure = new_figure(width, 1.15 + 0.27 * n_arms + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        title = f"{title_of(numbers.metric)} by speaker, {short(numbers.corpus, 24)}"
        mark(figure, numbers.marks, title)
        gains = numbers.gains[:, shown]
        cells(axes, gains, numbers.texts(), deepest=DEEPEST, bold_first=numbers.has_base)
        most = 24 if is_narrow(width) else 32
        axes.set_xticks(range(len(shown)), [short(numbers.speakers[i], 14) for i in shown])
        axes.set_yticks(range(n_arms), [short(arm, most) for arm in numbers.arms])
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", labelrotation=60)
        for text in axes.get_xticklabels():
            text.set(ha="left", rotation_mode="anchor")
        return figure
