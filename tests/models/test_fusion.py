"""What holds for every fusion, and what each one is, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from serlab.bench.errors import BadValue
from serlab.models.variant import load_option, options_of

NAMES = sorted(options_of("fusion"))
WIDTHS, WIDTH = (5, 3), 4


def made(name: str, widths: tuple[int, ...] = WIDTHS, width: int = WIDTH) -> Any:  # an option
    """A fusion with weights from a fixed seed, in the mode of a prediction."""
    torch.manual_seed(0)
    return load_option("fusion", name)(widths, width, heads=2, dropout=0.3).eval()


def vectors(seed: int = 1, steps: int = 6) -> list[Tensor]:
    """Two items of noise."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(2, steps, n, generator=draw) for n in WIDTHS]


def a_mask() -> Tensor:
    """The first item has six steps, the second four."""
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return mask


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_weights(name: str) -> None:
    """Weights are shares of the modalities; masked steps are 0 and have no weight."""
    fused, weights = made(name)(vectors(), a_mask())
    assert fused.shape == (2, 6, WIDTH)
    assert weights.shape == (2, 6, 2)
    torch.testing.assert_close(weights.sum(dim=-1), a_mask().float())
    assert (weights >= 0).all()
    assert not fused[1, 4:].any()
    assert fused[a_mask()].abs().sum(dim=-1).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_masked_steps_have_no_influence(name: str) -> None:
    """Not even where they hold what is no number."""
    fusion, xs = made(name), vectors()
    before, weights = fusion(xs, a_mask())
    spoilt = [torch.where(a_mask().unsqueeze(-1), x, torch.nan) for x in xs]
    after, same = fusion(spoilt, a_mask())
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(same, weights)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_modality_has_no_influence_and_no_weight(name: str, missing: int) -> None:
    """At the steps where it is missing; the other one has all the weight, if it is used."""
    fusion, xs = made(name), vectors()
    present = [torch.ones(2, 6, dtype=torch.bool) for _ in xs]
    present[missing][0, 2] = False
    first, weights = fusion(xs, a_mask(), present)
    assert weights[0, 2, missing] == 0
    assert weights[0, 2].sum() == float(fusion.uses != (missing,))
    xs[missing][0, 2] = torch.nan
    again, _ = fusion(xs, a_mask(), present)
    torch.testing.assert_close(again, first)
    assert torch.isfinite(again).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_present_is_finite(name: str) -> None:
    """An item of which no step is real gives 0 and finite gradients."""
    fusion, xs = made(name).train(), [x.requires_grad_() for x in vectors()]
    fused, weights = fusion(xs, torch.zeros(2, 6, dtype=torch.bool))
    assert not fused.any()
    assert not weights.any()
    fused.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name: str) -> None:
    """Of the modalities that are used; no projection of another one exists."""
    fusion = made(name)
    fused, _ = fusion(vectors(), a_mask())
    (fused**2).sum().backward()
    for parameter_name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize(("name", "used"), [("first_only", 0), ("second_only", 1)])
def test_one_modality_alone(name: str, used: int) -> None:
    """Its projection; the other may be left out, and gives the same."""
    fusion, xs = made(name), vectors()
    fused, weights = fusion(xs, a_mask())
    expected = fusion.projections[0](xs[used]) * a_mask().unsqueeze(-1)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(weights[..., used], a_mask().float())
    alone, _ = fusion([xs[used]], a_mask())
    torch.testing.assert_close(alone, fused)
    assert fusion.uses == (used,)
    assert sum(p.numel() for p in fusion.parameters()) == (WIDTHS[used] + 1) * WIDTH


def test_attention_by_hand() -> None:
    """Identity maps and w = (1, 0): weights are the softmax of tanh of the first values."""
    fusion = made("attention", (2, 2), 2)
    for projection in fusion.projections:
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    nn.init.eye_(fusion.shared.weight)
    fusion.score.weight.data = torch.tensor([[1.0, 0.0]])
    xs = [torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[-1.0, 4.0]]])]
    fused, weights = fusion(xs, torch.ones(1, 1, dtype=torch.bool))
    first = 0.8210069  # 1 / (1 + exp(-2 tanh 1)), tanh 1 = 0.7615942
    torch.testing.assert_close(weights, torch.tensor([[[first, 1 - first]]]))
    expected = torch.tensor([[[2 * first - 1, 4 - 2 * first]]])
    torch.testing.assert_close(fused, expected)


