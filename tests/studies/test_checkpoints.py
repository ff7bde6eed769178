"""Kept models asked again from nothing but their file: the corpus, the folds, the network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from serlab.bench.cache import Cache
from serlab.bench.checkpoint import Keep, load
from serlab.bench.contracts import FoldResult, Part, Predictions, Status, plain
from serlab.bench.errors import BadFile, NotComparable, SerlabError, UnknownName
from serlab.bench.features.extraction import extract
from serlab.bench.statistics.agreement import Answers, agreement
from serlab.bench.store import Store
from serlab.bench.trial import run_fold
from serlab.models.variant import make
from serlab.studies import benches, checkpoints
from serlab.studies.benches import bench_for
from serlab.studies.checkpoints import predict_checkpoint
from serlab.studies.plan import make_plan
from serlab.studies.specification import Study, load_study
from serlab.studies.worker import FoldTrainable, Order

STUDY = """
question = "Is it the same?"
seeds = [1]
max_epochs = 2
keep_models = {keep}
[base]
system = "{system}"
{set}
{corpora}
[protocol]
split = "{split}"
{protocol}
[meters]
latency = false
[resources]
workers = 1
"""
SMALL = "set = { width = 0.25, segment_s = 1.0 }"
BASELINES = '[[baselines]]\nsystem = "functionals_svm"\n[[baselines]]\nsystem = "majority"'
SYNTH = '[[corpora]]\nname = "synth"\noptions = {{ utterances = 48, speakers = 4, seed = {} }}\n'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, the same for all of them."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _no_bench_is_left() -> Iterator[None]:
    """A process that asks a model has not trained it."""
    benches._BENCHES.clear()
    yield
    benches._BENCHES.clear()


def study(
    folder: Path,
    *,
    system: str = "functionals_svm",
    changes: str = "",
    corpora: str = SYNTH.format(0),
    split: str = "speaker-groups",
    protocol: str = "groups = 2\nvalidation = 1",
    keep: str = "true",
) -> Study:
    """A study from its file."""
    path = folder / "study.toml"
    text = STUDY.format(
        system=system, set=changes, corpora=corpora, split=split, protocol=protocol, keep=keep
    )
    path.write_text(text, encoding="utf-8")
    return load_study(str(path))


def trained(asked: Study, path: Path, n_ground: int = 0, n_fold: int = 0) -> FoldResult:
    """The base on one fold of a study, kept in a file, in this process."""
    job = make_plan(asked, {}).jobs()[n_ground]
    fold = job.ground.split.folds[n_fold]
    keep = Keep(
        path=path,
        spec=job.trial,
        arm=job.arm,
        fold=fold.name,
        labels=job.ground.split.labels,
        sources={"corpora": plain(asked.corpora), "folds": asked.protocol.folds},
    )
    system = make(job.trial.variant)
    bench = bench_for(job.ground, system, Cache())
    result = run_fold(job.trial, job.arm, fold, system, bench, keep=keep)
    assert result.status is Status.COMPLETED, result.reason
    benches._BENCHES.clear()
    return result


def recorded(answers: Answers, held: Predictions | None) -> Answers:
    """The same question with the answers of the training's test part."""
    assert held is not None
    rows = [i for i, part in enumerate(held.parts) if part == Part.TEST]
    test = Predictions(
        ids=tuple(held.ids[i] for i in rows),
        speakers=tuple(held.speakers[i] for i in rows),
        parts=(Part.TEST.value,) * len(rows),
        truth=held.truth[rows],
        scores=held.scores[rows],
        frames=tuple(held.frames[i] for i in rows) if held.frames else (),
    )
    return replace(answers, predictions=test)


def agrees(path: Path, result: FoldResult, **more: object) -> Answers:
    """The model's answers now, which are those of its training in every bit."""
    now = predict_checkpoint(path, roots={}, **more)  # type: ignore[arg-type]
    assert agreement(recorded(now, result.predictions), now).holds
    assert (now.trial, now.arm, now.corpus, now.split, now.fold, now.seed) == (
        result.trial, result.arm, result.corpus, result.split, result.fold, result.seed,
    )  # fmt: skip
    return now


