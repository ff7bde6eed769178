"""Features: values as in librosa, settings checked, extraction that goes on after a broken file."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st

from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, FeatureSpec, FloatArray, Scalar, Utterance
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.features import base, extraction
from serlab.bench.features.base import FEATURES, Feature, feature
from serlab.bench.features.extraction import extract, fill
from serlab.bench.memo import CacheError

RATE = 16000


def make(name: str, **given: Scalar) -> Feature:
    if name in ("egemaps", "compare2016"):
        pytest.importorskip("opensmile")
    if name == "speech_encoder":
        pytest.importorskip("transformers")
        given = {"model": tiny_models.shared("wav2vec2"), **given}
    return feature(FeatureSpec(name=name, settings=given))


def noise(duration_s: float, seed: int = 0, rate_hz: int = RATE) -> Audio:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(duration_s * rate_hz))
    return Audio(samples=samples.astype(np.float32), rate_hz=rate_hz)


def voice(hertz: Any, duration_s: float = 1.0) -> Audio:  # a number or an array (sample,)
    """A buzz of six harmonics, of one pitch or of one that moves."""
    t = np.arange(round(duration_s * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, t.shape)) / RATE
    samples = sum(np.sin(k * phase) / k for k in range(1, 7))
    return Audio(samples=(0.2 * samples).astype(np.float32), rate_hz=RATE)


READERS = (
    "bag_of_words", "face_frames", "nothing", "supplied", "text", "text_encoder", "turns", "words"
)  # fmt: skip
"""Features that are not of the audio; see test_readers.py."""
ALL = pytest.mark.parametrize("name", sorted(set(FEATURES.entries()) - set(READERS)))


# --- what holds for every feature --------------------------------------------------------------


@ALL
def test_facts(name: str) -> None:
    """Every feature has a title, a source and the words for its axes."""
    entry = FEATURES.entry(name)
    assert entry.summary
    assert {"title", "source", "dimension"} <= set(entry.facts)


@ALL
def test_shape(name: str) -> None:
    """Values are finite float32 (frame, value), with as many frames as the rate says."""
    made, audio = make(name), noise(1.3)
    values = made.compute(audio)
    assert values.dtype == np.float32
    assert values.shape[1] == made.n_values
    assert np.isfinite(values).all()
    if made.rate_hz:
        missing = 1.3 * made.rate_hz - len(values)
        assert 0 <= missing <= 0.05 * made.rate_hz
    else:
        assert len(values) == 1


@ALL
@pytest.mark.parametrize("n_samples", [1, 37, 399])
def test_short_audio_has_one_frame(name: str, n_samples: int) -> None:
    """Audio below one frame is completed with zeros; raw samples are what they are."""
    values = make(name).compute(noise(n_samples / RATE))
    assert values.shape[0] == (n_samples if name == "waveform" else 1)


@ALL
def test_silence_is_finite(name: str) -> None:
    """Digital silence has finite values: no logarithm of 0, no division by it."""
    silence = Audio(samples=np.zeros(RATE, np.float32), rate_hz=RATE)
    assert np.isfinite(make(name).compute(silence)).all()


@ALL
def test_independent_of_what_came_before(name: str) -> None:
    """An utterance's values do not depend on the others, nor on their order."""
    made = make(name)
    audios = [noise(0.6 + 0.1 * seed, seed) for seed in range(3)]
    forward = [made.compute(audio) for audio in audios]
    backward = [make(name).compute(audio) for audio in reversed(audios)][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other)


@ALL
@pytest.mark.parametrize(
    ("samples", "problem"),
    [([], "no samples"), ([0.0, np.nan], "1 NaN"), ([np.inf, -np.inf], "2 NaN")],
)
def test_bad_audio(name: str, samples: list[float], problem: str) -> None:
    """No sample, or one that is no number, is an error and no feature."""
    audio = Audio(samples=np.array(samples, np.float32), rate_hz=RATE)
    with pytest.raises(BadValue, match=problem):
        make(name).compute(audio)


def test_values_that_overflow() -> None:
    """Samples too large for finite energies are an error and no feature."""
    audio = Audio(samples=np.full(RATE, 1e30, np.float32), rate_hz=RATE)
    with pytest.raises(SerlabError, match="feature log_mel: its values are not finite"):
        make("log_mel").compute(audio)


