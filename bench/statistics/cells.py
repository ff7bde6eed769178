"""What each speaker adds to a metric under each seed, as a (speaker, seed) table.

UA and WA are means of ratios, whose influence functions are exact: speaker s adds to the
recall of class c the term e_sc = (k_sc - recall_c n_sc) / n_c, with n_sc its utterances and k_sc
those recognised. As a speaker draws the recall towards itself by its share h_sc = n_sc / n_c,
its term is divided by sqrt(1 - 2 h_sc + sum_t h_tc^2), the correction CR2 of Bell and McCaffrey
(Survey Methodology 28, 2002) where speakers differ, which makes the sum of squares unbiased;
with equal shares the table's variance is then the usual one over S - 1.
Other metrics have delete-one-speaker jackknife values (Efron and Stein, Annals of Statistics 9,
1981), those of continuous labels from each speaker's moments. Both are centred, so that the mean
of a seed's column is the metric itself, not one with its bias corrected.
"""

from __future__ import annotations

import numpy as np

from serlab.bench.errors import BadValue
from serlab.bench.metrics.base import (
    Metric,
    checked_classes,
    metric,
    predicted_classes,
)
from serlab.bench.statistics.moments import BY_MOMENTS, without_each
from serlab.bench.statistics.records import (
    ArmPredictions,
    Array,
    Cells,
    Floats,
    Integers,
    coded,
)


class Undefined(BadValue):
    """A metric that has no value for these predictions, such as the PCC of constant ones."""


def cells(arm: ArmPredictions, metric_name: str) -> Cells:
    """The table of an arm under a metric.

    Raises:
        UnknownName: no metric has this name.
        BadValue: the predictions are none that the metric can take.
        Undefined: it has no value for them, with or without one of the speakers.
    """
    found = metric(metric_name)
    speakers, index = coded(arm.speakers)
    note = ""
    if metric_name in ("ua", "wa"):
        values, note = _by_influence(arm, index, by_class=metric_name == "ua")
    elif metric_name in BY_MOMENTS:
        whole, without = without_each(arm, index, metric_name)
        values = _centred(found.name, whole.mean(axis=-1), without.mean(axis=-1), speakers)
    else:
        whole = np.array([found(arm.truth, scores) for scores in arm.scores])
        values = _centred(found.name, whole, _plain(found, arm, index), speakers)
    return Cells(metric=metric_name, speakers=speakers, seeds=arm.seeds, values=values, note=note)


def recall_cells(hits: Array, numbers: Array) -> Floats:
    """The table of the mean recall, from numbers of utterances.

    Args:
        hits: utterances recognised, (..., speaker, seed, class).
        numbers: utterances, (speaker, class); a class that nobody has is dropped. All classes
            in one column give the overall accuracy.

    Returns:
        (..., speaker, seed), each column's mean over speakers being the mean recall.

    Example:
        >>> hits = np.array([[[4, 1]], [[2, 1]]])
        >>> recall_cells(hits, np.array([[4, 2], [4, 2]])).mean()
        np.float64(0.625)
    """
    present = numbers.sum(axis=0) > 0
    hits, numbers = hits[..., present], numbers[:, present]
    n_speakers, sums = len(numbers), numbers.sum(axis=0)
    recalls = hits.sum(axis=-3, keepdims=True) / sums
    terms = (hits - recalls * numbers[:, None, :]) / sums
    share = numbers / sums
    left = 1 - 2 * share + (share**2).sum(axis=0)
    weights = np.where(share < 1, 1 / np.sqrt(np.maximum(left, 1e-12)), 0.0)
    influence = (terms * weights[:, None, :]).mean(axis=-1)
    influence = influence - influence.mean(axis=-2, keepdims=True)
    table: Floats = recalls.mean(axis=-1) + np.sqrt(n_speakers * (n_speakers - 1)) * influence
    return table


def jackknife(whole: Floats, without: Floats) -> Floats:
    """Centred jackknife values, whose mean over speakers is the whole.

    Args:
        whole: a metric of all speakers, (...).
        without: it without each of them, (speaker, ...).

    Returns:
        (speaker, ...).

    Example:
        >>> jackknife(np.array([0.5]), np.array([[0.4], [0.6]])).ravel()
        array([0.6, 0.4])
    """
    values: Floats = whole + (len(without) - 1) * (without.mean(axis=0) - without)
    return values


def _by_influence(arm: ArmPredictions, index: Array, *, by_class: bool) -> tuple[Floats, str]:
    for scores in arm.scores:
        truth, _ = checked_classes(arm.truth, scores)
    hits = predicted_classes(arm.scores) == truth
    columns = truth if by_class else np.zeros_like(truth)
    width = arm.scores.shape[-1] if by_class else 1
    numbers = np.zeros((index.max() + 1, width), dtype=np.int64)
    np.add.at(numbers, (index, columns), 1)
    counts = np.zeros((len(numbers), len(arm.seeds), width), dtype=np.int64)
    for seed, right in enumerate(hits):
        np.add.at(counts[:, seed], (index, columns), right)
    return recall_cells(counts, numbers), _lone(arm, numbers) if by_class else ""


def _lone(arm: ArmPredictions, numbers: Array) -> str:
    """Names the classes of one speaker, whose spread over speakers nothing tells."""
    lone = np.flatnonzero(((numbers > 0).sum(axis=0) == 1) & (len(numbers) > 1))
    names = [f'"{arm.labels[c]}"' if arm.labels else str(c) for c in lone]
    what = "class" if len(names) == 1 else "classes"
    head = f"{what} {', '.join(names)} of one speaker only"
    return f"{head}: what differs there between speakers is not included" if names else ""


def _plain(found: Metric, arm: ArmPredictions, index: Integers) -> Floats:
    """The metric without each speaker, (speaker, seed); none where there is but one."""
    n_speakers = int(index.max()) + 1
    without = np.zeros((n_speakers if n_speakers > 1 else 0, len(arm.seeds)))
    for speaker, row in enumerate(without):
        rest = np.flatnonzero(index != speaker)
        truth, held = arm.truth[rest], np.take(arm.scores, rest, axis=1)
        row[:] = [found(truth, scores) for scores in held]
    return without


def _centred(name: str, whole: Floats, without: Floats, speakers: tuple[str, ...]) -> Floats:
    """Jackknife values (speaker, seed) whose mean over speakers is the whole, (seed,).

    ``without`` (speaker, seed) holds the metric without each of them.
    """
    if not np.isfinite(whole).all():
        value = float(whole[~np.isfinite(whole)][0])
        raise Undefined(name, value, "predictions for which it is defined, not constant ones")
    if len(speakers) == 1:
        return whole[None]
    undefined = ~np.isfinite(without).all(axis=1)
    if undefined.any():
        lone = speakers[int(np.argmax(undefined))]
        raise Undefined(name, "nan", f'it to be defined without speaker "{lone}" too')
    return jackknife(whole, without)
