"""MDSCM and AVDAL: the cut, the pinned sizes, the quirks, the stages and the reversal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from networks import NoReading
from torch import Tensor, nn

from serlab.bench.contracts import Scalar, Sizes, Stage, System
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.bench.example import example_batch
from serlab.bench.features.base import feature
from serlab.bench.seeds import torch_seeded
from serlab.bench.train import make_schedule
from serlab.models.components.visual import running_statistics_kept
from serlab.models.components.zero_maps import cut_maps, share_empty
from serlab.models.variant import SYSTEMS, make, options_of, resolve

TINY: Mapping[str, Scalar] = {
    "width": 0.125,
    "encoder_width": 0.0625,
    "n_bands": 32,
    "n_maps": 3,
    "map_frames": 32,
    "feedforward": 16,
    "layers": 1,
    "fusion_width": 8,
}
WATCHING: Mapping[str, Scalar] = {**TINY, "visual": "frames", "adversary": "modality"}
SECONDS = (0.6, 1.4, 0.9, 2.0)


def system(preset: str = "small", **changes: Scalar) -> System:
    """The system with changes."""
    return make(resolve("wei2022", preset, changes))


def sizes_for(made: System, n_classes: int = 4) -> Sizes:
    """What its network would be told."""
    specs = dict(made.inputs())
    for stream in made.streams().values():
        specs |= stream.inputs
    found = {name: feature(spec) for name, spec in specs.items()}
    return Sizes(
        n_classes=n_classes,
        n_speakers=4,
        n_features={name: f.n_values for name, f in found.items()},
        rate_hz={name: f.rate_hz for name, f in found.items()},
    )


def network_of(made: System, seed: int = 0) -> nn.Module:
    """Its untrained network."""
    with torch_seeded(seed, "weights"):
        network: nn.Module = made.build(sizes_for(made))
    return network


def batch_of(made: System, stream: str = "train", stage: str = "") -> Batch:
    """Noise in the form of one of its streams."""
    inputs = made.inputs() if stream == "train" else made.streams()[stream].inputs
    batch = example_batch(sizes_for(made), SECONDS, inputs=tuple(inputs), stream=stream)
    return replace(batch, stage=stage)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in module.parameters())


# --- the cut ---------------------------------------------------------------------------------


def simulated(length: int, n_maps: int, map_frames: int) -> list[list[int]]:
    """The rule of AV4SER written out: index of each frame of each filled map, -1 for a zero."""
    frames = list(range(length))
    if length < map_frames + n_maps:
        ends = [-1] * (map_frames // 2)
        frames = ends + frames + ends
    maps, start = [], 0
    while start < len(frames) - map_frames:
        maps.append(frames[start : start + map_frames])
        start += len(frames) // n_maps
    return maps


def indices(lengths: Sequence[int], n_maps: int, map_frames: int) -> tuple[Tensor, Tensor]:
    """Frame numbers from 1 in the maps that are cut, 0 for zeros, and which maps are filled."""
    longest = max(lengths)
    x = torch.arange(1, longest + 1).repeat(len(lengths), 1)
    mask = x <= torch.tensor(lengths)[:, None]
    maps, filled = cut_maps((x * mask)[:, :, None].float(), mask, n_maps, map_frames)
    return maps[..., 0].long(), filled


@pytest.mark.parametrize(("n_maps", "map_frames"), [(5, 224), (3, 96), (4, 64), (1, 16)])
def test_cut_is_the_rule_written_out(n_maps: int, map_frames: int) -> None:
    """For every length, in one batch, frames stand where a plain simulation puts them."""
    lengths = list(range(1 if map_frames < 224 else 57, 1301, 1 if map_frames < 224 else 7))
    for first in range(0, len(lengths), 100):
        some = lengths[first : first + 100]
        maps, filled = indices(some, n_maps, map_frames)
        for row, length in enumerate(some):
            expected = simulated(length, n_maps, map_frames)
            assert 1 <= len(expected) <= n_maps
            assert int(filled[row].sum()) == len(expected)
            assert bool(filled[row, : len(expected)].all())
            held = (torch.tensor(expected) + 1).reshape(-1, map_frames)
            assert torch.equal(maps[row, : len(expected)], held), length
            assert not maps[row, len(expected) :].any()


@pytest.mark.parametrize(
    ("lengths", "n_filled"),
    [((57, 100), 2), ((150, 228), 3), ((229, 240), 1), ((300,), 2), ((400, 453), 3),
     ((600, 1120), 4), ((1121, 3413), 5)],
)  # fmt: skip
def test_filled_maps_at_the_papers_lengths(lengths: tuple[int, ...], n_filled: int) -> None:
    """The counts that were simulated from the authors' code."""
    for length in lengths:
        _, filled = indices([length], 5, 224)
        assert int(filled.sum()) == n_filled, length


