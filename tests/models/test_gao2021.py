"""The autoencoder, its pre-training and tuning, the cut into segments, and the recogniser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from serlab.bench.contracts import Scalar, Sizes, Stage, System
from serlab.bench.data import Batch
from serlab.bench.example import example_batch
from serlab.bench.features.base import feature
from serlab.bench.seeds import torch_seeded
from serlab.models.components.autoencoder import Autoencoder, Decoder, Encoder, layer_sizes
from serlab.models.components.deep_branch import DeepBranch
from serlab.models.systems.gao2021 import reconstruction_loss
from serlab.models.variant import make, options_of, resolve

SECONDS = (0.7, 1.3, 0.9, 2.0)


def system(preset: str = "small", **changes: Scalar) -> System:
    """The system with changes."""
    return make(resolve("gao2021", preset, changes))


def sizes_for(made: System) -> Sizes:
    """Four classes, five speakers, three corpora."""
    image = feature(made.inputs()["image"])
    return Sizes(
        n_classes=4,
        n_speakers=5,
        n_corpora=3,
        n_features={"image": image.n_values},
        rate_hz={"image": image.rate_hz},
    )


def network_of(made: System, seed: int = 0) -> nn.Module:
    """Its untrained network."""
    with torch_seeded(seed, "weights"):
        network: nn.Module = made.build(sizes_for(made))
    return network


def batch_of(made: System, stage: str = "", padded_s: float = 0.0) -> Batch:
    """Four items of noise."""
    stream = "outside" if stage == "pretrain" else "train"
    return replace(
        example_batch(sizes_for(made), SECONDS, stream=stream, padded_s=padded_s), stage=stage
    )


def terms_of(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """The loss terms of a batch."""
    found: Mapping[str, Tensor] = network.losses(network(batch), batch)  # type: ignore[operator]
    return found


def weighted(stage: Stage, terms: Mapping[str, Tensor]) -> Tensor:
    """The loss of a stage."""
    return torch.stack([w * terms[name] for name, w in stage.losses.items()]).sum()


def stage_named(made: System, name: str) -> Stage:
    """One of its stages."""
    return next(stage for stage in made.stages() if stage.name == name)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in module.parameters())


# --- sizes -----------------------------------------------------------------------------------


def test_segment_of_the_paper_is_32_by_129() -> None:
    """Frames of 256 samples every 128: 32 of them in 4,240 samples, 265 ms at 16 kHz."""
    made = system("paper")
    image = feature(made.inputs()["image"])
    assert image.n_values == 129
    assert image.rate_hz == 125
    assert round(0.265 * 16000) == 4240
    assert 1 + (4240 - 256) // 128 == 32 == resolve("gao2021", "paper").settings["segment_frames"]


def test_frames_of_25_ms_have_as_many_bins() -> None:
    """The other reading of the notes: a transform twice as long, neighbouring bins averaged."""
    made = system("paper", window_s=0.025, hop_s=0.00775)
    spec = made.inputs()["image"]
    assert spec.settings["n_fft"] == 516
    assert feature(spec).n_values == 129


def test_encoder_halves_each_side_three_times() -> None:
    """32 x 129 becomes 4 x 17, of 64 channels; counted by hand."""
    assert layer_sizes(129) == [129, 65, 33, 17]
    assert layer_sizes(32) == [32, 16, 8, 4]
    encoder = Encoder(32, 129, 16, 128)
    convolutions = 9 * (16 + 16 * 32 + 32 * 64)
    normalisation = 2 * (16 + 32 + 64)
    latent = 64 * 4 * 17 * 128
    assert count(encoder) == convolutions + normalisation + latent
    assert encoder(torch.randn(3, 32, 129)).shape == (3, 128)


def test_decoder_mirrors_the_encoder() -> None:
    """Counted by hand; it gives the encoder's images back in size, odd sides too."""
    decoder = Decoder(32, 129, 16, 128)
    convolutions = 9 * (64 * 32 + 32 * 16 + 16) + 1
    normalisation = 2 * (32 + 16)
    start = 128 * 64 * 4 * 17 + 64 * 4 * 17
    assert count(decoder) == convolutions + normalisation + start
    for frames, bins in ((32, 129), (16, 64), (11, 23)):
        both = Autoencoder(frames, bins, channels=2, width=5, decodes=True)
        images = torch.randn(3, frames, bins)
        assert both.reconstruct(both.encoder(images)).shape == images.shape


