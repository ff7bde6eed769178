"""Predictions as a table: those of a baseline, and those that a model outside serlab made.

Parquet or CSV, one row an utterance and seed (and frame, where traces are rated). The columns
``id``, ``seed`` and one ``score_<label>`` for each class or dimension are needed; ``corpus``,
``frame``, ``speaker``, ``fold``, ``truth`` (the class's name), ``truth_<dimension>`` and
``group_<name>`` may be there.
"""

from __future__ import annotations

import warnings
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
    rows = _checked(path, rows, key, scores).sort_values(["seed", *key], kind="stable")
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
            where there are several, or has others.
    """
    rows = _read(path)
    if len(like) > 1 and "corpus" not in rows:
        raise BadFile(path, f"has no column corpus, and there are {', '.join(like)}")
    others = sorted(set(rows["corpus"].astype(str)) - set(like)) if "corpus" in rows else []
    if others:
        raise NotComparable(f"{path}: has the corpus {others[0]}, the baseline {', '.join(like)}")
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

    csv = path.suffix.lower() == ".csv"
    try:
        if csv:
            return _csv(path)
        table = pq.read_table(path)
        table.validate(full=True)  # texts that are no UTF-8
        return table.to_pandas(ignore_metadata=True)
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserWarning) as error:
        what = "CSV" if csv else "Parquet"
        raise BadFile(path, f"is not readable as {what}: {error}") from None


def _csv(path: Path) -> Table:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        )


def _of_corpus(path: Path, rows: Table, corpus: str) -> Table:
    if not len(rows):
        raise BadFile(path, "has no row")
    if "corpus" in rows:
        known = set(rows["corpus"].astype(str))
        if corpus not in known:
            raise UnknownName("corpus of the predictions", corpus, known, where=str(path))
        rows = rows[rows["corpus"] == corpus]
    return rows.reset_index(drop=True)


def _checked(path: Path, rows: Table, key: Sequence[str], scores: Sequence[str]) -> Table:
    """The table with texts and numbers in their places, and every utterance once a seed."""
    for name in ("id", "seed", *scores):
        if name not in rows:
            raise BadFile(path, f"has no column {name} (it has {', '.join(rows.columns)})")
    for name in rows.columns:
        needed = name in ("id", "speaker", "truth")
        if needed or name == "fold" or name.startswith("group_"):
            rows[name] = _texts(path, rows, name, needed=needed)
    truths = [name.replace("score_", "truth_", 1) for name in scores]
    numbers = [name for name in truths if name in rows] if "frame" in key else []
    for name in ("seed", *key[1:], *scores, *numbers):
        rows[name] = _numbers(path, rows, name, whole=name in ("seed", "frame"))
    others = [n for n in rows.columns if n.startswith("score_") and n not in scores]
    for name in others:
        if (rows[name].notna() & (rows[name] != "")).any():
            known = ", ".join(n.removeprefix("score_") for n in scores)
            raise NotComparable(f"{path}: has the column {name}, and the classes are {known}")
    again = rows.duplicated(["seed", *key])
    if again.any():
        at = int(np.argmax(again))
        raise BadFile(path, f'has utterance "{rows["id"][at]}" of seed {rows["seed"][at]} twice')
    return rows


def _texts(path: Path, rows: Table, name: str, *, needed: bool) -> Table:
    empty = rows[name].isna()
    if needed and empty.any():
        raise BadFile(path, f"{name} of row {int(np.argmax(empty)) + 1} is empty")
    return rows[name].astype(str).where(~empty, "")


def _numbers(path: Path, rows: Table, name: str, *, whole: bool) -> Table:
    """A column of numbers that float32 can hold, or of whole ones."""
    import pandas as pd

    held = rows[name]
    if not pd.api.types.is_numeric_dtype(held):
        held = held.map(lambda value: value if isinstance(value, str | int | float) else None)
    values = pd.to_numeric(held, errors="coerce").astype(np.float64)
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    wrong |= (values % 1 != 0) | (values.abs() >= 2**53) if whole else False
    if wrong.any():
        at = int(np.argmax(wrong))
        where = f'{name} of utterance "{rows["id"][at]}", seed {rows["seed"][at]}'
        expected = "a whole number" if whole else "a finite number"
        raise BadFile(path, f"{where} is {str(rows[name][at])[:40]}: expected {expected}")
    return values.astype(np.int64) if whole else values


def _same_in_each(path: Path, rows: Table, key: Sequence[str], seeds: Sequence[int]) -> None:
    """Utterances, and what is told of them, are those of the first seed; rows are sorted."""
    first: set[Any] | None = None
    for seed in seeds:
        mine = set(rows.loc[rows["seed"] == seed, list(key)].itertuples(index=False, name=None))
        first = mine if first is None else first
        if mine != first:
            unlike = sorted(mine ^ first)
            text = f"seeds {seeds[0]} and {seed} have unlike utterances ({len(unlike)} are in one"
            raise NotComparable(f"{path}: {text} only, such as {unlike[0][0]})")
    for name in rows.columns:
        if name in ("speaker", "truth"):
            of_seed = rows[name].to_numpy().reshape(len(seeds), -1)
            wrong = (of_seed != of_seed[0]).any(axis=0)
            if wrong.any():
                lone = rows["id"].iloc[int(np.argmax(wrong))]
                raise BadFile(path, f'{name} of utterance "{lone}" is not the same for all seeds')


def _speakers_and_truth(
    path: Path, rows: Table, key: Sequence[str], labels: Sequence[str], like: Tested | None
) -> tuple[tuple[str, ...], Array]:
    """Of the rows in order: from the file, and what it does not tell from ``like``."""
    truths = [f"truth_{label}" for label in labels] if "frame" in key else ["truth"]
    absent = [name for name in ("speaker", *truths) if name not in rows]
    if absent and like is None:
        raise BadFile(path, f"has no column {absent[0]} (it has {', '.join(rows.columns)})")
    speakers: tuple[str, ...] = ()
    truth: Array | None = None
    if "speaker" in rows:
        speakers = tuple(rows["speaker"])
    if not set(truths) & set(absent):
        truth = (
            rows[truths].to_numpy(np.float32) if "frame" in key else _classes(path, rows, labels)
        )
    if absent:
        assert like is not None
        order = _places(path, rows, key, like)
        held = like.predictions
        speakers = speakers or tuple(held.speakers[i] for i in order)
        truth = held.truth[order] if truth is None else truth
    assert truth is not None
    return speakers, truth


def _places(path: Path, rows: Table, key: Sequence[str], like: Tested) -> list[int]:
    """Where each row stands in ``like``, which has the same utterances."""
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
            else f"not {len(lacking)} utterances of the baseline"
        )
        raise NotComparable(f"{path}: has {text}, such as {(unknown or lacking)[0][0]}")
    return [places[name] for name in asked]


def _classes(path: Path, rows: Table, labels: Sequence[str]) -> Array:
    for name in set(rows["truth"]) - set(labels):
        raise UnknownName("class", name, labels, where=f"{path}: truth")
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[name] for name in rows["truth"]], np.int64)
