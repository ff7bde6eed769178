"""Where the systems look: weights set by hand light up the frames and bands they are about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import Built, build
from torch import Tensor, nn

from serlab.bench.contracts import FloatArray
from serlab.bench.data import Batch
from serlab.bench.network import Output
from serlab.bench.views import spread
from serlab.models.components.spatial_attention import SpatialAttention
from serlab.models.components.temporal_attention import Transformer
from serlab.models.components.zero_maps import cut_maps, lay_maps
from serlab.models.variant import OPTIONS

ATTENTIONS = ("attention", "attention_sum", "attention_no_softmax", "attention_class_softmax",
              "attention_rank_3", "bottom_up", "top_down", "max")  # fmt: skip


def shown(output: Output, name: str, n_frames: int, n_bins: int, k: int = 0) -> FloatArray:
    """The map of the first item and a class, (frame, bin)."""
    attention = output.attention[name]
    with torch.inference_mode():
        weights = attention.weights()[0].numpy()
    found = spread(weights, attention, n_frames, n_bins)
    return found[..., k if found.shape[2] > 1 else 0]


def image_of(built: Built, n_frames: int, frames: slice, bands: slice, name: str) -> Batch:
    """A batch of one item that is silent but for one patch."""
    batch = built.batch((1.0,))
    image = torch.zeros(1, n_frames, built.sizes.n_features[name])
    image[:, frames, bands] = 1.0
    mask = torch.ones(1, n_frames, dtype=torch.bool)
    return replace(batch, inputs={name: image}, masks={name: mask})


def through(network: Any) -> None:
    """Makes the first channel of every layer of li2018 the layer before, and the others nothing."""
    with torch.no_grad():
        for convolution in (network.first.frequency, network.first.time, *network.others):
            convolution.weight.zero_()
            convolution.bias.zero_()
        top, left = network.first.frequency.padding
        network.first.frequency.weight[0, 0, top, left] = 1.0
        for convolution in network.others:
            convolution.weight[0, 0, 1, 1] = 1.0


@pytest.mark.parametrize("pooling", ATTENTIONS)
def test_li2018_lights_up_where_its_one_channel_is(pooling: str) -> None:
    """A patch of frames and bands is passed through all layers; all weights are of its channel."""
    built = build("li2018", {"pooling": pooling, "segmentation": "whole"})
    network: Any = built.network.eval()
    through(network)
    with torch.no_grad():
        for name, weight in network.pooling.named_parameters():
            weight.zero_()
            if "bottom_up.weight" in name:
                weight[0, 0] = 40.0
            if "top_down.weight" in name:
                weight[0, 0] = 40.0
    n_frames, n_bands = 80, built.sizes.n_features["image"]
    frames, bands = network.pooled_frames, network.pooled_bins
    patch = slice(3 * frames, 4 * frames), slice(bands, 2 * bands)
    output = network(image_of(built, n_frames, *patch, "image"))
    found = shown(output, "image", n_frames, n_bands)
    if pooling == "max":  # the silent channels have their maxima at the first place
        found[:frames, :bands] = 0.0
    assert np.unravel_index(found.argmax(), found.shape) == (patch[0].start, patch[1].start)
    inside = found[patch].sum()
    assert inside > 0
    assert inside / found.sum() > 0.99


def test_the_class_specific_map_is_of_its_class() -> None:
    """Each class looks where its own top-down map is large."""
    pooling = OPTIONS.load("pooling.top_down")(3, 3)
    with torch.no_grad():
        pooling.top_down.weight.copy_(20 * torch.eye(3)[:, :, None, None])
        pooling.top_down.bias.zero_()
    x = torch.zeros(1, 3, 2, 5)
    x[0, 0, 0, 1] = x[0, 1, 1, 4] = x[0, 2, 1, 0] = 1.0
    _, _, look = pooling(x, torch.ones(1, 5, dtype=torch.bool))
    places = look()[0].flatten(1).argmax(dim=1).tolist()
    assert places == [1, 9, 5]


@pytest.mark.parametrize("pooling", ATTENTIONS)
def test_masked_frames_are_not_looked_at(pooling: str) -> None:
    """Whatever is in them."""
    made = OPTIONS.load(f"pooling.{pooling}")(4, 3)
    x = torch.randn(2, 4, 3, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).bool()
    found = made(x, mask)[2]()
    assert found.shape[-2:] == (3, 6)
    assert (found >= 0).all()
    assert not found[1, ..., 3:].any()
    assert found[1, ..., :3].any()


@pytest.mark.parametrize("pooling", ["mean", "mean_deviation"])
def test_a_mean_looks_nowhere(pooling: str) -> None:
    """Equal weights are no attention."""
    made = OPTIONS.load(f"pooling.{pooling}")(4, 3)
    assert made(torch.randn(2, 4, 3, 6), torch.ones(2, 6, dtype=torch.bool))[2] is None


def test_crnn_lights_up_the_frames_of_a_step() -> None:
    """Eight frames a step, and all bands."""
    built = build("crnn", {"recurrence": "none"})
    network: Any = built.network.eval()
    batch = image_of(built, 64, slice(0, 64), slice(0, 16), "image")
    steps = torch.zeros(1, 8)
    steps[0, 5] = 1.0
    frames = network.pooling.forward

    def planted(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return frames(x, mask)[0], steps

    network.pooling.forward = planted
    found = shown(network(batch), "image", 64, 16)
    assert np.flatnonzero(found.any(axis=1)).tolist() == list(range(40, 48))
    assert (found[40:48] == 1).all()


# --- wei2022 ---------------------------------------------------------------------------------


class OnePlace(SpatialAttention):
    """A gate that is open at one place of the last map."""

    def gates(self, x: Tensor) -> Tensor:
        """One place of (map, 1, time, frequency)."""
        gates = torch.zeros_like(x[:, :1])
        gates[:, :, 2, 1] = 1.0
        return gates


@pytest.mark.parametrize("order", ["spatial_first", "channel_first"])
def test_wei2022_lights_up_where_its_gate_is_open(order: str) -> None:
    """Place (2, 1) of a map is about its frame 32 and its band 16, eight to either side.

    The item is as long as three maps, and two are cut: one begins with it, one in its middle.
    """
    changes = {
        "branches": "mdscm", "visual": "none", "adversary": "none", "temporal_attention": "none",
        "attention_order": order, "n_maps": 2,
    }  # fmt: skip
    built = build("wei2022", changes)
    network: Any = built.network.eval()
    trunk = network.mdscm.encoder
    place = [isinstance(part, SpatialAttention) for part in trunk.attention].index(True)
    trunk.attention[place] = OnePlace()
    length = 3 * network.map_frames
    batch = image_of(built, length, slice(0, 9), slice(0, 9), "audio")
    found = shown(network(batch), "audio", length, 40)
    lit = [*range(24, 40), *range(length // 2 + 24, length // 2 + 40)]
    assert np.flatnonzero(found.any(axis=1)).tolist() == lit
    assert np.flatnonzero(found.any(axis=0)).tolist() == list(range(8, 24))


def test_maps_are_laid_back_where_they_were_cut() -> None:
    """What is cut and laid again is the same frames, wherever a map was."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 200, 4, generator=generator)
    mask = torch.arange(200) < torch.tensor([200, 150, 30])[:, None]
    maps, filled = cut_maps(x, mask, 5, 64)
    laid = lay_maps(maps, mask, filled)
    there = laid.any(dim=2)
    assert not there[~mask].any()
    torch.testing.assert_close(laid[there], x[there])
    assert there.sum(dim=1).tolist() == [184, 124, 30]


