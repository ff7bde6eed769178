"""Which utterances an arm gets wrong, the worst first, and how many other arms do as well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray
from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.records import coded
from serlab.reports.csvtext import csv_text
from serlab.reports.records import Arm, Block, IntArray, Pooled

WORST_SHARE = 0.1
"""Of traces an arm errs on the utterances that are among this share of its own worst."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClassError:
    """An utterance and the class that it is taken for; scores are means over seeds."""

    id: str
    """As the results have it, with its fold before it where it is tested in several."""
    speaker: str
    fold: str
    truth: str
    said: str
    given: float
    """Probability of the true class."""
    scores: tuple[float, ...]
    """Probability of each class."""
    n_seeds: int
    n_seeds_wrong: int
    """Seeds that take it for another class, each by itself."""


@dataclass(frozen=True, kw_only=True)
class TraceError:
    """An utterance and how far its predicted traces are off; values are means over seeds."""

    id: str
    speaker: str
    fold: str
    n_frames: int
    ccc: float
    """Within the utterance, mean over dimensions; nan where one of them does not move."""
    rmse: float
    """Mean over dimensions."""
    by_dimension: tuple[float, ...]
    """RMSE of each dimension."""
    truth: FloatArray
    """(frame, dimension)."""
    said: FloatArray
    """(frame, dimension), mean over seeds."""


@dataclass(frozen=True, kw_only=True)
class Missed:
    """Which utterances an arm errs on; arrays are (utterance,), utterances in order of id."""

    errs: npt.NDArray[np.bool_]
    order: IntArray
    """All utterances, the worst first."""


def missed(held: Pooled) -> Missed:
    """What an arm errs on: a wrong class, or traces among its own worst tenth."""
    if held.frames.size:
        rmse = _rmse(held).mean(axis=1)
        order = np.argsort(-rmse, kind="stable")
        errs = np.zeros(len(rmse), dtype=bool)
        errs[order[: max(1, round(len(rmse) * WORST_SHARE))]] = True
        return Missed(errs=errs, order=order)
    mean = held.scores.mean(axis=0)
    given = mean[np.arange(len(held.truth)), held.truth]
    errs = mean.argmax(axis=1) != held.truth
    return Missed(errs=errs, order=np.lexsort((given, ~errs)))


def worst_classes(held: Pooled, labels: tuple[str, ...], n: int) -> tuple[ClassError, ...]:
    """The utterances that are missed most surely: their true class gets least; at most n."""
    found = missed(held)
    return tuple(_class_error(held, labels, i) for i in found.order[:n] if found.errs[i])


def worst_traces(held: Pooled, n: int) -> tuple[TraceError, ...]:
    """The n utterances with the largest error."""
    utterances = _utterances(held)
    return tuple(_trace_error(held, utterances[i]) for i in missed(held).order[:n])


def n_also(block: Block) -> tuple[IntArray, int]:
    """How many arms beside the base err on each utterance, (utterance,), and of how many."""
    others = [arm.pooled for arm in block.others if arm.pooled]
    counts = sum((missed(held).errs.astype(np.int64) for held in others), np.int64(0))
    return np.atleast_1d(np.asarray(counts, np.int64)), len(others)


# --- one utterance --------------------------------------------------------------------------


def _class_error(held: Pooled, labels: tuple[str, ...], place: int) -> ClassError:
    truth = int(held.truth[place])
    mean = held.scores[:, place].mean(axis=0)
    return ClassError(
        id=held.ids[place],
        speaker=held.speakers[place],
        fold=held.folds[place],
        truth=labels[truth],
        said=labels[int(mean.argmax())],
        given=float(mean[truth]),
        scores=tuple(mean.tolist()),
        n_seeds=len(held.seeds),
        n_seeds_wrong=int((held.scores[:, place].argmax(axis=1) != truth).sum()),
    )


def _trace_error(held: Pooled, rows: IntArray) -> TraceError:
    truth, scores = held.truth[rows], held.scores[:, rows]
    by_dimension = np.sqrt(((scores - truth) ** 2).mean(axis=1)).mean(axis=0)
    return TraceError(
        id=held.ids[rows[0]],
        speaker=held.speakers[rows[0]],
        fold=held.folds[rows[0]],
        n_frames=len(rows),
        ccc=float(np.mean([evaluate("ccc", truth, one) for one in scores])),
        rmse=float(by_dimension.mean()),
        by_dimension=tuple(by_dimension.tolist()),
        truth=truth,
        said=scores.mean(axis=0),
    )


def _utterances(held: Pooled) -> list[IntArray]:
    """The rows of each utterance, in order of id."""
    _, places = coded(held.ids)
    order = np.argsort(places, kind="stable")
    return np.split(order, np.cumsum(np.bincount(places))[:-1])


def _rmse(held: Pooled) -> Floats:
    """Root mean squared error (utterance, dimension), mean over seeds."""
    _, places = coded(held.ids)
    n = np.bincount(places)
    squares = (held.scores.astype(np.float64) - held.truth) ** 2
    sums = np.array(
        [[np.bincount(places, one) for one in seed.T] for seed in squares]
    )  # (seed, dimension, utterance)
    found: Floats = np.sqrt(sums / n).mean(axis=0).T
    return found


# --- the whole list -------------------------------------------------------------------------


def errors_csv(block: Block, base: Arm) -> str:
    """Every tested utterance as the base takes it, the worst first, for a spreadsheet."""
    held = base.pooled
    assert held is not None
    counts, n_others = n_also(block)
    if block.corpus.target == "traces":
        utterances = _utterances(held)
        rows = [
            _trace_row(_trace_error(held, utterances[i]), block.corpus.labels)
            | _also("worst_tenth", counts, n_others, int(i))
            for i in missed(held).order
        ]
    else:
        rows = [
            _class_row(_class_error(held, block.corpus.labels, int(i)), block.corpus.labels)
            | _also("wrong", counts, n_others, int(i))
            for i in missed(held).order
        ]
    head = {"corpus": block.corpus.name, "synthetic": block.corpus.synthetic, "arm": base.name}
    return csv_text([head | row for row in rows])


def _also(what: str, counts: IntArray, n_others: int, place: int) -> dict[str, object]:
    found = int(counts[place]) if n_others else 0
    return {f"other_arms_{what}": found, "other_arms": n_others}


def _class_row(one: ClassError, labels: tuple[str, ...]) -> dict[str, object]:
    return {
        "utterance": one.id,
        "speaker": one.speaker,
        "fold": one.fold,
        "true": one.truth,
        "predicted": one.said,
        "wrong": one.truth != one.said,
        "p_true": one.given,
        **{f"p_{label}": p for label, p in zip(labels, one.scores, strict=True)},
        "seeds_wrong": one.n_seeds_wrong,
        "seeds": one.n_seeds,
    }


def _trace_row(one: TraceError, labels: tuple[str, ...]) -> dict[str, object]:
    return {
        "utterance": one.id,
        "speaker": one.speaker,
        "fold": one.fold,
        "frames": one.n_frames,
        "ccc_within": one.ccc if np.isfinite(one.ccc) else None,
        "rmse": one.rmse,
        **{f"rmse_{label}": v for label, v in zip(labels, one.by_dimension, strict=True)},
    }
