"""A figure of one's own: how many utterances every training seed gets right, some, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from serlab.reports.figure import BLUE, FIGURES, GREEN, ORANGE, Absent, mark, new_figure, quiet
from serlab.reports.records import Block, Pooled
from serlab.reports.words import clean, marks_of, short

PARTS = ("every seed", "some seeds", "no seed")


@dataclass(frozen=True, kw_only=True)
class SeedNumbers:
    """What the figure shows: shares of the test utterances, (arm, part), each row's sum being 1."""

    marks: tuple[str, ...]
    corpus: str
    arms: tuple[str, ...]
    shares: tuple[tuple[float, float, float], ...]

    def rows(self) -> list[dict[str, object]]:
        """The rows of its CSV."""
        return [
            {"arm": arm, "right_in": part, "share": share}
            for arm, shares in zip(self.arms, self.shares, strict=True)
            for part, share in zip(PARTS, shares, strict=True)
        ]

    def caption(self) -> str:
        """Its caption."""
        return (
            f"Test utterances of {clean(self.corpus)} by how many training seeds recognise them, "
            "in percent. Those that some seeds recognise are where another seed says otherwise."
        )

    def alt(self) -> str:
        """What one is told who cannot see it."""
        pairs = zip(self.arms, self.shares, strict=True)
        told = (f"{clean(arm)} {shares[1]:.0%} by some seeds only" for arm, shares in pairs)
        return f"Utterances by how many seeds recognise them: {'; '.join(told)}."


@FIGURES.register("seed_agreement", order=7)
class SeedAgreement:
    """How many utterances every seed gets right, some, or none."""

    def info(self, block: Block) -> SeedNumbers | Absent:
        """The numbers of one corpus, or why there are none."""
        arms = [arm for arm in block.arms if arm.pooled and len(arm.pooled.seeds) > 1]
        if block.corpus.target != "emotion":
            return Absent(reason="traces have no classes", notable=False)
        if not arms:
            return Absent(reason="no arm has two seeds whose folds all completed")
        return SeedNumbers(
            marks=marks_of(block, arms),
            corpus=block.corpus.name,
            arms=tuple(arm.name for arm in arms),
            shares=tuple(shares(arm.pooled) for arm in arms if arm.pooled),
        )

    def draw(self, numbers: SeedNumbers, width_in: float) -> Figure:
        """One bar an arm, in three parts."""
        n = len(numbers.arms)
        figure = new_figure(min(width_in, 5.2), 1.1 + 0.24 * n)
        axes = figure.add_subplot()
        mark(figure, numbers.marks, f"Recognised by how many seeds, {short(numbers.corpus, 24)}")
        quiet(axes)
        left = np.zeros(n)
        looks = ((BLUE, ""), (GREEN, "...."), (ORANGE, "////"))
        table = 100 * np.array(numbers.shares)  # (arm, part)
        for part, percent, (colour, hatch) in zip(PARTS, table.T, looks, strict=True):
            axes.barh(
                range(n), percent, left=left, height=0.7, label=part,
                facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.5,
            )  # fmt: skip
            left += percent
        axes.set_yticks(range(n), [short(arm, 28) for arm in numbers.arms])
        axes.set(xlim=(0, 100), xlabel="test utterances, %")
        axes.set_ylim(n - 0.5, -0.5)
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)
        return figure


def shares(held: Pooled) -> tuple[float, float, float]:
    """Of the utterances, those that every seed recognises, that some do, and that none does."""
    right = (held.scores.argmax(axis=-1) == held.truth).mean(axis=0)  # (utterance,)
    return (float((right == 1).mean()), float(((right > 0) & (right < 1)).mean()),
            float((right == 0).mean()))  # fmt: skip
