"""Gradient reversal, its schedules, and the domain heads."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from networks import build
from torch import Tensor

from serlab.bench.contracts import Sizes
from serlab.bench.example import example_batch
from serlab.models.components.adversary import AdversarialSettings, reverse_gradient
from serlab.models.variant import load_option, options_of

SIZES = Sizes(
    n_classes=4, n_speakers=5, n_features={"x": 3, "face": 2}, rate_hz={"x": 0, "face": 0},
    n_corpora=3,
)  # fmt: skip
SETTINGS = AdversarialSettings(reversal=0.7, domain_width=6)


def test_the_gradient_is_reversed_and_scaled() -> None:
    """Against a value derived by hand: d/dx sum(3 x) is 3, and comes back as -0.25 x 3."""
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.25)
    assert torch.equal(y, x)
    (3 * y).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-0.75, -0.75]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", {0.0: 0.7, 0.15: 0.7, 1.0: 0.7}),
        ("logistic", {0.0: 0.0, 0.15: 0.7 * math.tanh(0.75), 1.0: 0.7 * math.tanh(5.0)}),
        ("warm_up", {0.0: 0.0, 0.15: 0.35, 0.3: 0.7, 1.0: 0.7}),
    ],
)
def test_schedules_follow_their_formulas(name: str, values: dict[float, float]) -> None:
    """2 / (1 + exp(-10 p)) - 1 is tanh(5 p); the warm-up is over at 0.3."""
    schedule = load_option("reversal_schedule", name)
    for progress, expected in values.items():
        assert schedule(progress, 0.7) == pytest.approx(expected)


def adversary_gradient(
    option: str, progress: float, schedule: str = "warm_up"
) -> tuple[Tensor, Tensor]:
    """What an embedding is told by an option, and by its head alone."""
    torch.manual_seed(0)
    module = load_option("adversary", option)(
        3, SIZES, SETTINGS, load_option("reversal_schedule", schedule)
    )
    batch = replace(example_batch(SIZES, [1.0] * 6, inputs=("x",)), progress=progress)
    embedding = torch.randn(6, 3, requires_grad=True)
    terms = module(embedding, batch)
    assert tuple(terms) == module.terms
    sum(terms.values()).backward()  # type: ignore[union-attr]
    told = embedding.grad
    assert told is not None
    plain = embedding.detach().clone().requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(module.head(plain), batch.speakers)
    if "corpus" in terms:
        loss = loss + torch.nn.functional.cross_entropy(module.corpus(plain), batch.corpora)
    loss.backward()
    assert plain.grad is not None
    return told, plain.grad


@pytest.mark.parametrize("option", ["speaker", "speaker_and_corpus"])
@pytest.mark.parametrize("progress", [0.0, 0.15, 1.0])
def test_an_embedding_is_told_the_opposite(option: str, progress: float) -> None:
    """Minus lambda of the progress times the head's own gradient, for every head behind it."""
    told, plain = adversary_gradient(option, progress)
    torch.testing.assert_close(told, -0.7 * min(1.0, progress / 0.3) * plain)


def test_the_control_differs_in_the_sign_alone() -> None:
    """Same head, same weights, same strength."""
    reversed_, _ = adversary_gradient("speaker", 0.2)
    auxiliary, _ = adversary_gradient("speaker_auxiliary", 0.2)
    torch.testing.assert_close(auxiliary, -reversed_)


def test_unknown_speakers_have_no_part() -> None:
    """An item whose speaker is not trained on changes no term; a batch of such has none."""
    module = load_option("adversary", "speaker")(3, SIZES, SETTINGS, lambda progress, largest: 1.0)
    batch = example_batch(SIZES, [1.0] * 4, inputs=("x",))
    x = torch.randn(4, 3)
    some = replace(batch, speakers=torch.tensor([0, -1, 2, -1]))
    both = replace(batch, speakers=torch.tensor([0, 2]))
    term = module(x, some)["speaker"]
    torch.testing.assert_close(term, module(x[[0, 2]], both)["speaker"])
    assert module(x, replace(batch, speakers=torch.full((4,), -1))) == {}


def test_modalities_are_told_by_the_stream() -> None:
    """Speech is 0 and faces are 1; the loss of a sure head shows it."""
    module = load_option("adversary", "modality")(3, SIZES, SETTINGS, lambda progress, largest: 1.0)
    torch.nn.init.zeros_(module.head[-1].weight)
    torch.nn.init.constant_(module.head[-1].bias, 8.0)
    speech = example_batch(SIZES, [1.0], inputs=("x",))
    x = torch.randn(1, 3)
    assert module(x, speech)["modality"].item() == pytest.approx(8.0, abs=1e-2)
    assert module(x, replace(speech, stream="faces"))["modality"].item() < 1e-3


def test_every_domain_option_names_its_terms() -> None:
    """What the stages weigh is what the module gives."""
    for option in options_of("adversary"):
        module = load_option("adversary", option)(3, SIZES, SETTINGS, lambda progress, largest: 1.0)
        terms = module(torch.randn(2, 3), example_batch(SIZES, [1.0, 1.0], inputs=("x",)))
        assert tuple(terms) == module.terms


@pytest.mark.parametrize("system", ["li2018", "crnn", "lian2019", "tzirakis2021"])
def test_the_encoder_climbs_where_the_head_descends(system: str) -> None:
    """In the network, the speaker term's gradient is opposite with and without the reversal."""
    given = []
    for option in ("speaker", "speaker_auxiliary"):
        built = build(system, {"adversary": option, "reversal_schedule": "constant"})
        built.network.eval()
        batch = built.batch(stage=built.system.stages()[0].name)
        built.network.losses(built.network(batch), batch)["speaker"].backward()  # type: ignore[operator]
        given.append({n: p.grad for n, p in built.network.named_parameters() if p.grad is not None})
    for name, mine in given[0].items():
        sign = 1.0 if name.startswith("adversary.") else -1.0
        torch.testing.assert_close(mine, sign * given[1][name], msg=name)
