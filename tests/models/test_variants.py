"""What holds for every variant that the registry can make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import BESIDE, NETWORKS, Built, build, every_option, targets
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from serlab.bench.contracts import Scalar, Target
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.train import select_parameters
from serlab.models.describe import describe, describe_text
from serlab.models.variant import (
    SYSTEMS,
    options_of,
    parse_assignment,
    resolve,
)

GOLDEN = Path(__file__).parent.parent / "golden"
OPTIONS_OF_ALL = list(every_option())

REFUSED = {
    (system, "adversary", option)
    for system, option in [
        ("crnn", "modality"),
        ("crnn", "speaker_and_corpus"),
        ("li2018", "modality"),
        ("li2018", "speaker_and_corpus"),
        ("lian2019", "modality"),
        ("lian2019", "speaker_and_corpus"),
        ("tzirakis2021", "modality"),
        ("tzirakis2021", "speaker_and_corpus"),
        ("wei2022", "speaker_and_corpus"),
        ("gao2021", "modality"),
    ]
} | {
    ("wei2022", "visual", "none"),
    ("wei2022", "branches", "mdscm"),
    ("tzirakis2021", "perturbation", "speed"),
    ("tzirakis2021", "perturbation", "all"),
}
"""Options that a system refuses at the tests' base, since they have no part in it."""


def accepted() -> list[tuple[str, str, str]]:
    """The options that build."""
    return [one for one in OPTIONS_OF_ALL if one not in REFUSED]


@pytest.mark.parametrize(("system", "slot", "option"), sorted(REFUSED))
def test_what_cannot_be_is_refused(system: str, slot: str, option: str) -> None:
    """Before anything runs, by a message that names the slot."""
    named = slot if slot == "perturbation" else "adversary"
    with pytest.raises(BadValue, match=named):
        build(system, {slot: option})


@pytest.mark.parametrize(("system", "slot", "option"), accepted())
def test_every_option_trains(system: str, slot: str, option: str) -> None:
    """It builds and gives scores; a gradient reaches all that a stage trains and nothing else."""
    built = build(system, {**BESIDE.get((system, slot), {}), slot: option})
    for stage in built.system.stages():
        built.network.train()
        built.network.zero_grad(set_to_none=True)
        trained = select_parameters(built.network, stage.trains)
        assert trained, stage.name
        built.loss(stage).backward()
        for name, parameter in built.network.named_parameters():
            if not parameter.requires_grad:
                assert parameter.grad is None, name
                continue
            assert parameter.grad is not None, (stage.name, name)
            assert torch.isfinite(parameter.grad).all(), name
            if not parameter.grad.any():
                # a bias before a normalisation or a softmax changes nothing
                assert name.endswith("bias") or "in_proj_bias" in name, (stage.name, name)
    output = built.network.eval()(built.batch())
    assert output.scores.shape == (4, 4)
    assert output.embedding.shape[0] == 4


@pytest.mark.parametrize("system", [s for s in NETWORKS if "traces" in targets(s)])
def test_traces_have_the_frames_of_the_labels(system: str) -> None:
    """Continuous systems give one value a dimension for every rated frame, and learn from them."""
    built = build(system, target="traces")
    batch = built.batch()
    output = built.network(batch)
    assert output.scores.shape == batch.traces.shape
    built.loss(built.system.stages()[-1]).backward()


def signature(built: Built) -> dict[str, Tensor]:
    """Scores, every stage's loss and gradients for one batch."""
    built.network.eval()
    found = {"scores": built.network(built.batch()).scores.detach()}
    for stage in built.system.stages():
        built.network.zero_grad(set_to_none=True)
        select_parameters(built.network, stage.trains)
        loss = built.loss(stage, progress=0.1)
        loss.backward()
        found[f"{stage.name}.loss"] = loss.detach()
        for name, parameter in built.network.named_parameters():
            if parameter.grad is not None:
                found[f"{stage.name}.{name}"] = parameter.grad.clone()
    return found


