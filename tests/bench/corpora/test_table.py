"""Tables of features: columns found, cells checked, and systems that read what they supply."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees.table import build

from serlab.__main__ import main
from serlab.bench.contracts import Corpus, FeatureSpec, ProtocolSpec, Status
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.corpora.relabel import canonical
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.features.base import feature
from serlab.bench.protocols import make_split
from serlab.bench.trial import run_fold
from serlab.models.variant import make
from serlab.studies.benches import bench_for
from serlab.studies.facts import resolved
from serlab.studies.plan import make_plan
from serlab.studies.specification import load_study

STUDY = """
question = "Do supplied features do?"
seeds = [0]
max_epochs = 1
[base]
system = "functionals_svm"
set = { functionals = "supplied", c = 1.0 }
[[arms]]
name = "network"
system = "lian2019"
set = { functionals = "supplied" }
[[corpora]]
name = "table"
[protocol]
split = "speaker-groups"
groups = 3
validation = 1
"""


def read(root: Path, **options: str) -> Corpus:
    return load_corpus("table", roots={"table": root}, options=options)


def write(root: Path, text: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "features.csv").write_text(text, encoding="utf-8")
    return root


def vectors(held: Corpus) -> list[tuple[float, ...]]:
    return [u.supplied["features"] for u in held.utterances]


def test_columns_are_found_by_their_usual_names(tmp_path: Path) -> None:
    """Whatever their case; an index that pandas wrote and an empty column are no features."""
    build(tmp_path)
    held = read(tmp_path)
    assert held.labels == ("anger", "happiness", "sadness")
    u = held.utterances[0]
    assert (u.id, u.speaker, u.dialogue, u.turn) == ("u0-angry-0", "s0", "d0", 0)
    assert (u.text, u.emotion, u.audio) == ("so angry am I", "anger", None)
    assert u.facts == {"sex": "f"}
    assert {len(v) for v in vectors(held)} == {2}


def test_features_are_chosen_by_patterns(tmp_path: Path) -> None:
    """In the order of the table; what is left out is a fact."""
    build(tmp_path)
    chosen = read(tmp_path, features="f_2, f_1")
    assert vectors(chosen) == vectors(read(tmp_path, features="f_*"))
    one = read(tmp_path, features="f_2")
    assert {len(v) for v in vectors(one)} == {1}
    assert float(one.utterances[0].facts["f_1"]) == vectors(chosen)[0][0]
    with pytest.raises(BadValue, match=r"table\.features = 'g_\*': expected a pattern of "):
        read(tmp_path, features="g_*")
    with pytest.raises(BadFile, match=r'csv:2: column "sex" is \'f\': a feature must be'):
        read(tmp_path, features="f_*, sex")


@pytest.mark.parametrize(
    ("cell", "shown"), [("", "is empty"), ("nan", "is 'nan'"), ("inf", "is 'inf'")]
)
def test_a_cell_without_a_number_is_named(tmp_path: Path, cell: str, shown: str) -> None:
    """Row and column; nothing is filled in."""
    write(tmp_path, f"speaker,emotion,x,y\na,sad,1,2\nb,sad,3,{cell}\n")
    with pytest.raises(BadFile, match=rf'features\.csv:3: column "y" {shown}: a feature must be'):
        read(tmp_path)
    write(tmp_path, f"speaker,emotion,x,y\na,sad,1,{cell}\nb,sad,3,4\n")
    with pytest.raises(BadFile, match=rf'features\.csv:2: column "y" {shown}'):
        read(tmp_path)


def test_a_column_that_holds_words_is_a_fact(tmp_path: Path) -> None:
    """Wherever in the column the first word stands."""
    write(tmp_path, "speaker,emotion,x,code\na,sad,1,007\nb,sad,3,\nc,sad,3,A9\n")
    held = read(tmp_path)
    assert vectors(held) == [(1.0,), (3.0,), (3.0,)]
    assert [u.facts.get("code") for u in held.utterances] == ["007", None, "A9"]


def test_parquet_and_tsv_are_the_same(tmp_path: Path) -> None:
    """Types tell features apart where there are some."""
    columns: dict[str, Any] = {
        "speaker": ["a", "b"],
        "emotion": ["sad", None],
        "split": ["train", "dev"],
        "x": [1, 2],
        "y": pa.array([0.5, 1.5], pa.float32()),
        "loud": [True, False],
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    held = read(tmp_path, file="f.parquet")
    assert vectors(held) == [(1.0, 0.5), (2.0, 1.5)]
    assert [u.partition for u in held.utterances] == ["train", "validation"]
    assert held.utterances[1].facts == {"label": "none", "loud": "False"}
    lines = ("speaker emotion split x y loud", "a sad train 1 0.5 True", "b  dev 2 1.5 False")
    text = "\r\n".join(lines).replace(" ", "\t")
    (tmp_path / "f.tsv").write_text("\ufeff" + text, encoding="utf-8")
    assert corpus_digest(read(tmp_path, file="f.tsv")) == corpus_digest(held)
    assert corpus_digest(read(tmp_path / "f.tsv")) == corpus_digest(held)
    columns["y"] = [0.5, math.nan]
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(BadFile, match=r'f\.parquet, row 2: column "y" is nan'):
        read(tmp_path, file="f.parquet")
    with pytest.raises(BadFile, match=r'column "loud" is bool, no numbers'):
        read(tmp_path, file="f.parquet", features="loud")
    (tmp_path / "f.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadFile, match=r"f\.parquet: cannot be read as Parquet"):
        read(tmp_path, file="f.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,x\nsad,1\n", r"no column is called speaker or .*It has: emotion, x"),
        ("speaker,x\na,1\n", r"no column is called emotion or label"),
        ("speaker,emotion\na,sad\n", r"has no column of numbers"),
        ("speaker,emotion,x\n", r"has no rows"),
        ("speaker,emotion,x\n,sad,1\n", r'csv:2: column "speaker" is empty'),
        ("speaker,emotion,x,turn\na,sad,1,two\n", r"csv:2: column \"turn\" is 'two'"),
        ("speaker,emotion,x,id\na,sad,1,u\na,sad,2,u\n", r"csv:3: its id is 'u', as in .*csv:2"),
        ("speaker,emotion,x,split\na,sad,1,tset\n", r'csv:2: column "split": "tset" is no part'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    """File, line and column."""
    with pytest.raises(SerlabError, match=message):
        read(write(tmp_path, text))


def test_the_command_line_takes_a_file_for_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root of a table may be the table itself."""
    build(tmp_path)
    root = f"table={tmp_path / 'features.csv'}"
    assert main(["data", "check", "table", "--root", root]) == 0
    assert "72 utterances, 72 read, 6 speakers" in capsys.readouterr().out


