"""Whether one trained model, asked again, says the same of every utterance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import Predictions
from serlab.bench.errors import BadValue, NotComparable

Row = tuple[str, int]
"""An utterance's id, and the frame that is rated; 0 where whole utterances are recognised."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one trained model says of the test utterances of a fold."""

    trial: str
    """Key of the trial spec."""
    arm: str
    variant: Mapping[str, Any]  # JSON values of any shape
    """The variant, spelled out."""
    corpus: str
    split: str
    """Hash of the folds."""
    fold: str
    seed: int
    labels: tuple[str, ...]
    predictions: Predictions
    """Of the test part alone, in any order."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two sets of answers of one model are apart."""

    n_utterances: int
    tolerance: float
    largest: float
    """The largest difference of a score (or value), without its sign; 0 where none differs."""
    at: str
    """The utterance that has it; empty where none differs."""
    label: str
    """The class (or dimension) whose score it is."""
    frame: int | None
    """The frame that has it, where frames are rated."""
    beyond: tuple[str, ...]
    """Ids of utterances with a difference above the tolerance."""
    changed: tuple[str, ...]
    """Ids of utterances whose class is another one; none where values are rated."""

    @property
    def holds(self) -> bool:
        """Whether no difference is above the tolerance.

        A class may have changed all the same: of an utterance whose best two scores are less than
        twice the tolerance apart.
        """
        return not self.beyond


def agreement(first: Answers, second: Answers, *, tolerance: float = 0.0) -> Agreement:
    """Compares the answers of one model utterance by utterance.

    Args:
        first: what was recorded.
        second: what is said now.
        tolerance: the largest difference of a score that is no difference; 0 asks for the same
            bits.

    Raises:
        NotComparable: variant, corpus, split, fold, seed, labels, utterances or truths are not
            the same.
        BadValue: a score is NaN or infinite, an utterance stands there twice, or the tolerance
            is no number from 0.
    """
    if not 0 <= tolerance < np.inf:
        raise BadValue("tolerance", tolerance, "a number from 0")
    _same_question(first, second)
    mine, theirs = _rows(first), _rows(second)
    _same_rows(mine, theirs)
    rows = list(mine)
    order, other = list(mine.values()), [theirs[row] for row in rows]
    _same_truth(first, second, rows, order, other)
    scores = _finite(first, order), _finite(second, other)
    apart = np.abs(scores[0] - scores[1])
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    largest, rated = float(apart[row, column]), bool(first.predictions.frames)
    classes = [found.argmax(axis=1) for found in scores]
    changed = np.zeros(len(rows), np.bool_) if rated else classes[0] != classes[1]
    return Agreement(
        n_utterances=len({name for name, _ in rows}),
        tolerance=tolerance,
        largest=largest,
        at=rows[row][0] if largest else "",
        label=first.labels[column] if largest else "",
        frame=rows[row][1] if largest and rated else None,
        beyond=_named(rows, apart.max(axis=1) > tolerance),
        changed=_named(rows, changed),
    )


def _same_question(first: Answers, second: Answers) -> None:
    one, other = _spelled(first.variant), _spelled(second.variant)
    unlike = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if unlike:
        told = ", ".join(f"{n}={one.get(n)} and {other.get(n)}" for n in unlike[:3])
        raise NotComparable(f"the two are no one model: {told}")
    for name in ("corpus", "split", "fold", "seed", "labels"):
        mine, theirs = getattr(first, name), getattr(second, name)
        if mine != theirs:
            raise NotComparable(f"the {name} of one is {mine}, and of the other {theirs}")
    if bool(first.predictions.frames) != bool(second.predictions.frames):
        raise NotComparable("one rates frames, and the other recognises utterances")


def _spelled(variant: Mapping[str, Any]) -> dict[str, Any]:  # JSON values of any shape
    """Everything that a variant says, the system first."""
    named = {name: variant.get(name) for name in ("system", "preset")}
    return {**named, **variant.get("options", {}), **variant.get("settings", {})}


def _rows(answers: Answers) -> Mapping[Row, int]:
    """Where each utterance, or each of its frames, stands."""
    held = answers.predictions
    if not held.ids:
        raise NotComparable("there is no utterance to compare")
    found: dict[Row, int] = {}
    for index, name in enumerate(held.ids):
        row = name, held.frames[index] if held.frames else 0
        if row in found:
            raise BadValue("predictions", name, "every utterance once (and each of its frames)")
        found[row] = index
    return found


def _same_rows(first: Mapping[Row, int], second: Mapping[Row, int]) -> None:
    for whose, lone in (("first", first.keys() - second), ("second", second.keys() - first)):
        if lone:
            ids = sorted({name for name, _ in lone})
            shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
            raise NotComparable(f"utterances of the {whose} alone ({len(ids)}): {shown}")


def _same_truth(
    first: Answers, second: Answers, rows: list[Row], order: list[int], other: list[int]
) -> None:
    one, two = first.predictions.truth[order], second.predictions.truth[other]
    if one.shape != two.shape:
        raise NotComparable(f"the truths have the shapes {one.shape} and {two.shape}")
    wrong = (one != two).reshape(len(rows), -1).any(axis=1)
    if wrong.any():
        ids = _named(rows, wrong)
        raise NotComparable(f"utterances whose truths differ ({len(ids)}): {ids[0]} first")


def _finite(answers: Answers, order: list[int]) -> npt.NDArray[np.float64]:
    """The scores (row, label) in this order."""
    held: npt.NDArray[Any] = answers.predictions.scores  # of any precision
    if held.shape != (len(order), len(answers.labels)):
        expected = f"the shape {(len(order), len(answers.labels))}"
        raise BadValue("scores", f"shape {held.shape}", expected)
    found = held[order].astype(np.float64)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        index = order[int(bad.argmax())]
        name = answers.predictions.ids[index]
        raise BadValue(f"score of {name}", held[index].tolist(), "finite numbers")
    return found


def _named(rows: list[Row], chosen: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """The ids of the chosen rows, each once, in order."""
    return tuple(dict.fromkeys(name for (name, _), yes in zip(rows, chosen, strict=True) if yes))
