"""Pretrained encoders: tiny models with random weights, against transformers called directly."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import LAYERS, WIDTH, shared, speech, text

from serlab.bench import pretrained
from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, FeatureSpec, FloatArray, Scalar, Utterance
from serlab.bench.errors import BadFile, BadValue, MissingExtra
from serlab.bench.features import extraction
from serlab.bench.features.base import Feature, feature
from serlab.bench.features.extraction import extract

transformers = pytest.importorskip("transformers")

RATE = 16000
KINDS = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")
SAID = Utterance(id="u", speaker="s", text="Yes no, water again")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def noise(seconds: float, seed: int = 0) -> FloatArray:
    drawn = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.1 * drawn).astype(np.float32)


def make(folder: Path | str, **settings: Scalar) -> Feature:
    return feature(FeatureSpec(name="speech_encoder", settings={"model": str(folder), **settings}))


def encoded(made: Feature, samples: FloatArray) -> FloatArray:
    return made.compute(Audio(samples=samples, rate_hz=RATE))


def direct(folder: str, samples: FloatArray) -> tuple[torch.Tensor, ...]:
    """All hidden states (frame, value), as transformers gives them."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    listen = transformers.AutoFeatureExtractor.from_pretrained(folder)
    heard = listen(samples, sampling_rate=RATE, return_tensors="pt")
    network = model.get_encoder() if "input_features" in heard else model
    with torch.no_grad():
        found = network(next(iter(heard.values())), output_hidden_states=True)
    assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
    return tuple(state[0] for state in found.hidden_states)


