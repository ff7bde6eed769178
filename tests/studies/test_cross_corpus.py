"""Several corpora in one study: trained on some, tested on another; and broken files left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serlab.bench.contracts import Status
from serlab.bench.corpora.base import load_corpus
from serlab.bench.corpora.relabel import pooled
from serlab.bench.data import Normaliser
from serlab.bench.errors import SerlabError
from serlab.bench.trial import run_fold
from serlab.models.variant import make
from serlab.studies.benches import bench_for
from serlab.studies.facts import resolved
from serlab.studies.plan import Plan, make_plan, refuse_leaks
from serlab.studies.specification import load_study

SYNTH = '[[corpora]]\nname = "synth"\noptions = {{ utterances = 48, speakers = 4, seed = {} }}\n'
STUDY = """
question = "What holds elsewhere?"
seeds = [0]
[base]
system = "functionals_svm"
[protocol]
split = "{split}"
validation = {validation}
normalisation = "{normalisation}"
{corpora}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


def plan(
    folder: Path,
    *corpora: str,
    roots: Mapping[str, Path] | None = None,
    split: str = "leave-one-corpus-out",
    validation: int = 1,
    normalisation: str = "train",
) -> Plan:
    """The plan of a study over these [[corpora]]."""
    path = folder / "study.toml"
    text = STUDY.format(
        split=split, validation=validation, normalisation=normalisation, corpora="\n".join(corpora)
    )
    path.write_text(text, encoding="utf-8")
    return make_plan(load_study(str(path)), roots or {})


def test_each_corpus_is_tested_by_what_never_heard_it(tmp_path: Path) -> None:
    """One ground a corpus, whose one fold trains and validates on the other corpora alone."""
    held = plan(tmp_path, SYNTH.format(1), SYNTH.format(2), SYNTH.format(3))
    assert [g.corpus.name for g in held.grounds] == [
        "synth (unseen)",
        "synth-2 (unseen)",
        "synth-3 (unseen)",
    ]
    for ground, own in zip(held.grounds, ("synth", "synth-2", "synth-3"), strict=True):
        (fold,) = ground.split.folds
        known = ground.corpus.by_id()
        origins = [
            {known[i].origin for i in ids} for ids in (fold.test, fold.train, fold.validation)
        ]
        others = {"synth", "synth-2", "synth-3"} - {own}
        assert origins == [{own}, others, others]
        assert len({known[i].speaker for i in fold.validation}) == 2
        assert not ground.split.leaks
        assert not [f for f in ground.audit if f.severity == "leak"]
        assert ground.notes[0] == f"trained on {', '.join(sorted(others))} alone"
    facts = resolved(held, command="", created="")["corpora"]
    assert [f["n_tested"] for f in facts] == [48, 48, 48]
    assert len({job.trial.key for job in held.jobs()}) == 3


def test_a_corpus_may_be_trained_on_alone(tmp_path: Path) -> None:
    """With tested = false it is no ground of its own: train on A, test on B."""
    held = plan(tmp_path, SYNTH.format(1) + "tested = false", SYNTH.format(2))
    (ground,) = held.grounds
    assert ground.split.folds[0].name == "synth-2"
    with pytest.raises(SerlabError, match=r"corpora\.tested = False: expected true for one corpus"):
        plan(tmp_path, SYNTH.format(1) + "tested = false", SYNTH.format(2) + "tested = false")
    with pytest.raises(SerlabError, match="but for split"):
        plan(tmp_path, SYNTH.format(1) + "tested = false", split="leave-one-speaker-out")


def test_it_trains_and_tests(tmp_path: Path) -> None:
    """The fold runs, and its predictions are of the unseen corpus."""
    held = plan(tmp_path, SYNTH.format(1) + "tested = false", SYNTH.format(2))
    (job,) = held.jobs()
    system = make(job.trial.variant)
    (fold,) = job.ground.split.folds
    result = run_fold(job.trial, job.arm, fold, system, bench_for(job.ground, system, None))
    assert result.status is Status.COMPLETED, result.reason
    assert result.predictions is not None
    tested = [i for i, p in zip(result.predictions.ids, result.predictions.parts, strict=True)
              if p == "test"]  # fmt: skip
    assert len(tested) == 48
    assert all(i.startswith("synth-2:") for i in tested)


def test_a_recording_in_two_corpora_is_found(tmp_path: Path) -> None:
    """The same audio trained on and tested under two names is a leak by its content."""
    held = plan(tmp_path, SYNTH.format(1), SYNTH.format(1))
    leaks = [f for f in held.grounds[0].audit if f.severity == "leak"]
    assert [f.kind for f in leaks] == ["audio"]
    assert leaks[0].count == 48
    told: list[str] = []
    refuse_leaks(held, told.append)
    assert "LEAK" in told[0]


