"""Trained models in files: whole, asked again bit for bit, and refused where they do not fit."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from serlab.bench import checkpoint
from serlab.bench.checkpoint import Checkpoint, Keep, check_shapes, load
from serlab.bench.contracts import (
    COMPARABLE,
    FoldResult,
    Part,
    Predictions,
    ProtocolSpec,
    Scalar,
    Sizes,
    Status,
    System,
    Target,
    TrialSpec,
    plain,
)
from serlab.bench.errors import BadFile, BadValue, NotComparable
from serlab.bench.trial import Bench, fold_items, predictions, run_fold, scores_of
from serlab.models.variant import SYSTEMS, make, resolve

TRACES = [n for n, e in SYSTEMS.entries().items() if "traces" in e.facts.get("targets", ())]
FAST: Mapping[str, Mapping[str, Scalar]] = {"text_svm": {"buckets": 64}}


def spec_of(system: System, bench: Bench) -> TrialSpec:
    """A trial on the corpus of arrays."""
    return TrialSpec(
        variant=system.variant,  # type: ignore[attr-defined]
        corpus="rich",
        data="none",
        protocol=bench.split.protocol,
        split=bench.split.hash,
        seed=3,
        outside=("a", "b"),
        max_epochs=1,
    )


def trained(system: System, bench: Bench, path: Path) -> FoldResult:
    """One short training on the first fold, kept in a file."""
    fold, spec = bench.split.folds[0], spec_of(system, bench)
    sources = {"corpora": [{"name": "rich"}], "folds": ""}
    keep = Keep(
        path=path, spec=spec, arm="base", fold=fold.name, labels=bench.split.labels,
        sources=sources,
    )  # fmt: skip
    result = run_fold(spec, "base", fold, system, bench, keep=keep)
    assert result.status is Status.COMPLETED, result.reason
    return result


def asked(path: Path, bench: Bench) -> Predictions:
    """What the kept model says of the test part, from the file and the features alone."""
    held = load(path)
    system = make(held.facts.spec.variant)
    fold = bench.split.folds[0]
    items = fold_items(fold, system, bench)[0][Part.TEST]
    if held.normaliser is not None:
        items = replace(items, normaliser=held.normaliser)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        built = system.build(held.facts.sizes)
    held.restore(built)
    return predictions(
        {Part.TEST: items}, {Part.TEST: scores_of(built, items, torch.device("cpu"))}
    )


def of_test(result: FoldResult) -> Predictions:
    """The test rows of a training."""
    held = result.predictions
    assert held is not None
    rows = [i for i, part in enumerate(held.parts) if part == Part.TEST]
    return Predictions(
        ids=tuple(held.ids[i] for i in rows),
        speakers=tuple(held.speakers[i] for i in rows),
        parts=tuple(held.parts[i] for i in rows),
        truth=held.truth[rows],
        scores=held.scores[rows],
        frames=tuple(held.frames[i] for i in rows) if held.frames else (),
    )


def same(a: Predictions, b: Predictions) -> bool:
    """Whether two predictions are the same in every bit."""
    return (
        (a.ids, a.speakers, a.parts, a.frames) == (b.ids, b.speakers, b.parts, b.frames)
        and np.array_equal(a.truth, b.truth)
        and np.array_equal(a.scores, b.scores)
    )


def system_of(name: str, changes: Mapping[str, Scalar] | None = None) -> System:
    """A system at the tests' size."""
    return rich.system_of(name, {**FAST.get(name, {}), **(changes or {})})


