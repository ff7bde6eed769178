"""What holds for every variant that the registry can make."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from serlab.bench.contracts import Scalar, Sizes
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.features.base import feature
from serlab.bench.seeds import torch_seeded
from serlab.models.describe import describe, describe_text
from serlab.models.variant import (
    OPTIONS,
    SYSTEMS,
    make,
    options_of,
    parse_assignment,
    resolve,
)

NETWORKS = [name for name in SYSTEMS.entries() if name != "functionals_svm"]
SHRUNK: dict[str, Scalar] = {"width": 0.5, "n_bands": 40}


def batch_for(n_bands: int, lengths: tuple[int, ...] = (60, 60, 60), longest: int = 60) -> Batch:
    """Random images of given lengths, padded with zeros to the longest."""
    rng = np.random.default_rng(0)
    x, mask = np.zeros((len(lengths), longest, n_bands), "f4"), np.zeros((len(lengths), longest))
    for row, n in enumerate(lengths):
        x[row, :n] = rng.standard_normal((200, n_bands))[:n]
        mask[row, :n] = 1
    return Batch(
        inputs={"image": torch.from_numpy(x)},
        masks={"image": torch.from_numpy(mask > 0)},
        targets=torch.eye(4)[torch.arange(len(lengths)) % 4],
        speakers=torch.zeros(len(lengths), dtype=torch.long),
        items=torch.arange(len(lengths)),
        class_weights=torch.ones(4),
    )


def build(system: str, preset: str = "small", seed: int = 0, **changes: Scalar) -> nn.Module:
    """A network of four classes."""
    made = make(resolve(system, preset, changes))
    spec = next(iter(made.inputs().values()))
    n_values = feature(spec).n_values
    sizes = Sizes(
        n_classes=4, n_speakers=8, n_features={"image": n_values}, rate_hz={"image": 62.5}
    )
    with torch_seeded(seed, "weights"):
        network: nn.Module = made.build(sizes)
    return network


def every_option() -> Iterator[tuple[str, str, str]]:
    """Each system with each option of each of its slots."""
    for system in NETWORKS:
        for slot in SYSTEMS.entry(system).facts["slots"]:
            for option in options_of(slot):
                yield system, slot, option


def test_paper_size_of_li2018() -> None:
    """The setting of the paper has 93,573 parameters [X]."""
    network = build("li2018", "paper")
    assert sum(p.numel() for p in network.parameters()) == 93_573


@pytest.mark.parametrize(("system", "slot", "option"), list(every_option()))
def test_every_option_trains(system: str, slot: str, option: str) -> None:
    """It builds, gives scores of the right shape, and a gradient reaches every parameter."""
    changes = {**SHRUNK, slot: option}
    network = build(system, **changes).train()
    batch = batch_for(40)
    output = network(batch)
    assert output.scores.shape == (3, 4)
    assert output.embedding.shape[0] == 3
    loss = network.losses(output, batch)["emotion"]
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    reached = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    missed = {n for n, _ in network.named_parameters()} - set(reached)
    # a bias before batch normalisation changes nothing, nor does one that softmax cancels
    assert all(n.endswith("bias") for n in missed), missed


def changed(system: str, slot: str, option: str) -> bool:
    """Whether an option gives another function, feature, cutting or augmentation than the base."""
    base, other = (make(resolve(system, "small", c)) for c in (SHRUNK, {**SHRUNK, slot: option}))
    if base.inputs() != other.inputs() or base.segments() != other.segments():
        return True
    if base.augmentation() != other.augmentation():
        return True
    a, b = build(system, **SHRUNK).eval(), build(system, **{**SHRUNK, slot: option}).eval()
    batch = batch_for(40)
    same = a.state_dict().keys() == b.state_dict().keys()
    return not same or not torch.allclose(a(batch).scores, b(batch).scores, atol=1e-6)


@pytest.mark.parametrize(("system", "slot", "option"), list(every_option()))
def test_no_toggle_does_nothing(system: str, slot: str, option: str) -> None:
    """An option that is not the base's changes what is computed."""
    base = resolve(system, "small")
    if slot == "compression":  # has a part in the spectrogram alone
        one = make(resolve(system, "paper", {slot: option})).inputs()["image"]
        assert one.settings["compression"] == option
    elif base.options[slot] != option:
        assert changed(system, slot, option)


@pytest.mark.parametrize("pooling", list(options_of("pooling")))
def test_padding_and_order_change_nothing(pooling: str) -> None:
    """Whole utterances score the same alone, padded, and in any order (to 1e-5)."""
    network = build("li2018", **SHRUNK, segmentation="whole", pooling=pooling).eval()
    lengths = (40, 60, 52)
    with torch.no_grad():
        together = network(batch_for(40, lengths)).scores
        padded = network(batch_for(40, lengths, longest=96)).scores
        torch.testing.assert_close(together, padded, atol=1e-5, rtol=0)
        for row in range(3):
            batch = batch_for(40, lengths)
            n = lengths[row]
            alone = Batch(
                **{
                    **vars(batch),
                    "inputs": {"image": batch.inputs["image"][row : row + 1, :n]},
                    "masks": {"image": batch.masks["image"][row : row + 1, :n]},
                }
            )
            torch.testing.assert_close(network(alone).scores[0], together[row], atol=1e-5, rtol=0)