def test_less_than_a_sample() -> None:
    """Audio that resampling leaves nothing of has one frame of silence."""
    audio = Audio(samples=np.full(1, 0.5, np.float32), rate_hz=192000)
    np.testing.assert_array_equal(make("log_mel").compute(audio), np.full((1, 64), -100.0))


@ALL
def test_read_only_audio(name: str) -> None:
    """Samples that may not be written to are read without a warning and left as they are."""
    audio = noise(0.3)
    before = audio.samples.copy()
    audio.samples.flags.writeable = False
    make(name).compute(audio)
    np.testing.assert_array_equal(audio.samples, before)


@ALL
def test_resamples(name: str) -> None:
    """Audio at another rate gives the frames of its duration."""
    made = make(name)
    there = made.compute(noise(1.0, rate_hz=RATE))
    here = made.compute(noise(1.0, rate_hz=44100))
    assert there.shape == here.shape


@ALL
def test_spec_has_every_setting(name: str) -> None:
    """A feature's spec spells its defaults out, and makes the same feature again."""
    made = make(name)
    assert feature(made.spec).spec == made.spec
    assert made.spec.settings["rate_hz"] == RATE


@ALL
def test_key_depends_on_every_setting(name: str) -> None:
    """Another value of any setting is another key in the cache."""
    made, audio = make(name), noise(0.1)
    keys = {made.key_of(audio)}
    free = set(made.spec.settings) - TIED.get(name, set())
    others = [{s: OTHERS.get(f"{name}.{s}", OTHERS[s])} for s in free]
    keys |= {make(name, **other).key_of(audio) for other in others}
    assert len(keys) == 1 + len(free)


TIED = {"speech_encoder": {"model", "revision", "rate_hz"}}
"""Settings that have no other value with the same model; see test_encoders.py."""
OTHERS: Mapping[str, Scalar] = {
    "layer": 1,
    "level": "lld",
    "all_layers": True,
    "pooling": "mean",
    "rate_hz": 20000,
    "n_fft": 2048,
    "spectrogram.n_fft": 3200,
    "window": "blackman",
    "power": 1.0,
    "n_mels": 40,
    "low_hz": 80.0,
    "high_hz": 4000.0,
    "functionals.high_hz": 500.0,
    "scale": "htk",
    "norm": "none",
    "floor": 1e-5,
    "deltas": 1,
    "centre": "utterance-mean",
    "n_mfcc": 13,
    "window_s": 0.02,
    "hop_s": 0.02,
    "top_hz": 2000.0,
    "pool_bins": 4,
    "scaling": "fixed",
    "span": "unit",
    "compression": "log",
    "mu": 100.0,
    "range_db": 60.0,
}