# --- sizes -----------------------------------------------------------------------------------


def test_sizes_at_the_papers_setting() -> None:
    """MDSCM has 6,508,487 parameters, its separable stack 128,064, AVDAL 11.20 million."""
    network = network_of(system("paper"))
    mdscm, avdal = network.get_submodule("mdscm"), network.get_submodule("avdal")
    assert count(mdscm) == 6_508_487
    assert count(avdal) == 11_198_983
    assert stack(mdscm) == 128_064


def stack(branch: nn.Module) -> int:
    """Weights of the 3x3 layers of both blocks of MDSCM."""
    bodies = [branch.get_submodule(f"encoder.blocks.{k}.body") for k in range(2)]
    return sum(count(body.get_submodule(place)) for body in bodies for place in ("0", "3"))


def test_full_convolutions_are_nine_times_as_large() -> None:
    """The stack has 1,105,920 parameters with full convolutions, the branch 7.49 million."""
    network = network_of(
        system("paper", convolution="full", branches="mdscm", visual="none", adversary="none")
    )
    assert stack(network.get_submodule("mdscm")) == 1_105_920
    assert count(network) == 6_508_487 - 128_064 + 1_105_920


def test_modality_head_of_the_shared_trunk() -> None:
    """With MDSCM's trunk shared, the head is 768-128-20-1 beside the same branch."""
    network = network_of(system("paper", shared_encoder="mdscm", domain_width=128))
    head = 768 * 128 + 128 + 128 * 20 + 20 + 20 + 1
    assert count(network.get_submodule("avdal")) == 6_508_487 + head


# --- what the parts compute --------------------------------------------------------------------


def test_native_shortcut_sees_the_rectified_map() -> None:
    """As in the authors' code, whose in-place ReLU overwrites what the shortcut then reads."""
    from serlab.models.components.residual import RectifiedShortcut, Shortcut

    native, normal = RectifiedShortcut(2, 3).eval(), Shortcut(2, 3).eval()
    normal.load_state_dict(native.state_dict())
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    written = torch.relu_(x)
    torch.testing.assert_close(native(kept, kept.relu()), native.shortcut(written))
    assert not torch.allclose(native(kept, kept.relu()), normal(kept, kept.relu()))
    torch.testing.assert_close(normal(kept, kept.relu()), native.shortcut(kept))


def test_attentions_by_hand() -> None:
    """With weights of zero every gate is a half; the order is as its name says."""
    from serlab.models.components.attention_order import channel_first, spatial_first
    from serlab.models.components.channel_attention import ChannelAttention
    from serlab.models.components.spatial_attention import SpatialAttention

    channel, spatial = ChannelAttention(4, 2), SpatialAttention()
    x = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    one = channel_first(channel, spatial)(x)
    two = spatial_first(channel, spatial)(x)
    torch.testing.assert_close(one, spatial(channel(x)))
    torch.testing.assert_close(two, channel(spatial(x)))
    assert not torch.allclose(one, two)
    for parameter in (*channel.parameters(), *spatial.parameters()):
        nn.init.zeros_(parameter)
    torch.testing.assert_close(channel_first(channel, spatial)(x), x / 4)


def test_separable_is_full_with_a_product_for_weights() -> None:
    """A separable convolution is the full one whose kernel is pointwise times depthwise."""
    from serlab.models.components.convolution import Full, Separable

    separable, full = Separable(3, 5), Full(3, 5)
    depth, point = separable.get_parameter("0.weight"), separable.get_parameter("1.weight")
    full.weight.data = point * depth[:, 0][None]
    x = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(separable(x), full(x), atol=1e-5, rtol=1e-5)


