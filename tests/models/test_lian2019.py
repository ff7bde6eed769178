"""Lian et al. 2019: sizes, dialogues, missing text, and what its adversary does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from serlab.bench.contracts import Scalar, Sizes
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.bench.example import example_batch
from serlab.bench.seeds import torch_seeded
from serlab.models.systems.lian2019 import Lian2019
from serlab.models.variant import SYSTEMS, make, options_of, resolve

WIDTHS = {"audio": 20, "text": 12}
SLOTS = SYSTEMS.entry("lian2019").facts["slots"]
PLACES = sorted(options_of("adversary_place"))
CONTEXTS = sorted(options_of("context"))
DIALOGUES = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2])


def system(preset: str = "small", **changes: Scalar) -> Lian2019:
    """The system of a few differences."""
    made = make(resolve("lian2019", preset, changes))
    assert isinstance(made, Lian2019)
    return made


def sizes(made: Lian2019) -> Sizes:
    """Four classes, three speakers, and only the inputs that the system asks for."""
    inputs = made.inputs()
    return Sizes(
        n_classes=4,
        n_speakers=3,
        n_features={name: WIDTHS[name] for name in inputs},
        rate_hz=dict.fromkeys(inputs, 0.0),
    )


def build(preset: str = "small", **changes: Scalar) -> nn.Module:
    """A network with weights from a fixed seed."""
    made = system(preset, **changes)
    with torch_seeded(0, "weights"):
        network: nn.Module = made.build(sizes(made))
    return network


def a_batch(**changes: Scalar) -> Batch:
    """Nine utterances in dialogues of three, one and five turns, which do not come in order."""
    batch = example_batch(sizes(system(**changes)), [1.0] * 9)
    turns = torch.tensor([7, 1, 4, 9, 5, 3, 1, 4, 2])
    return replace(batch, dialogues=DIALOGUES, turns=turns)


def chosen(batch: Batch, rows: Tensor) -> Batch:
    """The batch of some of the items, in the order asked for."""
    tensors = ("targets", "traces", "trace_mask", "speakers", "corpora", "dialogues", "turns")
    return replace(
        batch,
        inputs={k: x[rows] for k, x in batch.inputs.items()},
        masks={k: x[rows] for k, x in batch.masks.items()},
        items=batch.items[rows],
        **{name: getattr(batch, name)[rows] for name in tensors},
    )


def total(made: Lian2019, network: nn.Module, batch: Batch) -> Tensor:
    """The loss that the system's stage trains on."""
    terms: Mapping[str, Tensor] = network.losses(network(batch), batch)  # type: ignore[operator]
    weights = made.stages()[0].losses
    assert set(weights) == set(terms)
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def every_option() -> Iterator[tuple[str, str]]:
    """Each option of each slot but those of the features, and adversaries of what it has not."""
    for slot in SLOTS:
        for option in options_of(slot):
            if slot not in ("functionals", "text") and option not in (
                "modality",
                "speaker_and_corpus",
            ):
                yield slot, option


@pytest.mark.parametrize("preset", ["paper", "small"])
@pytest.mark.parametrize(("slot", "option"), list(every_option()))
def test_every_option_trains(preset: str, slot: str, option: str) -> None:
    """Scores of the right shape, and a gradient in every parameter."""
    made, network = system(preset, **{slot: option}), build(preset, **{slot: option}).train()
    batch = replace(a_batch(**{slot: option}), progress=0.5)
    assert network(batch).scores.shape == (9, 4)
    total(made, network, batch).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_parameters_at_the_size_of_the_paper() -> None:
    """Worked out part by part from 100 values, 50 units a direction and one head [R]."""
    network = build("paper")
    counts = {k: sum(p.numel() for p in part.parameters()) for k, part in network.named_children()}
    attention_over_modalities = 100 * 100 + 100
    gru = 2 * 3 * (50 * 100 + 50 * 50 + 2 * 50)
    attention_over_turns = 4 * (100 * 100 + 100)
    assert counts == {
        "fusion": (20 + 1) * 100 + (12 + 1) * 100 + attention_over_modalities,
        "context": gru + attention_over_turns,
        "head": 101 * 100 + 101 * 4,
        "adversary": 101 * 100 + 101 * 3,
    }