# --- speech ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_the_model(kind: str) -> None:
    """Every layer, at 50 frames a second, as a direct call gives it; and their mean."""
    samples = noise(2.0)
    states = direct(shared(kind), samples)
    assert len(states) == LAYERS + 1
    for layer in (0, 1, -1):
        made = make(shared(kind), layer=layer)
        assert (made.rate_hz, made.n_values) == (50.0, WIDTH)
        np.testing.assert_allclose(encoded(made, samples), states[layer], atol=1e-5)
    mean = encoded(make(shared(kind), all_layers=True), samples)
    np.testing.assert_allclose(mean, torch.stack(states).mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_pooled_states(kind: str) -> None:
    """The mean over the frames, and the standard deviation beside it: one vector an utterance."""
    samples = noise(1.3)
    frames = encoded(make(shared(kind)), samples)
    mean, both = (make(shared(kind), pooling=p) for p in ("mean", "mean_std"))
    assert (mean.rate_hz, mean.n_values, both.n_values) == (0.0, WIDTH, 2 * WIDTH)
    np.testing.assert_allclose(encoded(mean, samples)[0], frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(encoded(both, samples)[0, WIDTH:], frames.std(axis=0), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_other_utterances_have_no_part(kind: str) -> None:
    """The values are the same, bit by bit, whatever was computed before."""
    made, samples = make(shared(kind)), noise(0.7)
    first = encoded(made, samples)
    encoded(made, noise(1.5, seed=1))
    np.testing.assert_array_equal(encoded(make(shared(kind)), samples), first)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_samples", [1, 399, 400, 719, 720])
def test_short_audio_has_a_frame(kind: str, n_samples: int) -> None:
    """Audio below the first frame is completed with zeros; a second frame begins at 720."""
    values = encoded(make(shared(kind)), noise(n_samples / RATE))
    whisper = max(1, n_samples // 320)
    assert values.shape == (whisper if kind == "whisper" else 1 + n_samples // 720, WIDTH)


def test_whisper_hears_long_audio_in_windows() -> None:
    """Windows of the model's length (2 s here), each as if alone; the silence after is left out."""
    samples, made = noise(4.5), make(shared("whisper"))
    values = encoded(made, samples)
    assert values.shape == (225, WIDTH)
    for k, end in enumerate((2 * RATE, 4 * RATE, len(samples))):
        window = direct(shared("whisper"), samples[2 * RATE * k : end])[-1]
        np.testing.assert_allclose(
            values[100 * k : 100 * (k + 1)], window[: len(values) - 100 * k], atol=1e-5
        )


def test_too_long_audio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr("serlab.bench.features.encoders.LONGEST_S", 1.0)
    with pytest.raises(BadValue, match="1 s at most: cut it into utterances"):
        encoded(make(shared("wavlm")), noise(1.6))


def test_samples_are_normalised_as_the_model_wants(tmp_path: Path) -> None:
    """The level has no part where preprocessor_config.json normalises, and one where not."""
    samples = noise(0.5)
    for normalised in (True, False):
        made = make(speech(tmp_path / str(normalised), normalised=normalised))
        same = np.allclose(encoded(made, samples), encoded(made, 4 * samples), atol=1e-3)
        assert same == normalised


def test_the_plan_reads_no_weights(tmp_path: Path) -> None:
    """Width and rate come from the configuration: with damaged weights only values fail."""
    folder = speech(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    made = make(folder, pooling="mean")
    assert (made.n_values, made.rate_hz) == (WIDTH, 0.0)
    with pytest.raises(BadFile, match="its weights cannot be loaded"):
        encoded(made, noise(0.5))


def test_the_key_has_layer_and_weights(tmp_path: Path) -> None:
    """Other layers, poolings or weights are other features, for the cache and for a trial."""
    folder = str(speech(tmp_path / "a"))
    made = make(folder)
    others = [make(folder, layer=1), make(folder, all_layers=True), make(folder, pooling="mean")]
    keys = {one.key("x") for one in (made, *others)}
    files, values = made.files(), encoded(made, noise(0.5))
    speech(tmp_path / "b", seed=1)
    shutil.copy(tmp_path / "b" / "model.safetensors", tmp_path / "a" / "model.safetensors")
    changed = make(folder)
    assert len({*keys, changed.key("x")}) == 5
    assert files != changed.files()
    assert not np.allclose(values, encoded(changed, noise(0.5)))


def test_values_come_from_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many workers are asked for: each would hold a copy of the model."""
    monkeypatch.setattr(extraction, "_pays", lambda *_: True)
    monkeypatch.setattr(extraction, "_in_processes", None)

    spec = FeatureSpec(name="text_encoder", settings={"model": shared("text")})
    said = [replace(SAID, id=str(k)) for k in range(3)]
    found = extract(spec, said, cache=Cache(tmp_path), workers=4)
    assert list(found) == ["0", "1", "2"]


def test_no_gradient_and_no_dropout() -> None:
    """The model is as in a prediction."""
    folder = Path(shared("wav2vec2"))
    model = pretrained.model_of(folder, pretrained.hashes_of(folder))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.dtype == torch.float32 for p in model.parameters())


# --- text ------------------------------------------------------------------------------------


def sentence(**settings: Scalar) -> Feature:
    return feature(FeatureSpec(name="text_encoder", settings={"model": shared("text"), **settings}))


def test_a_text_is_the_mean_of_its_tokens() -> None:
    """As transformers gives them in a padded batch, the padding masked out."""
    model = transformers.AutoModel.from_pretrained(shared("text")).eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(shared("text"))
    texts = ["Yes no, water again", "lost"]
    tokens = tokeniser(texts, padding=True, return_tensors="pt")
    mask = tokens["attention_mask"].unsqueeze(-1)
    with torch.no_grad():
        states = model(**tokens).last_hidden_state
    means = (states * mask).sum(dim=1) / mask.sum(dim=1)
    for text_, mean in zip(texts, means, strict=True):
        values = sentence().of(replace(SAID, text=text_))
        assert values.shape == (1, sentence().n_values) == (1, WIDTH)
        np.testing.assert_allclose(values[0], mean, atol=1e-5)


def test_a_text_beyond_the_model_is_cut() -> None:
    """Twenty places, two of them kept free: what follows the sixteenth word has no part."""
    words = ["yes", "no"] * 20
    long, cut, less = (sentence().of(replace(SAID, text=" ".join(words[:n]))) for n in (40, 16, 15))
    np.testing.assert_array_equal(long, cut)
    assert not np.array_equal(cut, less)


def test_an_utterance_without_text_is_missing() -> None:
    """It has no frame; a corpus without any text lacks the feature."""
    silent = replace(SAID, text=None)
    assert sentence().of(silent).shape == (0, WIDTH)
    assert sentence().lacking([silent, SAID]) == ""
    assert "needs words or a text" in sentence().lacking([silent, replace(SAID, text=" ")])


# --- what is refused -------------------------------------------------------------------------


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """As something missing on this machine, so that a plan skips what needs it."""
    with pytest.raises(pretrained.MissingModel, match="needs a model: a folder, or a name"):
        make("")
    with pytest.raises(pretrained.MissingModel, match="there is no folder /no/where"):
        make("/no/where")
    with pytest.raises(MissingExtra, match='"hf download nobody/nothing"') as caught:
        make("nobody/nothing", revision="v1")
    assert "nobody/nothing at v1 is not on this machine" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_model_is_taken_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name and revision, as the hub's own tools lay it out, without the network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    held = tmp_path / "models--nobody--tiny"
    (held / "refs").mkdir(parents=True)
    (held / "refs" / "main").write_text(commit)
    speech(held / "snapshots" / commit, "hubert")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    values = encoded(make("nobody/tiny"), noise(0.5))
    np.testing.assert_array_equal(values, encoded(make(shared("hubert")), noise(0.5)))
    assert make("nobody/tiny", revision=commit).files() == make(shared("hubert")).files()


def test_weights_as_a_pickle_are_refused(tmp_path: Path) -> None:
    """They are never opened."""
    folder = speech(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadFile, match=r"has no weights: no file \*\.safetensors"):
        make(folder)
    (folder / "pytorch_model.bin").write_bytes(b"would run code")
    with pytest.raises(BadFile, match=r"as a pickle only \(pytorch_model\.bin\)"):
        make(folder)


def test_weights_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    """Instead of drawing the others at random, as transformers does."""
    folder = speech(tmp_path)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layers.1.attention" in name)
    save_file(
        {k: v for k, v in weights.items() if k != name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(BadFile, match=r"lack 1 that the model has, such as .*layers\.1"):
        encoded(make(folder), noise(0.5))


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    """A configuration that names a module of its own is refused."""
    folder = speech(tmp_path)
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(own))
    (folder / "own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(BadFile, match=r"its config\.json is none that transformers knows"):
        make(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 3}, "layer = 3: expected an integer from -3 to 2"),
        ({"layer": -4}, "from -3 to 2"),
        ({"layer": 1, "all_layers": True}, "since all layers are asked for"),
        ({"rate_hz": 8000}, "expected 16000, which the model"),
        ({"pooling": "max"}, "one of none, mean, mean_std"),
        ({"revision": "main"}, "a folder has no revisions"),
    ],
)
def test_settings_that_the_model_cannot_take(settings: dict[str, Scalar], message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(BadValue, match=message):
        make(shared("wav2vec2"), **settings)


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Text for speech, speech for text, folders that are none, and a wrong front end."""
    with pytest.raises(BadFile, match="is a bert, and no speech encoder"):
        make(shared("text"))
    with pytest.raises(BadFile, match="is a whisper, and no encoder of text"):
        sentence(model=shared("whisper"))
    with pytest.raises(BadFile, match=r"has no config\.json"):
        make(tmp_path)
    folder = speech(tmp_path / "a")
    shutil.copy(Path(shared("whisper")) / "preprocessor_config.json", folder)
    with pytest.raises(BadFile, match="is not one of a wav2vec2"):
        make(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadFile, match=r"has no preprocessor_config\.json"):
        make(folder)


def test_a_text_model_without_a_tokeniser_is_refused(tmp_path: Path) -> None:
    """Instead of having one without a word, to which all texts are alike."""
    folder = text(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(BadFile, match=r"has no vocabulary: none of tokenizer\.json"):
        sentence(model=str(folder))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "serlab\[encoders\]"'):
        pretrained.folder_of("speech_encoder", "x", "")


def test_loading_says_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No bar and no warning of a library: what matters of them is an error."""
    folder = speech(tmp_path, "wavlm")
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(make(folder), noise(0.5))
    assert capfd.readouterr() == ("", "")
