"""Records a baseline from a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.errors import BadFile, BadValue, SerlabError
from serlab.bench.metrics.base import metric
from serlab.bench.store import Store
from serlab.reports.frame import read_resolved
from serlab.reports.gate.baseline import FILE, Baseline, CorpusTerms, values_of, write_baseline
from serlab.reports.gate.tested import Candidate, Tested, of_run
from serlab.reports.gate.thresholds import floors, gaps
from serlab.reports.words import margin_words, plural, title_of

LEAST_MARGIN = 0.02
ALPHA = 0.05


def record(
    run: Path,
    out: Path,
    *,
    arm: str = "base",
    extension: Sequence[int] = (),
    margin: float | None = None,
    replace: bool = False,
) -> Baseline:
    """Writes the baseline of an arm of a finished run.

    Args:
        run: the run's folder; every planned training of the arm has completed.
        out: the baseline's folder.
        arm: which of the run's arms.
        extension: seeds of the run that are added once where the others are inconclusive.
        margin: the loss that is not tolerated; the larger of 0.02 and twice the standard deviation
            between seeds if None.
        replace: whether a baseline that is there may go.

    Raises:
        BadFile: there is no run, or there is a baseline already.
        SerlabError: the arm is unknown or incomplete, or seeds do not fit.
    """
    if (out / FILE).exists() and not replace:
        raise BadFile(out / FILE, "is there already; --replace records it anew")
    held = of_run(run, arm)
    resolved = read_resolved(Store.open(run))
    _complete(held, resolved, arm)
    seeds = _first_seeds(held, extension)
    values = {name: _in_order(t, resolved["metric"], (*seeds, *extension))
              for name, t in held.tested.items()}  # fmt: skip
    proposed, why = _margin(list(values.values()), resolved["metric"])
    terms = {
        "serlab": str(resolved.get("serlab", "")),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": str(resolved.get("command", "")),
        "study": str(resolved["name"]),
        "arm": arm,
        "variant": held.variant,
        "metric": held.metric,
        "metric_is": metric(held.metric).long,
        "margin": margin if margin is not None else proposed,
        "margin_from": "given when it was recorded" if margin is not None else why,
        "alpha": ALPHA,
        "seeds": seeds,
        "extension": tuple(extension),
        "corpora": tuple(
            CorpusTerms(**_corpus(fact, held.tested[fact["name"]], values[fact["name"]]))
            for fact in resolved["corpora"]
        ),
        "robustness": floors(held.tested, held.metric),
        "fairness": gaps(held.tested, held.metric),
        "environments": held.environments,
    }
    return write_baseline(out, terms, held.tested)


def _complete(held: Candidate, resolved: Mapping[str, Any], arm: str) -> None:
    if held.lost:
        told = ", ".join(f"{n} {status}" for status, n in held.lost.items())
        raise SerlabError(f"{held.name}: trainings of {arm} without a result: {told}")
    for name, tested in held.tested.items():
        missing = sorted(set(resolved.get("seeds", ())) - set(tested.predictions.seeds))
        if missing:
            text = f"on {name} seed {missing[0]} of {arm} has not run to its end"
            raise SerlabError(f"{held.name}: {text}")
        n_speakers = len(set(tested.predictions.speakers))
        if n_speakers < 2:
            text = f"{name} tests {plural(n_speakers, 'speaker')}; a gate needs two or more"
            raise SerlabError(f"{held.name}: {text}")


def _first_seeds(held: Candidate, extension: Sequence[int]) -> tuple[int, ...]:
    """The seeds of the run that are not the extension's."""
    known = next(iter(held.tested.values())).predictions.seeds
    if not set(extension) <= set(known) or len(set(extension)) < len(extension):
        raise BadValue("--extension", list(extension), f"different seeds of the run, {list(known)}")
    first = tuple(seed for seed in known if seed not in extension)
    if len(first) < 2:
        expected = "two or more: what differs between seeds cannot be told from one"
        raise BadValue("seeds of the first look", list(first), expected)
    return first


def _in_order(tested: Tested, name: str, seeds: Sequence[int]) -> tuple[float, ...]:
    found = dict(zip(tested.predictions.seeds, values_of(tested, name), strict=True))
    for seed, value in found.items():
        if not np.isfinite(value):
            raise SerlabError(f"{tested.corpus}: {title_of(name)} of seed {seed} is undefined")
    return tuple(found[seed] for seed in seeds)


def _margin(values: Sequence[Sequence[float]], name: str) -> tuple[float, str]:
    """The margin, and where it is from."""
    over_corpora = np.mean(values, axis=0)
    deviation = float(np.std(over_corpora, ddof=1))
    margin = round(max(LEAST_MARGIN, 2 * deviation), 4)
    text = f"the larger of {margin_words(LEAST_MARGIN, name)} and twice the standard deviation of "
    text += f"{title_of(name)} between {len(over_corpora)} seeds ({deviation:.4f})"
    return margin, text


def _corpus(fact: Mapping[str, Any], tested: Tested, values: Sequence[float]) -> dict[str, Any]:
    held = tested.predictions
    return {
        "name": tested.corpus,
        "split": held.split,
        "data": tested.data,
        "labels": held.labels,
        "protocol": fact.get("protocol") or {},
        "synthetic": bool(fact["synthetic"]),
        "leaks": tuple(fact.get("leaks") or ()),
        "n_utterances": len(set(held.ids)),
        "n_speakers": len(set(held.speakers)),
        "values": tuple(values),
    }