@pytest.mark.parametrize("fusion", sorted(options_of("fusion")))
def test_order_and_company_change_nothing(fusion: str) -> None:
    """A dialogue has the same scores alone, beside longer ones, and in any order of its items."""
    network = build(fusion=fusion).eval()
    batch = a_batch(fusion=fusion)
    with torch.no_grad():
        scores = network(batch).scores
        order = torch.tensor([8, 2, 5, 0, 3, 7, 1, 6, 4])
        shuffled = network(chosen(batch, order)).scores
        torch.testing.assert_close(shuffled, scores[order], atol=1e-5, rtol=0)
        for dialogue in range(3):
            rows = torch.nonzero(dialogue == DIALOGUES)[:, 0]
            alone = network(chosen(batch, rows)).scores
            torch.testing.assert_close(alone, scores[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("context", CONTEXTS)
def test_context_reaches_the_dialogue_and_no_further(context: str) -> None:
    """A changed utterance changes its dialogue's scores with a context, its own alone without."""
    network, batch = build(context=context).eval(), a_batch()
    audio = batch.inputs["audio"].clone()
    audio[5] += 1
    with torch.no_grad():
        before = network(batch).scores
        after = network(replace(batch, inputs={**batch.inputs, "audio": audio})).scores
    moved = (after - before).abs().amax(dim=1) > 1e-6
    alone = torch.arange(9) == 5
    assert moved.tolist() == (alone if context == "none" else DIALOGUES == 2).tolist()


def test_gaps_between_turns_are_closed_and_their_order_kept() -> None:
    """Turns 1, 2, 3 are 10, 20, 40; the other way round they are another dialogue."""
    network = build(context="gru").eval()
    batch = chosen(a_batch(), torch.tensor([0, 1, 2]))
    with torch.no_grad():
        near, far, back = (
            network(replace(batch, turns=torch.tensor(turns))).scores
            for turns in ([1, 2, 3], [10, 20, 40], [3, 2, 1])
        )
    torch.testing.assert_close(near, far)
    assert not torch.allclose(near, back, atol=1e-4)


def test_self_attention_knows_no_order() -> None:
    """Without the GRU the turns are a set."""
    network = build(context="attention").eval()
    batch = chosen(a_batch(), torch.tensor([0, 1, 2]))
    scores = network(batch).scores
    torch.testing.assert_close(network(replace(batch, turns=-batch.turns)).scores, scores)


def test_an_utterance_without_words_is_a_missing_modality() -> None:
    """Its text has no weight, and its audio all of it."""
    network, batch = build().eval(), a_batch()
    there = batch.masks["text"].clone()
    there[4] = False
    text = batch.inputs["text"].clone()
    text[4] = 9.0
    batch = replace(batch, masks={**batch.masks, "text": there})
    output = network(batch)
    torch.testing.assert_close(output.extras["modality_weights"][4], torch.tensor([1.0, 0.0]))
    spoilt = network(replace(batch, inputs={**batch.inputs, "text": text}))
    torch.testing.assert_close(spoilt.scores, output.scores)


@pytest.mark.parametrize(("fusion", "name"), [("first_only", "audio"), ("second_only", "text")])
def test_a_single_modality_asks_for_one_input(fusion: str, name: str) -> None:
    """The other one is not read, and has no weights in the network."""
    made = system(fusion=fusion)
    assert list(made.inputs()) == [name]
    network = made.build(sizes(made))
    assert sum(p.numel() for p in network.fusion.parameters()) == (WIDTHS[name] + 1) * 64
    assert network(a_batch(fusion=fusion)).scores.shape == (9, 4)


def test_utterances_without_a_label_teach_the_speaker_alone() -> None:
    """They leave the emotion loss as it is, and their speakers have a part in the other."""
    network, batch = build(context="none").eval(), a_batch()
    labelled = torch.arange(9) < 6
    mixed = replace(batch, targets=batch.targets * labelled[:, None])
    mine, all_of_them = (
        network.losses(network(b), b)  # type: ignore[operator]
        for b in (chosen(batch, torch.nonzero(labelled)[:, 0]), mixed)
    )
    torch.testing.assert_close(mine["emotion"], all_of_them["emotion"])
    assert not torch.allclose(mine["speaker"], all_of_them["speaker"], atol=1e-4)


@pytest.mark.parametrize(
    ("option", "asked"),
    [("none", ()), ("out_of_class", ("out-of-class",)), ("test_speakers", ("test-speakers",))],
)
def test_unlabelled_utterances_are_asked_for(option: str, asked: tuple[str, ...]) -> None:
    """By the names that the contracts have for them."""
    assert system(unlabelled=option).unlabelled() == asked


def gradients(**changes: Scalar) -> dict[str, Tensor]:
    """Of the speaker loss alone, with dropout off, at the end of the schedule."""
    network, batch = build(**changes).eval(), a_batch()
    loss = network.losses(network(batch), batch)["speaker"]  # type: ignore[operator]
    loss.backward()
    return {k: p.grad for k, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("place", PLACES)
def test_reversal_turns_the_encoder_and_not_the_head(place: str) -> None:
    """Against the control without it: the encoder's gradient times -0.5, the head's the same."""
    how: dict[str, Scalar] = {"adversary_place": place, "reversal_schedule": "constant"}
    turned = gradients(**how, reversal=0.5)
    plain = gradients(**how, reversal=1.0, adversary="speaker_auxiliary")
    for name, gradient in plain.items():
        factor = 1.0 if name.startswith("adversary") else -0.5
        torch.testing.assert_close(turned[name], factor * gradient)


def test_the_reversal_begins_where_it_is_placed() -> None:
    """Parts after its place get nothing from the speaker loss, those before it do."""
    parts = ("fusion", "context.gru", "context.attention", "head")
    reached = {
        place: [any(k.startswith(part) for k in gradients(adversary_place=place)) for part in parts]
        for place in PLACES
    }
    assert reached == {
        "after_fusion": [True, False, False, False],
        "after_context": [True, True, False, False],
        "after_attention": [True, True, True, False],
    }


def test_a_residual_adds_what_the_attention_is_given() -> None:
    """The embedding with it is the one without it plus the GRU's output."""
    embeddings = {}
    for residual in (True, False):
        output = build(residual=residual).eval()(a_batch())
        embeddings[residual] = output.embedding
    difference = embeddings[True] - embeddings[False]
    torch.testing.assert_close(difference, output.opposed)


@pytest.mark.parametrize("slot", ["context", "fusion"])
def test_heads_must_divide_the_width(slot: str) -> None:
    """Refused when the network is built, with the width in the message."""
    option = {"context": "attention", "fusion": "multi_head"}[slot]
    with pytest.raises(BadValue, match=r"heads = 3: expected a divisor of the .* width 64"):
        build(heads=3, **{slot: option})


def test_stage_has_the_adversary_at_its_weight() -> None:
    """And no such term where there is no adversary."""
    assert system(domain_weight=0.3).stages()[0].losses == {"emotion": 1.0, "speaker": 0.3}
    assert system(adversary="none").stages()[0].losses == {"emotion": 1.0}
    assert system().segments().dialogues


def test_learns_sixteen_utterances_by_heart() -> None:
    """Noise, labelled at random, with the adversary on."""
    made = system(dropout=0.0, fusion_dropout=0.0)
    with torch_seeded(0, "weights"):
        network = made.build(sizes(made))
    batch = example_batch(sizes(made), [1.0] * 16)
    batch = replace(batch, targets=torch.eye(4)[(torch.arange(16) * 7 + 3) % 16 // 4])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        optimiser.zero_grad()
        total(made, network, batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert (network.eval()(batch).scores.argmax(dim=1) == batch.targets.argmax(dim=1)).all()