def bench_of(system: System, target: Target = "emotion", **protocol: Any) -> Bench:
    """The corpus of arrays, cut by speakers."""
    labels = rich.LABELS if target == "emotion" else rich.DIMENSIONS
    settings = {"validation": 1, "labels": labels, "target": target, **protocol}
    return rich.bench(system, ProtocolSpec(**settings))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained network in a file."""
    path = tmp_path_factory.mktemp("kept") / "one.safetensors"
    system = system_of("crnn")
    trained(system, bench_of(system), path)
    return path


def rewritten(
    source: Path,
    target: Path,
    *,
    tensors: Callable[[dict[str, Tensor]], None] = lambda found: None,
    facts: Callable[[dict[str, Any]], None] = lambda told: None,
) -> Path:
    """A copy of a file with other tensors, or other facts that its hash vouches for."""
    with safe_open(source, framework="pt") as file:
        header = file.metadata()
        found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    told = json.loads(header["serlab"])
    tensors(found)
    facts(told)
    text = json.dumps(told)
    save_file(found, target, {"serlab": text, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    return target


# --- asked again -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS.entries())
def test_every_system_says_the_same_again(name: str, tmp_path: Path) -> None:
    """Train, keep, load into an untrained model: the predictions are the same in every bit."""
    system = system_of(name)
    bench = bench_of(system)
    result = trained(system, bench, tmp_path / "m.safetensors")
    assert same(of_test(result), asked(tmp_path / "m.safetensors", bench))


@pytest.mark.parametrize("name", TRACES)
def test_traces_are_the_same_again(name: str, tmp_path: Path) -> None:
    """So are continuous values, frame by frame."""
    system = system_of(name)
    bench = bench_of(system, "traces")
    result = trained(system, bench, tmp_path / "m.safetensors")
    now = asked(tmp_path / "m.safetensors", bench)
    assert now.frames
    assert same(of_test(result), now)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("name", ["functionals_svm", "text_svm", "majority"])
def test_estimators_of_few_classes(name: str, n_labels: int, tmp_path: Path) -> None:
    """Two classes have one margin, which libraries store in a way of its own."""
    system = system_of(name)
    bench = bench_of(system, labels=rich.LABELS[:n_labels])
    result = trained(system, bench, tmp_path / "m.safetensors")
    assert same(of_test(result), asked(tmp_path / "m.safetensors", bench))


def test_counted_words_have_no_weights_of_words(tmp_path: Path) -> None:
    """Where words are only counted the file has no weights of words, and needs none."""
    system = system_of("text_svm", {"weighting": "counts"})
    bench = bench_of(system)
    result = trained(system, bench, tmp_path / "m.safetensors")
    assert set(load(tmp_path / "m.safetensors").state) == {"weights", "intercepts"}
    assert same(of_test(result), asked(tmp_path / "m.safetensors", bench))


def test_an_estimator_counts_its_parameters_when_restored(tmp_path: Path) -> None:
    """A restored estimator is a whole one."""
    for name in ("functionals_svm", "text_svm", "majority"):
        system = system_of(name)
        bench = bench_of(system)
        trained(system, bench, tmp_path / "m.safetensors")
        held = load(tmp_path / "m.safetensors")
        one, other = (system.build(held.facts.sizes) for _ in range(2))
        held.restore(one)
        other.restore(one.state())
        assert one.n_parameters() == other.n_parameters() > 0


@pytest.mark.parametrize("selection", ["validation-score", "last-epoch"])
def test_the_moving_average_is_what_is_kept(selection: str, tmp_path: Path) -> None:
    """Weights that predict are those of the moving average, and so are those in the file."""
    system = system_of("crnn", {"average": 0.9, "batch_size": 4})
    bench = bench_of(system, selection=selection)
    result = trained(system, bench, tmp_path / "m.safetensors")
    assert same(of_test(result), asked(tmp_path / "m.safetensors", bench))
    plain = system_of("crnn", {"batch_size": 4})
    trained(plain, bench, tmp_path / "n.safetensors")
    averaged, last = (load(tmp_path / f"{n}.safetensors").state for n in "mn")
    assert any(not torch.equal(averaged[name], last[name]) for name in averaged)


@pytest.mark.parametrize("mode", ["none", "train", "speaker", "corpus"])
def test_normalisers(mode: str, tmp_path: Path) -> None:
    """Statistics of the training part are kept; transductive ones are found anew."""
    system = system_of("crnn")
    bench = bench_of(system, normalisation=mode)
    result = trained(system, bench, tmp_path / "m.safetensors")
    held = load(tmp_path / "m.safetensors")
    expected = {"none": set(), "train": {("image", "")}}
    if mode in expected:
        assert held.normaliser is not None
        assert set(held.normaliser.statistics) == expected[mode]
    else:
        assert held.normaliser is None
        assert not held.facts.normalised
    assert same(of_test(result), asked(tmp_path / "m.safetensors", bench))


def test_outside_corpora_have_statistics_of_their_own(tmp_path: Path) -> None:
    """Each corpus that is trained on has its mean and deviation in the file."""
    system = system_of("gao2021")
    bench = bench_of(system)
    trained(system, bench, tmp_path / "m.safetensors")
    held = load(tmp_path / "m.safetensors").normaliser
    assert held is not None
    assert set(held.statistics) == {("image", group) for group in ("", "near", "far")}
    fitted = fold_items(bench.split.folds[0], system, bench)[0][Part.TEST].normaliser
    for pair, moments in fitted.statistics.items():
        for mine, theirs in zip(held.statistics[pair], moments, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_kept_normaliser_needs_no_training_part(tmp_path: Path) -> None:
    """With the file, a fold without its training part gives the same predictions."""
    system = system_of("crnn", {"class_weights": "balanced"})
    bench = bench_of(system)
    result = trained(system, bench, tmp_path / "m.safetensors")
    fold = replace(bench.split.folds[0], train=(), validation=())
    alone = replace(bench, split=replace(bench.split, folds=(fold,)), outside=())
    assert same(of_test(result), asked(tmp_path / "m.safetensors", alone))


def test_facts_come_back(kept: Path) -> None:
    """What was asked stands in the file, typed and whole."""
    system = system_of("crnn")
    bench = bench_of(system)
    facts = load(kept).facts
    assert facts.spec == spec_of(system, bench)
    assert facts.spec.key == spec_of(system, bench).key
    assert (facts.arm, facts.fold, facts.labels) == ("base", "s0", rich.LABELS)
    assert facts.sizes.n_features == {"image": 16}
    assert facts.sizes.n_classes == 4
    assert facts.sources == {"corpora": [{"name": "rich"}], "folds": ""}
    with safe_open(kept, framework="pt") as file:
        told = json.loads(file.metadata()["serlab"])
    assert (told["schema"], told["comparable"]) == (checkpoint.SCHEMA, COMPARABLE)
    assert told["spec"]["variant"] == plain(system.variant)  # type: ignore[attr-defined]


def test_keeping_changes_no_result(tmp_path: Path) -> None:
    """A training that is kept has the predictions and curves of one that is not."""
    system = system_of("crnn")
    bench = bench_of(system)
    mine = trained(system, bench, tmp_path / "m.safetensors")
    other = run_fold(spec_of(system, bench), "base", bench.split.folds[0], system, bench)
    assert other.predictions is not None
    assert mine.predictions is not None
    assert same(mine.predictions, other.predictions)
    assert mine.curves == other.curves


def test_a_file_is_written_in_one_step(tmp_path: Path) -> None:
    """Nothing else is left in the folder, and a second training replaces the first's file."""
    system = system_of("majority")
    bench = bench_of(system)
    for _ in range(2):
        trained(system, bench, tmp_path / "deep" / "m.safetensors")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["m.safetensors"]


