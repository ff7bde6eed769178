"""A baseline: recorded, read again as it was, and refused where anything of it differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gated
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serlab.bench.contracts import Status
from serlab.bench.errors import BadFile, BadValue, NotComparable, SerlabError, UnknownName
from serlab.bench.store import Store
from serlab.reports.gate.baseline import FILE, PREDICTIONS, read_baseline
from serlab.reports.gate.files import write_predictions
from serlab.reports.gate.record import record
from serlab.reports.gate.tested import of_run

FOLDS = {"sex": {"s1": "f", "s2": "m", "s3": "f", "s4": "m", "s5": ""}}


def study(fake: ModuleType, **other: object) -> Any:  # a FakeStudy
    """A small run with two arms."""
    facts = {
        "skill": {"base": 0.75, "worse": 0.5},
        "seeds": (0, 1, 2, 3, 4),
        "per_cell": 5,
        "meters": False,
        "epochs": 2,
    }
    return fake.FakeStudy(**(facts | other))


@pytest.fixture(scope="module")
def finished(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with groups and an audio condition; tests only read it."""
    path: Path = fake.write_fake_run(
        tmp_path_factory.mktemp("finished") / "run",
        study(fake, groups=FOLDS, conditions={"noise_20db": 0.1}, leaks=("a leak",)),
    )
    return path


# --- recorded ------------------------------------------------------------------------------


def test_what_is_recorded(finished: Path, tmp_path: Path) -> None:
    """The terms say what the run was, and the predictions are those of the run."""
    held = record(finished, tmp_path / "b", extension=(3, 4), margin=0.03)
    terms = held.terms
    assert (terms.schema, terms.study, terms.arm, terms.metric) == (1, "fake", "base", "ua")
    assert (terms.seeds, terms.extension, terms.every) == ((0, 1, 2), (3, 4), (0, 1, 2, 3, 4))
    assert (terms.margin, terms.margin_from) == (0.03, "given when it was recorded")
    assert (terms.alpha, terms.look_alpha) == (0.05, 0.025)
    assert terms.command == "serlab run fake"
    assert terms.metric_is == "unweighted accuracy (unweighted average recall)"
    (corpus,) = terms.corpora
    assert (corpus.name, corpus.split, corpus.data) == ("synth", "0123456789abcdef", "d0")
    assert (corpus.n_utterances, corpus.n_speakers) == (100, 5)
    assert (corpus.synthetic, corpus.leaks) == (True, ("a leak",))
    assert corpus.protocol["split"] == "leave-one-speaker-out"
    assert set(terms.robustness) == {"noise_20db"}
    assert set(terms.fairness) == {"sex"}
    assert terms.environments[0]["cpu"] == "fake CPU <model>"
    from_run = of_run(finished, "base").tested["synth"]
    mine = held.tested["synth"]
    assert mine.predictions.ids == from_run.predictions.ids
    assert mine.groups == from_run.groups
    assert mine.folds == from_run.folds
    assert np.array_equal(mine.predictions.scores, from_run.predictions.scores)
    assert mine.conditions == {}


def test_written_and_read_again_it_is_equal(finished: Path, tmp_path: Path) -> None:
    """As often as it is read, and wherever the folder is."""
    first = record(finished, tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / "c")
    again, once_more = (read_baseline(tmp_path / "c") for _ in range(2))
    assert first.terms == again.terms == once_more.terms
    for held in (again, once_more):
        mine, theirs = (one.tested["synth"].predictions for one in (first, held))
        assert (mine.ids, mine.seeds, mine.speakers) == (theirs.ids, theirs.seeds, theirs.speakers)
        assert np.array_equal(mine.scores, theirs.scores)


