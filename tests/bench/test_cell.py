"""A cell: what is called is what predicts, and each pass is measured on its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import metered
import numpy as np
import pytest
import torch
from networks import SHRUNK

from serlab.bench.contracts import Scalar, plain
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.meters import cell as cell_module
from serlab.bench.meters import latency
from serlab.bench.meters.cell import measure, prepare, reason_of, refusal
from serlab.bench.meters.inputs import Noise, check_inputs, make_inputs
from serlab.bench.meters.records import Cell, Measured, measured_of
from serlab.bench.predict import predict
from serlab.bench.trial import scores_of
from serlab.models.variant import make, resolve


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cell sets the threads of its process and cleans it up, and here are other tests too."""
    before = torch.get_num_threads()
    monkeypatch.setattr(latency.gc, "collect", lambda: 0)
    with metered.registered():
        yield
    torch.set_num_threads(before)


def a_cell(system: str = "metered", **conditions: Any) -> Cell:
    changes: dict[str, Scalar] = {**SHRUNK.get(system, {}), **conditions.pop("changes", {})}
    variant = resolve(system, conditions.pop("preset", ""), changes)
    return Cell(variant=variant, **{"calls": 10, "limit_s": 2.0, "seconds": 1.2, **conditions})


def measured(cell: Cell) -> Measured:
    return measure(make(cell.variant), cell, label="it")