def test_deep_branch_by_hand() -> None:
    """Three convolutions, 2 x 2 pooling after each: 32 x 129 becomes 4 x 16, of 64 channels."""
    branch = DeepBranch(32, 129, channels=16, width=128, dropout=0.0)
    convolutions = 9 * (16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64)
    assert count(branch) == convolutions + 64 * 4 * 16 * 128 + 128
    assert branch(torch.randn(3, 32, 129)).shape == (3, 128)


def test_paper_preset_counted_by_hand() -> None:
    """Autoencoder, heads, and recogniser at the sizes of the preset."""
    network = network_of(system("paper"))
    trunk = 9 * (16 + 16 * 32 + 32 * 64)
    encoder = trunk + 2 * 112 + 4352 * 128
    decoder = 129 * 4352 + trunk + 1 + 2 * 48
    heads = sum(129 * 64 + 65 * n for n in (4, 5, 3))
    deep = trunk + 2 * 112 + 4096 * 128 + 128
    fusion = 257 * 128 + 3 * 128 * 128 + 3 * 128 + 129 * 128
    lstm = 2 * (4 * 128 * (128 + 128) + 2 * 4 * 128)
    assert count(network) == encoder + decoder + heads + deep + fusion + lstm + 257 * 4


# --- stages ----------------------------------------------------------------------------------


def test_stages_of_the_paper() -> None:
    """Autoencoder and heads on outside corpora, the autoencoder alone, then the recogniser."""
    stages = system("paper", alpha=0.5, beta=0.25, domain_weight=2.0).stages()
    assert [stage.name for stage in stages] == ["pretrain", "tune", "emotion"]
    assert [stage.streams for stage in stages] == [("outside",), ("train",), ("train",)]
    assert [stage.selects for stage in stages] == [False, False, True]
    assert dict(stages[0].losses) == {
        "reconstruction": 1.0,
        "emotion_latent": 0.5,
        "speaker": 0.25,
        "corpus": 0.75,
    }
    assert stages[1].losses == {"reconstruction": 1.0}
    assert stages[2].trains == ("recogniser.",)
    assert all(stage.training.optimiser == "adadelta" for stage in stages)
    assert all(stage.training.batch_size == 128 for stage in stages)


@pytest.mark.parametrize(
    ("changes", "names", "streams"),
    [
        ({"pretraining": "none"}, ["tune", "emotion"], []),
        ({"pretraining": "none", "latent_tuning": "none"}, ["emotion"], []),
        ({"pretraining": "autoencoder"}, ["pretrain", "tune", "emotion"], ["outside"]),
        ({"latent_tuning": "none"}, ["pretrain", "emotion"], ["outside"]),
        ({"fusion": "first_only"}, ["emotion"], []),
    ],
)
def test_slots_leave_stages_out(
    changes: Mapping[str, Scalar], names: list[str], streams: list[str]
) -> None:
    """And with the pre-training the outside corpora."""
    made = system(**changes)
    assert [stage.name for stage in made.stages()] == names
    assert list(made.streams()) == streams


def test_plain_autoencoder_has_no_heads() -> None:
    """No emotion and no adversary, and none of their parameters."""
    made = system(pretraining="autoencoder")
    assert stage_named(made, "pretrain").losses == {"reconstruction": 1.0}
    assert not [n for n, _ in network_of(made).named_parameters() if n.startswith("heads.")]


@pytest.mark.parametrize(
    ("changes", "learns"),
    [
        ({}, False),
        ({"latent": "joint"}, True),
        ({"pretraining": "none"}, False),
        ({"pretraining": "none", "latent_tuning": "none"}, True),
    ],
)
def test_encoder_learns_last_if_joint_or_untrained(
    changes: Mapping[str, Scalar], learns: bool
) -> None:
    """A frozen encoder that nothing has trained would give noise."""
    trains = stage_named(system(**changes), "emotion").trains
    assert ("autoencoder.encoder." in trains) == learns