def test_score_attention_by_hand() -> None:
    """Rectified vectors, score the sum of four values over sqrt(4)."""
    fusion = made("score_attention", (4, 4), 4)
    for projection in fusion.projections:
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    nn.init.ones_(fusion.score.weight)
    xs = [torch.tensor([[[1.0, 1.0, 0.0, -9.0]]]), torch.tensor([[[0.0, 0.0, 4.0, -9.0]]])]
    fused, weights = fusion(xs, torch.ones(1, 1, dtype=torch.bool))
    first = 0.2689414  # 1 / (1 + exp(2 - 1))
    torch.testing.assert_close(weights, torch.tensor([[[first, 1 - first]]]))
    torch.testing.assert_close(fused[0, 0], torch.tensor([first, first, 4 * (1 - first), 0.0]))


def test_sum_product_and_gates_by_hand() -> None:
    """Of the projections p and q: p + q, p q, and the halves of tanh where all gates are 0."""
    ones = torch.ones(2, 6, dtype=torch.bool)
    xs = vectors()
    for name in ("add", "dot", "gated"):
        fusion = made(name)
        p, q = (layer(x) for layer, x in zip(fusion.projections, xs, strict=True))
        expected = {"add": p + q, "dot": p * q, "gated": (p.tanh() + q.tanh()) / 2}[name]
        if name == "gated":
            nn.init.zeros_(fusion.gates.weight)
            nn.init.zeros_(fusion.gates.bias)
        torch.testing.assert_close(fusion(xs, ones)[0], expected)


def test_a_missing_factor_is_one() -> None:
    """The product of one modality is that modality's projection."""
    fusion, xs = made("dot"), vectors()
    ones = torch.ones(2, 6, dtype=torch.bool)
    fused, _ = fusion(xs, ones, [ones, ~ones])
    torch.testing.assert_close(fused, fusion.projections[0](xs[0]))


def test_multi_head_is_scaled_dot_product_attention() -> None:
    """softmax(QK'/sqrt(d))V of each head, side by side, over real steps; then the output map."""
    fusion, (first, second) = made("multi_head"), vectors()
    inner = fusion.attention
    joint = fusion.projections[0](torch.cat([first, second], dim=-1))
    q = fusion.query(first) @ inner.q_proj_weight.T
    k, v = second @ inner.k_proj_weight.T, joint @ inner.v_proj_weight.T
    heads = []
    for a, b in ((0, 2), (2, 4)):
        logits = q[..., a:b] @ k[..., a:b].transpose(1, 2) / 2**0.5
        logits = logits.masked_fill(~a_mask()[:, None, :], -torch.inf)
        heads.append(logits.softmax(dim=-1) @ v[..., a:b])
    expected = torch.cat(heads, dim=-1) @ inner.out_proj.weight.T * a_mask().unsqueeze(-1)
    fused, _ = fusion([first, second], a_mask())
    torch.testing.assert_close(fused, expected)


def test_three_vectors_fuse_where_two_are_not_asked_for() -> None:
    """As the second level of Tzirakis et al. does; the multi-head one refuses."""
    xs = [torch.randn(2, 6, 4) for _ in range(3)]
    for name in ("attention", "score_attention", "concat", "concat_deep", "add", "dot", "gated"):
        fused, weights = made(name, (4, 4, 4))(xs, a_mask())
        assert (fused.shape, weights.shape) == ((2, 6, 4), (2, 6, 3))
    with pytest.raises(BadValue, match="two modalities, where there are 3"):
        made("multi_head", (4, 4, 4))


def test_heads_must_divide_the_width() -> None:
    """The message says which width."""
    with pytest.raises(BadValue, match="heads = 2: expected a divisor of the fused width 5"):
        made("multi_head", width=5)


def test_parameter_counts() -> None:
    """Worked out from the widths 5, 3 and 4."""
    each = 6 * 4 + 4 * 4
    expected = {
        "attention": each + 16 + 4,
        "score_attention": each + 4,
        "concat": 9 * 4,
        "concat_deep": each + 9 * 4,
        "add": each,
        "dot": each,
        "gated": each + 9 * 8,
        "multi_head": 9 * 4 + 5 * 4 + (16 + 12 + 16 + 12) + 5 * 4,
        "first_only": 6 * 4,
        "second_only": 4 * 4,
    }
    assert {n: sum(p.numel() for p in made(n).parameters()) for n in NAMES} == expected
