"""Multiply-accumulates against values derived by hand, and what has no formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks import BESIDE, build, every_option
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.bench.contracts import Stage, TrainingSettings
from serlab.bench.errors import SerlabError
from serlab.bench.example import example_batch
from serlab.bench.meters.size import CHEAP, count_trainable, count_work
from serlab.bench.shapes import example_sizes
from serlab.models.variant import SYSTEMS, make, resolve

B, T, D, FEED = 2, 10, 16, 32
ATTENTION = B * (4 * T * D * D + 2 * T * T * D)
"""Four projections, scores and weighted sum; heads share the width, so they do not count."""
LAYER = ATTENTION + B * 2 * T * D * FEED


def packed() -> object:
    """An LSTM over two sequences, of 5 and 3 frames."""
    x, lengths = torch.zeros(2, 5, 10), torch.tensor([5, 3])
    given = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    return nn.LSTM(10, 20, batch_first=True)(given)


def attend(*, training: bool, weights: bool) -> Callable[[], object]:
    """Self-attention of four heads."""
    layer, x = nn.MultiheadAttention(D, 4, batch_first=True).train(training), torch.zeros(B, T, D)
    return lambda: layer(x, x, x, need_weights=weights)


def transform(*, training: bool, masked: bool) -> Callable[[], object]:
    """A transformer layer."""
    layer = nn.TransformerEncoderLayer(D, 4, FEED, batch_first=True).train(training)
    mask = torch.zeros(B, T, dtype=torch.bool) if masked else None
    return lambda: layer(torch.zeros(B, T, D), src_key_padding_mask=mask)


def through(layer: nn.Module, *shape: int) -> Callable[[], object]:
    """A layer and zeros of a shape."""
    return lambda: layer(torch.zeros(*shape))


def fused(*, causal: bool) -> Callable[[], Tensor]:
    """Fused attention of four heads of eight values."""
    q = torch.zeros(B, 4, T, 8)
    return lambda: F.scaled_dot_product_attention(q, q, q, is_causal=causal)


HAND: dict[str, tuple[Callable[[], object], int]] = {
    # frames x gates x units x (inputs + units)
    "LSTM": (through(nn.LSTM(10, 20), 5, 1, 10), 5 * 4 * 20 * (10 + 20)),
    "LSTM of two layers, both ways": (
        through(nn.LSTM(10, 20, 2, bidirectional=True), 5, 3, 10),
        3 * 5 * 2 * 4 * 20 * ((10 + 20) + (2 * 20 + 20)),
    ),
    "LSTM of packed sequences": (
        packed, (5 + 3) * 4 * 20 * (10 + 20),
    ),
    "LSTM with a projection": (
        through(nn.LSTM(10, 20, proj_size=7), 5, 1, 10),
        5 * (4 * 20 * (10 + 7) + 20 * 7),
    ),
    "LSTM cell": (through(nn.LSTMCell(10, 20), 3, 10), 3 * 4 * 20 * (10 + 20)),
    "GRU": (through(nn.GRU(10, 20), 5, 1, 10), 5 * 3 * 20 * (10 + 20)),
    "GRU both ways": (
        through(nn.GRU(10, 20, bidirectional=True), 5, 1, 10), 2 * 5 * 3 * 20 * (10 + 20),
    ),
    "attention, predicting": (attend(training=False, weights=False), ATTENTION),
    "attention, training": (attend(training=True, weights=False), ATTENTION),
    "attention with its weights": (attend(training=False, weights=True), ATTENTION),
    "transformer layer, predicting": (transform(training=False, masked=False), LAYER),
    "transformer layer, masked": (transform(training=False, masked=True), LAYER),
    "transformer layer, training": (transform(training=True, masked=True), LAYER),
    "fused attention": (fused(causal=False), 2 * B * 4 * T * T * 8),
    "fused attention, causal": (fused(causal=True), 2 * B * 4 * T * T * 8),
    # places of the output x its channels x channels that each sees x kernel
    "Conv1d, stride 2, dilation 2": (
        through(nn.Conv1d(6, 8, 3, stride=2, dilation=2), 2, 6, 21), 2 * 9 * 8 * 6 * 3,
    ),
    "Conv2d": (through(nn.Conv2d(3, 8, (5, 3), padding=(2, 1)), 2, 3, 20, 10),
               2 * 20 * 10 * 8 * 3 * 15),
    "Conv2d in three groups": (
        through(nn.Conv2d(6, 12, 3, groups=3), 1, 6, 10, 9), 8 * 7 * 12 * 2 * 9,
    ),
    "Conv2d by channel": (
        through(nn.Conv2d(6, 6, 3, groups=6, padding=1), 1, 6, 10, 9), 10 * 9 * 6 * 9,
    ),
    # places of the input x its channels x channels that each reaches x kernel
    "ConvTranspose2d": (
        through(nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1), 1, 3, 6, 7), 6 * 7 * 3 * 5 * 16,
    ),
    "ConvTranspose1d in two groups": (
        through(nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), 1, 4, 6), 6 * 4 * 3 * 4,
    ),
    "Linear": (through(nn.Linear(7, 5), 4, 7), 4 * 35),
    "Linear of one vector": (through(nn.Linear(7, 5), 7), 35),
    "matrix by matrix, in a batch": (
        lambda: torch.zeros(3, 4, 5) @ torch.zeros(3, 5, 6), 3 * 4 * 5 * 6,
    ),
    "einsum": (
        lambda: torch.einsum("bij,bjk->bik", torch.zeros(3, 4, 5), torch.zeros(3, 5, 6)),
        3 * 4 * 5 * 6,
    ),
    "matrix by vector": (lambda: torch.zeros(2, 5, 7) @ torch.zeros(7), 2 * 35),
    "vector by vector": (lambda: torch.zeros(7) @ torch.zeros(7), 7),
    "Embedding": (
        lambda: nn.Embedding(7, 5)(torch.zeros(4, dtype=torch.long)), 0,
    ),
    "BatchNorm2d": (through(nn.BatchNorm2d(3), 2, 3, 4, 4), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_counts_are_those_by_hand(name: str) -> None:
    """Each layer has its value, and two FLOPs to a multiply-accumulate."""
    call, by_hand = HAND[name]
    found = count_work(call)
    assert (found.macs.value, found.macs.unit) == (by_hand, "MAC")
    assert (found.flops.value, found.flops.unit) == (2 * by_hand, "FLOP")
    assert found.uncounted == ()


@pytest.mark.parametrize("name", ["LSTM", "transformer layer, predicting", "Conv2d"])
def test_counts_hold_under_inference_mode_and_autocast(name: str) -> None:
    """As a call is made when it is timed."""
    call, by_hand = HAND[name]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = count_work(call)
    assert found.macs.value == by_hand


def test_counting_leaves_the_switches_as_they_were() -> None:
    """Fast kernels are back, even after a call that fails."""

    def fail() -> None:
        assert not torch.backends.mha.get_fastpath_enabled()
        assert not torch.backends.cudnn.enabled
        raise ValueError

    with pytest.raises(ValueError):
        count_work(fail)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.cudnn.enabled


UNKNOWN: dict[str, Callable[[], object]] = {
    "_fft_r2c": lambda: torch.fft.rfft(torch.zeros(8)),
    "_cdist_forward": lambda: torch.cdist(torch.zeros(8, 3), torch.zeros(8, 3)),
    "_linalg_svd": lambda: torch.linalg.svd(torch.eye(4)),
    "_trilinear": lambda: F.bilinear(torch.zeros(1, 3), torch.zeros(1, 4), torch.zeros(5, 3, 4)),
    "upsample_linear1d": lambda: F.interpolate(torch.zeros(1, 2, 8), size=5, mode="linear"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_operator_without_a_formula_makes_it_null(name: str) -> None:
    """Products beside it are not reported as if they were all."""
    found = count_work(lambda: (UNKNOWN[name](), torch.zeros(2, 3) @ torch.zeros(3, 4)))
    assert found.macs.value is None
    assert found.flops.value is None
    assert any(name in operator for operator in found.uncounted)
    assert name in found.macs.reason


def test_operator_of_others_is_not_trusted_by_its_name() -> None:
    """A library's own "view" may do anything."""

    @torch.library.custom_op("serlab_test::view", mutates_args=())
    def view(x: Tensor) -> Tensor:
        return x @ x

    found = count_work(lambda: view(torch.zeros(3, 3)))
    assert found.macs.value is None
    assert found.uncounted == ("serlab_test.view.default",)