def differs(base: Built, other: Built) -> bool:
    """Whether an option changes the features, the cut, the training or the function."""
    facts = ("inputs", "streams", "unlabelled", "segments", "augmentation", "perturbation")
    for fact in (*facts, "stages"):
        if getattr(base.system, fact)() != getattr(other.system, fact)():
            return True
    a, b = signature(base), signature(other)
    if a.keys() != b.keys():
        return True
    return any(a[k].shape != b[k].shape or not torch.allclose(a[k], b[k], atol=1e-6) for k in a)


@pytest.mark.parametrize(("system", "slot", "option"), accepted())
def test_no_toggle_does_nothing(system: str, slot: str, option: str) -> None:
    """An option that is not the base's changes something, with the same seed and data."""
    beside = BESIDE.get((system, slot), {})
    target: Target = "traces" if slot in ("ccc_weights", "trace_loss") else "emotion"
    base = build(system, beside, target=target)
    if base.system.variant.options[slot] != option:  # type: ignore[attr-defined]
        assert differs(base, build(system, {**beside, slot: option}, target=target))


def random_options(system: str, number: int) -> dict[str, Scalar]:
    """An option for every slot, drawn."""
    rng = np.random.default_rng([number, *system.encode()])
    slots = SYSTEMS.entry(system).facts["slots"]
    return {slot: str(rng.choice(list(options_of(slot)))) for slot in slots}


@pytest.mark.parametrize("system", NETWORKS)
def test_random_combinations_build_or_are_refused(system: str) -> None:
    """Two hundred over all systems: finite scores and loss, or a message before anything runs."""
    n_built, n_drawn = 0, 200 // len(NETWORKS) + 1
    for number in range(n_drawn):
        options = random_options(system, number)
        try:
            built = build(system, options)
        except BadValue:
            continue
        n_built += 1
        assert built.network.eval()(built.batch()).scores.shape == (4, 4), options
        for stage in built.system.stages():
            assert torch.isfinite(built.loss(stage)), options
    assert n_built >= n_drawn // 3


def rows(batch: Batch, chosen: Sequence[int]) -> Batch:
    """Some items of a batch, in an order."""
    index = torch.tensor(chosen)

    def of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: t[index] for name, t in tensors.items()}

    per_item = ("targets", "traces", "trace_mask", "speakers", "corpora", "dialogues", "turns",
                "items")  # fmt: skip
    held = {name: getattr(batch, name)[index] for name in per_item}
    return replace(batch, inputs=of(batch.inputs), masks=of(batch.masks), **held)


WHOLE: Mapping[str, Mapping[str, Scalar]] = {
    "li2018": {"segmentation": "whole"},
    "crnn": {"segmentation": "whole"},
}
"""What makes a system see whole, padded utterances."""


@pytest.mark.parametrize(
    ("system", "changes"),
    [(s, WHOLE.get(s, {})) for s in NETWORKS]
    + [("li2018", {"segmentation": "whole", "pooling": p}) for p in options_of("pooling")]
    + [("crnn", {"segmentation": "whole", "frame_pooling": p}) for p in options_of("frame_pooling")]
    + [("lian2019", {"fusion": f, "context": c}) for f in options_of("fusion") for c in ("gru",)]
    + [("lian2019", {"context": c}) for c in options_of("context")]
    + [("gao2021", {"fusion": f}) for f in options_of("fusion")]
    + [("wei2022", {"zero_maps": z, "late_fusion": f}) for z in options_of("zero_maps")
       for f in options_of("late_fusion")],
)  # fmt: skip
def test_padding_and_order_change_nothing(system: str, changes: Mapping[str, Scalar]) -> None:
    """Scores are the same padded, in another order, and by dialogue alone (to 1e-5)."""
    for target in targets(system):
        check_invariance(build(system, changes, target=target), target)


def check_invariance(built: Built, target: Target) -> None:
    network = built.network.eval()
    with torch.no_grad():
        together = network(built.batch()).scores
        padded = network(built.batch(padded_s=2.5)).scores
        if target == "traces":
            padded = padded[:, : together.shape[1]]
            together = together * built.batch().trace_mask.unsqueeze(-1)
            padded = padded * built.batch().trace_mask.unsqueeze(-1)
        torch.testing.assert_close(padded, together, atol=1e-5, rtol=0)
        if target == "traces":
            return
        order = [2, 0, 3, 1]
        torch.testing.assert_close(
            network(rows(built.batch(), order)).scores, together[order], atol=1e-5, rtol=0
        )
        for pair in ([0, 1], [2, 3]):  # the dialogues of the batch
            alone = network(rows(built.batch(), pair)).scores
            torch.testing.assert_close(alone, together[pair], atol=1e-5, rtol=0)


