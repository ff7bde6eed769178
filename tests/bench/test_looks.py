"""A look inside: it shows what is there, where it is, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rich
import torch
from tiny import LABELS, bench, corpus, images
from torch import Tensor, nn

from serlab.bench import trial
from serlab.bench.contracts import (
    FloatArray,
    FoldResult,
    Part,
    ProtocolSpec,
    Scalar,
    Segments,
    Status,
    TrialSpec,
)
from serlab.bench.data import Batch, Items, Normaliser
from serlab.bench.errors import BadValue
from serlab.bench.insight import AttentionMap, Insight, read_insight
from serlab.bench.looks import Look, alone, chosen, insight_of
from serlab.bench.network import Attention, Output, Streams
from serlab.bench.store import Store
from serlab.bench.trial import Bench, fold_items, run_fold
from serlab.bench.views import spread, views
from serlab.models.variant import make, resolve

CPU = torch.device("cpu")
RATE = 62.5
SMALL: dict[str, Scalar] = {"epochs": 4, "n_bands": 16, "width": 0.5, "segment_s": 1.0}

Weights = Callable[[Batch], Tensor]


class Planted(nn.Module):
    """Looks where it is told to, and says the class that it is told."""

    def __init__(
        self,
        weights: Weights,
        *,
        frames: int = 1,
        bins: int = 1,
        said: int = 0,
        streams: bool = False,
    ) -> None:
        super().__init__()
        self.weights, self.frames, self.bins, self.said = weights, frames, bins, said
        self.streams = streams

    def forward(self, batch: Batch) -> Output:
        """Scores, and where it looks."""
        image = batch.inputs["image"]
        scores = torch.zeros(len(image), len(LABELS))
        scores[:, self.said] = 1.0
        if self.streams:
            mask = batch.masks["image"][:, ::4]
            shares = torch.stack([image[:, ::4, 0], 1 - image[:, ::4, 0]], dim=2) * mask.unsqueeze(
                2
            )
            held = Streams(names=("one", "other"), weights=shares, rate_hz=RATE / 4)
            return Output(scores=scores, embedding=image.mean(dim=1), streams=held)
        shown = Attention(weights=lambda: self.weights(batch), frames=self.frames, bins=self.bins)
        return Output(scores=scores, embedding=image.mean(dim=1), attention={"image": shown})


def items_of(arrays: Mapping[str, FloatArray], segments: Segments) -> Items:
    """The first utterances of the tiny corpus, with these images, not normalised."""
    held = corpus().utterances[: len(arrays)]
    named = {u.id: array for u, array in zip(held, arrays.values(), strict=True)}
    return Items(
        utterances=held,
        arrays={"image": named},
        rates={"image": RATE},
        normaliser=Normaliser(mode="none"),
        segments=segments,
        labels=LABELS,
        speakers=[],
        class_weights=torch.ones(len(LABELS)),
    )


def map_of(network: nn.Module, array: FloatArray, segments: Segments) -> FloatArray:
    """The map of one utterance, (frame, bin)."""
    items = items_of({"a": array}, segments)
    (view,) = views(network, items, CPU).values()
    return view.maps["image"].astype(np.float32)


def loud(n_frames: int, n_bins: int, frames: slice, bins: slice) -> FloatArray:
    """Silence but for one patch."""
    array = np.zeros((n_frames, n_bins), np.float32)
    array[frames, bins] = 1.0
    return array


WHOLE = Segments()
CUT = Segments(length_s=1.0, test_hop_s=0.4)
TILED = Segments(length_s=1.0, test_hop_s=0.4, short="tile")


# --- where the maps are ----------------------------------------------------------------------


@pytest.mark.parametrize("segments", [WHOLE, CUT, TILED], ids=["whole", "cut", "tiled"])
@pytest.mark.parametrize("n_frames", [40, 62, 150])
def test_a_planted_patch_lights_up_where_it_is(segments: Segments, n_frames: int) -> None:
    """A network that looks at what is loud: short, fitting and long utterances, cut or whole."""
    array = loud(n_frames, 16, slice(25, 31), slice(2, 5))
    found = map_of(Planted(lambda batch: batch.inputs["image"]), array, segments)
    assert found.shape == array.shape
    assert found.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(found > 0, array > 0)


def test_segments_that_overlap_are_averaged() -> None:
    """Equal weights stay equal, however many segments cover a frame.

    The last begins at 1.2 s and ends at 2.2 s; what is behind it is in none, and is not looked at.
    """
    array = np.ones((160, 8), np.float32)
    found = map_of(Planted(lambda batch: batch.inputs["image"]), array, CUT)
    np.testing.assert_allclose(found[:137], 1 / (137 * 8), rtol=1e-6)
    assert not found[137:].any()


def test_a_coarse_grid_is_spread_over_its_frames_and_bins() -> None:
    """One place of a pooled grid: its frames and bins, and no others."""

    def one_place(batch: Batch) -> Tensor:
        weights = torch.zeros(len(batch.inputs["image"]), 7, 4)
        weights[:, 2, 3] = 5.0
        return weights

    found = map_of(Planted(one_place, frames=8, bins=4), np.zeros((60, 18), np.float32), WHOLE)
    frames, bins = np.nonzero(found)
    assert (frames.min(), frames.max()) == (16, 23)
    assert (bins.min(), bins.max()) == (12, 15)
    assert found.sum() == pytest.approx(1)


def test_padding_is_cut_off() -> None:
    """Weights on padded frames are nobody's."""
    arrays = {"long": np.ones((100, 8), np.float32), "short": np.ones((50, 8), np.float32)}
    items = items_of(arrays, WHOLE)
    network = Planted(lambda batch: torch.ones_like(batch.inputs["image"]))
    found = views(network, items, CPU)
    shapes = [found[u.id].maps["image"].shape for u in items.utterances]
    assert shapes == [(100, 8), (50, 8)]
    assert all(one.maps["image"].sum() == pytest.approx(1) for one in found.values())


