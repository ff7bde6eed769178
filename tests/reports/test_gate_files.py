"""Tables of predictions: written and read again, and every damage told in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gated
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serlab.bench.errors import BadFile, NotComparable, SerlabError, UnknownName
from serlab.reports.gate.files import of_file, read_predictions, write_predictions
from serlab.reports.gate.judge import judge
from serlab.reports.gate.records import Outcome
from serlab.reports.gate.tested import Tested as Answers

ODD = "../x", 'a "quoted", name', "ünï\ncode", " s ", "=1+1", "NA"


def read(path: Path, like: Answers | None = None) -> Answers:
    """The table of the corpus "synth"."""
    return read_predictions(path, "synth", gated.LABELS, split="s", data="d", like=like)


def table_of(one: Answers) -> Any:  # a pandas data frame
    """The rows that a model outside serlab might write."""
    held = one.predictions
    parts = []
    for seed, scores in zip(held.seeds, held.scores, strict=True):
        columns = {f"score_{label}": scores[:, c] for c, label in enumerate(held.labels)}
        parts.append(pd.DataFrame({"id": held.ids, "seed": seed, **columns}))
    return pd.concat(parts, ignore_index=True)


def same(one: Answers, other: Answers) -> None:
    """Asserts that everything is equal, arrays bit for bit."""
    assert (one.corpus, one.folds, one.groups) == (other.corpus, other.folds, other.groups)
    for key in ("ids", "seeds", "speakers", "labels"):
        assert getattr(one.predictions, key) == getattr(other.predictions, key)
    for key in ("truth", "scores", "frames"):
        mine, theirs = getattr(one.predictions, key), getattr(other.predictions, key)
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)


# --- written and read again ----------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Names of any kind, groups that are unknown, several corpora with other classes."""
    one = gated.answers(gated.uneven(3), groups={"sex": ["f", "m", "", "f", "m", ""]})
    held = one.predictions
    speakers = tuple(ODD[int(name[1:])] for name in held.speakers)
    ids = tuple(f"{ODD[i % 6]}/{i:04d}" for i in range(len(held.ids)))
    order = np.argsort(np.array(ids), kind="stable")
    one = replace(one, predictions=replace(held, ids=ids, speakers=speakers))
    one = reordered(one, order)
    other = gated.answers(2, corpus="b, c", labels=("fear", "joy"), n_speakers=2)
    path = tmp_path / "p.parquet"
    write_predictions(path, {"synth": one, "b, c": other})
    same(read(path), one)
    found = read_predictions(path, "b, c", ("fear", "joy"), split="", data="")
    same(replace(found, groups={}), by_name(other))


def test_traces_are_written_and_read(tmp_path: Path) -> None:
    """Frames in their order, truths of every dimension, whatever order the rows have."""
    one = gated.traces(0.2)
    path = tmp_path / "p.parquet"
    write_predictions(path, {"traced": gated.shuffled(one)})
    labels = one.predictions.labels
    same(read_predictions(path, "traced", labels, split="", data=""), one)


def reordered(one: Answers, order: Any) -> Answers:  # an array of places
    """The same rows in that order."""
    held = one.predictions
    predictions = replace(
        held,
        ids=tuple(held.ids[i] for i in order),
        speakers=tuple(held.speakers[i] for i in order),
        truth=held.truth[order],
        scores=held.scores[:, order],
    )
    groups = {g: tuple(v[i] for i in order) for g, v in one.groups.items()}
    folds = tuple(one.folds[i] for i in order)
    return replace(one, predictions=predictions, folds=folds, groups=groups)


def by_name(one: Answers) -> Answers:
    """The same rows by their ids, as a table is read."""
    return reordered(one, np.argsort(np.array(one.predictions.ids), kind="stable"))


# --- tables of other models ----------------------------------------------------------------

Write = Callable[[Any, Path], None]


def as_csv(rows: Any, path: Path) -> None:
    """With commas, as UTF-8."""
    rows.to_csv(path, index=False)