def test_key_depends_on_audio_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other samples, another feature or another version of its code is another key."""
    audio, made = noise(0.1), make("log_mel")
    keys = {made.key_of(audio), made.key_of(noise(0.1, seed=1)), make("mfcc").key_of(audio)}
    monkeypatch.setattr(type(made.extractor), "version", 99)
    keys.add(make("log_mel").key_of(audio))
    monkeypatch.setattr(base, "version", lambda name: "9.9")
    keys.add(make("log_mel").key_of(audio))
    assert len(keys) == 5


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("log_mell", {}, 'did you mean "log_mel"'),
        ("log_mel", {"n_mel": 40}, 'feature log_mel: "n_mel" is no setting; did you mean "n_mels"'),
        ("log_mel", {"n_mels": 40.0}, "n_mels = 40.0: expected an integer"),
        ("log_mel", {"n_mels": True}, "expected an integer"),
        ("log_mel", {"n_mels": 1}, "at least 2"),
        ("log_mel", {"n_mels": 1000}, "at most 512"),
        ("log_mel", {"hop_s": "10ms"}, "expected a number"),
        ("log_mel", {"hop_s": float("nan")}, "finite"),
        ("log_mel", {"window": "han"}, "one of hann, hamming"),
        ("log_mel", {"n_fft": 256}, "400 samples"),
        ("log_mel", {"high_hz": 9000.0}, "at most half of rate_hz, 8000"),
        ("log_mel", {"low_hz": 8000.0}, "more than low_hz"),
        ("log_mel", {"n_mels": 200}, "bands hold no bin"),
        ("log_mel", {"window_s": 0.001, "rate_hz": 1000, "high_hz": 500}, "two samples"),
        ("mfcc", {"n_mfcc": 65}, "at most n_mels, 64"),
        ("spectrogram", {"top_hz": 8001}, "at most half"),
        ("spectrogram", {"pool_bins": 7}, "a divisor of the 400 bins"),
        ("spectrogram", {"n_fft": 512}, "640 samples"),
        ("spectrogram", {"compression": "mulaw"}, "one of mu_law"),
        ("functionals", {"rate_hz": 8000}, "at least 16000"),
        ("functionals", {"high_hz": 110.0}, "an octave above"),
    ],
)
def test_bad_settings(name: str, given: dict[str, Scalar], message: str) -> None:
    """A wrong name, type, range or combination is one line that says what was expected."""
    with pytest.raises((UnknownName, BadValue)) as caught:
        make(name, **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_integer_for_a_number() -> None:
    """A whole number stands for a number, and is the same feature and key."""
    one, other = make("log_mel", high_hz=4000), make("log_mel", high_hz=4000.0)
    assert one.spec == other.spec
    assert one.key("0" * 64) == other.key("0" * 64)


# --- log-mel and MFCC against librosa -------------------------------------------------------------


def _reference(audio: Audio, **given: Any) -> Any:  # librosa is untyped
    librosa = pytest.importorskip("librosa")
    margin = (given["n_fft"] - given["win_length"]) // 2  # librosa centres the window in n_fft
    energy = librosa.feature.melspectrogram(
        y=np.pad(audio.samples, margin), sr=RATE, hop_length=160, center=False, **given
    )
    decibels = librosa.power_to_db(energy, amin=1e-10, top_db=None)
    return (2.0 / given.get("power", 2.0)) * decibels.T


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"scale": "htk", "norm": "none"}, {"htk": True, "norm": None}),
        ({"scale": "htk"}, {"htk": True}),
        ({"low_hz": 50.0, "high_hz": 7600.0}, {"fmin": 50.0, "fmax": 7600.0}),
        ({"power": 1.0}, {"power": 1.0}),
        ({"window": "hamming"}, {"window": "hamming"}),
        ({"window": "blackman"}, {"window": "blackman"}),
        ({"window": "rectangular"}, {"window": "boxcar"}),
        ({"window_s": 0.032, "n_mels": 40}, {"win_length": 512, "n_mels": 40}),
    ],
)
def test_log_mel_is_librosa_s(ours: dict[str, Scalar], theirs: dict[str, Any]) -> None:
    """Bands agree within 0.0001 dB with librosa 0.11's, for every window, scale and range."""
    audio = voice(np.linspace(120, 240, RATE))
    audio = Audio(samples=audio.samples + noise(1.0).samples, rate_hz=RATE)
    given = {"n_fft": 512, "win_length": 400, "n_mels": 64} | theirs
    values = make("log_mel", **ours).compute(audio)
    np.testing.assert_allclose(values, _reference(audio, **given), rtol=0, atol=1e-4)


def test_log_mel_of_speech(real_corpus: Callable[[str], Path]) -> None:
    """Real speech agrees with librosa too, also 90 dB below a frame's loudest band."""
    for path in sorted(real_corpus("emodb").rglob("*.flac"))[:100:10]:
        audio = AudioFile(path=path).read()
        expected = _reference(audio, n_fft=512, win_length=400, n_mels=64)
        np.testing.assert_allclose(make("log_mel").compute(audio), expected, rtol=0, atol=1e-4)


def test_deltas_are_librosa_s() -> None:
    """First and second derivatives follow the bands, equal to librosa's with repeated ends."""
    librosa = pytest.importorskip("librosa")
    audio = noise(0.5)
    static, first, second = np.split(make("log_mel", deltas=2).compute(audio), 3, axis=1)
    np.testing.assert_array_equal(static, make("log_mel").compute(audio))
    for order, values in ((1, first), (2, second)):
        expected = librosa.feature.delta(static.T, order=order, mode="nearest").T
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_mfcc_is_librosa_s() -> None:
    """Coefficients are the orthonormal DCT-II of the bands, as librosa's."""
    librosa = pytest.importorskip("librosa")
    audio = noise(0.5)
    bands = make("log_mel").compute(audio)
    doubled = bands.T.astype(np.float64)
    expected = librosa.feature.mfcc(S=doubled, n_mfcc=20, dct_type=2, norm="ortho").T
    np.testing.assert_allclose(make("mfcc").compute(audio), expected, rtol=0, atol=1e-4)