# --- through the command line ----------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three arms run under Ray, its models kept."""
    folder = tmp_path_factory.mktemp("run")
    corpora = f"{BASELINES}\n{SYNTH.format(0)}"
    study(folder, system="li2018", changes=SMALL, corpora=corpora, keep="false")
    words = ["run", folder / "study.toml", "--out", folder / "run", "--set", "keep_models=true"]
    cache = tmp_path_factory.getbasetemp() / "cache"
    done = subprocess.run(
        [sys.executable, "-m", "serlab", *map(str, words)],
        env={**os.environ, "SERLAB_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_every_training_of_a_run_is_kept_and_says_the_same(run: Path) -> None:
    """Trained in Ray's workers, asked in this process: the same bits, whatever the system."""
    store = Store.open(run)
    records = [r for r in store.records() if r.status is Status.COMPLETED]
    assert len(records) == len(list((run / "models").iterdir())) == 6
    for record in records:
        result = replace(record, predictions=store.predictions(record.cell))
        now = agrees(store.checkpoint_path(record.cell), result)
        assert set(now.predictions.parts) == {"test"}
    systems = {load(p).facts.spec.variant.system for p in (run / "models").iterdir()}
    assert systems == {"li2018", "functionals_svm", "majority"}


def network_of(run: Path) -> Path:
    """The file of the first network."""
    paths = sorted((run / "models").iterdir())
    return next(p for p in paths if load(p).facts.spec.variant.system == "li2018")


def test_a_change_of_precision_is_seen_and_tolerated(run: Path, tmp_path: Path) -> None:
    """Weights rounded to bfloat16 do not agree exactly, and do within a stated tolerance."""
    source, path = network_of(run), tmp_path / "m.safetensors"
    with safe_open(source, framework="pt") as file:
        names = list(file.keys())
        found = {name: file.get_tensor(name) for name in names}
        save_file(
            {n: t.bfloat16() if t.is_floating_point() else t for n, t in found.items()},
            path,
            file.metadata(),
        )
    before, after = (predict_checkpoint(p, roots={}) for p in (source, path))
    exact = agreement(before, after)
    assert not exact.holds
    assert 0 < exact.largest < 0.1
    assert len(exact.beyond) > exact.n_utterances / 2
    by_hand = before.predictions.scores.argmax(1) != after.predictions.scores.argmax(1)
    assert len(exact.changed) == by_hand.sum()
    assert agreement(before, after, tolerance=0.1).holds
    assert not agreement(before, after, tolerance=exact.largest / 2).holds


def test_one_changed_weight_is_seen(run: Path, tmp_path: Path) -> None:
    """A single number of the last layer, changed by a hundredth."""
    source, path = network_of(run), tmp_path / "m.safetensors"
    with safe_open(source, framework="pt") as file:
        found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        last = [n for n in found if n.startswith("model/") and n.endswith("bias")][-1]
        found[last].view(-1)[0] += 0.01
        save_file(found, path, file.metadata())
    before, after = (predict_checkpoint(p, roots={}) for p in (source, path))
    assert not agreement(before, after).holds


def test_asking_leaves_torch_as_it_was(run: Path) -> None:
    """Neither the threads nor the generator nor the choice of operations of the caller change."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
    )
    predict_checkpoint(network_of(run), roots={})
    assert before == (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("keep", [True, False])
def test_models_are_kept_where_a_study_asks(keep: bool, tmp_path: Path) -> None:
    """A worker writes a model a fold, or none at all."""
    asked = study(tmp_path, keep=str(keep).lower())
    told = Order(run=tmp_path / "run", study=asked, roots={}, device="cpu", cache=Cache().root)

    class Told(FoldTrainable):
        """A worker that has its order, as Tune gives it."""

        def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
            """With the order."""
            super().setup(config, order=told)

    Told({"arm": "base", "corpus": "synth", "seed": 1}).train()
    (record,) = Store(tmp_path / "run").records()
    assert Store(tmp_path / "run").checkpoint_path(record.cell).is_file() == keep
    assert (tmp_path / "run" / "models").exists() == keep


def test_keeping_is_yes_or_no(tmp_path: Path) -> None:
    """Anything but true and false is refused, and the results have the same names either way."""
    with pytest.raises(SerlabError, match="keep_models = 'yes': expected true or false"):
        study(tmp_path, keep='"yes"')
    yes, no = (make_plan(study(tmp_path, keep=k), {}).jobs()[0] for k in ("true", "false"))
    assert yes.trial.key == no.trial.key


# --- what the file must tell -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "train", "speaker", "corpus"])
def test_each_normalisation(mode: str, tmp_path: Path) -> None:
    """Kept statistics, or those found anew, are the ones of the training."""
    protocol = f'groups = 2\nvalidation = 1\nnormalisation = "{mode}"'
    path = tmp_path / "m.safetensors"
    agrees(path, trained(study(tmp_path, protocol=protocol), path))


def test_a_corpus_that_the_others_train_for(tmp_path: Path) -> None:
    """The unseen corpus of several is found by its name, with the hash of all of them."""
    corpora = SYNTH.format(1) + SYNTH.format(2)
    path = tmp_path / "m.safetensors"
    asked = study(
        tmp_path, corpora=corpora, split="leave-one-corpus-out", protocol="validation = 1"
    )
    now = agrees(path, trained(asked, path, n_ground=1))
    assert now.corpus == "synth-2 (unseen)"


def test_one_corpus_of_several(tmp_path: Path) -> None:
    """Of corpora that are tested apart the one of the model is found, wherever it stands."""
    other = '[[corpora]]\nname = "synth"\noptions = { utterances = 24, speakers = 4, seed = 9 }\n'
    path = tmp_path / "m.safetensors"
    asked = study(tmp_path, corpora=SYNTH.format(0))
    result = trained(asked, path)
    agrees(path, result, study=study(tmp_path, corpora=other + SYNTH.format(0)))


def test_only_the_test_part_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its normaliser kept, a model is asked without features of any training utterance."""
    path = tmp_path / "m.safetensors"
    result = trained(study(tmp_path), path)
    computed: set[str] = set()

    def telling(spec: object, utterances: list[object], **more: object) -> object:
        computed.update(u.id for u in utterances)  # type: ignore[attr-defined]
        return extract(spec, utterances, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(benches, "extract", telling)
    now = agrees(path, result)
    assert computed == set(now.predictions.ids)


def test_folds_of_a_file(tmp_path: Path) -> None:
    """Folds from files are read where they were; elsewhere a study must say where."""
    held = make_plan(study(tmp_path), {}).grounds[0].corpus.utterances
    table = tmp_path / "folds.jsonl"
    first = held[0].speaker
    lines = [
        {"key": u.id, "fold": "f1", "split": "test" if u.speaker == first else "train"}
        for u in held
    ]
    table.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    protocol = 'folds = "folds.jsonl"\nvalidation = 0\nselection = "last-epoch"'
    asked = study(tmp_path, split="file", protocol=protocol)
    path = tmp_path / "m.safetensors"
    result = trained(asked, path)
    agrees(path, result)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    table.rename(moved / "folds.jsonl")
    with pytest.raises(BadFile, match=r"folds\.jsonl"):
        predict_checkpoint(path, roots={})
    there = replace(asked.protocol, folds=str(moved / "folds.jsonl"))
    agrees(path, result, study=replace(asked, protocol=there))


def test_another_corpus_is_not_comparable(tmp_path: Path) -> None:
    """Other utterances, other folds or another corpus altogether: each is told by name."""
    path = tmp_path / "m.safetensors"
    trained(study(tmp_path), path)
    wrong = {
        "the corpus synth is not what it was": study(tmp_path, corpora=SYNTH.format(5)),
        "the folds of synth are not what they were": study(
            tmp_path, protocol="groups = 4\nvalidation = 1"
        ),
        "no corpus of the study is synth": study(
            tmp_path,
            corpora=SYNTH.format(0) + SYNTH.format(1),
            split="leave-one-corpus-out",
            protocol="validation = 1",
        ),
    }
    for told, other in wrong.items():
        with pytest.raises(NotComparable, match=rf"m\.safetensors: {told}"):
            predict_checkpoint(path, roots={}, study=other)


def with_facts(path: Path, old: str, new: str) -> None:
    """Writes a file anew, its facts changed and vouched for."""
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["serlab"]
    assert old in text
    text = text.replace(old, new)
    save_file(found, path, {"serlab": text, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def test_models_of_no_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems and settings that this serlab does not have are told, not guessed."""
    path = tmp_path / "m.safetensors"
    trained(study(tmp_path), path)
    spec = load(path).facts.spec
    for name, changed, error in (
        ("system", {"system": "functionals_svn"}, UnknownName),
        ("settings", {"settings": {**spec.variant.settings, "depth": 3}}, UnknownName),
        ("fewer", {"settings": {"c": spec.variant.settings["c"]}}, NotComparable),
    ):
        other = replace(spec, variant=replace(spec.variant, **changed))  # type: ignore[arg-type]
        held = load(path)
        held = replace(held, facts=replace(held.facts, spec=other))
        monkeypatch.setattr(checkpoints, "load", lambda _, held=held: held)
        with pytest.raises(error):
            predict_checkpoint(path, roots={})
        assert name


def test_sources_that_are_none(tmp_path: Path) -> None:
    """Without corpora in the file a study must tell them."""
    path = tmp_path / "m.safetensors"
    asked = study(tmp_path)
    result = trained(asked, path)
    with_facts(path, '"sources": {"corpora": [{', '"sources": {"other": [{')
    with pytest.raises(SerlabError, match="give a study"):
        predict_checkpoint(path, roots={})
    agrees(path, result, study=asked)


def test_features_of_another_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input with more values than the model was built for is found before it predicts."""
    path = tmp_path / "m.safetensors"
    trained(study(tmp_path), path)

    def wider(spec: object, utterances: object, **more: object) -> dict[str, object]:
        found = extract(spec, utterances, **more)  # type: ignore[arg-type]
        return {i: np.concatenate([x, x], axis=1) for i, x in found.items()}

    monkeypatch.setattr(benches, "extract", wider)
    with pytest.raises(NotComparable, match="its input vector had"):
        predict_checkpoint(path, roots={})


def test_scores_that_are_no_numbers(tmp_path: Path) -> None:
    """A model whose weights are NaN is an error, and no answer."""
    path = tmp_path / "m.safetensors"
    trained(study(tmp_path), path)
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        found["model/intercepts"][:] = torch.nan
        save_file(found, path, file.metadata())
    with pytest.raises(SerlabError, match=r"m\.safetensors: a predicted score is not finite"):
        predict_checkpoint(path, roots={})