def test_options_name_columns_and_labels(tmp_path: Path) -> None:
    """A name that no column has is told with the nearest."""
    write(tmp_path, "who,mood,x\na,lively,1\nb,xxx,2\n")
    held = read(tmp_path, speaker="who", emotion="mood", rename="lively=happiness")
    assert [u.emotion for u in held.utterances] == ["happiness", None]
    assert held.utterances[1].facts == {"label": "xxx"}
    with pytest.raises(UnknownName, match='"moode" is no column; did you mean "mood"'):
        read(tmp_path, speaker="who", emotion="moode")
    with pytest.raises(BadFile, match="there is no such table"):
        read(tmp_path, file="x.csv")


def test_without_speakers_every_split_leaks(tmp_path: Path) -> None:
    """All utterances are taken for one speaker's."""
    rows = "".join(f"{e},{n}\n" for n in range(9) for e in ("sad", "happy"))
    held = read(write(tmp_path, f"emotion,x\n{rows}"), speaker="none")
    assert make_split(held, ProtocolSpec(split="random-utterances")).leaks
    with pytest.raises(SerlabError, match="the corpus has 1: unknown"):
        make_split(held, ProtocolSpec())


def test_names_of_emotions_are_the_fields(tmp_path: Path) -> None:
    """Case and spaces do not count; what is not known stays."""
    words = ("ANG", " Happy ", "sadness", "no_agreement", "pensive")
    assert [canonical(w) for w in words] == ["anger", "happiness", "sadness", "", "pensive"]


# --- what reads the features ----------------------------------------------------------------


def test_systems_learn_from_what_a_table_supplies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any length, which nobody has to tell; a linear machine separates what is separable."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))
    build(tmp_path / "data")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    plan = make_plan(load_study(str(tmp_path / "study.toml")), {"table": tmp_path / "data"})
    assert not plan.skipped
    assert resolved(plan, command="", created="")["corpora"][0]["supplied"] == {"features": 2}
    for job in plan.jobs():
        system = make(job.trial.variant)
        fold = job.ground.split.folds[0]
        result = run_fold(job.trial, job.arm, fold, system, bench_for(job.ground, system, None))
        assert result.status is Status.COMPLETED, result.reason
        assert result.predictions is not None
        assert result.predictions.scores.shape[1] == 3
        if job.arm == "base":
            right = result.predictions.scores.argmax(axis=1) == result.predictions.truth
            assert right.mean() > 0.9


def test_vectors_of_unlike_lengths_are_refused(tmp_path: Path) -> None:
    """Where the corpus is to say the length, it must say one."""
    from dataclasses import replace

    build(tmp_path)
    one, two, *_ = read(tmp_path).utterances
    made = feature(FeatureSpec(name="supplied", settings={"name": "features", "size": 0}))
    assert made.of(one).shape == (1, 2)
    short = replace(two, supplied={"features": (1.0,)})
    with pytest.raises(
        BadValue, match=r"u0-angry-1: .*1 values': expected 2 values, as u0-angry-0"
    ):
        made.lacking([one, short])
