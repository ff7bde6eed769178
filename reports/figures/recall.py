"""Recall of each class in each arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.categorical import per_class_recall
from serlab.reports.figure import FIGURES, NO_CLASSES, Absent, is_narrow, mark, new_figure
from serlab.reports.heat import DEEPEST, cells
from serlab.reports.records import Block, Pooled
from serlab.reports.words import clean, marks_of, number, short, tagged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Recalls = npt.NDArray[np.float64]

MOST_LEVEL = 3
"""Classes whose names stand level beside each other in a single column."""


@dataclass(frozen=True, kw_only=True)
class RecallNumbers:
    """Recalls (arm, class), the base first where there is one; nan where a class is absent."""

    marks: tuple[str, ...]
    corpus: str
    labels: tuple[str, ...]
    arms: tuple[str, ...]
    has_base: bool
    recalls: Recalls
    counts: tuple[int, ...]

    @property
    def differences(self) -> Recalls:
        """Recalls minus those of the base (zeros where there is none)."""
        return self.recalls - self.recalls[:1] if self.has_base else np.zeros(self.recalls.shape)

    def rows(self) -> list[dict[str, object]]:
        """One row an arm and class."""
        return [
            {
                "arm": arm,
                "class": label,
                "recall": float(self.recalls[i, j]),
                "difference_to_base": float(self.differences[i, j]) if self.has_base else None,
                "n": self.counts[j],
            }
            for i, arm in enumerate(self.arms)
            for j, label in enumerate(self.labels)
        ]

    def caption(self) -> str:
        """The caption."""
        return (
            f"Recall of each class on {clean(self.corpus)} in percent, pooled over test "
            "utterances, mean over seeds. Blue cells lie above the base's recall, orange cells "
            f"below; the deepest colour is a difference of {DEEPEST * 100:.0f} points or more. "
            "Single cells have no interval: read them as where an effect comes from, not as "
            "findings."
        )

    def alt(self) -> str:
        """Each arm's weakest and strongest class, in words."""
        told = []
        for name, row in zip(self.arms, self.recalls, strict=True):
            worst, best = int(np.nanargmin(row)), int(np.nanargmax(row))
            told.append(
                f"{clean(name)} from {number(row[worst] * 100, 0)} ({clean(self.labels[worst])}) "
                f"to {number(row[best] * 100, 0)} ({clean(self.labels[best])})"
            )
        return f"Recall by class in percent: {'; '.join(told)}."


@FIGURES.register("recall", order=5)
class Recall:
    """Which classes an arm gains and loses."""

    def info(self, block: Block) -> RecallNumbers | Absent:
        """The recalls of the arms that have a whole seed."""
        if block.corpus.target != "emotion":
            return NO_CLASSES
        arms = sorted((a for a in block.arms if a.pooled), key=lambda a: not a.is_base)
        if not arms:
            return Absent(reason="no arm has a seed whose folds all completed")
        n_classes = len(block.corpus.labels)
        truth = next(a.pooled.truth for a in arms if a.pooled)
        return RecallNumbers(
            marks=marks_of(block, arms),
            corpus=block.corpus.name,
            labels=block.corpus.labels,
            arms=tuple(tagged(a) for a in arms),
            has_base=arms[0].is_base,
            recalls=np.stack([_recalls(a.pooled) for a in arms if a.pooled]),
            counts=tuple(int(n) for n in np.bincount(truth, minlength=n_classes)),
        )

    def draw(self, numbers: RecallNumbers, width_in: float) -> Figure:
        """A table of numbers, coloured by the difference to the base."""
        n_arms, n_classes = numbers.recalls.shape
        width = min(width_in, 2.4 + 0.75 * n_classes)
        figure = new_figure(width, 0.85 + 0.27 * n_arms + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        mark(figure, numbers.marks, f"Recall by class, {short(numbers.corpus, 24)}")
        texts = [[number(value * 100, 0) for value in row] for row in numbers.recalls]
        cells(axes, numbers.differences, texts, deepest=DEEPEST, bold_first=numbers.has_base)
        narrow = is_narrow(width) and n_classes > MOST_LEVEL
        join = " " if narrow else "\n"
        heads = zip(numbers.labels, numbers.counts, strict=True)
        axes.set_xticks(range(n_classes), [f"{short(name, 12)}{join}n={n}" for name, n in heads])
        axes.set_yticks(range(n_arms), [short(arm, 24 if narrow else 32) for arm in numbers.arms])
        axes.xaxis.tick_top()
        if narrow:
            axes.tick_params(axis="x", labelrotation=60)
            for text in axes.get_xticklabels():
                text.set(ha="left", rotation_mode="anchor")
        return figure


def _recalls(held: Pooled) -> Recalls:
    found: Recalls = np.mean([per_class_recall(held.truth, s) for s in held.scores], axis=0)
    return found