def test_zero_maps_enter_the_native_mean_only() -> None:
    """Scores are the mean logits of all maps, or of the filled ones."""
    for option in ("native", "masked"):
        made = system(**TINY, branches="mdscm", zero_maps=option)
        network = network_of(made).eval()
        branch = network.get_submodule("mdscm")
        batch = batch_of(made)
        maps, filled = cut_maps(batch.inputs["audio"], batch.masks["audio"], 3, 32)
        assert not filled.all()
        with torch.no_grad():
            each = branch.get_submodule("head")(branch.get_submodule("encoder")(maps.flatten(0, 1)))
            counted = torch.ones_like(filled) if option == "native" else filled
            total = (each.reshape(4, 3, 4) * counted[:, :, None]).sum(dim=1)
            expected = total / counted.sum(dim=1, keepdim=True)
            torch.testing.assert_close(network(batch).scores, expected, atol=1e-5, rtol=1e-5)


def test_empty_maps_share_a_row() -> None:
    """Every map that counts finds its own value again, whatever is filled and whatever counts."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = torch.rand(2, 4, 3, generator=generator) < 0.5
        filled, counted = drawn
        values = torch.randn(4, 3, generator=generator) * filled
        computed, row = share_empty(filled, counted)
        n_empty = int((counted & ~filled).sum())
        assert int(computed.sum()) == int((counted & filled).sum()) + min(n_empty, 1)
        if bool(counted.any()):
            assert torch.equal(values[computed][row][counted], values[counted])


@pytest.mark.parametrize("option", ["native", "masked"])
def test_empty_maps_are_computed_once_but_in_training(option: str) -> None:
    """An encoder is given the filled maps, and native empty ones: all in training, else one."""
    made = system(**TINY, branches="mdscm", zero_maps=option)
    network, batch = network_of(made), batch_of(made)
    _, filled = cut_maps(batch.inputs["audio"], batch.masks["audio"], 3, 32)
    n_filled, native = int(filled.sum()), option == "native"
    assert n_filled < filled.numel() - 1
    given: list[int] = []
    encoder = network.get_submodule("mdscm.encoder")
    encoder.register_forward_pre_hook(lambda _, inputs: given.append(len(inputs[0])))
    network.train()(batch)
    network.eval()(batch)
    assert given == [filled.numel() if native else n_filled, n_filled + native]


def test_the_layout_of_the_convolutions_is_channels_last() -> None:
    """MDSCM's all through, ResNet's while its maps are large; nothing falls back on the way."""
    network = network_of(system("paper"))
    for place in ("mdscm.encoder.stem.0", "mdscm.encoder.blocks.1", "avdal.encoder.layers.0",
                  "avdal.encoder.layers.7", "avdal.encoder.layers.8"):  # fmt: skip
        found: list[Tensor] = []
        hook = network.get_submodule(place).register_forward_hook(
            lambda *_, x=found: x.append(_[2])
        )
        for name in ("mdscm", "avdal"):
            network.get_submodule(f"{name}.encoder").eval()(torch.zeros(2, 224, 40))
        hook.remove()
        last = not place.endswith("layers.8")
        assert found[0].is_contiguous(memory_format=torch.channels_last) is last, place


@pytest.mark.parametrize("zero_maps", ["native", "masked"])
def test_nothing_is_read_back_from_the_device(zero_maps: str) -> None:
    """Neither scores nor losses wait for a value, in any stage and stream."""
    made = system(**WATCHING, zero_maps=zero_maps)
    network = network_of(made)
    for stage in (*(s.name for s in made.stages()), "joint"):
        for stream in ("train", "faces") if stage in ("avdal", "joint") else ("train",):
            batch = batch_of(made, stream, stage)
            with NoReading():
                network.losses(network(batch), batch)  # type: ignore[operator]


def test_late_fusion_by_hand() -> None:
    """The weighted sum is 0.7 of the feature LSTM and 0.3 of that over the larger logits."""
    made = system(**TINY, late_fusion="weighted_sum", zero_maps="masked")
    network = network_of(made).eval()
    fusion = network.get_submodule("fusion")
    n_features = fusion.get_submodule("features.reader.lstm").input_size
    assert isinstance(n_features, int)
    features, scores = torch.randn(2, 3, n_features), torch.randn(2, 3, 4)
    counted = torch.tensor([[True, False, False], [True, True, True]])
    with torch.no_grad():
        found, embedding = fusion(features, scores, counted)
        expected = []
        for row, n in enumerate((1, 3)):
            parts = []
            for name, x in (("features", features), ("scores", scores)):
                reader = fusion.get_submodule(f"{name}.reader")
                _, (state, _) = reader.get_submodule("lstm")(x[row : row + 1, :n])
                parts.append(reader.get_submodule("head")(state[-1]))
            expected.append(0.7 * parts[0] + 0.3 * parts[1])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)
    assert embedding.shape == (2, 16)


# --- batches and padding -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"zero_maps": "masked"}, {"branches": "mdscm"}, {"branches": "avdal"},
     {"late_fusion": "weighted_sum", "shared_encoder": "mdscm", "zero_maps": "masked"}],
)  # fmt: skip
def test_padding_and_order_change_nothing(changes: Mapping[str, Scalar]) -> None:
    """An utterance scores the same alone, padded, and in another order (to 1e-5)."""
    made = system(**{**TINY, **changes})
    network, sizes = network_of(made).eval(), sizes_for(made)
    with torch.no_grad():
        together = network(example_batch(sizes, SECONDS))
        padded = network(example_batch(sizes, SECONDS, padded_s=3.3))
        torch.testing.assert_close(padded.scores, together.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(padded.embedding, together.embedding, atol=1e-5, rtol=0)
        for row, seconds in enumerate(SECONDS):
            batch = example_batch(sizes, SECONDS)
            n = int(batch.masks["audio"][row].sum())
            assert n == round(seconds * sizes.rate_hz["audio"])
            alone = replace(
                batch,
                inputs={"audio": batch.inputs["audio"][row : row + 1, :n]},
                masks={"audio": batch.masks["audio"][row : row + 1, :n]},
            )
            torch.testing.assert_close(network(alone).scores[0], together.scores[row],
                                       atol=1e-5, rtol=0)  # fmt: skip
        order = torch.tensor([2, 0, 3, 1])
        batch = example_batch(sizes, SECONDS)
        moved = replace(
            batch,
            inputs={"audio": batch.inputs["audio"][order]},
            masks={"audio": batch.masks["audio"][order]},
        )
        torch.testing.assert_close(network(moved).scores, together.scores[order],
                                   atol=1e-5, rtol=0)  # fmt: skip


def test_faces_leave_the_statistics_of_speech_alone() -> None:
    """A pass of faces in training changes no running mean; one of speech does."""
    made = system(**WATCHING)
    network = network_of(made).train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    network(batch_of(made, "faces", "avdal"))
    assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
    network(batch_of(made, "train", "avdal"))
    moved = [k for k, v in before.items() if not torch.equal(network.state_dict()[k], v)]
    assert moved
    assert all(k.startswith("avdal.") for k in moved)


def test_momentum_comes_back_after_an_error() -> None:
    """Whatever happens inside, batch normalisation remembers again afterwards."""
    norm = nn.BatchNorm2d(2)
    with running_statistics_kept(norm):
        assert norm.momentum == 0.0
    assert norm.momentum == 0.1
    with pytest.raises(ValueError, match="expected 4D"), running_statistics_kept(norm):
        norm(torch.zeros(2, 2))
    assert norm.momentum == 0.1


# --- stages ----------------------------------------------------------------------------------


def step(network: nn.Module, made: System, stage: Stage) -> dict[str, Tensor]:
    """The loss terms of one mini-batch of each of a stage's streams, their gradients taken."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(stage.trains))
        parameter.grad = None
    terms: dict[str, Tensor] = {}
    total = torch.zeros(())
    for stream in stage.streams:
        batch = batch_of(made, stream, stage.name)
        found = network.losses(network(batch), batch)  # type: ignore[operator]
        terms |= {f"{stream}_{name}": found[name] for name in stage.losses if name in found}
        parts = [weight * found[name] for name, weight in stage.losses.items() if name in found]
        total = total + torch.stack(parts).sum()
    total.backward()  # type: ignore[no-untyped-call]
    return terms