def test_steps_without_bands_look_at_all_bins() -> None:
    """(item, step): every bin of a frame alike."""

    def second(batch: Batch) -> Tensor:
        return torch.tensor([[0.0, 1.0, 0.0]]).repeat(len(batch.inputs["image"]), 1)

    found = map_of(Planted(second, frames=10), np.zeros((30, 6), np.float32), WHOLE)
    np.testing.assert_allclose(found[10:20], 1 / 60)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("said", [0, 2])
def test_a_map_is_of_the_class_that_is_said(said: int) -> None:
    """(item, class, step, band): the other classes' maps are not shown."""

    def by_class(batch: Batch) -> Tensor:
        n, frames, bins = batch.inputs["image"].shape
        weights = torch.zeros(n, len(LABELS), frames, bins)
        for k in range(len(LABELS)):
            weights[:, k, 10 * k, k] = 1.0
        return weights

    found = map_of(Planted(by_class, said=said), np.zeros((40, 8), np.float32), WHOLE)
    assert np.argwhere(found).tolist() == [[10 * said, said]]


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """With what was expected."""
    attention = Attention(weights=lambda: torch.zeros(1))
    with pytest.raises(BadValue, match="step, band"):
        spread(np.ones(shape), attention, 10, 4)
    with pytest.raises(BadValue, match="all from 0"):
        spread(np.full((3, 4), -1.0), attention, 10, 4)
    with pytest.raises(BadValue, match="all from 0"):
        spread(np.full(3, np.nan), attention, 10, 4)