@pytest.mark.parametrize("system", NETWORKS)
def test_labels_and_domains_do_not_reach_the_scores(system: str) -> None:
    """What is to be recognised, and who speaks, has no way into a prediction."""
    built = build(system)
    batch = built.batch()
    other = replace(
        batch,
        targets=batch.targets.roll(1, 0),
        speakers=torch.full_like(batch.speakers, -1),
        corpora=torch.zeros_like(batch.corpora),
        class_weights=batch.class_weights * 2,
    )
    network = built.network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(other).scores, network(batch).scores)


@pytest.mark.parametrize("system", NETWORKS)
def test_unlabelled_items_have_no_part_in_the_emotion_loss(system: str) -> None:
    """A row of zeros is no label: the loss is that of the others."""
    built = build(system)
    network, batch = built.network.eval(), built.batch()
    stage = built.system.stages()[-1].name
    batch = replace(batch, stage=stage)
    hidden = replace(batch, targets=batch.targets * torch.tensor([1.0, 1, 0, 0]).unsqueeze(1))
    whole = network(batch)
    term = network.losses(whole, hidden)["emotion"]  # type: ignore[operator]
    by_hand = -(batch.targets * whole.scores.log_softmax(dim=1))[:2].sum(dim=1).mean()
    torch.testing.assert_close(term, by_hand)


@pytest.mark.parametrize("system", NETWORKS)
def test_same_seed_gives_same_weights(system: str) -> None:
    """Weights depend on the seed alone."""
    a, b, c = (build(system, seed=seed).network for seed in (0, 0, 1))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


@pytest.mark.parametrize("system", NETWORKS)
def test_state_goes_through_safetensors(system: str) -> None:
    """Weights and statistics are tensors and nothing else: they come back whole."""
    built, other = build(system), build(system, seed=1)
    state = {k: v.contiguous() for k, v in built.network.state_dict().items()}
    other.network.load_state_dict(load_tensors(save_tensors(state)))
    batch = built.batch()
    with torch.no_grad():
        a, b = built.network.eval()(batch), other.network.eval()(batch)
    assert torch.equal(a.scores, b.scores)


@pytest.mark.parametrize("system", NETWORKS)
def test_golden_scores(system: str) -> None:
    """The base gives the scores that it gave when they were written down."""
    built = build(system)
    with torch.no_grad():
        scores = built.network.eval()(built.batch()).scores
    golden = json.loads((GOLDEN / "scores.json").read_text(encoding="utf-8"))[system]
    torch.testing.assert_close(scores, torch.tensor(golden), atol=2e-4, rtol=1e-3)


class Exported(nn.Module):
    """A network whose inputs are tensors, as torch.export wants them."""

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        super().__init__()
        self.network, self.batch = network, batch

    def forward(self, inputs: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
        scores: Tensor = self.network(replace(self.batch, inputs=inputs, masks=masks)).scores
        return scores


NOT_EXPORTED = {
    "crnn": "the packed sequences of its LSTM have lengths that depend on the data",
    "gao2021": "it convolves real segments only, whose number depends on the data",
    "tzirakis2021": "it convolves real frames only, whose number depends on the data",
    "lian2019": "its grid of dialogues and turns depends on the data",
    "wei2022": "it encodes filled maps only, whose number depends on the data",
}
"""Systems that torch.export cannot take, and why."""


@pytest.mark.parametrize("system", NETWORKS)
def test_torch_export(system: str) -> None:
    """A base exports and gives the same scores, or its reason is written down."""
    built = build(system)
    batch = built.batch()
    module = Exported(built.network.eval(), batch).eval()
    given = (dict(batch.inputs), dict(batch.masks))
    if system in NOT_EXPORTED:
        with pytest.raises(Exception):  # noqa: B017  torch has many for this
            torch.export.export(module, given)
        return
    program = torch.export.export(module, given).module()
    with torch.no_grad():
        torch.testing.assert_close(program(*given), module(*given), atol=1e-5, rtol=1e-4)


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