def test_stages_and_their_terms() -> None:
    """Branches first, then the fusion of what is then frozen; faces only beside AVDAL."""
    made = system(**WATCHING)
    network = network_of(made)
    first, second, last = made.stages()
    assert [s.name for s in (first, second, last)] == ["mdscm", "avdal", "fusion"]
    assert second.streams == ("train", "faces")
    assert first.streams == last.streams == ("train",)
    assert set(step(network, made, first)) == {"train_emotion"}
    assert set(step(network, made, second)) == {
        "train_emotion", "train_modality", "faces_emotion", "faces_modality"
    }  # fmt: skip
    assert set(step(network, made, last)) == {"train_emotion"}
    together = system(**WATCHING, branch_training="joint").stages()
    assert [s.name for s in together] == ["joint"]
    assert together[0].trains == ("",)
    alone = system(**TINY, branches="avdal", branch_training="joint").stages()
    assert [s.name for s in alone] == ["avdal"]


def test_a_stage_is_judged_by_what_it_trains() -> None:
    """In a branch's stage the scores are the branch's, otherwise the whole's."""
    made = system(**TINY)
    network = network_of(made).eval()
    with torch.no_grad():
        outputs = {s: network(batch_of(made, stage=s)) for s in ("mdscm", "avdal", "fusion", "")}
    whole = outputs[""]
    torch.testing.assert_close(outputs["fusion"].scores, whole.scores)
    for name in ("mdscm", "avdal"):
        torch.testing.assert_close(outputs[name].scores, whole.extras[f"{name}_scores"])
        assert not torch.allclose(outputs[name].scores, whole.scores)