def test_recording_twice_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Of the predictions; of the terms all but the time."""
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        record(finished, path)
    one, other = ((path / PREDICTIONS).read_bytes() for path in paths)
    assert one == other
    tables = [json.loads((path / FILE).read_text()) | {"created": ""} for path in paths]
    assert tables[0] == tables[1]


def test_the_margin_is_proposed_once(finished: Path, tmp_path: Path) -> None:
    """The larger of 2 points and twice the deviation between seeds; then it stands in the file."""
    terms = record(finished, tmp_path / "b").terms
    deviation = np.std(terms.corpora[0].values, ddof=1)
    assert terms.margin == round(max(0.02, 2 * deviation), 4)
    assert f"({deviation:.4f})" in terms.margin_from
    path = tmp_path / "b" / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"margin": 0.07}))
    assert read_baseline(tmp_path / "b").terms.margin == 0.07


def test_small_deviations_give_two_points(fake: ModuleType, tmp_path: Path) -> None:
    """With seeds that say the same."""
    run = fake.write_fake_run(tmp_path / "run", study(fake, skill={"base": 1.0}))
    terms = record(run, tmp_path / "b").terms
    assert terms.margin == 0.02
    assert terms.margin_from == (
        "the larger of 2 points and twice the standard deviation of UA between 5 seeds (0.0000)"
    )


def test_it_is_small(tmp_path: Path) -> None:
    """500 utterances of 7 classes under 5 seeds, with scores that do not compress."""
    labels = ("anger", "boredom", "disgust", "fear", "joy", "neutral", "sadness")
    one = gated.answers(4, n_speakers=10, seeds=range(5), labels=labels)
    rng = np.random.default_rng(0)
    kept = np.sort(rng.permutation(len(one.predictions.ids))[:500])
    scores = rng.dirichlet(np.ones(7), (5, 500)).astype(np.float32)
    held = one.predictions
    small = replace(
        one,
        predictions=replace(
            held,
            ids=tuple(held.ids[i] for i in kept),
            speakers=tuple(held.speakers[i] for i in kept),
            truth=held.truth[kept],
            scores=scores,
        ),
        folds=tuple(one.folds[i] for i in kept),
    )
    gated.baseline(tmp_path / "b", small)
    size = sum(path.stat().st_size for path in (tmp_path / "b").iterdir())
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [FILE, PREDICTIONS]
    assert size < 110_000


def test_a_baseline_that_is_there_stays(finished: Path, tmp_path: Path) -> None:
    """Without --replace; and where the new terms do not fit, it stays as it was."""
    record(finished, tmp_path, margin=0.03)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadFile, match="is there already; --replace records it anew"):
        record(finished, tmp_path)
    with pytest.raises(BadValue, match=r"margin = 5: expected a number between 0 and 1"):
        record(finished, tmp_path, arm="worse", margin=5, replace=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    held = record(finished, tmp_path, arm="worse", replace=True)
    assert held.terms.arm == "worse"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)


def test_it_is_written_somewhere(finished: Path, tmp_path: Path) -> None:
    """A file in the folder's place is told."""
    (tmp_path / "b").write_text("")
    with pytest.raises(BadFile, match="cannot write the baseline here"):
        record(finished, tmp_path / "b")