def test_centre() -> None:
    """Centred bands have mean 0 and differ from the others by a constant; deltas do not change."""
    audio = noise(0.5)
    plain = make("log_mel", deltas=1).compute(audio)
    centred = make("log_mel", deltas=1, centre="utterance-mean").compute(audio)
    np.testing.assert_allclose(centred[:, :64].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.ptp((plain - centred)[:, :64], axis=0), 0, atol=1e-4)
    np.testing.assert_array_equal(plain[:, 64:], centred[:, 64:])


def test_long_audio_is_cut_nowhere() -> None:
    """Blocks of frames, which bound the memory, leave no seam."""
    audio = noise(40.0)
    whole = make("log_mel").compute(audio)
    start = 2900  # about the first seam
    piece = Audio(samples=audio.samples[start * 160 : (start + 200) * 160], rate_hz=RATE)
    np.testing.assert_allclose(
        make("log_mel").compute(piece), whole[start : start + 198], atol=1e-3
    )


# --- the spectrogram of Li et al. -----------------------------------------------------------------


def _magnitudes(audio: Audio) -> Any:  # scipy is untyped
    """The paper's frames by scipy: 640 samples every 160, 1600-point transform, 400 bins."""
    signal = pytest.importorskip("scipy.signal")
    frames = np.lib.stride_tricks.sliding_window_view(audio.samples.astype(np.float64), 640)[::160]
    return np.abs(np.fft.rfft(frames * signal.get_window("hamming", 640), n=1600))[:, :400]


def test_spectrogram_is_the_paper_s() -> None:
    """Two seconds are 197 x 400: frames, scaling over the utterance and mu-law by the formula."""
    audio = noise(2.0)
    values = make("spectrogram").compute(audio)
    magnitude = _magnitudes(audio)
    x = 2 * magnitude / magnitude.max() - 1
    expected = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    assert values.shape == (197, 400)
    # Near x = 0 the mu-law is steep (255 / ln 256 = 46), which magnifies rounding.
    np.testing.assert_allclose(values, expected, atol=5e-4)


def test_spectrogram_options() -> None:
    """No scaling leaves magnitudes; a unit span, pooling and a log are what they say."""
    audio = noise(0.5)
    held = _magnitudes(audio)
    full = held.max()
    options: dict[str, tuple[dict[str, Scalar], Any]] = {
        "raw": ({"scaling": "none", "compression": "none"}, held),
        "unit": ({"span": "unit", "compression": "none"}, held / full),
        "raw log": ({"scaling": "none", "compression": "log"}, 20 * np.log10(held)),
        "log": (
            {"compression": "log", "span": "unit"},
            1 + np.maximum(20 * np.log10(held / full), -80) / 80,
        ),
        "pool": (
            {"scaling": "none", "compression": "none", "pool_bins": 8},
            held.reshape(-1, 50, 8).mean(axis=2),
        ),
    }
    for label, (chosen, expected) in options.items():
        values = make("spectrogram", **chosen).compute(audio)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4, err_msg=label)


def test_fixed_scale_is_a_full_sine() -> None:
    """With the fixed scale a sine of amplitude 1 reaches 1, and half of it lies at 0."""
    t = np.arange(RATE) / RATE
    for amplitude, expected in ((1.0, 1.0), (0.5, 0.0)):
        samples = (amplitude * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
        made = make("spectrogram", scaling="fixed", compression="none")
        values = made.compute(Audio(samples=samples, rate_hz=RATE))
        assert values.max() == pytest.approx(expected, abs=1e-3)
        assert values[:, 100].min() == pytest.approx(expected, abs=1e-3)  # bins of 10 Hz


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1.0), st.integers(0, 5))
def test_utterance_scale_ignores_level(gain: float, seed: int) -> None:
    """Scaled over the utterance, a quieter recording of the same has the same spectrogram."""
    audio = noise(0.2, seed)
    quiet = Audio(samples=np.float32(gain) * audio.samples, rate_hz=RATE)
    made = make("spectrogram", compression="none")
    np.testing.assert_allclose(made.compute(quiet), made.compute(audio), atol=1e-4)


def test_waveform() -> None:
    """The waveform is the samples."""
    audio = noise(0.1)
    np.testing.assert_array_equal(make("waveform").compute(audio)[:, 0], audio.samples)


# --- pitch and functionals ------------------------------------------------------------------------


def _track(audio: Audio) -> Any:  # imported here: it loads torch
    from serlab.bench.features import pitch

    return pitch.track(audio.samples, RATE, hop=160, low_hz=60.0, high_hz=600.0)