def test_operators_taken_as_cheap_exist_and_hold_no_products() -> None:
    """Each name is torch's own; none is one that torch counts, or speaks of a product."""
    names = [name for group in CHEAP.values() for name in group]
    assert len(set(names)) == len(names)
    for name in names:
        assert hasattr(torch.ops.aten, name), name
        words = ("mm", "conv", "rnn", "lstm_layer", "fft", "attention", "linear_", "matmul", "dist")
        hidden = [word for word in words if word in name and name != "linalg_vector_norm"]
        assert not hidden, name


PRESETS = [(n, p) for n, e in SYSTEMS.entries().items() for p in e.facts.get("presets", ())]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_system_is_counted_whole(name: str, preset: str) -> None:
    """No operator of a forward pass is without a formula."""
    system = make(resolve(name, preset, {}))
    if not system.stages():
        assert not hasattr(system.build(example_sizes(system, 4)), "forward")
        return
    sizes = example_sizes(system, 4, n_corpora=2)
    network = system.build(sizes).eval()
    batch = example_batch(sizes, [1.0, 1.0], inputs=tuple(system.inputs()))
    found = count_work(lambda: network(batch))
    assert found.uncounted == ()
    assert (found.macs.value or 0) > 1e4


def holders() -> dict[tuple[str, str], list[str]]:
    """The systems that have each option of each slot."""
    found: dict[tuple[str, str], list[str]] = {}
    for system, slot, option in every_option():
        found.setdefault((slot, option), []).append(system)
    return found


ALONE = {
    ("branches", "mdscm"): {"visual": "none", "adversary": "none"},
    ("visual", "none"): {"branches": "mdscm", "adversary": "none"},
}
"""What options that leave out a modality need beside themselves."""


@pytest.mark.parametrize(("slot", "option"), holders())
def test_every_option_is_counted_whole(slot: str, option: str) -> None:
    """In each of the systems that take it, of which there is one at least."""
    n_counted = 0
    for system in holders()[slot, option]:
        try:
            beside = {**BESIDE.get((system, slot), {}), **ALONE.get((slot, option), {})}
            built = build(system, {**beside, slot: option})
        except SerlabError:  # it has no part in this system
            continue
        network, batch = built.network.eval(), built.batch((1.0, 0.8))
        found = count_work(lambda network=network, batch=batch: network(batch))  # type: ignore[misc]
        assert (system, found.uncounted) == (system, ())
        n_counted += 1
    assert n_counted


def test_trainable_are_those_of_any_stage() -> None:
    """Whatever is frozen in all of them does not count, and nothing counts twice."""
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(3, 3), "c": nn.Linear(5, 5)})

    def stage(*prefixes: str) -> Stage:
        return Stage(name="s", training=TrainingSettings(), trains=prefixes)

    assert count_trainable(network, [stage("a."), stage("a.", "b.")]) == 6 + 12
    assert count_trainable(network, [stage("")]) == 6 + 12 + 30
    assert count_trainable(network, []) == 0