def test_same_seed_gives_same_weights() -> None:
    """Weights depend on the seed alone."""
    a, b, c = build("li2018"), build("li2018"), build("li2018", seed=1)
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


def test_attention_is_the_product_of_the_two_maps() -> None:
    """The paper's pooling equals the mean over places of softmaxed bottom-up times top-down.

    Written out from the formula, without the top-down bias, which the factored form does not
    shrink.
    """
    pooling = OPTIONS.load("pooling.attention")(8, 4)
    nn.init.zeros_(pooling.top_down.bias)
    x = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(0))
    scores, _, attention = pooling(x, torch.ones(2, 7, dtype=torch.bool))
    bottom_up = pooling.bottom_up(x).flatten(1).softmax(dim=1).reshape(2, 1, 5, 7)
    expected = (bottom_up * pooling.top_down(x)).mean(dim=(2, 3))
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(attention, bottom_up[:, 0] / 35)


def test_mean_pooling_is_the_mean_of_the_top_down_maps() -> None:
    """Both are linear, so their order does not matter."""
    pooling = OPTIONS.load("pooling.mean")(8, 4)
    x = torch.randn(2, 8, 5, 7)
    scores, _, _ = pooling(x, torch.ones(2, 7, dtype=torch.bool))
    torch.testing.assert_close(scores, pooling.top_down(x).mean(dim=(2, 3)))


def test_svm_agrees_with_scikit_learn() -> None:
    """The estimator is a linear SVC on the vectors as they are, and ranks classes as it does."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 10)).astype("f4"), np.arange(60) % 3
    made = make(resolve("functionals_svm"))
    ours = made.build(Sizes(n_classes=3, n_speakers=2, n_features={"vector": 10}, rate_hz={}))
    ours.fit({"vector": x}, y, 0)
    theirs = SVC(C=1e-3, kernel="linear", class_weight="balanced", break_ties=True).fit(x, y)
    scores = ours.predict({"vector": x})
    np.testing.assert_array_equal(scores.argmax(axis=1), theirs.predict(x))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert ours.n_parameters() == 33
    ours.fit({"vector": x}, y % 2, 0)
    assert ours.predict({"vector": x}).shape == (60, 2)


def test_names_of_slots_and_settings_do_not_collide() -> None:
    """One namespace serves a study's `set`."""
    for system, entry in SYSTEMS.entries().items():
        variant = resolve(system)
        assert not set(variant.options) & set(variant.settings)
        for slot, option in entry.facts["slots"].items():
            assert option in options_of(slot)
        for preset in entry.facts["presets"]:
            resolve(system, preset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poling": "max"}, 'did you mean "pooling"'),
        ({"pooling": "atention"}, 'did you mean "attention"'),
        ({"pooling": 3}, '"3" is no option of the slot pooling'),
        ({"epochs": "many"}, "epochs = 'many': expected an integer"),
        ({"epochs": 0}, "expected an integer of at least 1"),
        ({"epochs": True}, "expected an integer"),
        ({"dropout": float("nan")}, "expected a number from 0"),
        ({"optimiser": "lion"}, "expected one of adamw, adam, sgd, adadelta"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Scalar], message: str) -> None:
    """Each mistake names the key, the value and what was expected."""
    with pytest.raises(SerlabError, match=message):
        resolve("li2018", "small", changes)


def test_unknown_preset_is_refused() -> None:
    """The presets that there are stand in the message."""
    with pytest.raises(UnknownName, match="paper, small"):
        resolve("li2018", "tiny")


def test_bands_must_divide_the_bins() -> None:
    """A spectrogram cannot be pooled to a number of bands that does not divide its bins."""
    with pytest.raises(BadValue, match="a divisor of the 400 bins"):
        make(resolve("li2018", "paper", {"n_bands": 64})).inputs()


def test_label_is_the_difference_from_the_base() -> None:
    """Labels are computed, and the same for the same difference."""
    base = resolve("li2018")
    assert base.difference(base) == "base"
    assert resolve("li2018", "small", {"pooling": "max"}).difference(base) == "pooling=max"
    assert resolve("functionals_svm").difference(base) == "functionals_svm"


def test_assignments_are_parsed_as_toml_values() -> None:
    """Numbers, truth values and bare texts."""
    assert parse_assignment("epochs=3") == ("epochs", 3)
    assert parse_assignment("pool_first=true") == ("pool_first", True)
    assert parse_assignment("pooling=max") == ("pooling", "max")
    for text in ("pooling", "=3", "x=[1]"):
        with pytest.raises(SerlabError):
            parse_assignment(text)


def test_description_tells_size_and_sources() -> None:
    """`serlab describe` knows the parameters, the MACs and where every option is from."""
    facts = describe("li2018", "paper", {})
    assert facts["size"]["parameters"] == 93_573
    first = 399 * 199 * (8 * 20 + 8 * 16)
    later = 399 * 199 * 16 * 32 * 9 + 199 * 99 * 32 * 48 * 9 + 99 * 49 * 9 * (48 * 64 + 64 * 80)
    places = 99 * 49 * 80
    assert facts["size"]["macs"] == first + later + places + places + 80 * 4
    text = describe_text(facts)
    assert "93,573 parameters" in text
    assert "[N]" in text
    assert "functionals" in describe_text(describe("functionals_svm", "", {}))