@pytest.mark.parametrize("hertz", [65.0, 110.0, 220.5, 333.0, 480.0, 580.0])
def test_pitch_of_a_buzz(hertz: float) -> None:
    """A steady buzz is voiced throughout, within 0.1 % of its pitch and 0.3 % of librosa's YIN."""
    librosa = pytest.importorskip("librosa")
    audio = voice(hertz)
    found = _track(audio)
    assert found.voiced.all()
    np.testing.assert_allclose(found.frequency_hz, hertz, rtol=1e-3)
    yin = librosa.yin(audio.samples, fmin=60, fmax=600, sr=RATE)
    assert np.median(found.frequency_hz) == pytest.approx(np.median(yin), rel=3e-3)


def test_pitch_of_a_glide() -> None:
    """Two octaves in a second are followed within 0.2 %."""
    course = 100 * 4 ** (np.arange(RATE) / RATE)
    found = _track(voice(course))
    centres = np.arange(len(found.frequency_hz)) * 160 + 400
    np.testing.assert_allclose(found.frequency_hz, course[centres], rtol=2e-3)


def test_noise_has_no_pitch() -> None:
    """White noise and silence are unvoiced."""
    assert not _track(noise(1.0)).voiced.any()
    assert not _track(Audio(samples=np.zeros(RATE, np.float32), rate_hz=RATE)).voiced.any()


def test_pitch_of_speech(real_corpus: Callable[[str], Path]) -> None:
    """On speech, fewer than 3 % of frames are an octave off librosa's probabilistic YIN."""
    librosa = pytest.importorskip("librosa")
    audio = AudioFile(path=sorted(real_corpus("emodb").rglob("*.flac"))[100]).read()
    found = _track(audio)
    theirs, voiced, _ = librosa.pyin(
        np.pad(audio.samples, 112), fmin=60, fmax=600, sr=RATE, frame_length=1024, hop_length=160,
        center=False,
    )  # fmt: skip
    n = min(len(theirs), len(found.voiced))
    both = found.voiced[:n] & voiced[:n]
    assert both.sum() > 50
    assert (found.voiced[:n] == voiced[:n]).mean() > 0.7
    off = np.abs(np.log2(found.frequency_hz[:n][both] / theirs[:n][both]))
    assert (off > 0.5).mean() < 0.03


def _named(audio: Audio) -> dict[str, float]:
    made = make("functionals")
    names = made.extractor.names  # type: ignore[attr-defined]
    return dict(zip(names, made.compute(audio)[0].tolist(), strict=True))


def test_functional_names() -> None:
    """Every value has a name of its own."""
    made = make("functionals")
    names = made.extractor.names  # type: ignore[attr-defined]
    assert len(set(names)) == made.n_values == 1225


def test_functionals_of_a_buzz() -> None:
    """Pitch, voicing and level of a known signal come out in their units."""
    found = _named(voice(110.0))
    assert found["pitch.mean"] == pytest.approx(24.0, abs=0.02)  # two octaves above 27.5 Hz
    assert found["pitch.slope"] == pytest.approx(0.0, abs=0.05)
    assert found["voiced_share"] == 1.0
    assert found["voiced_runs_per_s"] == pytest.approx(1.0, abs=0.05)
    power = 0.04 * sum(0.5 / k**2 for k in range(1, 7))
    assert found["energy.p50"] == pytest.approx(10 * np.log10(power), abs=0.2)


def test_pitch_slope_is_per_second() -> None:
    """A rise of an octave in a second is a slope of 12 semitones per second."""
    assert _named(voice(100 * 2 ** (np.arange(RATE) / RATE)))["pitch.slope"] == pytest.approx(
        12.0, abs=0.2
    )


@pytest.mark.parametrize("chosen", [{"low_hz": 100.0}, {"low_hz": 30.0}, {"rate_hz": 22050}])
def test_other_frames_of_pitch(chosen: dict[str, Scalar]) -> None:
    """Whatever the lengths of the frames, those of pitch and of spectra go together."""
    audio = voice(220.0, 0.331)
    values = make("functionals", **chosen).compute(audio)
    names = make("functionals").extractor.names  # type: ignore[attr-defined]
    assert values[0, names.index("pitch.p50")] == pytest.approx(36.0, abs=0.1)