@pytest.mark.parametrize(("option", "absent"), [("first_only", "autoencoder."),
                                                ("second_only", "recogniser.deep.")])  # fmt: skip
def test_a_branch_alone_has_no_other(option: str, absent: str) -> None:
    """What the fusion has no use for is not there."""
    names = [name for name, _ in network_of(system(fusion=option)).named_parameters()]
    assert not [name for name in names if name.startswith(absent)]


# --- losses ----------------------------------------------------------------------------------


def test_reconstruction_error_counts_real_frames_of_real_segments() -> None:
    """Two items of 3 and 1 frames in segments of 2: six frames, of which four are real."""
    made = system()
    image = torch.zeros(2, 4, 1)
    image[0, :3, 0] = torch.tensor([1.0, 2.0, 3.0])
    image[1, 0, 0] = 4.0
    mask = image[..., 0] != 0
    batch = replace(batch_of(made), inputs={"image": image}, masks={"image": mask})
    reconstructed = torch.full((3, 2, 1), 100.0)
    reconstructed[0, :, 0] = torch.tensor([1.5, 2.0])
    reconstructed[1, 0, 0] = 5.0
    reconstructed[2, 0, 0] = 4.0
    error = reconstruction_loss(reconstructed, batch)
    torch.testing.assert_close(error, torch.tensor((0.25 + 4.0) / 4))


def test_every_segment_has_its_utterances_labels() -> None:
    """The heads' losses are means over segments, so that long utterances count more."""
    made = system()
    network = network_of(made).eval()
    batch = batch_of(made, "pretrain")
    output = network(batch)
    latent, mask = output.extras["latent"], output.extras["segments"]
    assert mask.sum(dim=1).tolist() == [3, 6, 4, 8]  # of 44, 81, 56 and 125 frames of 16
    item = torch.repeat_interleave(torch.arange(4), mask.sum(dim=1))
    scores = network.heads.adversary.corpus(latent[mask])
    expected = nn.functional.cross_entropy(scores, batch.corpora[item])
    torch.testing.assert_close(terms_of(network, batch)["corpus"], expected)


def test_reversal_turns_the_domains_gradient_alone() -> None:
    """Lambda 2 gives the encoder -2 times the gradient of the auxiliary control at lambda 1."""
    gradients = []
    for option, strength in (("speaker", 2.0), ("speaker_auxiliary", 1.0)):
        made = system(adversary=option, reversal=strength)
        network = network_of(made).eval()
        terms_of(network, batch_of(made, "pretrain"))["speaker"].backward()
        gradients.append(network.autoencoder.encoder.latent.weight.grad)
    torch.testing.assert_close(gradients[0], -2 * gradients[1])
    assert gradients[0].any()


def test_unlabelled_outside_items_teach_no_emotion() -> None:
    """A row of zeros has no part in the emotion head's loss, and all part in the others."""
    made = system()
    network = network_of(made).eval()
    batch = batch_of(made, "pretrain")
    hidden = replace(batch, targets=batch.targets * torch.tensor([1.0, 0, 0, 0]).unsqueeze(1))
    some, all_ = terms_of(network, hidden), terms_of(network, batch)
    assert not torch.allclose(some["emotion_latent"], all_["emotion_latent"])
    for name in ("reconstruction", "speaker", "corpus"):
        torch.testing.assert_close(some[name], all_[name])


