"""Predictions as a table: those of a baseline, and those that a model outside serlab made.

Parquet or CSV, one row an utterance and seed (and frame, where traces are rated). The columns
``id``, ``seed`` and one ``score_<label>`` for each class or dimension are needed; ``corpus``,
``frame``, ``speaker``, ``fold``, ``truth`` (the class's name), ``truth_<dimension>`` and
``group_<name>`` may be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadFile, NotComparable, UnknownName
from serlab.bench.statistics.records import ArmPredictions
from serlab.reports.gate.tested import Candidate, Tested

Table = Any  # a pandas data frame
Array = npt.NDArray[Any]


def write_predictions(path: Path, tested: Mapping[str, Tested]) -> None:
    """Writes the predictions of every corpus into one Parquet file. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pa.table(_columns(name, one)) for name, one in tested.items()]
    whole = pa.concat_tables(tables, promote_options="default")
    pq.write_table(whole, path, compression="zstd")


def _columns(corpus: str, tested: Tested) -> dict[str, Any]:  # arrow takes arrays and lists alike
    held = tested.predictions
    n, n_seeds = len(held.ids), len(held.seeds)
    columns: dict[str, Any] = {
        "corpus": [corpus] * (n * n_seeds),
        "id": list(held.ids) * n_seeds,
        "seed": np.repeat(np.array(held.seeds, np.int64), n),
        "speaker": list(held.speakers) * n_seeds,
        "fold": list(tested.folds) * n_seeds,
    }
    if held.frames.size:
        columns["frame"] = np.tile(held.frames, n_seeds)
        for place, label in enumerate(held.labels):
            columns[f"truth_{label}"] = np.tile(held.truth[:, place].astype(np.float32), n_seeds)
    else:
        columns["truth"] = [held.labels[c] for c in held.truth] * n_seeds
    for place, label in enumerate(held.labels):
        columns[f"score_{label}"] = held.scores[:, :, place].astype(np.float32).ravel()
    for name, values in tested.groups.items():
        columns[f"group_{name}"] = list(values) * n_seeds
    return columns


def read_predictions(
    path: Path,
    corpus: str,
    labels: Sequence[str],
    *,
    split: str,
    data: str,
    like: Tested | None = None,
) -> Tested:
    """The predictions of one corpus.

    Args:
        path: a Parquet or CSV file.
        corpus: whose rows; all rows where the file has no column ``corpus``.
        labels: the classes or dimensions, in order.
        split: hash of the folds that these are.
        data: hash of the corpus.
        like: whose utterances these are; tells the speakers and truths that a file may lack.

    Raises:
        BadFile: it is damaged, lacks a column, has an utterance twice or a score that is none.
        NotComparable: it has other utterances for some seeds, or others than ``like``.
    """
    rows = _of_corpus(path, _read(path), corpus)
    key = [name for name in ("id", "frame") if name in rows]
    scores = [f"score_{label}" for label in labels]
    _check(path, rows, key, scores)
    rows = rows.sort_values(["seed", *key], kind="stable")
    seeds = tuple(int(seed) for seed in sorted(rows["seed"].unique()))
    first = rows[rows["seed"] == seeds[0]]
    _same_in_each(path, rows, key, seeds)
    speakers, truth = _speakers_and_truth(path, first, key, labels, like)
    held = ArmPredictions(
        seeds=seeds,
        ids=tuple(first["id"]),
        speakers=speakers,
        truth=truth,
        scores=rows[scores].to_numpy(np.float32).reshape(len(seeds), len(first), len(scores)),
        labels=tuple(labels),
        split=split,
        frames=first["frame"].to_numpy(np.int64) if "frame" in first else np.zeros(0, np.int64),
    )
    return Tested(
        corpus=corpus,
        predictions=held,
        data=data,
        folds=tuple(first["fold"]) if "fold" in first else (),
        groups={
            name.removeprefix("group_"): tuple(first[name])
            for name in first.columns
            if name.startswith("group_")
        },
    )


def of_file(path: Path, like: Mapping[str, Tested]) -> Candidate:
    """A candidate from a table of predictions, of the utterances of these corpora.

    A file that tells its speakers or truths is held to them.

    Raises:
        BadFile, NotComparable: as for `read_predictions`; the file lacks the column ``corpus``
            where there are several.
    """
    rows = _read(path)
    if len(like) > 1 and "corpus" not in rows:
        raise BadFile(path, f"has no column corpus, and there are {', '.join(like)}")
    tested = {}
    for name, one in like.items():
        held = one.predictions
        tested[name] = read_predictions(
            path, name, held.labels, split=held.split, data=one.data, like=one
        )
    return Candidate(name=str(path), tested=tested)