@pytest.mark.parametrize(
    ("other", "asked", "words"),
    [
        ({"seeds": (0,)}, {}, r"seeds of the first look = \[0\]: expected two or more"),
        ({}, {"extension": (1, 2, 3, 4)}, r"first look = \[0\]: expected two or more"),
        ({}, {"extension": (9,)}, r"--extension = \[9\]: expected different seeds of the run"),
        ({}, {"extension": (4, 4)}, r"--extension = \[4, 4\]: expected different seeds"),
        ({"speakers": ("s1",)}, {}, "synth tests 1 speaker; a gate needs two or more"),
        ({}, {"arm": "wurse"}, '"wurse" is no arm of the run; did you mean "worse"'),
        ({}, {"margin": 0.0}, "margin = 0.0: expected a number between 0 and 1"),
        ({}, {"margin": float("nan")}, "margin = nan: expected a number between 0 and 1"),
        (
            {"lost": {("base", "fold1", 2): Status.DIVERGED}},
            {},
            "trainings of base without a result: 1 diverged",
        ),
        (
            {"lost": {("base", "fold1", 2): Status.FAILED}},
            {},
            "trainings of base without a result: 1 failed",
        ),
        (
            {"lost": {("base", "fold1", 2): None}},
            {},
            "on synth seed 2 of base has not run to its end",
        ),
        (
            {"lost": {("base", f"fold{i}", s): None for i in range(5) for s in range(5)}},
            {},
            "on synth no seed has all its folds completed",
        ),
        ({"target": "traces", "metric": "pcc", "skill": {"base": 0.0}}, {}, "is undefined"),
    ],
)
def test_runs_that_make_no_baseline(
    fake: ModuleType, tmp_path: Path, other: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    """Each is told, and no file is left."""
    run = fake.write_fake_run(tmp_path / "run", study(fake, **other))
    with pytest.raises(SerlabError, match=words):
        record(run, tmp_path / "b", **asked)
    assert not (tmp_path / "b").exists() or not list((tmp_path / "b").iterdir())


def test_losses_of_other_arms_do_not_matter(fake: ModuleType, tmp_path: Path) -> None:
    """The baseline is of one arm alone."""
    lost = {("worse", "fold1", 2): Status.DIVERGED}
    run = fake.write_fake_run(tmp_path / "run", study(fake, lost=lost))
    assert record(run, tmp_path / "b").terms.arm == "base"


def test_odd_names_are_data(fake: ModuleType, tmp_path: Path) -> None:
    """Speakers, classes, corpora and arms may be called anything; none of them is a path."""
    odd = ("../x", 'a "b", c', "d\te", "ünï", "-rf /")
    labels = ("../../y", "joy, or 'not'", "<b>", "|")
    run = fake.write_fake_run(
        tmp_path / "run",
        study(fake, speakers=odd, labels=labels, corpora=("../synth",), skill={"../base": 0.7}),
    )
    held = record(run, tmp_path / "deep" / "er" / "b", arm="../base")
    assert set(held.tested["../synth"].predictions.speakers) == set(odd)
    assert held.tested["../synth"].predictions.labels == labels
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if "run" not in str(p))
    assert [name for name in found if "deep/er/b/" not in name] == ["deep", "deep/er", "deep/er/b"]


def test_traces_are_recorded(fake: ModuleType, tmp_path: Path) -> None:
    """Under CCC, frames and all."""
    made = study(fake, target="traces", labels=("arousal", "valence"), n_frames=8)
    held = record(fake.write_fake_run(tmp_path / "run", made), tmp_path / "b")
    assert held.terms.metric == "ccc"
    assert held.tested["synth"].predictions.frames.size == 5 * 5 * 8


def test_a_run_whose_scores_are_no_numbers(fake: ModuleType, tmp_path: Path) -> None:
    """Neither NaN nor an infinity is recorded, or taken as a candidate."""
    for value in (np.nan, np.inf):
        run = fake.write_fake_run(tmp_path / f"run{value}", study(fake))
        store = Store.open(run)
        result = next(r for r in store.records() if r.arm == "base")
        predictions = store.predictions(result.cell)
        predictions.scores[0, 0] = value
        again = Store.create(tmp_path / f"run{value}")
        again.append(replace(result, predictions=predictions))
        with pytest.raises(BadFile, match='a score of utterance "s1-0-0" is no finite number'):
            of_run(run, "base")


def test_groups_that_lack_an_utterance(fake: ModuleType, tmp_path: Path) -> None:
    """They are of another corpus."""
    run = fake.write_fake_run(tmp_path / "run", study(fake, groups=FOLDS))
    store = Store.open(run)
    told = store.groups(0)
    store.write_groups(
        0,
        replace(
            told,
            ids=told.ids[1:],
            speakers=told.speakers[1:],
            values={g: v[1:] for g, v in told.values.items()},
        ),
    )
    with pytest.raises(BadFile, match='has no groups of utterance "s5-0-0"'):
        of_run(run, "base")