def test_pauses_are_counted() -> None:
    """Two calls around a pause are two voiced runs and one or more unvoiced ones of its length."""
    call, pause = voice(150.0, 0.5).samples, np.zeros(RATE // 2, np.float32)
    found = _named(Audio(samples=np.concatenate((call, pause, call)), rate_hz=RATE))
    assert found["voiced_share"] == pytest.approx(2 / 3, abs=0.05)
    assert found["voiced_run_mean_s"] == pytest.approx(0.5, abs=0.05)
    assert found["unvoiced_run_mean_s"] == pytest.approx(0.5, abs=0.05)
    assert found["loudness_peaks_per_s"] > 0


def test_no_voice_is_told_apart() -> None:
    """Functionals of no voiced frame are 0, and the voiced share says why."""
    found = _named(noise(1.0))
    assert found["voiced_share"] == 0
    assert found["pitch.mean"] == found["delta_pitch.sd"] == found["mfcc_1.voiced_mean"] == 0


def test_moments_against_scipy() -> None:
    """Moments, percentiles and slope of a contour are numpy's and scipy's."""
    stats = pytest.importorskip("scipy.stats")
    from serlab.bench.features import descriptors

    audio = noise(1.0)
    held = descriptors.contours(audio.samples, RATE, low_hz=60.0, high_hz=600.0)
    contour = held.frames[:, descriptors.FRAME_NAMES.index("mfcc_2")]
    found = _named(audio)
    expected = {
        "mean": contour.mean(),
        "sd": contour.std(),
        "skewness": stats.skew(contour),
        "kurtosis": stats.kurtosis(contour),
        "p25": np.percentile(contour, 25),
        "iqr": stats.iqr(contour),
        "slope": stats.linregress(held.times_s, contour).slope,
    }
    for name, value in expected.items():
        assert found[f"mfcc_2.{name}"] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_spectral_shape_of_a_tone() -> None:
    """Centroid and roll-off of a tone lie at its frequency, in kHz; its entropy is low."""
    t = np.arange(RATE) / RATE
    tone = Audio(samples=(0.5 * np.sin(2 * np.pi * 2000 * t)).astype(np.float32), rate_hz=RATE)
    found, hiss = _named(tone), _named(noise(1.0))
    assert found["centroid.mean"] == pytest.approx(2.0, abs=0.02)
    assert found["rolloff_50.mean"] == pytest.approx(2.0, abs=0.04)
    assert found["entropy.mean"] < 0.4 < 0.8 < hiss["entropy.mean"]
    assert found["flux.mean"] < 0.05 < hiss["flux.mean"]
    assert found["crossings.mean"] == pytest.approx(0.25, abs=0.01)


# --- openSMILE ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["functionals", "lld"])
@pytest.mark.parametrize(("name", "widths"), [("egemaps", (88, 25)), ("compare2016", (6373, 65))])
def test_opensmile_sets(name: str, widths: tuple[int, int], level: str) -> None:
    """The sets are openSMILE's own values for the same samples, at 100 frames a second."""
    opensmile = pytest.importorskip("opensmile")
    audio = voice(140.0)
    kind = {"egemaps": "eGeMAPSv02", "compare2016": "ComParE_2016"}[name]
    own = {"functionals": "Functionals", "lld": "LowLevelDescriptors"}[level]
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet[kind], feature_level=opensmile.FeatureLevel[own]
    )
    expected = smile.process_signal(audio.samples, RATE).to_numpy()
    made = make(name, level=level)
    values = made.compute(audio)
    if level == "functionals":
        assert values.shape == (1, widths[0])
    else:
        assert values.shape[1] == made.n_values == widths[1]
        assert len(values) == pytest.approx(audio.duration_s * made.rate_hz, abs=7)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_missing_opensmile_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the feature cannot be made, so a plan fails before it runs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    FEATURES.load("log_mel")
    from serlab.bench.features.smile import Egemaps

    with pytest.raises(SerlabError, match=r"pip install 'serlab\[opensmile\]'"):
        Egemaps()


# --- many utterances ------------------------------------------------------------------------------


class FromMemory:
    """Audio that is in memory, and counts how often it is read."""

    def __init__(self, audio: Audio) -> None:
        self.audio, self.n_reads = audio, 0

    def read(self) -> Audio:
        self.n_reads += 1
        return self.audio

    def name(self) -> str:
        return "from memory"


def spoken(folder: Path, n: int = 4, age_s: float = 60.0) -> list[Utterance]:
    found = []
    for number in range(n):
        path = folder / f"u{number}.wav"
        soundfile.write(path, noise(0.2 + 0.05 * number, number).samples, RATE)
        os.utime(path, (time.time() - age_s,) * 2)
        found.append(Utterance(id=f"u{number}", speaker="s", audio=AudioFile(path=path)))
    return found