def _read(path: Path) -> Table:
    """The table, texts as texts whatever they look like."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return pq.read_table(path).to_pandas()
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserError) as error:
        what = "CSV" if path.suffix.lower() == ".csv" else "Parquet"
        raise BadFile(path, f"is not readable as {what}: {error}") from None


def _of_corpus(path: Path, rows: Table, corpus: str) -> Table:
    if "corpus" in rows:
        known = set(rows["corpus"].astype(str))
        if corpus not in known:
            raise UnknownName("corpus of the predictions", corpus, known, where=str(path))
        rows = rows[rows["corpus"] == corpus]
    if not len(rows):
        raise BadFile(path, "has no row")
    return rows.reset_index(drop=True)


def _check(path: Path, rows: Table, key: Sequence[str], scores: Sequence[str]) -> None:
    """Columns that are needed, numbers that are numbers, and every utterance once a seed."""
    import pandas as pd

    for name in ("id", "seed", *scores):
        if name not in rows:
            raise BadFile(path, f"has no column {name} (it has {', '.join(rows.columns)})")
    for name in ("seed", *key[1:], *scores):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
        wrong = ~np.isfinite(rows[name].to_numpy(np.float64))
        if wrong.any():
            at = int(np.argmax(wrong))
            where = f'{name} of utterance "{rows["id"][at]}"'
            raise BadFile(path, f"{where}, seed {rows['seed'][at]}, is no finite number")
    rows["id"] = rows["id"].astype(str)
    again = rows.duplicated(["seed", *key])
    if again.any():
        at = int(np.argmax(again))
        raise BadFile(path, f'has utterance "{rows["id"][at]}" of seed {rows["seed"][at]} twice')


def _same_in_each(path: Path, rows: Table, key: Sequence[str], seeds: Sequence[int]) -> None:
    first: set[Any] | None = None
    for seed in seeds:
        mine = set(rows.loc[rows["seed"] == seed, list(key)].itertuples(index=False, name=None))
        first = mine if first is None else first
        if mine != first:
            unlike = sorted(mine ^ first)
            text = f"seeds {seeds[0]} and {seed} have unlike utterances ({len(unlike)} are in one"
            raise NotComparable(f"{path}: {text} only, such as {unlike[0][0]})")


def _speakers_and_truth(
    path: Path, rows: Table, key: Sequence[str], labels: Sequence[str], like: Tested | None
) -> tuple[tuple[str, ...], Array]:
    """Of the rows in order: from the file, or else from ``like``."""
    truths = [f"truth_{label}" for label in labels] if "frame" in key else ["truth"]
    told = "speaker" in rows and all(name in rows for name in truths)
    if like is None and not told:
        raise BadFile(path, f"has no columns speaker and {', '.join(truths)}")
    if told:
        truth = (
            rows[truths].to_numpy(np.float32) if "frame" in key else _classes(path, rows, labels)
        )
        return tuple(rows["speaker"]), truth
    assert like is not None
    held = like.predictions
    frames = [(int(f),) for f in held.frames] if held.frames.size else [()] * len(held.ids)
    places = {(i, *f): place for place, (i, f) in enumerate(zip(held.ids, frames, strict=True))}
    asked = list(rows[list(key)].itertuples(index=False, name=None))
    unknown = [name for name in asked if name not in places]
    if unknown or len(asked) < len(places):
        lacking = [name for name in places if name not in set(asked)]
        text = (
            f"{len(unknown)} utterances that the baseline lacks"
            if unknown
            else (f"not {len(lacking)} utterances of the baseline")
        )
        raise NotComparable(f"{path}: has {text}, such as {(unknown or lacking)[0][0]}")
    order = [places[name] for name in asked]
    return tuple(held.speakers[i] for i in order), held.truth[order]


def _classes(path: Path, rows: Table, labels: Sequence[str]) -> Array:
    for name in set(rows["truth"]) - set(labels):
        raise UnknownName("class", name, labels, where=f"{path}: truth")
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[name] for name in rows["truth"]], np.int64)
