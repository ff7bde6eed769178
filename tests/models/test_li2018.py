"""What the paper of Li et al. (2018) fixes, and what follows from its formulas."""

from __future__ import annotations

import pytest
import torch
from networks import NoReading, build
from torch import nn

from serlab.bench.errors import BadValue
from serlab.models.variant import OPTIONS, make, resolve


def test_paper_size_of_li2018() -> None:
    """The setting of the paper has 93,573 parameters [X]."""
    network = build("li2018", {"width": 1.0, "n_bands": 400}, preset="paper").network
    assert sum(p.numel() for p in network.parameters()) == 93_573


def test_attention_is_the_product_of_the_two_maps() -> None:
    """The paper's pooling equals the mean over places of softmaxed bottom-up times top-down.

    Written out from the formula, without the top-down bias, which the factored form does not
    shrink.
    """
    pooling = OPTIONS.load("pooling.attention")(8, 4)
    nn.init.zeros_(pooling.top_down.bias)
    x = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(0))
    scores, _, look = pooling(x, torch.ones(2, 7, dtype=torch.bool))
    bottom_up = pooling.bottom_up(x).flatten(1).softmax(dim=1).reshape(2, 1, 5, 7)
    expected = (bottom_up * pooling.top_down(x)).mean(dim=(2, 3))
    torch.testing.assert_close(scores, expected)
    product = bottom_up * pooling.top_down(x) / 35
    torch.testing.assert_close(look(), (product - product.mean(dim=1, keepdim=True)).abs())


def test_mean_pooling_is_the_mean_of_the_top_down_maps() -> None:
    """Both are linear, so their order does not matter."""
    pooling = OPTIONS.load("pooling.mean")(8, 4)
    x = torch.randn(2, 8, 5, 7)
    scores, _, _ = pooling(x, torch.ones(2, 7, dtype=torch.bool))
    torch.testing.assert_close(scores, pooling.top_down(x).mean(dim=(2, 3)))


def test_bands_must_divide_the_bins() -> None:
    """A spectrogram cannot be pooled to a number of bands that does not divide its bins."""
    with pytest.raises(BadValue, match="a divisor of the 400 bins"):
        make(resolve("li2018", "paper", {"n_bands": 64})).inputs()


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_nothing_is_read_back_from_the_device(preset: str) -> None:
    """Neither scores nor losses wait for a value."""
    built = build("li2018", {"n_bands": 40, "width": 0.25}, preset=preset)
    batch = built.batch()
    with NoReading():
        built.network.losses(built.network(batch), batch)  # type: ignore[operator]