@pytest.mark.parametrize("n_frames", [40, 150])
@pytest.mark.parametrize("segments", [WHOLE, CUT, TILED], ids=["whole", "cut", "tiled"])
def test_streams_are_put_together_frame_by_frame(segments: Segments, n_frames: int) -> None:
    """Weights of overlapping segments agree here, so their mean is what each says."""
    array = np.zeros((n_frames, 3), np.float32)
    array[:20, 0] = 1.0
    (view,) = views(
        Planted(lambda batch: torch.zeros(1), streams=True), items_of({"a": array}, segments), CPU
    ).values()
    assert view.shares is not None
    assert view.streams == ("one", "other")
    assert view.hop_s == pytest.approx(4 / RATE)
    np.testing.assert_allclose(view.shares.sum(axis=1), 1)
    if segments is WHOLE:
        assert len(view.shares) == -(-n_frames // 4)
        np.testing.assert_array_equal(view.shares[:, 0], array[::4, 0])


# --- what is shown ---------------------------------------------------------------------------


def test_the_shown_utterances_are_the_first_of_each_class() -> None:
    """By id, class after class, then the second of each; more than there are gives all."""
    items = items_of(images(corpus(2)), WHOLE)
    shown = [(u.emotion, u.id) for u in chosen(items, 4)]
    assert [emotion for emotion, _ in shown] == [*LABELS, LABELS[0]]
    firsts = [min(u.id for u in items.utterances if u.emotion == label) for label in LABELS]
    assert [i for _, i in shown[:3]] == firsts
    assert shown[3][1] == "s00-anger-1"
    assert len(chosen(items, 99)) == len(items.utterances)
    assert len({u.id for u in chosen(items, 99)}) == len(items.utterances)
    backwards = replace(items, utterances=items.utterances[::-1])
    assert [u.id for u in chosen(backwards, 4)] == [i for _, i in shown]


def test_the_first_by_id_are_shown_of_traces() -> None:
    """Classes have no part in it."""
    system = rich.system_of("tzirakis2021")
    held = rich.bench(system, ProtocolSpec(validation=1, target="traces"))
    parts, _ = fold_items(held.split.folds[0], system, held)
    ids = sorted(u.id for u in parts[Part.TEST].scored)
    assert [u.id for u in chosen(parts[Part.TEST], 3)] == ids[:3]


# --- a training that is looked into ----------------------------------------------------------


def trained(
    held: Bench,
    system: str = "li2018",
    look: Look | None = None,
    changes: Mapping[str, Scalar] | None = None,
) -> FoldResult:
    """One training of the tiny corpus."""
    variant = resolve(system, "", SMALL if changes is None else changes)
    spec = TrialSpec(
        variant=variant, corpus="tiny", data="", protocol=held.split.protocol,
        split=held.split.hash, seed=0,
    )  # fmt: skip
    return run_fold(spec, "base", held.split.folds[0], make(variant), held, look=look)


def look_at(path: Path, *, embeddings: bool = True, utterances: int = 4) -> Look:
    """A look that is kept there."""
    return Look(path=path, embeddings=embeddings, utterances=utterances)


def looked(tmp_path: Path, held: Bench, system: str = "li2018", **changes: Scalar) -> Insight:
    """What is kept of one training."""
    path = tmp_path / "look.safetensors"
    result = trained(held, system, look_at(path), {**SMALL, **changes} if changes else None)
    assert result.status is Status.COMPLETED, result.reason
    assert result.reason == ""
    return read_insight(path)


@pytest.mark.gate
def test_looking_changes_no_result(tmp_path: Path) -> None:
    """Predictions and curves are the same bits, and torch's own numbers are where they were."""
    held = bench(ProtocolSpec(validation=1, speaker_probe=True))
    torch.manual_seed(5)
    first = trained(held, look=look_at(tmp_path / "a.safetensors"))
    after = torch.rand(3)
    torch.manual_seed(5)
    second = trained(held)
    assert torch.equal(after, torch.rand(3))
    assert first.predictions is not None
    assert second.predictions is not None
    np.testing.assert_array_equal(first.predictions.scores, second.predictions.scores)
    assert first.predictions.ids == second.predictions.ids
    assert first.curves == second.curves
    assert first.chosen_epoch == second.chosen_epoch
    assert first.measurements.keys() == second.measurements.keys()
    probes = [one.measurements["speaker_probe"] for one in (first, second)]
    assert probes[0] == probes[1]


def test_what_is_kept_of_a_training(tmp_path: Path) -> None:
    """Embeddings of all three parts, and maps of the test part, unlike those of the control."""
    held = bench()
    found = looked(tmp_path, held)
    fold = held.split.folds[0]
    embeddings = found.embeddings
    assert embeddings is not None
    assert embeddings.ids == (*fold.train, *fold.validation, *fold.test)
    parts = ("train",) * len(fold.train) + ("validation",) * len(fold.validation)
    assert embeddings.parts == parts + ("test",) * len(fold.test)
    known = held.known
    assert embeddings.speakers == tuple(known[i].speaker for i in embeddings.ids)
    assert embeddings.emotions == tuple(known[i].emotion for i in embeddings.ids)
    assert np.isfinite(embeddings.values).all()
    assert found.absent == {"weights": "this network weighs no streams"}
    assert [one.emotion for one in found.maps] == [*LABELS, LABELS[0]]
    for one in found.maps:
        assert one.id in fold.test
        assert one.seen.shape == held.arrays["image"][one.id].shape == one.trained.shape
        assert one.hop_s == pytest.approx(1 / RATE)
        assert np.abs(one.trained - one.random).max() > 1e-4
        assert one.input == "image"


def test_what_is_said_is_what_the_result_has(tmp_path: Path) -> None:
    """The class of a shown utterance is that of the recorded scores."""
    path = tmp_path / "look.safetensors"
    result = trained(bench(), look=look_at(path))
    assert result.predictions is not None
    rows = {i: k for k, i in enumerate(result.predictions.ids)}
    for one in read_insight(path).maps:
        scores = result.predictions.scores[rows[one.id]]
        assert one.said == LABELS[int(scores.argmax())]


def test_what_is_seen_is_what_the_network_reads(tmp_path: Path) -> None:
    """Normalised by the training part."""
    held = bench()
    one = looked(tmp_path, held).maps[0]
    everything = np.concatenate([held.arrays["image"][i] for i in held.split.folds[0].train])
    normal = (held.arrays["image"][one.id] - everything.mean(axis=0)) / everything.std(axis=0)
    np.testing.assert_allclose(one.seen, normal, rtol=2e-3, atol=2e-3)


def test_an_estimator_has_nothing_to_show(tmp_path: Path) -> None:
    """It says so, and is a result like any other."""
    held = bench()
    means = {i: x.mean(axis=0, keepdims=True) for i, x in held.arrays["image"].items()}
    vectors = replace(held, arrays={"vector": means}, rates={"vector": 0.0})
    trained(vectors, "functionals_svm", look_at(tmp_path / "a.safetensors"), {})
    found = read_insight(tmp_path / "a.safetensors")
    assert found.embeddings is None
    assert found.maps == found.weights == ()
    assert set(found.absent) == {"embeddings", "maps", "weights"}
    assert all("no network" in reason for reason in found.absent.values())


def test_a_network_without_attention_says_so(tmp_path: Path) -> None:
    """Its embeddings are kept all the same."""
    found = looked(tmp_path, bench(), pooling="mean")
    assert found.maps == ()
    assert "attends to" in found.absent["maps"]
    assert found.embeddings is not None


def test_what_is_not_asked_for_is_not_kept(tmp_path: Path) -> None:
    """Each of the two on its own."""
    held, path = bench(), tmp_path / "a.safetensors"
    trained(held, look=look_at(path, embeddings=False, utterances=1))
    found = read_insight(path)
    assert found.embeddings is None
    assert "embeddings = false" in found.absent["embeddings"]
    assert len(found.maps) == 1
    trained(held, look=look_at(path, utterances=0))
    found = read_insight(path)
    assert found.embeddings is not None
    assert found.maps == ()
    assert "utterances = 0" in found.absent["maps"]


def test_a_failure_loses_nothing_but_the_maps() -> None:
    """A network whose weights are no weights: its embeddings stand, and the reason is told."""
    items = items_of(images(corpus(2)), WHOLE)
    parts = dict.fromkeys(Part, items)
    wrong = Planted(lambda batch: -torch.ones_like(batch.inputs["image"]))
    found = insight_of(look_at(Path("unused")), wrong, lambda: wrong, parts, CPU)
    assert found.embeddings is not None
    assert found.maps == ()
    assert "BadValue: attention" in found.absent["maps"]
    assert found.absent["weights"] == found.absent["maps"]


def test_a_network_that_looks_nowhere_is_told_of() -> None:
    """The other utterances are shown."""
    arrays = {"a": np.zeros((50, 4), np.float32), "b": np.ones((50, 4), np.float32)}
    items = items_of(arrays, WHOLE)
    network = Planted(lambda batch: batch.inputs["image"])
    parts = dict.fromkeys(Part, items)
    found = insight_of(look_at(Path("unused")), network, lambda: network, parts, CPU)
    assert [one.id for one in found.maps] == [items.utterances[1].id]
    assert found.absent["maps"] == "the untrained network looks nowhere in s00-anger-0"


def test_a_look_that_cannot_be_kept_is_told_in_the_record(tmp_path: Path) -> None:
    """The training stands as it is."""
    (tmp_path / "file").write_text("no folder")
    result = trained(bench(), look=look_at(tmp_path / "file" / "a.safetensors"))
    assert result.status is Status.COMPLETED
    assert result.predictions is not None
    assert "no look inside it was kept" in result.reason
    store = Store.create(tmp_path / "run")
    store.append(result)
    (read,) = store.records()
    assert read.reason == result.reason
    assert store.insight(read.cell) is None


def test_looking_is_no_part_of_the_training_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes."""
    now = 0.0

    def slow(*_: object) -> Insight:
        nonlocal now
        now += 100.0
        return Insight()

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now)
    monkeypatch.setattr(trial, "time", clock)
    monkeypatch.setattr(trial, "insight_of", slow)
    found = trained(bench(), look=look_at(tmp_path / "a.safetensors")).measurements
    assert now == 100.0
    assert found["train_wall"].value == found["train_cpu"].value == 0


def test_a_failed_training_is_not_looked_into(tmp_path: Path) -> None:
    """Its reason stays, and no file is written."""
    held = bench()
    broken = replace(held, arrays={"image": {}})
    result = trained(broken, look=look_at(tmp_path / "a.safetensors"))
    assert result.status is Status.FAILED
    assert "no look" not in result.reason
    assert not list(tmp_path.iterdir())


# --- systems ---------------------------------------------------------------------------------


def rich_look(
    tmp_path: Path, name: str, changes: Mapping[str, Scalar], protocol: ProtocolSpec | None = None
) -> tuple[Insight, FoldResult]:
    """A look into a system on the corpus that any system can be trained on."""
    system = rich.system_of(name, changes)
    held = rich.bench(system, protocol)
    spec = TrialSpec(
        variant=system.variant,  # type: ignore[attr-defined]
        corpus="rich", data="", protocol=held.split.protocol, split=held.split.hash, seed=0,
        max_epochs=2,
    )  # fmt: skip
    path = tmp_path / "look.safetensors"
    result = run_fold(spec, "base", held.split.folds[0], system, held, look=look_at(path))
    assert result.status is Status.COMPLETED, result.reason
    assert not result.reason
    return read_insight(path), result


def check_maps(maps: Sequence[AttentionMap]) -> None:
    """Each on the grid of its input, summing to 1."""
    assert len(maps) == 4
    for one in maps:
        assert one.trained.shape == one.seen.shape
        assert one.trained.sum() == pytest.approx(1, abs=1e-4)
        assert one.random.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("li2018", {"pooling": "attention"}),
        ("li2018", {"pooling": "attention_no_softmax", "segmentation": "whole"}),
        ("li2018", {"pooling": "attention_class_softmax"}),
        ("li2018", {"pooling": "attention_rank_3"}),
        ("li2018", {"pooling": "bottom_up"}),
        ("li2018", {"pooling": "top_down"}),
        ("li2018", {"pooling": "max"}),
        ("crnn", {}),
        ("crnn", {"frame_pooling": "max", "segmentation": "whole"}),
        ("wei2022", {}),
        ("wei2022", {"spatial_attention": "none"}),
        ("wei2022", {"temporal_attention": "none", "attention_order": "channel_first"}),
        ("wei2022", {"branches": "mdscm", "visual": "none", "adversary": "none"}),
        ("wei2022", {"branches": "avdal", "shared_encoder": "mdscm", "layers": 2}),
    ],
    ids=str,
)
def test_systems_that_attend_show_it(name: str, changes: dict[str, Scalar], tmp_path: Path) -> None:
    """On the grid of their input, whatever their options are."""
    found, _ = rich_look(tmp_path, name, changes)
    check_maps(found.maps)
    assert "maps" not in found.absent
    assert found.weights == ()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("li2018", {"pooling": "mean"}),
        ("li2018", {"pooling": "mean_deviation"}),
        ("crnn", {"frame_pooling": "mean"}),
        ("wei2022", {"spatial_attention": "none", "temporal_attention": "none"}),
        ("wei2022", {"branches": "avdal"}),
        ("gao2021", {}),
        ("lian2019", {}),
        ("tzirakis2021", {"fusion": "concat"}),
        ("tzirakis2021", {"fusion": "first_only"}),
    ],
    ids=str,
)
def test_systems_that_do_not_attend_say_so(
    name: str, changes: dict[str, Scalar], tmp_path: Path
) -> None:
    """No map of equal weights stands for none."""
    found, _ = rich_look(tmp_path, name, changes)
    assert found.maps == found.weights == ()
    assert set(found.absent) == {"maps", "weights"}
    assert found.embeddings is not None


@pytest.mark.parametrize("fusion", ["score_attention", "attention", "gated"])
@pytest.mark.parametrize("target", ["traces", "emotion"])
def test_streams_of_tzirakis2021(fusion: str, target: str, tmp_path: Path) -> None:
    """Frames of 0.1 s, as many as the samples have; each row is shared out."""
    traced = ProtocolSpec(validation=1, target="traces") if target == "traces" else None
    found, _ = rich_look(tmp_path, "tzirakis2021", {"fusion": fusion}, traced)
    assert len(found.weights) == 4
    known = {u.id: u for u in rich.corpus().utterances}
    for one in found.weights:
        assert one.streams == ("semantic", "paralinguistic")
        assert one.hop_s == pytest.approx(0.1)
        assert one.trained.shape == one.random.shape
        seconds = float(known[one.id].facts["seconds"])
        assert len(one.trained) == round(seconds * 10)
        np.testing.assert_allclose(one.trained.sum(axis=1), 1, atol=1e-5)
    assert any(np.abs(one.trained - one.random).max() > 1e-6 for one in found.weights)


def test_an_utterance_is_shown_within_its_dialogue() -> None:
    """What lian2019 says of a shown utterance is what it says with all of the test part there."""
    system = rich.system_of("lian2019")
    held = rich.bench(system)
    parts, streams = fold_items(held.split.folds[0], system, held)
    network = system.build(held.sizes(len(streams["train"].speakers), 1))
    test = parts[Part.TEST]
    (shown,) = chosen(test, 1)
    company = alone(test, [shown])
    assert {u.dialogue for u in company.utterances} == {shown.dialogue}
    assert 1 < len(company.scored) < len(test.scored)
    found = views(network, company, CPU)[shown.id]
    scores = trial.scores_of(network, test, CPU)[[u.id for u in test.scored].index(shown.id)]
    assert found.said == int(scores.argmax())