# --- masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["", "pretrain", "tune", "emotion"])
def test_padding_has_no_part_in_training_either(stage: str) -> None:
    """Losses and normalisation statistics are the same however far the batch is padded."""
    made = system(dropout=0.0)
    networks = [network_of(made).train() for _ in range(2)]
    batches = [batch_of(made, stage), batch_of(made, stage, padded_s=3.1)]
    pairs = zip(networks, batches, strict=True)
    short, long = (terms_of(network, batch) for network, batch in pairs)
    assert short.keys() == long.keys()
    for name in short:
        torch.testing.assert_close(short[name], long[name], atol=1e-5, rtol=1e-5)
    for a, b in zip(networks[0].buffers(), networks[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("readout", ["mean", "last"])
@pytest.mark.parametrize("fusion", sorted(options_of("fusion")))
def test_items_do_not_depend_on_the_batch(fusion: str, readout: str) -> None:
    """Alone, padded and in another order: the same scores (to 1e-5)."""
    made = system(fusion=fusion, readout=readout)
    network, batch = network_of(made).eval(), batch_of(made)
    with torch.no_grad():
        together = network(batch).scores
        torch.testing.assert_close(
            network(batch_of(made, padded_s=2.7)).scores, together, atol=1e-5, rtol=0
        )
        for row in range(4):
            n = int(batch.masks["image"][row].sum())
            alone = replace(
                batch,
                inputs={"image": batch.inputs["image"][row : row + 1, :n]},
                masks={"image": batch.masks["image"][row : row + 1, :n]},
            )
            torch.testing.assert_close(network(alone).scores[0], together[row], atol=1e-5, rtol=0)


# --- learning --------------------------------------------------------------------------------


def _steps(network: nn.Module, stage: Stage, batch: Batch, n: int, rate: float) -> list[float]:
    """Losses of so many steps of a stage on one batch."""
    chosen = [p for name, p in network.named_parameters() if name.startswith(stage.trains)]
    optimiser = torch.optim.AdamW(chosen, lr=rate)
    losses = []
    for _ in range(n):
        loss = weighted(stage, terms_of(network, batch))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def _separable(made: System) -> Batch:
    """Sixteen noisy items whose class lifts its own quarter of the bins."""
    batch = example_batch(sizes_for(made), [0.6 + 0.05 * k for k in range(16)])
    image = batch.inputs["image"].clone()
    quarter = image.shape[2] // 4
    for row, label in enumerate(batch.targets.argmax(dim=1).tolist()):
        image[row, :, label * quarter : (label + 1) * quarter] += 1.0
    return replace(batch, inputs={"image": image * batch.masks["image"].unsqueeze(-1)})


def test_all_stages_learn_sixteen_utterances() -> None:
    """The autoencoder's error falls, and the recogniser tells all sixteen."""
    made = system(adversary="none", dropout=0.0)
    with torch_seeded(0, "learning"):
        network = network_of(made).train()
        batch = _separable(made)
        for stage in made.stages()[:2]:
            losses = _steps(network, stage, replace(batch, stage=stage.name), 30, 3e-3)
            assert losses[-1] < losses[0] - 0.1, stage.name
        network.autoencoder.eval()
        last = made.stages()[-1]
        losses = _steps(network, last, replace(batch, stage=last.name), 40, 3e-3)
    assert losses[-1] < 0.1
    scores = network.eval()(batch).scores
    assert torch.equal(scores.argmax(dim=1), batch.targets.argmax(dim=1))


@pytest.mark.parametrize("name", ["pretrain", "tune", "emotion"])
def test_half_precision_trains(name: str) -> None:
    """The forward pass alone is in bfloat16, as the loop has it: losses stay close to those of
    full precision, and gradients are numbers.
    """
    made = system(dropout=0.0)
    network, batch, stage = network_of(made).eval(), batch_of(made, name), stage_named(made, name)
    full = weighted(stage, terms_of(network, batch))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(batch)
    half = weighted(stage, network.losses(output.float(), batch))  # type: ignore[operator]
    torch.testing.assert_close(half, full, atol=0.0, rtol=0.02)
    half.backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert grads
    assert all(bool(grad.isfinite().all()) for grad in grads)


def test_tuning_leaves_the_heads_and_the_recogniser() -> None:
    """A step of the stage moves the autoencoder and nothing else."""
    made = system()
    network = network_of(made).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    stage = stage_named(made, "tune")
    terms = terms_of(network, batch_of(made, "tune"))
    assert set(terms) == {"reconstruction"}
    weighted(stage, terms).backward()  # type: ignore[no-untyped-call]
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {name for name in before if name.startswith("autoencoder.")}