def test_settings_of_the_papers_stages() -> None:
    """Learning rates, epochs and mini-batches are those of the authors' scripts."""
    found = {
        s.name: (s.training.learning_rate, s.training.epochs, s.training.batch_size)
        for s in system("paper").stages()
    }
    assert found == {
        "mdscm": (0.08, 500, 32), "avdal": (0.005, 200, 32), "fusion": (1e-4, 500, 16)
    }  # fmt: skip


def test_the_learning_rate_halves_as_the_authors_does() -> None:
    """Epoch by epoch, that of StepLR with their step sizes."""
    for stage, every in zip(system("paper").stages(), (80, 80, 10), strict=True):
        training = stage.training
        weight = nn.Parameter(torch.zeros(1))
        ours_of = torch.optim.SGD([weight], lr=training.learning_rate)
        ours = make_schedule(ours_of, training, 1)
        theirs_of = torch.optim.SGD([weight], lr=training.learning_rate)
        theirs = torch.optim.lr_scheduler.StepLR(theirs_of, every, gamma=0.5)
        for _ in range(training.epochs):
            assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr()), stage.name
            ours_of.step()
            theirs_of.step()
            ours.step()
            theirs.step()


def reached(network: nn.Module) -> set[str]:
    """Parameters with a gradient that is not zero."""
    return {n for n, p in network.named_parameters() if p.grad is not None and bool(p.grad.any())}


def every_option() -> list[tuple[str, str, bool]]:
    """Each option of each slot, without faces and with them, but for those that are refused."""
    slots = SYSTEMS.entry("wei2022").facts["slots"]
    found = [(s, o, w) for s in slots for o in options_of(s) for w in (False, True)]
    refused = {("adversary", "modality", False), ("visual", "none", True),
               ("branches", "mdscm", True)}  # fmt: skip
    return [one for one in found if one not in refused and one[1] != "speaker_and_corpus"]


@pytest.mark.parametrize(("slot", "option", "watching"), every_option())
def test_every_option_trains_all_that_it_should(slot: str, option: str, watching: bool) -> None:
    """In every stage a gradient reaches all that the stage trains and nothing else."""
    made = system(**{**(WATCHING if watching else TINY), slot: option})
    network = network_of(made)
    for stage in made.stages():
        terms = step(network.train(), made, stage)
        assert all(torch.isfinite(term) for term in terms.values())
        wanted = {n for n, _ in network.named_parameters() if n.startswith(stage.trains)}
        assert reached(network) <= wanted
        # a bias before batch normalisation changes nothing, nor one of the keys of attention
        missed = wanted - reached(network)
        assert all(n.endswith("bias") for n in missed), missed
    scores = network.eval()(batch_of(made)).scores
    assert scores.shape == (4, 4)


# --- the adversary -----------------------------------------------------------------------------