# --- changed since -------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the terms of a baseline in its file."""
    table = json.loads((path / FILE).read_text(encoding="utf-8"))
    change(table)
    (path / FILE).write_text(json.dumps(table), encoding="utf-8")


def setting(**values: object) -> Callable[[dict[str, Any]], object]:
    """A change of some keys."""
    return lambda table: table.update(values)


def of_corpus(**values: object) -> Callable[[dict[str, Any]], object]:
    """A change of some keys of the first corpus."""
    return lambda table: table["corpora"][0].update(values)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = {
    "schema": (setting(schema=2), NotComparable, "schema 2, and this serlab reads 1"),
    "no schema": (lambda t: t.pop("schema"), NotComparable, "schema None, and"),
    "missing": (lambda t: t.pop("margin"), SerlabError, "margin is missing"),
    "of a corpus": (lambda t: t["corpora"][0].pop("split"), SerlabError, "corpora[0].split is mis"),
    "unknown": (setting(margins=1), SerlabError, 'no key; did you mean "margin"'),
    "type": (setting(margin="0.02"), SerlabError, "margin = '0.02': expected a number"),
    "true": (setting(margin=True), SerlabError, "margin = True: expected a number"),
    "null": (setting(seeds=None), SerlabError, "seeds = None: expected a list"),
    "list": (setting(seeds="012"), SerlabError, "seeds = '012': expected a list"),
    "margin 0": (setting(margin=0), SerlabError, "margin = 0.0: expected a number between 0"),
    "margin 5": (setting(margin=5), SerlabError, "margin = 5.0: expected a number between 0"),
    "margin huge": (setting(margin=10**400), SerlabError, "expected a number"),
    "margin nan": (setting(margin=float("nan")), SerlabError, "margin = nan: expected a number"),
    "alpha": (setting(alpha=0.7), SerlabError, "alpha = 0.7: expected a number between 0 and 0.5"),
    "alpha 0": (setting(alpha=0), SerlabError, "alpha = 0.0: expected"),
    "one seed": (setting(seeds=[0]), SerlabError, "seeds = [0]: expected two different integers"),
    "same seeds": (setting(seeds=[0, 0, 1]), SerlabError, "seeds = [0, 0, 1]: expected"),
    "other seeds": (setting(seeds=[0, 1, 7]), BadFile, "has the seeds [0, 1, 2], and gate.json n"),
    "extension": (setting(extension=[2]), SerlabError, "seeds = [0, 1, 2, 2]: expected"),
    "no corpus": (setting(corpora=[]), SerlabError, "corpora = []: expected one or more"),
    "corpus": (of_corpus(name="emodb"), UnknownName, '"emodb" is no corpus of the predictions'),
    "metric": (setting(metric="uar"), SerlabError, 'is no metric; did you mean "ua"'),
    "other metric": (setting(metric="ece"), NotComparable, "ece of the recorded predictions is n"),
    "task": (setting(metric="ccc"), NotComparable, "metric ccc is none of such predictions"),
    "values": (of_corpus(values=[0.8, 0.8, 0.9]), NotComparable, "the metric's definition differs"),
    "few values": (of_corpus(values=[0.8]), NotComparable, "the metric's definition differs"),
    "labels": (of_corpus(labels=["anger", "fear", "neutral", "sadness"]), BadFile, "score_fear"),
    "fewer labels": (of_corpus(labels=["anger", "joy"]), SerlabError, "score_neutral"),
    "no labels": (of_corpus(labels=[]), SerlabError, "score_anger"),
    "split": (of_corpus(split=""), SerlabError, "split = '': expected the hash of the folds"),
    "hash": (setting(sha256="0"), BadFile, "its hash differs"),
    "floor": (
        setting(robustness={"noise": {"unchanged": 2, "loss": 0, "measured_unchanged": 1,
                                      "measured_loss": 0}}),
        SerlabError, "unchanged = 2.0: expected a share from 0 to 1",
    ),
    "endless floor": (
        setting(robustness={"noise": {"unchanged": 1, "loss": float("inf"),
                                      "measured_unchanged": 1, "measured_loss": 0}}),
        SerlabError, "loss = inf: expected a finite number",
    ),
    "gap": (
        setting(fairness={"sex": {"largest": float("inf"), "measured": 0}}),
        SerlabError, "largest = inf: expected a finite number from 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_terms_that_a_hand_has_changed(tmp_path: Path, name: str) -> None:
    """The file is named, the key, the value, and what was expected."""
    change, kind, words = CHANGES[name]
    gated.baseline(tmp_path, gated.answers(gated.uneven(3)))
    rewritten(tmp_path, change)
    with pytest.raises(kind) as error:
        read_baseline(tmp_path)
    assert words in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b"null", b"{}"]
)
def test_a_file_that_is_no_json_of_ours(tmp_path: Path, content: bytes) -> None:
    """It is named."""
    gated.baseline(tmp_path, gated.answers(4))
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SerlabError, match=FILE):
        read_baseline(tmp_path)