def test_normalisation_learns_from_the_trained_corpora_only() -> None:
    """Under "train" an unseen corpus is scaled by the others; under "corpus" by itself, marked."""
    corpus = pooled({n: load_corpus("synth", roots={}, options={"utterances": 12, "speakers": 2})
                     for n in ("near", "far")})  # fmt: skip
    rng = np.random.default_rng(0)
    shift = {"near": 0.0, "far": 10.0}
    arrays = {
        "x": {
            u.id: (rng.standard_normal((5, 3)) + shift[u.origin]).astype(np.float32)
            for u in corpus.utterances
        }
    }
    train = [u for u in corpus.utterances if u.origin == "near"]
    far = next(u for u in corpus.utterances if u.origin == "far")
    by_train = Normaliser.fit("train", arrays, train, corpus.utterances)
    assert by_train("x", far, arrays["x"][far.id]).mean() > 5
    by_corpus = Normaliser.fit("corpus", arrays, train, corpus.utterances)
    assert abs(by_corpus("x", far, arrays["x"][far.id]).mean()) < 1


def test_normalising_by_corpus_is_marked(tmp_path: Path) -> None:
    """It uses the tested corpus's own audio."""
    held = plan(tmp_path, SYNTH.format(1), SYNTH.format(2), normalisation="corpus")
    assert held.grounds[0].split.leaks == (
        "transductive: features are normalised with all audio of the tested corpus",
    )


def test_classes_are_those_that_all_have(tmp_path: Path) -> None:
    """A class that one corpus lacks is left out of the others, and told."""
    wavs(tmp_path / "mine", {"a": ("anger", "sadness"), "b": ("anger", "sadness")})
    own = '[[corpora]]\nname = "manifest"'
    held = plan(tmp_path, SYNTH.format(1), own, roots={"manifest": tmp_path / "mine"})
    assert held.grounds[0].split.labels == ("anger", "sadness")
    (note,) = [n for n in held.grounds[0].notes if n.startswith("synth: left out")]
    assert "neutral" in note
    wavs(tmp_path / "odd", {"a": ("rage",), "b": ("rage",)})
    with pytest.raises(SerlabError, match="no class is in every corpus"):
        plan(tmp_path, SYNTH.format(1), own, roots={"manifest": tmp_path / "odd"})


def test_too_few_corpora_or_speakers(tmp_path: Path) -> None:
    """Said before anything is computed."""
    with pytest.raises(SerlabError, match="needs two corpora at least"):
        plan(tmp_path, SYNTH.format(1))
    with pytest.raises(SerlabError, match="fewer than the 4 speakers of synth"):
        plan(tmp_path, SYNTH.format(1), SYNTH.format(2), validation=4)


# --- broken files ---


def wavs(root: Path, labels: Mapping[str, tuple[str, ...]], n_each: int = 2) -> None:
    """A manifest corpus of noise: speakers with their labels."""
    root.mkdir()
    rows = ["path,speaker,emotion"]
    for speaker, emotions in labels.items():
        for emotion in emotions:
            for k in range(n_each):
                name = f"{speaker}-{emotion}-{k}.wav"
                wave = np.random.default_rng(len(rows)).normal(0, 0.1, 4000)
                soundfile.write(root / name, wave, 16000)
                rows.append(f"{name},{speaker},{emotion}")
    (root / "manifest.csv").write_text("\n".join(rows), encoding="utf-8")


@pytest.mark.parametrize("broken", ["error", "exclude"])
def test_a_broken_file_stops_the_study_or_is_left_out(tmp_path: Path, broken: str) -> None:
    """Nothing is left out unasked; what is left out is told, with the reason."""
    root = tmp_path / "mine"
    wavs(root, dict.fromkeys("abcd", ("anger", "sadness")))
    bad = root / "a-anger-1.wav"
    bad.write_bytes(bad.read_bytes()[:1000])
    corpus = f'[[corpora]]\nname = "manifest"\nbroken = "{broken}"'
    kwargs = {"roots": {"manifest": root}, "split": "leave-one-speaker-out"}
    if broken == "error":
        with pytest.raises(SerlabError, match=r"a-anger-1\.wav: is truncated"):
            plan(tmp_path, corpus, **kwargs)  # type: ignore[arg-type]
        return
    (ground,) = plan(tmp_path, corpus, **kwargs).grounds  # type: ignore[arg-type]
    assert len(ground.used) == 15
    assert "a-anger-1" not in ground.used
    (note,) = ground.notes
    assert note.startswith("left out as broken: 1 utterances (")
    assert "a-anger-1.wav: is truncated" in note