def as_windows_csv(rows: Any, path: Path) -> None:
    """As Excel writes it: a byte order mark, and CR LF at the ends of lines."""
    path.write_bytes(rows.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"))


def as_parquet(rows: Any, path: Path) -> None:
    """With whatever index pandas has."""
    rows.set_index("id").to_parquet(path.with_suffix(".parquet"))


@pytest.mark.parametrize("write", [as_csv, as_windows_csv, as_parquet])
def test_a_table_needs_ids_seeds_and_scores(tmp_path: Path, write: Write) -> None:
    """Speakers and truths are the baseline's, matched by name whatever the order."""
    base, other = gated.answers(4), gated.answers(gated.uneven(9))
    path = tmp_path / ("p.parquet" if write is as_parquet else "p.csv")
    write(table_of(gated.shuffled(other)), path)
    found = of_file(path, {"synth": base})
    same(replace(found.tested["synth"], folds=other.folds), by_name(other))
    recorded = gated.baseline(tmp_path / "b", base)
    assert judge(recorded, found)[0].outcome is Outcome.FAIL


def test_ids_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    """An utterance may be called 001, which is not 1, and 1e2, NA and True are names too."""
    base = gated.answers(4)
    odd = ("001", "1", "1e2", "NA", "nan", "True", "", " 1", *base.predictions.ids[8:])
    base = replace(base, predictions=replace(base.predictions, ids=odd))
    as_csv(table_of(base), tmp_path / "p.csv")
    assert set(read(tmp_path / "p.csv", base).predictions.ids) == set(odd)


def test_traces_of_other_models(tmp_path: Path) -> None:
    """Frames are matched as well."""
    one = gated.traces(0.2)
    held = one.predictions
    rows = table_of(one)
    rows["frame"] = np.tile(held.frames, len(held.seeds))
    as_csv(rows.sample(frac=1, random_state=0), tmp_path / "p.csv")
    found = of_file(tmp_path / "p.csv", {"traced": one}).tested["traced"]
    assert np.array_equal(found.predictions.truth, held.truth)
    assert np.allclose(found.predictions.scores, held.scores)


def test_a_file_is_held_to_the_truth_that_it_tells(tmp_path: Path) -> None:
    """Also where it tells only one of truth and speaker."""
    base = gated.answers(4)
    recorded = gated.baseline(tmp_path / "b", base)
    for column, wrong in (("truth", "joy"), ("speaker", "s1")):
        held = base.predictions
        right = [held.labels[c] for c in held.truth] if column == "truth" else held.speakers
        rows = table_of(base)
        rows[column] = list(right) * 3
        as_csv(rows, tmp_path / "p.csv")
        assert judge(recorded, of_file(tmp_path / "p.csv", recorded.tested))[0].outcome == "pass"
        rows[column] = [wrong, *list(right)[1:]] * 3
        as_csv(rows, tmp_path / "p.csv")
        (check,) = judge(recorded, of_file(tmp_path / "p.csv", recorded.tested))
        assert f'utterance "s0-anger-00" has another {column} in each' in check.sentence


def test_several_corpora_need_a_column(tmp_path: Path) -> None:
    """Each gets its own rows; other corpora are not let pass unseen."""
    held = {name: gated.answers(4, corpus=name) for name in ("one", "two")}
    as_csv(table_of(held["one"]), tmp_path / "p.csv")
    with pytest.raises(BadFile, match="no column corpus, and there are one, two"):
        of_file(tmp_path / "p.csv", held)
    both = pd.concat([table_of(one).assign(corpus=name) for name, one in held.items()])
    as_csv(both, tmp_path / "p.csv")
    assert list(of_file(tmp_path / "p.csv", held).tested) == ["one", "two"]
    as_csv(both[both.corpus == "one"], tmp_path / "p.csv")
    with pytest.raises(UnknownName, match='"two" is no corpus of the predictions'):
        of_file(tmp_path / "p.csv", held)
    as_csv(both, tmp_path / "p.csv")
    with pytest.raises(NotComparable, match="has the corpus two, the baseline one"):
        of_file(tmp_path / "p.csv", {"one": held["one"]})


# --- damage --------------------------------------------------------------------------------

Change = Callable[[Any], Any]


def put(column: str, value: object, row: int = 7) -> Change:
    """One value in the place of another."""

    def change(rows: Any) -> Any:
        rows[column] = rows[column].astype(object)
        rows.loc[row, column] = value
        return rows

    return change


DAMAGES: dict[str, tuple[Change, str]] = {
    "nan": (put("score_joy", np.nan), 'score_joy of utterance "s0-anger-07", seed 0 is nan: '),
    "inf": (put("score_joy", np.inf), "seed 0 is inf: expected a finite number"),
    "beyond float32": (put("score_joy", 1e39), "is 1e+39: expected a finite number"),
    "text": (put("score_joy", "much"), "is much: expected a finite number"),
    "no number at all": (put("score_joy", ""), "is : expected a finite number"),
    "seed": (put("seed", "x"), 'seed of utterance "s0-anger-07", seed x is x: '),
    "half a seed": (put("seed", 0.5), "is 0.5: expected a whole number"),
    "a huge seed": (put("seed", 1e300), "is 1e+300: expected a whole number"),
    "no score": (lambda t: t.drop(columns="score_joy"), "has no column score_joy (it has id, "),
    "no seed": (lambda t: t.drop(columns="seed"), "has no column seed"),
    "no id": (lambda t: t.drop(columns="id"), "has no column id"),
    "no row": (lambda t: t[:0], "has no row"),
    "one twice": (lambda t: pd.concat([t, t[5:6]]), 'utterance "s0-anger-05" of seed 0 twice'),
    "one fewer in a seed": (
        lambda t: t.drop(index=500), "seeds 0 and 1 have unlike utterances (1 are in one only",
    ),
    "one fewer": (lambda t: t[t.id != "s0-joy-03"], "has not 1 utterances of the baseline, such"),
    "a stranger": (
        lambda t: t.assign(id=t.id.replace("s0-joy-03", "who")),
        "has 1 utterances that the baseline lacks, such as who",
    ),
    "another class": (
        lambda t: t.assign(score_fear=0.1), "has the column score_fear, and the classes are anger",
    ),
    "an unknown truth": (lambda t: t.assign(truth="fear"), '"fear" is no class;'),
    "unlike truths": (
        lambda t: t.assign(truth=np.where(np.arange(len(t)) == 500, "joy", "anger")),
        'truth of utterance "s0-joy-00" is not the same for all seeds',
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damages(tmp_path: Path, damage: str, kind: str) -> None:
    """The file is named, the place, the value, and what was expected."""
    change, words = DAMAGES[damage]
    rows = change(table_of(gated.answers(4)))
    path = tmp_path / f"p.{kind}"
    if kind == "csv":
        rows.to_csv(path, index=False, na_rep="nan")
    else:
        texts = {c: "str" for c in rows.columns if rows[c].dtype == object}
        rows.astype(texts).to_parquet(path)
    with pytest.raises(SerlabError) as error:
        of_file(path, {"synth": gated.answers(4)})
    assert words in str(error.value)
    assert str(error.value).startswith(str(path))


def test_empty_cells_of_a_parquet_file(tmp_path: Path) -> None:
    """No name is none; an unknown group is an empty text."""
    one = gated.answers(4, groups={"sex": ["f", "m"] * 3})
    write_predictions(tmp_path / "p.parquet", {"synth": one})
    whole = pd.read_parquet(tmp_path / "p.parquet")
    for column in ("id", "speaker", "truth"):
        rows = whole.astype({column: object})
        rows.loc[9, column] = None
        rows.to_parquet(tmp_path / "q.parquet")
        with pytest.raises(BadFile, match=f"{column} of row 10 is empty"):
            read(tmp_path / "q.parquet")
    rows = whole.astype({"group_sex": object})
    rows.loc[:, "group_sex"] = None
    rows.to_parquet(tmp_path / "q.parquet")
    assert set(read(tmp_path / "q.parquet").groups["sex"]) == {""}


def test_columns_of_unlike_kinds(tmp_path: Path) -> None:
    """Lists, times and bytes are no scores; a column may not stand there twice."""
    for value in ([1.0], pd.Timestamp("2026-01-01"), b"0.5", None):
        rows = table_of(gated.answers(4))
        rows["score_joy"] = pd.Series([value] * len(rows))
        rows.to_parquet(tmp_path / "p.parquet")
        with pytest.raises(BadFile, match=r"score_joy of utterance .* a finite number"):
            of_file(tmp_path / "p.parquet", {"synth": gated.answers(4)})
    pq.write_table(pa.table([["a"], ["b"]], names=["id", "id"]), tmp_path / "p.parquet")
    with pytest.raises(BadFile, match="is not readable as Parquet"):
        of_file(tmp_path / "p.parquet", {"synth": gated.answers(4)})


def test_texts_that_are_no_utf8(tmp_path: Path) -> None:
    """Parquet does not look; the table is refused all the same."""
    write_predictions(tmp_path / "p.parquet", {"synth": gated.answers(4)})
    table = pq.read_table(tmp_path / "p.parquet")
    wrong = pa.array([b"s\xff"] * len(table)).view(pa.string())
    table = table.set_column(table.column_names.index("fold"), "fold", wrong)
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(BadFile, match="is not readable as Parquet"):
        read(tmp_path / "p.parquet")


@pytest.mark.parametrize("extra", [",", ",0.5"])
def test_rows_longer_than_the_header(tmp_path: Path, extra: str) -> None:
    """No column is shifted under another's name."""
    text = table_of(gated.answers(4)).to_csv(index=False).splitlines()
    path = tmp_path / "p.csv"
    path.write_text("\n".join([text[0], *(line + extra for line in text[1:])]) + "\n")
    with pytest.raises(BadFile, match="is not readable as CSV"):
        of_file(path, {"synth": gated.answers(4)})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Nor is a folder a table."""
    for path in (tmp_path / "no.csv", tmp_path / "no.parquet", tmp_path):
        with pytest.raises(BadFile, match=re.escape(str(path))):
            of_file(path, {"synth": gated.answers(4)})


def read_or_refused(path: Path, base: Answers) -> None:
    """Asserts that nothing but an error of ours is raised, and that what is read is sound."""
    with suppress(SerlabError):
        found = of_file(path, {"synth": base}).tested["synth"].predictions
        assert np.isfinite(found.scores).all()
        assert found.scores.shape[1:] == (len(found.ids), len(gated.LABELS))


CSV = table_of(gated.answers(4, n_speakers=2, seeds=(0, 1))).to_csv(index=False).encode()


@settings(deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, len(CSV)), kind=st.sampled_from("cp"))
def test_arbitrary_bytes_are_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int, kind: str
) -> None:
    """Whatever a file holds, and wherever a table is damaged: an error of ours, or a table."""
    base = gated.answers(4, n_speakers=2, seeds=(0, 1))
    folder = tmp_path_factory.mktemp("bytes")
    for content in (data, CSV[:at] + data + CSV[at + len(data) :]):
        path = folder / ("p.csv" if kind == "c" else "p.parquet")
        path.write_bytes(content)
        read_or_refused(path, base)


@settings(deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_parquet_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """One byte of a candidate's table is another one: a sentence, or predictions that fit."""
    base = gated.answers(4, n_speakers=2, seeds=(0, 1))
    path = tmp_path_factory.mktemp("bytes") / "p.parquet"
    write_predictions(path, {"synth": base})
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content)
    read_or_refused(path, base)