def test_a_training_that_cannot_be_kept_fails(tmp_path: Path) -> None:
    """A result without the model that was asked for would be a silent gap."""

    class Mute:
        def fit(self, inputs: object, truth: object, seed: int) -> None:
            """Learns nothing."""

        def predict(self, inputs: Mapping[str, Any]) -> Any:
            """As likely as each other."""
            return np.full((len(inputs["nothing"]), 4), 0.25, np.float32)

    system = system_of("majority")
    bench = bench_of(system)
    system.build = lambda sizes: Mute()  # type: ignore[method-assign]
    spec, fold = spec_of(system, bench), bench.split.folds[0]
    keep = Keep(path=tmp_path / "m", spec=spec, arm="base", fold=fold.name, labels=rich.LABELS)
    result = run_fold(spec, "base", fold, system, bench, keep=keep)
    assert result.status is Status.FAILED
    assert "Mute cannot be kept" in result.reason


# --- other weights ---------------------------------------------------------------------------


def test_a_changed_weight_changes_the_predictions(kept: Path, tmp_path: Path) -> None:
    """The file's weights are what predicts, not those of a training nearby."""
    bench = bench_of(system_of("crnn"))

    def moved(found: dict[str, Tensor]) -> None:
        name = next(n for n in found if n.startswith("model/") and n.endswith("weight"))
        found[name].view(-1)[0] += 0.5

    other = rewritten(kept, tmp_path / "m.safetensors", tensors=moved)
    assert not np.array_equal(asked(kept, bench).scores, asked(other, bench).scores)