def test_modality_is_reversed_for_the_encoder_and_not_for_the_head() -> None:
    """At -lambda times the plain gradient, and only for what lies before the head."""
    grads = {}
    for strength in (0.0, 1.0, 2.5):
        made = system(**WATCHING, reversal=strength, reversal_schedule="constant")
        network = network_of(made)
        batch = batch_of(made, "faces", "avdal")
        network.losses(network(batch), batch)["modality"].backward()  # type: ignore[operator]
        grads[strength] = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    head = [n for n in grads[1.0] if "adversary" in n]
    body = [n for n in grads[1.0] if "encoder" in n]
    assert head
    assert body
    for name in head:
        torch.testing.assert_close(grads[1.0][name], grads[2.5][name])
    for name in body:
        torch.testing.assert_close(grads[2.5][name], 2.5 * grads[1.0][name], atol=1e-6, rtol=1e-3)
        assert not grads[0.0][name].any()


def test_modality_loss_by_hand() -> None:
    """Speech is 0 and faces are 1; a logit of 0 costs log 2 either way, one of 1 its softplus."""
    made = system(**WATCHING)
    adversary = network_of(made).get_submodule("avdal.adversary")
    for parameter in adversary.parameters():
        nn.init.zeros_(parameter)
    final = adversary.get_submodule("head.4")
    embedding = torch.randn(4, adversary.get_submodule("head.0").in_features)  # type: ignore[arg-type]
    for bias in (0.0, 1.0):
        nn.init.constant_(final.get_parameter("bias"), bias)
        heard = adversary(embedding, batch_of(made))["modality"]
        seen = adversary(embedding, batch_of(made, "faces"))["modality"]
        softplus = torch.nn.functional.softplus
        torch.testing.assert_close(heard, softplus(torch.tensor(bias)))
        torch.testing.assert_close(seen, softplus(torch.tensor(-bias)))


@pytest.mark.parametrize("changes", [{"visual": "none"}, {"branches": "mdscm"}])
def test_one_modality_has_no_adversary(changes: Mapping[str, Scalar]) -> None:
    """To tell speech from faces there must be faces."""
    with pytest.raises(BadValue, match="one without modalities"):
        system(**{**WATCHING, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"map_frames": 33}, "an even number"), ({"map_frames": 16, "n_maps": 20}, "at least 20")],
)
def test_maps_that_cannot_be_cut_are_refused(changes: Mapping[str, Scalar], message: str) -> None:
    """The rule needs an even number of frames, and one for each map."""
    with pytest.raises(BadValue, match=message):
        system(**{**TINY, **changes})


def test_heads_must_divide_a_step() -> None:
    """Five heads cannot share 64 values."""
    with pytest.raises(BadValue, match="a divisor of the 64 values"):
        network_of(system(**TINY, heads=5))


# --- learning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"branch_training": "joint"}])
def test_overfits_sixteen_utterances(changes: Mapping[str, Scalar]) -> None:
    """All stages over speech and faces end with every training item right."""
    settings = {**WATCHING, "dropout": 0.0, "attention_dropout": 0.0, **changes}
    made = system(**settings)
    network, sizes = network_of(made), sizes_for(made)
    seconds = [0.7 + 0.05 * k for k in range(16)]
    with torch_seeded(0, "test"):
        for stage in made.stages():
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith(stage.trains))
            chosen = [p for p in network.parameters() if p.requires_grad]
            optimiser = torch.optim.Adam(chosen, lr=5e-3)
            for _ in range(25):
                network.train()
                if stage.name == "fusion":
                    network.eval()
                loss = torch.zeros(())
                for stream in stage.streams:
                    batch = replace(lettered(sizes, seconds, stream), stage=stage.name)
                    found = network.losses(network(batch), batch)  # type: ignore[operator]
                    loss = loss + torch.stack([found[n] for n in stage.losses if n in found]).sum()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    batch = lettered(sizes, seconds, "train")
    with torch.no_grad():
        scores = network.eval()(batch).scores
    assert torch.equal(scores.argmax(dim=1), batch.targets.argmax(dim=1))


def lettered(sizes: Sizes, seconds: Sequence[float], stream: str) -> Batch:
    """Noise with a quarter of the bands (or pixels) raised for each of four classes."""
    inputs = ("audio",) if stream == "train" else ("face",)
    batch = example_batch(sizes, seconds, inputs=inputs, stream=stream)
    name = inputs[0]
    x, classes = batch.inputs[name], batch.targets.argmax(dim=1)
    quarter = x.shape[2] // 4
    raised = torch.arange(x.shape[2])[None] // quarter == classes[:, None]
    x = (x + raised[:, None] * 1.5) * batch.masks[name][:, :, None]
    return replace(batch, inputs={name: x})