def test_a_rollout_is_the_product_of_the_layers() -> None:
    """Rows sum to 1; of one head and two layers it is what the definition says."""
    settings: Any = type("S", (), {"heads": 1, "feedforward": 8, "layers": 2,
                                   "attention_dropout": 0.0})  # fmt: skip
    torch.manual_seed(0)
    made = Transformer(6, settings).eval()
    x = torch.randn(2, 5, 6) * 3
    with torch.inference_mode():
        found = made.looks(x)
        whole, held = torch.eye(5).repeat(2, 1, 1), x
        for layer in made.encoder.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            kernel, bias = layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias
            q, k, _ = (held @ kernel.T + bias).chunk(3, dim=2)
            attention = (q @ k.transpose(1, 2) / 6**0.5).softmax(dim=2)
            whole = (attention + torch.eye(5)) / 2 @ whole
            held = layer(held)
    torch.testing.assert_close(found, whole.mean(dim=1))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))
    assert found.std(dim=1).min() > 1e-3


@pytest.mark.parametrize("name", ["li2018", "crnn", "wei2022", "tzirakis2021"])
def test_nothing_is_computed_before_it_is_asked_for(name: str) -> None:
    """A map costs a training nothing: its function is only made; streams are there anyway."""
    built = build(name)
    network, calls = built.network.eval(), []
    batch = built.batch()

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        """Counts the operations."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            calls.append(func)
            return func(*args, **(kwargs or {}))

    with torch.inference_mode():
        output = network(batch)
        with Counting():
            attention = {n: one.weights for n, one in output.attention.items()}
            assert not calls
            for weights in attention.values():
                weights()
    assert bool(calls) == (name in ("li2018", "wei2022"))