def test_weights_of_another_precision_are_taken(kept: Path, tmp_path: Path) -> None:
    """Rounded to bfloat16, and stored so, they predict nearly the same."""
    bench = bench_of(system_of("crnn"))

    def rounded(found: dict[str, Tensor]) -> None:
        found.update({n: t.bfloat16() for n, t in found.items() if t.is_floating_point()})

    other = rewritten(kept, tmp_path / "m.safetensors", tensors=rounded)
    apart = np.abs(asked(kept, bench).scores - asked(other, bench).scores).max()
    assert 0 < apart < 0.05


# --- refused ---------------------------------------------------------------------------------


def drop(found: dict[str, Tensor]) -> None:
    """Renames the first of the network's tensors."""
    name = next(n for n in found if n.startswith("model/"))
    found["model/renamed"] = found.pop(name)


def add(found: dict[str, Tensor]) -> None:
    """One more than the network has."""
    found["model/more"] = torch.zeros(2)


def grow(found: dict[str, Tensor]) -> None:
    """One value more in the first of the network's tensors."""
    name = next(n for n in found if n.startswith("model/"))
    found[name] = torch.zeros(*found[name].shape, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [(drop, "renamed is unknown; .* is missing"), (add, "more is unknown"), (grow, "the shape")],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[[dict[str, Tensor]], None], told: str, kept: Path, tmp_path: Path
) -> None:
    """A network takes just its own tensors."""
    bench = bench_of(system_of("crnn"))
    path = rewritten(kept, tmp_path / "m.safetensors", tensors=change)
    with pytest.raises(BadFile, match=rf"m\.safetensors: .*{told}"):
        asked(path, bench)


@pytest.mark.parametrize("name", ["functionals_svm", "text_svm", "majority"])
@pytest.mark.parametrize("change", [drop, add, grow])
def test_estimators_take_just_their_own(
    name: str, change: Callable[[dict[str, Tensor]], None], tmp_path: Path
) -> None:
    """Nothing of the wrong shape reaches a library that would read past its end."""
    system = system_of(name)
    bench = bench_of(system)
    trained(system, bench, tmp_path / "m.safetensors")
    path = rewritten(tmp_path / "m.safetensors", tmp_path / "n.safetensors", tensors=change)
    with pytest.raises(BadFile, match=r"n\.safetensors: does not fit"):
        asked(path, bench)


@pytest.mark.parametrize("counts", [[99, 0, 0, 0], [-1, 1, 1, 1]])
def test_support_vectors_are_counted(counts: list[int], tmp_path: Path) -> None:
    """The counts of the classes' support vectors are theirs."""
    system = system_of("functionals_svm")
    bench = bench_of(system)
    trained(system, bench, tmp_path / "m.safetensors")

    def wrong(found: dict[str, Tensor]) -> None:
        found["model/counts"] = torch.tensor(counts, dtype=torch.int32)

    path = rewritten(tmp_path / "m.safetensors", tmp_path / "n.safetensors", tensors=wrong)
    with pytest.raises(BadFile, match="support vectors by class"):
        asked(path, bench)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("normaliser/mean/image/"),
        lambda found: found.update({"normaliser/mean/other/": torch.zeros(16)}),
        lambda found: found.update({"normaliser/deviation/image/": torch.ones(3)}),
        lambda found: found.update({"stray": torch.ones(3)}),
    ],
)
def test_normalisers_that_do_not_fit(
    change: Callable[[dict[str, Tensor]], None], kept: Path, tmp_path: Path
) -> None:
    """Statistics that are missing, unknown or too short are found before anything is built."""
    path = rewritten(kept, tmp_path / "m.safetensors", tensors=change)
    with pytest.raises(BadFile, match=r"normaliser/|stray"):
        load(path)


