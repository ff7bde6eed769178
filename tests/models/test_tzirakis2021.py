"""Tzirakis et al. (2021): sizes, both levels of fusion, the frames' cut, masks and targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from serlab.bench.contracts import Sizes, Target
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.bench.example import example_batch
from serlab.bench.features.base import feature
from serlab.bench.seeds import torch_seeded
from serlab.models.components.depth import TwoLevel
from serlab.models.components.frame_reshape import Aligned, Native
from serlab.models.components.interlocutor import HalfFrame
from serlab.models.system import BaseSystem
from serlab.models.systems.tzirakis2021 import Settings
from serlab.models.variant import make, options_of, resolve

TINY = {"width": 0.04, "fusion_width": 16, "stream_width": 12, "lstm_width": 8, "rate_hz": 2500}
OWN = ("semantic", "frame_reshape", "interlocutor", "fusion", "depth", "ccc_weights")
EVERY = [(slot, option) for slot in OWN for option in options_of(slot)]
EVERY += [("adversary", option) for option in ("none", "speaker", "speaker_auxiliary")]


def sizes_of(system: BaseSystem[Settings], target: Target) -> Sizes:
    """Sizes of data with the system's inputs: four classes or three dimensions."""
    specs = {name: feature(spec) for name, spec in system.inputs().items()}
    return Sizes(
        n_classes=3 if target == "traces" else 4,
        n_speakers=8,
        n_features={name: spec.n_values for name, spec in specs.items()},
        rate_hz={name: spec.rate_hz for name, spec in specs.items()},
        target=target,
    )


def build(
    preset: str = "small", target: Target = "emotion", **changes: str | float
) -> tuple[nn.Module, Sizes]:
    """A network with weights of a fixed seed, and its sizes."""
    system = make(resolve("tzirakis2021", preset, changes))
    assert isinstance(system, BaseSystem)
    sizes = sizes_of(system, target)
    with torch_seeded(0, "weights"):
        network: nn.Module = system.build(sizes)
    return network, sizes


def tiny(target: Target = "emotion", **changes: str | float) -> tuple[nn.Module, Sizes]:
    """A network that is quick."""
    return build("small", target, **{**TINY, **changes})