# --- what is called --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "seconds"),
    [("crnn", 4.6), ("li2018", 1.2), ("lian2019", 1.2), ("gao2021", 1.2), ("wei2022", 1.2)],
)
def test_the_measured_call_is_a_prediction(system: str, seconds: float) -> None:
    """Its scores, averaged over segments, are those of `predict` for the same utterances."""
    cell = a_cell(system, batch=3, seconds=seconds)
    subject = prepare(make(cell.variant), cell)
    scores: Any = subject.call()
    assert subject.batch is not None
    shares = scores.softmax(dim=1).numpy()
    means = [shares[subject.batch.items.numpy() == k].mean(axis=0) for k in range(3)]
    expected = predict(subject.built, subject.inputs.items, torch.device("cpu"))
    np.testing.assert_allclose(means, expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 0, "the utterances differ"


def test_the_measured_call_predicts_traces() -> None:
    """Frame by frame, for as many dimensions as there are classes in the cell."""
    cell = a_cell("tzirakis2021", batch=2, target="traces", n_classes=3)
    subject = prepare(make(cell.variant), cell)
    scores: Any = subject.call()
    expected = predict(subject.built, subject.inputs.items, torch.device("cpu"))
    assert expected.shape == (24, 3)
    np.testing.assert_allclose(scores.flatten(0, 1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("system", ["functionals_svm", "text_svm", "majority"])
def test_an_estimator_is_called_as_a_whole(system: str) -> None:
    """One row an utterance, by the estimator that was taken up again from its file."""
    cell = a_cell(system, batch=3)
    subject = prepare(make(cell.variant), cell)
    expected = scores_of(subject.built, subject.inputs.items, torch.device("cpu"))
    assert expected.shape == (3, 4)
    np.testing.assert_array_equal(np.asarray(subject.call()), expected)


def test_a_call_sees_all_segments_of_all_utterances() -> None:
    """Segments of 3 s, one every 0.75 s: four of 5.4 s, and as many for each utterance."""
    cell = a_cell("crnn", batch=2, seconds=5.4)
    batch = make_inputs(make(cell.variant), cell).called()
    assert batch.items.tolist() == [0] * 4 + [1] * 4


def test_a_dialogue_is_one_batch() -> None:
    """Where a system sees dialogues, the utterances of a call are the turns of one."""
    cell = a_cell("lian2019", batch=3)
    batch = make_inputs(make(cell.variant), cell).called()
    assert batch.dialogues.tolist() == [0, 0, 0]
    assert batch.turns.tolist() == [0, 1, 2]


def test_noise_differs_by_utterance_and_is_the_same_every_time() -> None:
    """Utterances are unlike each other; reading one again gives the same samples."""
    first, second = Noise(seconds=0.5).read(), Noise(seconds=0.5, index=1).read()
    assert first.duration_s == 0.5
    assert not np.array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.samples, Noise(seconds=0.5).read().samples)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_sixteen_bits_are_those_of_autocast(dtype: str) -> None:
    """The scores come in the type that was asked for, the weights stay as they are."""
    cell = a_cell(dtype=dtype)
    subject = prepare(make(cell.variant), cell)
    scores: Any = subject.call()
    assert scores.dtype == cell_module.DTYPES[dtype]
    assert subject.built.linear.weight.dtype == torch.float32


def test_compiling_is_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled network is called; the count of work and the training use the plain one."""
    seen: list[torch.nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda network: seen.append(network) or network)
    assert prepare(make(a_cell().variant), a_cell()).built is not None
    assert not seen
    cell = a_cell(compiled=True)
    subject = prepare(make(cell.variant), cell)
    assert seen == [subject.built]


# --- what comes of it ------------------------------------------------------------------------


def test_a_cell_has_all_that_is_documented() -> None:
    """Each measurement of the record's docstring is there, with a value or with a reason."""
    one = measured(a_cell(batch=2))
    documented = set(re.findall(r"``(\w+)``", Measured.__doc__ or "")) - {"measurements", "train_"}
    memory = {"peak_memory", "cuda_allocated", "cuda_reserved", "cuda_process"}
    assert documented <= one.measurements.keys()
    assert {f"train_{name}" for name in memory} <= one.measurements.keys()
    for name, m in one.measurements.items():
        assert (m.value is None) == bool(m.reason) or name.endswith("peak_memory"), name
        assert m.unit, name
    assert one.status == "measured"
    assert list(one.phases) == ["build", "load", "first_call", "warm_up", "steady"]
    assert all((m.value or 0) > 0 for m in one.phases.values())
    assert {"load_before", "load_after", "cpu", "git"} <= one.environment.keys()


def test_numbers_follow_from_the_samples() -> None:
    """As many samples as were asked for, and a fifth of all else; p50 and RTF are theirs."""
    one = measured(a_cell(batch=2, limit_s=60.0))
    assert (len(one.samples_ns), len(one.feature_ns), len(one.train_ns["emotion"])) == (10, 2, 2)
    call_s, made_s = np.median(one.samples_ns) / 1e9, np.median(one.feature_ns) / 1e9
    values = {name: m.value for name, m in one.measurements.items()}
    assert values["latency_p50"] == pytest.approx(call_s * 1e3)
    assert values["rtf"] == pytest.approx(call_s / 2.4)
    assert values["rtf_with_features"] == pytest.approx((call_s + made_s) / 2.4)
    assert values["throughput"] == pytest.approx(20 / (sum(one.samples_ns) / 1e9))
    assert values["parameters"] == values["trainable_parameters"] == 16 * 4 + 4
    assert values["macs"] == 2 * 16 * 4
    assert values["flops"] == 2 * 2 * 16 * 4
    assert 0 < (values["checkpoint"] or 0) - 4 * (16 * 4 + 4) < 1000


@pytest.mark.parametrize(
    ("system", "changes", "stages"),
    [
        ("gao2021", {}, ["pretrain", "tune", "emotion"]),
        ("wei2022", {}, ["mdscm", "avdal", "fusion"]),
        ("crnn", {"adversary": "speaker"}, ["emotion"]),
    ],
)
def test_a_step_of_every_stage_is_timed(
    system: str, changes: dict[str, Scalar], stages: list[str]
) -> None:
    """Each with a mini-batch of each of its streams; what is told is the slowest stage."""
    one = measured(a_cell(system, changes=changes, batch=2, calls=2, seconds=1.0))
    assert list(one.train_ns) == stages
    slowest = max(np.median(spent) for spent in one.train_ns.values())
    assert one.measurements["train_p50"].value == pytest.approx(slowest / 1e6)


def test_a_step_takes_the_segments_of_an_epoch() -> None:
    """One of each utterance where they are drawn at random, else one every hop."""
    drawn, cut = a_cell("crnn", batch=2, seconds=6.1), a_cell("li2018", batch=2, seconds=6.1)
    cut = replace(cut, variant=resolve("li2018", "paper"))
    for cell, n_items in ((drawn, 2), (cut, 10)):
        system = make(cell.variant)
        (batch,) = make_inputs(system, cell).trained(system, system.stages()[0])
        assert len(batch.items) == n_items
        assert batch.stage == "emotion"
        assert set(batch.speakers.tolist()) == {0, 1}


def test_training_has_its_own_precision_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32 as the settings say, in bf16 as the cell says; in fp16 not at all."""
    seen: list[str] = []
    plain_step = cell_module.training_step

    def step(network: Any, batches: Any, stage: Any, *rest: Any) -> Any:
        seen.append(stage.training.precision)
        return plain_step(network, batches, stage, *rest)

    monkeypatch.setattr(cell_module, "training_step", step)
    for changes, dtype, expected in (
        ({}, "fp32", {"fp32"}),
        ({"precision": "bf16"}, "fp32", {"bf16"}),
        ({}, "bf16", {"bf16"}),
        ({}, "fp16", set()),
    ):
        seen.clear()
        one = measured(a_cell(changes=changes, dtype=dtype))
        assert set(seen) == expected
    assert "fp32 and bf16 only" in one.measurements["train_p50"].reason
    assert one.measurements["latency_p50"].value is not None


# --- where something is missing --------------------------------------------------------------


def test_trouble_in_training_costs_the_training_only() -> None:
    """Its values are null with the reason in one line; the call is measured all the same."""
    one = measured(a_cell(changes={"trouble": "training"}))
    assert one.status == "measured"
    assert one.measurements["train_p50"].reason == "ValueError: expected more than one item"
    assert one.measurements["train_cuda_reserved"].value is None
    assert one.measurements["latency_p50"].value is not None
    assert one.train_ns == {}


def test_training_may_be_left_out() -> None:
    """Then it is null, and the network was never trained."""
    one = measured(a_cell(training=False))
    assert one.measurements["train_p50"].reason == "not asked for"
    assert one.train_ns == {}


def test_uncounted_operators_are_named() -> None:
    """MACs are null where an operator has no formula, and the record lists it."""
    one = measured(a_cell(changes={"trouble": "singular"}))
    assert one.measurements["macs"].value is None
    assert any("svd" in name for name in one.uncounted)


def test_trouble_in_the_count_costs_the_count_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes more memory than the call, so that it may fail alone."""

    def fails(call: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(cell_module, "count_work", fails)
    one = measured(a_cell())
    assert one.measurements["macs"].reason == "out of memory: no room"
    assert one.measurements["latency_p50"].value is not None


@pytest.mark.parametrize(
    "conditions", [{"dtype": "bf16"}, {"device": "cuda"}, {"compiled": True}], ids=str
)
def test_an_estimator_under_a_networks_conditions_is_skipped(conditions: dict[str, Any]) -> None:
    """It would compute the same as without them; a network is not refused."""
    one = measured(a_cell("majority", **conditions))
    assert one.status == "skipped"
    assert "estimator" in one.reason
    assert not refusal(make(a_cell().variant), a_cell(**conditions))


def test_what_noise_cannot_give_is_refused() -> None:
    """A supplied vector whose size nobody told; told, it is measured."""
    cell = a_cell("functionals_svm", changes={"functionals": "supplied"})
    with pytest.raises(SerlabError, match="supplied vector"):
        check_inputs(make(cell.variant), cell)
    one = measured(replace(cell, supplied={"features": 7}))
    assert one.measurements["parameters"].value == 6 * (7 + 1)


@pytest.mark.parametrize("system", ["crnn", "gao2021", "li2018", "lian2019", "tzirakis2021"])
def test_a_moment_of_audio_is_measured(system: str) -> None:
    """Front ends pad what is shorter than a frame, so that no length is too short for them."""
    one = measured(a_cell(system, seconds=0.001, calls=1))
    assert one.status == "measured"


def test_running_out_of_memory_is_told_in_one_line() -> None:
    """Whoever raises it: torch on a GPU, torch on the CPU, or Python."""
    for trouble, said in (("memory", "Tried to allocate 20 GiB"), ("allocates", "allocate memory")):
        with pytest.raises(RuntimeError) as caught:
            measured(a_cell(changes={"trouble": trouble}))
        reason = reason_of(caught.value)
        assert reason.startswith("out of memory: ")
        assert said in reason
        assert "\n" not in reason
    assert reason_of(MemoryError()) == "out of memory: no message"
    assert reason_of(KeyError("a\nb")) == "KeyError: 'a\\nb'"


# --- records ---------------------------------------------------------------------------------


def test_a_record_comes_back_from_json() -> None:
    """Equal to what was written, tuples and all."""
    one = measured(a_cell())
    assert measured_of(json.loads(json.dumps(plain(one)))) == one


def test_a_foreign_record_is_refused() -> None:
    """Of another schema, or with a key that nobody knows; the file is named."""
    table = plain(Measured(cell=a_cell(), label="it"))
    with pytest.raises(BadValue, match=r"a\.json: schema"):
        measured_of({**table, "schema": 99}, "a.json")
    with pytest.raises(UnknownName, match=r"a\.json"):
        measured_of({**table, "more": 1}, "a.json")


def test_the_key_is_of_the_conditions() -> None:
    """3 seconds are 3.0; another thread is another cell."""
    assert a_cell(seconds=3).key == a_cell(seconds=3.0).key
    assert a_cell(threads=2).key != a_cell().key


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch", 0), ("threads", 0), ("calls", -1), ("seconds", 0), ("seconds", float("nan")),
     ("limit_s", -1), ("limit_s", float("inf")), ("dtype", "fp64")],
)  # fmt: skip
def test_conditions_that_cannot_be(name: str, value: object) -> None:
    """Are refused with the value and what was expected."""
    with pytest.raises(SerlabError, match="dtype" if name == "dtype" else name):
        a_cell(**{name: value})


def test_a_file_of_weights_is_gone_afterwards(tmp_path: Path, monkeypatch: Any) -> None:
    """Nothing is left in the folder for temporary files."""
    monkeypatch.setattr(cell_module.tempfile, "tempdir", str(tmp_path))
    measured(a_cell())
    assert list(tmp_path.iterdir()) == []