@pytest.mark.parametrize(("key", "value"), [("schema", 99), ("comparable", COMPARABLE + 1)])
def test_another_serlab_is_not_comparable(key: str, value: int, kept: Path, tmp_path: Path) -> None:
    """A file of another schema, or of models whose results differ, is told from a broken one."""

    def changed(told: dict[str, Any]) -> None:
        told.update({key: value, "serlab": "9.9", "unheard": []})

    path = rewritten(kept, tmp_path / "m.safetensors", facts=changed)
    with pytest.raises(NotComparable, match=rf"kept by serlab 9\.9 with {key} = {value}"):
        load(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda told: told["spec"].update(seed="0"), "spec.seed"),
        (lambda told: told["spec"].update(seed=4), "trial"),
        (lambda told: told["spec"]["variant"].update(more=1), "spec.variant"),
        (lambda told: told["sizes"].update(n_classes=2.5), "sizes.n_classes"),
        (lambda told: told.pop("sizes"), "sizes is missing"),
        (lambda told: told.pop("trial"), "trial"),
        (lambda told: told.update(normalised=["sound/"]), "sound"),
    ],
)
def test_facts_are_checked(
    change: Callable[[dict[str, Any]], None], problem: str, kept: Path, tmp_path: Path
) -> None:
    """Facts of the wrong type, or that do not go together, are no facts."""
    path = rewritten(kept, tmp_path / "m.safetensors", facts=change)
    with pytest.raises(BadFile, match=problem):
        load(path)


def test_changed_facts_are_found(kept: Path, tmp_path: Path) -> None:
    """A letter of the facts that has changed on the disk is damage."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(kept.read_bytes().replace(b'\\"fold\\": \\"s0\\"', b'\\"fold\\": \\"s1\\"'))
    assert path.read_bytes() != kept.read_bytes()
    with pytest.raises(BadFile, match="is damaged"):
        load(path)


@pytest.mark.parametrize("n_bytes", [0, 4, 100, -1])
def test_a_truncated_file(n_bytes: int, kept: Path, tmp_path: Path) -> None:
    """A file that ends too early is named, wherever it ends."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(kept.read_bytes()[:n_bytes])
    with pytest.raises(BadFile, match=r"m\.safetensors: is not readable as safetensors"):
        load(path)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    """A pickle, or torch's own archive of pickles, under our suffix is not opened."""

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "went off",)

    pickled, saved = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    pickled.write_bytes(pickle.dumps(Bomb()))
    torch.save({"weight": torch.zeros(2), "bomb": Bomb()}, saved)
    for path in (pickled, saved):
        with pytest.raises(BadFile, match="is not readable as safetensors"):
            load(path)
    assert not (tmp_path / "went off").exists()


def test_files_of_others(tmp_path: Path) -> None:
    """Tensors without our facts, a folder, and nothing at all."""
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(BadFile, match="is no model that serlab has kept"):
        load(foreign)
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(BadFile, match="is not readable"):
            load(path)


def test_no_facts_under_our_name(tmp_path: Path) -> None:
    """Text that is no JSON, or no table, is damage, whatever its hash."""
    for text in ("{", "[]", "3", "[" * 5000):
        header = {"serlab": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        save_file({"weight": torch.zeros(2)}, tmp_path / "m.safetensors", header)
        with pytest.raises(BadFile, match="is damaged"):
            load(tmp_path / "m.safetensors")


def test_shapes_are_told_three_at_a_time() -> None:
    """A message names the first of many wrong tensors."""
    found = {name: np.zeros(2) for name in "abcde"}
    with pytest.raises(BadValue, match=r"a is unknown; b is unknown; c is unknown; \.\.\."):
        check_shapes(found, {})
    check_shapes(found, dict.fromkeys("abcde", (2,)))


def test_a_checkpoint_of_another_variant(kept: Path) -> None:
    """A network of another size does not take it."""
    held: Checkpoint = load(kept)
    other = make(resolve("crnn", "", {"n_bands": 16, "channels": 6, "units": 8}))
    sizes: Sizes = held.facts.sizes
    with pytest.raises(BadFile, match="has the shape"):
        held.restore(other.build(sizes))