def n_parameters(module: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(p.numel() for p in module.parameters())


# --- sizes -----------------------------------------------------------------------------------


def test_paper_size() -> None:
    """About 7.21 M parameters [X], part by part as the code has them.

    The code's LSTM has one bias and three peepholes where torch's has two biases; the scores of
    its attentions have biases, which their softmax cancels.
    """
    network, sizes = build("paper", "traces")
    convolutions = (8 + 1) * 50 + (50 * 6 + 1) * 125 + (125 * 6 + 1) * 250
    fusion = (100 + 1) * 1024 + (4410 + 1) * 1024 + 1024
    depth = 3 * (1024 + 1) * 512 + 2 * 512
    lstm = 4 * 256 * (512 + 256 + 2)
    assert sizes.n_features == {"words": 100, "waveform": 1, "turns": 1}
    assert n_parameters(network) == convolutions + fusion + depth + lstm + (256 + 1) * 3
    assert n_parameters(network) == 7_211_812


def test_paper_frames() -> None:
    """A frame of 4,410 gives 4,410 values as the code cuts them, and 17 whole steps by itself."""
    settings = Settings()
    assert Native(4410, settings).n_values == 4410
    assert Aligned(4410, settings).n_values == 17 * 250


def test_small_preset_is_small() -> None:
    """Below 200,000 parameters."""
    assert n_parameters(build("small")[0]) < 200_000


def test_sequences_of_the_paper() -> None:
    """300 frames, one after the other; the small preset has whole utterances."""
    paper, small = (make(resolve("tzirakis2021", p)).segments() for p in ("paper", "small"))
    assert paper.length_s == paper.train_hop_s == paper.test_hop_s == 30.0
    assert small.length_s == 0


# --- components ------------------------------------------------------------------------------


def channels_as_steps(layer: nn.Module) -> None:
    """Makes a layer's convolution copy its first input channel to all others, times 1, 2, ..."""
    conv = layer.conv
    assert isinstance(conv, nn.Conv1d)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    middle = (conv.kernel_size[0] - 1) // 2
    with torch.no_grad():
        conv.weight[:, 0, middle] = torch.arange(1.0, conv.out_channels + 1)


def traced(option: type[Aligned] | type[Native], n_samples: int) -> Tensor:
    """Values (frame, value) of four frames whose samples are their frame's number from 1.

    The first two layers hand their input on, the last has channels that multiply it by 1, 2, 3;
    poolings join 2, 1 and 1.
    """
    settings = replace(Settings(), dropout=0.0, width=0.012, first_pool=2, pool=1)
    module = option(n_samples, settings).eval()
    for layer in module.layers:
        channels_as_steps(layer)
    frames = torch.arange(1.0, 5.0)[None, :, None].expand(1, 4, n_samples)
    with torch.no_grad():
        values: Tensor = module(frames, torch.ones(1, 4, dtype=torch.bool))[0]
    return values


def test_aligned_frames_hold_their_own_samples() -> None:
    """Frame k's values are k times those of the first: nothing comes from a neighbour.

    Frames of 5 samples, pooled by 2, have 2 steps; those of one of the 3 channels lie together.
    """
    values = traced(Aligned, 5)
    expected = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    torch.testing.assert_close(values, torch.arange(1.0, 5.0)[:, None] * expected)


def test_native_frames_begin_within_a_step() -> None:
    """Frames of 5 samples, pooled by 2, are 2.5 steps: 7.5 values, where channels number 3.

    20 samples give 10 steps, the largest of samples (0, 1), (2, 3), (4, 5), ...: frames 1 1 2 2 2
    3 3 4 4 4. Frames begin at the values 0, 7, 15 and 22 and are 8 long.
    """
    values = traced(Native, 5)
    steps = torch.tensor([1.0, 1, 2, 2, 2, 3, 3, 4, 4, 4])
    flat = (steps[:, None] * torch.tensor([1.0, 2, 3])).flatten()
    expected = torch.stack([flat[a : a + 8] for a in (0, 7, 15, 22)])
    torch.testing.assert_close(values, expected)


def test_two_levels_by_the_formula() -> None:
    """Attention(Attention(a, l), v), each with one score for both, over sqrt(width)."""
    with torch_seeded(0, "weights"):
        depth = TwoLevel(6, 4)
    x = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
    a, b, c = (stream(x).relu() for stream in depth.streams)

    def attention(score: nn.Module, one: Tensor, other: Tensor) -> Tensor:
        weight = torch.sigmoid((score(one) - score(other)) / 2)  # sqrt(4)
        return weight * one + (1 - weight) * other

    expected = attention(depth.scores[1], attention(depth.scores[0], a, b), c)
    torch.testing.assert_close(depth(x), expected)


def test_half_frames_tell_who_is_heard() -> None:
    """Own speech in the first half, the partner's in the second, zeros beside; turns may be short.

    The turns are as a normaliser leaves them: above 0 where the partner speaks.
    """
    frames = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    turns = torch.tensor([[[-0.4], [2.2]]])
    marked = HalfFrame()(frames, {"turns": turns})
    expected = torch.tensor([[[1.0, 2, 0, 0], [0, 0, 3, 4], [5, 6, 0, 0]]])
    torch.testing.assert_close(marked, expected)


def test_loss_weights() -> None:
    """1, 1/2, 1/3 as the code has them: for a constant, whose CCC is 0, they add up."""
    for option, total in (("equal", 3.0), ("native", 1 + 1 / 2 + 1 / 3)):
        network, sizes = tiny("traces", ccc_weights=option)
        batch = example_batch(sizes, (0.6, 0.9))
        output = network(batch)
        flat = replace(output, scores=torch.zeros_like(output.scores))
        loss = network.losses(flat, batch)["emotion"]  # type: ignore[operator]
        assert float(loss.detach()) == pytest.approx(total, abs=1e-5)


# --- what holds for the network ----------------------------------------------------------------


@pytest.mark.parametrize("target", ["emotion", "traces"])
@pytest.mark.parametrize(("slot", "option"), EVERY)
def test_every_option_trains(slot: str, option: str, target: Target) -> None:
    """Scores of the right shape, and a gradient at every parameter that has a part."""
    network, sizes = tiny(target, **{slot: option, "dropout": 0.0})
    batch = example_batch(sizes, (0.5, 1.2, 0.8, 1.0))
    output = network.train()(batch)
    assert output.scores.shape == ((4, 12, 3) if target == "traces" else (4, 4))
    assert output.embedding.shape == (4, 8)
    losses = network.losses(output, batch)  # type: ignore[operator]
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    missed = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [n for n in missed if not n.endswith("bias")], missed


def reshaped(batch: Batch, rows: list[int]) -> Batch:
    """Some items of a batch, in an order."""
    moved = {
        name: getattr(batch, name)[rows]
        for name in ("targets", "traces", "trace_mask", "speakers", "corpora", "dialogues",
                     "turns", "items")
    }  # fmt: skip
    inputs = {name: x[rows] for name, x in batch.inputs.items()}
    masks = {name: m[rows] for name, m in batch.masks.items()}
    return Batch(**{**vars(batch), **moved, "inputs": inputs, "masks": masks})


@pytest.mark.parametrize("target", ["emotion", "traces"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frame_reshape": "native", "interlocutor": "half_frame", "batch_norm": False},
        {"frame_reshape": "native", "first_pool": 3, "pool": 2},
        {"fusion": "first_only"},
        {"fusion": "second_only"},
        {"fusion": "multi_head"},
        {"depth": "one_level"},
    ],
)
def test_padding_and_company_change_nothing(
    changes: dict[str, str | float], target: Target
) -> None:
    """An item's scores are the same alone, padded, and in another order (to 1e-5)."""
    network, sizes = tiny(target, **changes)
    network.eval()
    seconds = (0.53, 1.21, 0.87)
    with torch.no_grad():
        together = network(example_batch(sizes, seconds)).scores
        padded = network(example_batch(sizes, seconds, padded_s=2.0)).scores
        turned = network(reshaped(example_batch(sizes, seconds), [2, 0, 1])).scores
        n = together.shape[1]
        torch.testing.assert_close(padded[:, :n], together, atol=1e-5, rtol=0)
        torch.testing.assert_close(turned, together[[2, 0, 1]], atol=1e-5, rtol=0)
        alone = network(example_batch(sizes, seconds[:1])).scores
        n = alone.shape[1]
        torch.testing.assert_close(alone[0], together[0, :n], atol=1e-5, rtol=0)


def test_frames_are_as_many_as_the_labels() -> None:
    """Whether samples give more or fewer frames than are rated, and the words yet others."""
    network, sizes = tiny("traces")
    network.eval()
    batch = example_batch(sizes, (1.0, 0.7))
    for n in (9, 12):
        rated = replace(
            batch, traces=torch.zeros(2, n, 3), trace_mask=torch.ones(2, n, dtype=torch.bool)
        )
        scores = network(rated).scores
        assert scores.shape == (2, n, 3)
        assert bool((scores.abs() < 1).all())
        assert not scores[:, 10:].any()
    fewer = {**batch.inputs, "words": batch.inputs["words"][:, :9]}
    masks = {**batch.masks, "words": batch.masks["words"][:, :9]}
    output = network(replace(batch, inputs=fewer, masks=masks))
    assert output.streams is not None
    assert output.streams.names == ("semantic", "paralinguistic")
    torch.testing.assert_close(output.streams.weights[0, 9], torch.tensor([0.0, 1.0]))


def test_branches_alone_ask_for_their_input_only() -> None:
    """What the fusion does not use is neither asked for nor built."""
    asked = {}
    for fusion in ("score_attention", "first_only", "second_only"):
        system = make(resolve("tzirakis2021", "paper", {"fusion": fusion}))
        asked[fusion] = set(system.inputs())
    assert asked == {
        "score_attention": {"words", "waveform", "turns"},
        "first_only": {"words"},
        "second_only": {"waveform", "turns"},
    }


def test_semantic_options_name_unlike_vectors() -> None:
    """Each option asks for another feature, which can be made."""
    specs = [
        make(resolve("tzirakis2021", "small", {"semantic": option})).inputs()["words"]
        for option in options_of("semantic")
    ]
    assert len({tuple(sorted(spec.settings.items())) for spec in specs}) == len(specs) == 6
    assert all(feature(spec).n_values > 0 for spec in specs)


def test_wrong_settings_are_refused() -> None:
    """A rate without whole frames, and poolings that leave nothing."""
    with pytest.raises(BadValue, match="a multiple of 10"):
        make(resolve("tzirakis2021", "small", {"rate_hz": 11025}))
    with pytest.raises(BadValue, match="poolings of at most 250 samples"):
        tiny(first_pool=11)


@pytest.mark.parametrize("target", ["emotion", "traces"])
def test_sixteen_utterances_are_learnt(target: Target) -> None:
    """A tone and a word's vector that follow the class, or the labels, are found in 60 steps."""
    network, sizes = tiny(target, dropout=0.0, lstm_width=16)
    batch = example_batch(sizes, (0.6,) * 16)
    labels = torch.eye(4)[torch.arange(16) % 4]
    time = torch.arange(batch.inputs["waveform"].shape[1]) / 2500
    tones = torch.sin(2 * torch.pi * (100.0 + 150 * torch.arange(4))[:, None] * time)
    words = torch.zeros_like(batch.inputs["words"])
    words[..., :4] = labels[:, None]
    inputs = {"waveform": (labels @ tones).unsqueeze(2), "words": words}
    traces = batch.traces
    if target == "traces":
        traces = (labels[:, None, :3] - 0.3).expand(-1, batch.trace_mask.shape[1], -1)
        labels = batch.targets
    batch = replace(batch, inputs=inputs, targets=labels, traces=traces)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    with torch_seeded(0, "training"):
        for _ in range(60):
            loss = network.losses(network(batch), batch)["emotion"]  # type: ignore[operator]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert float(loss.detach()) < 0.1


def test_adversary_turns_the_gradient_round() -> None:
    """The encoder's gradient of the speakers' loss has the other sign than without reversal."""
    gradients = []
    for option in ("speaker", "speaker_auxiliary"):
        network, sizes = tiny(adversary=option, dropout=0.0, fusion_dropout=0.0)
        batch = example_batch(sizes, (0.6, 0.9, 0.7, 0.8))
        network.losses(network(batch), batch)["speaker"].backward()  # type: ignore[operator]
        gradients.append(network.lstm.weight_ih_l0.grad)  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[0], -gradients[1])
    assert float(gradients[0].abs().max()) > 0


def test_terms_and_weights_of_the_stage() -> None:
    """The adversary's term is in the loss with its weight."""
    changes = {"adversary": "speaker", "domain_weight": 0.3}
    (stage,) = make(resolve("tzirakis2021", "small", changes)).stages()
    assert stage.losses == {"emotion": 1.0, "speaker": 0.3}