def same(one: Mapping[str, FloatArray], other: Mapping[str, FloatArray]) -> bool:
    pairs = zip(one.items(), other.items(), strict=True)
    return all(a == b and np.array_equal(x, y) for (a, x), (b, y) in pairs)


SPEC = FeatureSpec(name="log_mel")


def test_cached_or_not_is_the_same(tmp_path: Path) -> None:
    """Computed, kept and found values are equal, in the order of the utterances."""
    utterances, cache = spoken(tmp_path), Cache(tmp_path / "cache")
    computed = extract(SPEC, utterances)
    assert list(computed) == [u.id for u in utterances]
    assert same(computed, extract(SPEC, utterances, cache=cache))
    assert same(computed, extract(SPEC, utterances, cache=cache))
    backwards = extract(SPEC, utterances[::-1], cache=cache)
    assert same(computed, dict(reversed(backwards.items())))


def test_second_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once computed, files that have not changed are not read again."""
    utterances, cache = spoken(tmp_path), Cache(tmp_path / "cache")
    first = extract(SPEC, utterances, cache=cache)

    def refuse(self: AudioFile) -> Audio:
        raise AssertionError(f"{self.name()} was read")

    monkeypatch.setattr(AudioFile, "read", refuse)
    assert same(first, extract(SPEC, utterances, cache=cache))


def test_changed_file_is_computed_anew(tmp_path: Path) -> None:
    """A file with other samples under the same name gives its own values."""
    utterances, cache = spoken(tmp_path, n=1), Cache(tmp_path / "cache")
    before = extract(SPEC, utterances, cache=cache)
    soundfile.write(tmp_path / "u0.wav", noise(0.2, seed=9).samples, RATE)
    after = extract(SPEC, utterances, cache=cache)
    assert not same(before, after)
    assert same(after, extract(SPEC, utterances))


def test_truncated_array_is_computed_anew(tmp_path: Path) -> None:
    """A cache file that was cut is computed and written again."""
    utterances, cache = spoken(tmp_path, n=1), Cache(tmp_path / "cache")
    before = {k: v.copy() for k, v in extract(SPEC, utterances, cache=cache).items()}
    (path,) = (cache.root / "arrays").rglob("*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert same(before, extract(SPEC, utterances, cache=cache))
    assert path.read_bytes() == whole


def test_sources_without_a_file(tmp_path: Path) -> None:
    """Audio that is made is made every time, and its values computed once."""
    source, cache = FromMemory(noise(0.3)), Cache(tmp_path)
    utterances = [Utterance(id="u", speaker="s", audio=source)]
    first = extract(SPEC, utterances, cache=cache)
    assert same(first, extract(SPEC, utterances, cache=cache))
    assert source.n_reads == 2
    assert cache.info().n_arrays == 1


def test_goes_on_after_broken_files(tmp_path: Path) -> None:
    """All broken files are counted and the first five named; the others are in the cache."""
    utterances, cache = spoken(tmp_path, n=9), Cache(tmp_path / "cache")
    for number in range(1, 8):
        (tmp_path / f"u{number}.wav").write_text("no audio")
    told: list[tuple[int, int]] = []
    with pytest.raises(SerlabError) as caught:
        extract(SPEC, utterances, cache=cache, progress=lambda *done: told.append(done))
    text = str(caught.value)
    assert text.startswith("feature log_mel: 7 of 9 utterances are broken: ")
    assert text.endswith("; and 2 more")
    assert [f"u{n}.wav" in text for n in range(9)] == [1 <= n <= 5 for n in range(9)]
    assert told == [(n, 9) for n in range(1, 10)]
    assert cache.info().n_arrays == 2


def test_filling_is_extraction_without_the_arrays(tmp_path: Path) -> None:
    """The cache holds the same afterwards; what it holds already is not even read."""
    utterances, cache = spoken(tmp_path, n=4), Cache(tmp_path / "cache")
    told: list[tuple[int, int]] = []
    fill(SPEC, utterances, cache=cache, progress=lambda *done: told.append(done))
    assert told == [(n, 4) for n in range(1, 5)]
    assert cache.info().n_arrays == 4
    assert same(extract(SPEC, utterances), extract(SPEC, utterances, cache=cache))
    (tmp_path / "u2.wav").write_text("no audio")
    with pytest.raises(SerlabError, match=r"1 of 4 utterances are broken: .*u2\.wav"):
        fill(SPEC, utterances, cache=cache)


@pytest.mark.parametrize(
    ("spent_s", "n_done", "n_all", "workers", "pays"),
    [
        (0.5, 10, 10_000, 2, False),  # too early to know
        (1.0, 100, 2000, 2, True),  # 19 s are left, 9.5 saved
        (1.0, 100, 1000, 2, False),  # 9 s are left, 4.5 saved
        (1.0, 100, 1000, 16, True),  # 8.4 saved
        (100.0, 990, 1000, 16, False),  # as good as done
        (2.0, 0, 10, 2, False),
    ],
)
def test_processes_where_they_pay(
    spent_s: float, n_done: int, n_all: int, workers: int, pays: bool
) -> None:
    """They are started where they save more than five seconds, as far as one can tell."""
    assert extraction._pays(spent_s, n_done, n_all, workers) is pays


def test_nan_names_the_utterance() -> None:
    """An error of the values, not of the file, names the audio as well."""
    audio = Audio(samples=np.array([np.nan], np.float32), rate_hz=RATE)
    with pytest.raises(SerlabError, match="from memory: audio = '1 NaN"):
        extract(SPEC, [Utterance(id="u", speaker="s", audio=FromMemory(audio))])


def test_unwritable_cache_stops_at_once(tmp_path: Path) -> None:
    """A cache that cannot be written is one error about the cache, not one for each file."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="SERLAB_CACHE"):
        extract(SPEC, spoken(tmp_path), cache=Cache(tmp_path / "file"))


