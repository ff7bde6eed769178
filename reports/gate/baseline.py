"""A baseline: what was recorded once, is committed, and is held against every candidate.

::

    BASELINE/
      gate.json             everything that was fixed: metric, margin, seeds, split, thresholds
      predictions.parquet   the test predictions of every seed

Both are data alone. The margin is written when the baseline is recorded and never computed anew.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import COMPARABLE, plain
from serlab.bench.errors import BadFile, BadValue, NotComparable, SerlabError
from serlab.bench.metrics.base import evaluate, metric
from serlab.bench.typed import build
from serlab.reports.gate.files import read_predictions, write_predictions
from serlab.reports.gate.tested import Tested

SCHEMA = 1
FILE, PREDICTIONS = "gate.json", "predictions.parquet"
_ABOUT = (
    "Baseline of a serlab accuracy gate. Margin and thresholds were fixed when it was recorded "
    "and may be changed by hand; nothing computes them anew. See docs/GATE.md."
)


@dataclass(frozen=True, kw_only=True)
class CorpusTerms:
    """A corpus, and the split that makes its results comparable."""

    name: str
    split: str
    """Hash of the folds and of the protocol."""
    data: str
    """Hash of the utterances and labels."""
    labels: tuple[str, ...]
    protocol: Mapping[str, Any]  # JSON values of any shape
    synthetic: bool
    leaks: tuple[str, ...]
    n_utterances: int
    n_speakers: int
    values: tuple[float, ...]
    """The metric of each seed, those of the extension last; proves that it is still the same."""

    def __post_init__(self) -> None:
        """Checks what a hand may have changed."""
        if not self.split:
            raise BadValue("split", self.split, f"the hash of the folds of {self.name}")


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a model must hold under an audio condition, and what the baseline held."""

    unchanged: float
    """Least share of predictions that stay as they are."""
    loss: float
    """Largest loss of the metric."""
    measured_unchanged: float
    measured_loss: float

    def __post_init__(self) -> None:
        """Checks what a hand may have changed."""
        if not 0 <= self.unchanged <= 1:
            raise BadValue("robustness: unchanged", self.unchanged, "a share from 0 to 1")
        if not math.isfinite(self.loss):
            raise BadValue("robustness: loss", self.loss, "a finite number")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The largest difference of the metric between groups of utterances, and the baseline's."""

    largest: float
    measured: float

    def __post_init__(self) -> None:
        """Checks what a hand may have changed."""
        if not 0 <= self.largest < math.inf:
            raise BadValue("fairness: largest", self.largest, "a finite number from 0")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """All that a baseline fixes."""

    schema: int
    about: str = _ABOUT
    serlab: str
    comparable: int = COMPARABLE
    created: str
    command: str
    """What made the run that it was recorded from."""
    study: str
    arm: str
    variant: Mapping[str, Any]  # JSON values of any shape
    metric: str
    metric_is: str
    margin: float
    margin_from: str
    alpha: float
    """Of each one-sided bound; halved at each of two looks where there is an extension."""
    seeds: tuple[int, ...]
    extension: tuple[int, ...] = ()
    """Seeds that are added once where the first ones are inconclusive."""
    corpora: tuple[CorpusTerms, ...]
    robustness: Mapping[str, Floor] = field(default_factory=dict)
    fairness: Mapping[str, Gap] = field(default_factory=dict)
    sha256: str
    """Of the predictions."""
    environments: tuple[Mapping[str, Any], ...] = ()  # JSON values of any shape

    def __post_init__(self) -> None:
        """Checks what a hand may have changed."""
        if not 0 < self.margin < 1:
            raise BadValue("margin", self.margin, "a number between 0 and 1, such as 0.02")
        if not 0 < self.alpha < 0.5:
            raise BadValue("alpha", self.alpha, "a number between 0 and 0.5, such as 0.05")
        if len(self.seeds) < 2 or len({*self.seeds, *self.extension}) < len(self.every):
            raise BadValue("seeds", list(self.every), "two different integers or more")
        if not self.corpora:
            raise BadValue("corpora", [], "one or more")

    @property
    def every(self) -> tuple[int, ...]:
        """All seeds, those of the extension last."""
        return (*self.seeds, *self.extension)

    @property
    def look_alpha(self) -> float:
        """Of a one-sided bound at one look."""
        return self.alpha / 2 if self.extension else self.alpha


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A baseline with its predictions."""

    path: Path
    terms: Terms
    tested: Mapping[str, Tested]
    """By corpus."""


def write_baseline(path: Path, terms: Mapping[str, Any], tested: Mapping[str, Tested]) -> Baseline:
    """Writes a baseline and reads it again.

    Args:
        path: its folder, made if missing.
        terms: the fields of `Terms`, but those that are known here.
        tested: the predictions, by corpus.

    Raises:
        BadFile: it cannot be written there.
        BadValue: the terms do not fit; what was there before stays as it was.
    """
    temporary = path / f".{PREDICTIONS}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_predictions(temporary, tested)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        held = Terms(schema=SCHEMA, sha256=digest, **terms)
        text = json.dumps(plain(held), indent=1, allow_nan=False)
        temporary.replace(path / PREDICTIONS)
        (path / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadFile(path, f"cannot write the baseline here: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return read_baseline(path)


def read_baseline(path: str | Path) -> Baseline:
    """A baseline, found to be whole and to mean the same as when it was recorded.

    Raises:
        BadFile: there is none, or one of its files is damaged.
        NotComparable: it is of another schema, or its metric has another definition now.
        SerlabError: a term is missing, unknown or of another type.
    """
    folder = Path(path)
    terms = _terms(folder / FILE)
    file = folder / PREDICTIONS
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise BadFile(file, f"cannot be read: {error.strerror}") from None
    if digest != terms.sha256:
        text = "it is cut off, edited or another one"
        raise BadFile(file, f"is not what {FILE} was recorded with (its hash differs): {text}")
    tested = {
        c.name: read_predictions(file, c.name, c.labels, split=c.split, data=c.data)
        for c in terms.corpora
    }
    found = Baseline(path=folder, terms=terms, tested=tested)
    _same_metric(found)
    return found


def _terms(path: Path) -> Terms:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(path, f"is no baseline of a gate: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"is not readable as JSON: {error}") from None
    schema = table.get("schema") if isinstance(table, dict) else None
    if schema != SCHEMA:
        raise NotComparable(f"{path}: schema {schema!r}, and this serlab reads {SCHEMA}")
    try:
        terms: Terms = build(Terms, table, "")
        metric(terms.metric, where="metric")
    except SerlabError as error:
        raise SerlabError(f"{path}: {error}") from None
    return terms


def values_of(tested: Tested, name: str) -> tuple[float, ...]:
    """The metric of each seed."""
    held = tested.predictions
    return tuple(evaluate(name, held.truth, scores) for scores in held.scores)


def _same_metric(baseline: Baseline) -> None:
    """The metric still says of the recorded predictions what it said when they were recorded."""
    terms = baseline.terms
    for corpus in terms.corpora:
        tested = baseline.tested[corpus.name]
        if set(tested.predictions.seeds) != set(terms.every):
            text = f"{list(tested.predictions.seeds)}, and {FILE} names {list(terms.every)}"
            raise BadFile(baseline.path / PREDICTIONS, f"has the seeds {text}")
        try:
            values = values_of(tested, terms.metric)
        except BadValue as error:
            text = f"metric {terms.metric} is none of such predictions: {error}"
            raise NotComparable(f"{baseline.path / FILE}: {corpus.name}: {text}") from None
        found = dict(zip(tested.predictions.seeds, values, strict=True))
        now = [found[seed] for seed in terms.every]
        if len(now) != len(corpus.values) or not np.allclose(now, corpus.values, atol=1e-6):
            raise NotComparable(
                f"{baseline.path / FILE}: {corpus.name}: {terms.metric} of the recorded "
                f"predictions is now {_shown(now)}, and was {_shown(corpus.values)}: the metric's "
                f"definition differs"
            )


def _shown(values: Any) -> str:  # any sequence of numbers
    return ", ".join(f"{value:.4f}" for value in values)