def test_a_folder_that_is_no_baseline(tmp_path: Path) -> None:
    """Empty, missing, a file, or with half of it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(BadFile, match=f"{FILE}: is no baseline of a gate"):
            read_baseline(path)
    gated.baseline(tmp_path / "b", gated.answers(4))
    (tmp_path / "b" / PREDICTIONS).unlink()
    with pytest.raises(BadFile, match=f"{PREDICTIONS}: cannot be read"):
        read_baseline(tmp_path / "b")


@pytest.mark.parametrize("damage", ["cut off", "exchanged", "empty", "edited"])
def test_predictions_that_are_not_the_recorded_ones(tmp_path: Path, damage: str) -> None:
    """Their hash tells, before anything of them is read."""
    gated.baseline(tmp_path / "b", gated.answers(4))
    path = tmp_path / "b" / PREDICTIONS
    content = path.read_bytes()
    if damage == "exchanged":
        write_predictions(path, {"synth": gated.answers(3)})
    else:
        kept = {"cut off": content[:-100], "empty": b"", "edited": content[:-9] + b"x" * 9}
        path.write_bytes(kept[damage])
    with pytest.raises(BadFile, match=r"is not what gate.json was recorded with \(its hash dif"):
        read_baseline(tmp_path / "b")


def test_predictions_that_are_cut_off_with_a_hash_that_fits(tmp_path: Path) -> None:
    """A hand that mends the hash does not mend the file."""
    gated.baseline(tmp_path, gated.answers(4))
    content = (tmp_path / PREDICTIONS).read_bytes()[:-100]
    (tmp_path / PREDICTIONS).write_bytes(content)
    rewritten(tmp_path, setting(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(BadFile, match="is not readable as Parquet"):
        read_baseline(tmp_path)


def test_a_metric_with_another_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of the recorded predictions is no longer what was recorded."""
    gated.baseline(tmp_path, gated.answers(4))
    monkeypatch.setattr("serlab.bench.metrics.categorical.ua", lambda truth, scores: 0.5)
    with pytest.raises(NotComparable) as error:
        read_baseline(tmp_path)
    assert "ua of the recorded predictions is now 0.5000" in str(error.value)
    assert "and was 0.8000" in str(error.value)


@settings(deadline=None)
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_are_no_baseline(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """In either file: an error of ours."""
    path = tmp_path_factory.mktemp("bytes")
    gated.baseline(path, gated.answers(4, n_speakers=2))
    for name in (PREDICTIONS, FILE):
        (path / name).write_bytes(content)
        with pytest.raises(SerlabError):
            read_baseline(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(data=st.data())
def test_terms_of_any_shape(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any value in any place: refused in a sentence, or held as what the file says."""
    path = tmp_path_factory.mktemp("terms")
    gated.baseline(path, gated.answers(4, n_speakers=2))

    def change(table: dict[str, Any]) -> None:
        place = data.draw(st.sampled_from([table, table["corpora"][0]]))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(values)

    rewritten(path, change)
    with suppress(SerlabError):
        assert read_baseline(path).terms.margin > 0