def test_no_workers() -> None:
    """At least one process has to work."""
    with pytest.raises(BadValue, match="workers = 0"):
        extract(SPEC, [], workers=0)


def test_threads_are_given_back() -> None:
    """Extraction computes in one thread and leaves torch's number of threads as it was."""
    import torch

    before = torch.get_num_threads()
    seen: list[int] = []
    utterance = Utterance(id="u", speaker="s", audio=FromMemory(noise(0.1)))
    torch.set_num_threads(2)
    try:
        extract(SPEC, [utterance], progress=lambda *_: seen.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1]


@pytest.mark.slow
def test_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes give what one gives, with and without cache, and name broken files."""
    monkeypatch.setattr(extraction, "_pays", lambda *_: True)
    utterances, cache = spoken(tmp_path, n=10), Cache(tmp_path / "cache")
    alone = extract(SPEC, utterances)
    assert same(alone, extract(SPEC, utterances, workers=2, cache=cache))
    assert cache.info().n_arrays == cache.info().n_hashes == 10
    (tmp_path / "u3.wav").write_text("no audio")
    with pytest.raises(SerlabError, match=r"1 of 10 utterances are broken: .*u3\.wav"):
        extract(SPEC, utterances, workers=2)


@pytest.mark.slow
def test_unwritable_cache_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache's error comes from the processes as it is."""
    monkeypatch.setattr(extraction, "_pays", lambda *_: True)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="SERLAB_CACHE"):
        extract(SPEC, spoken(tmp_path), cache=Cache(tmp_path / "file"), workers=2)


def test_dead_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies ends the extraction with its likely cause."""
    from concurrent.futures.process import BrokenProcessPool

    class DeadPool:
        """Stands for a pool one of whose processes was killed."""

        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> DeadPool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, *_: object) -> None:
            raise BrokenProcessPool

        def shutdown(self, **_: object) -> None: ...

    monkeypatch.setattr(extraction, "_pays", lambda *_: True)
    monkeypatch.setattr(extraction, "ProcessPoolExecutor", DeadPool)
    utterance = Utterance(id="u", speaker="s", audio=FromMemory(noise(0.1)))
    with pytest.raises(SerlabError, match="a process that computed it died"):
        extract(SPEC, [utterance], workers=2)


def test_importing_base_loads_no_torch() -> None:
    """Names, facts and checks of the list command need no torch."""
    code = (
        "import sys; from serlab.bench.features.base import FEATURES; "
        "assert len(FEATURES.entries()) >= 7; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'opensmile', 'librosa', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_development_tool_is_imported() -> None:
    """The features need neither librosa nor torchaudio."""
    code = (
        "import sys; from serlab.bench.features.base import FEATURES\n"
        "for name in ('log_mel', 'mfcc', 'spectrogram', 'waveform', 'functionals', 'egemaps'):\n"
        "    FEATURES.load(name)\n"
        "sys.exit(any(m in sys.modules for m in ('librosa', 'torchaudio', 'scipy', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
