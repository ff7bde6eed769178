"""Audio conditions: what each does to the sound, to whom, and what never sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rich
import soundfile
from tiny import bench

from serlab.bench import trial
from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache, samples_hash
from serlab.bench.conditions import CONDITIONS, Condition, Conditioned, condition, under
from serlab.bench.contracts import (
    Audio,
    FeatureSpec,
    FloatArray,
    FoldResult,
    ProtocolSpec,
    Status,
    TrialSpec,
    Utterance,
)
from serlab.bench.data import Arrays
from serlab.bench.errors import UnknownName
from serlab.bench.features.extraction import extract, fill
from serlab.bench.trial import Bench, run_fold
from serlab.models.variant import make, resolve

RATES = (8000, 16000, 44100)
NAMES = tuple(CONDITIONS.entries())
LOG_MEL = FeatureSpec(name="log_mel")


def tone(hz: float, rate_hz: int = 16000, seconds: float = 1.0) -> Audio:
    """A sine of amplitude 0.5."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return Audio(samples=(0.5 * np.sin(2 * np.pi * hz * time_s)).astype("f4"), rate_hz=rate_hz)


def speech(number: int = 0, rate_hz: int = 16000, seconds: float = 1.0) -> Audio:
    """White noise whose level wavers as that of syllables does."""
    rng = np.random.default_rng(number)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = rng.standard_normal(len(time_s)) * (1.1 + np.sin(2 * np.pi * 4 * time_s))
    return Audio(samples=(0.1 * sound).astype("f4"), rate_hz=rate_hz)


def level_db(samples: FloatArray) -> float:
    """Power in decibels."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean()))


def gain_db(name: str, hz: float, rate_hz: int = 16000) -> float:
    """What a condition does to a tone, away from its ends."""
    before = tone(hz, rate_hz)
    after = condition(name).heard(before)
    inner = slice(rate_hz // 4, -rate_hz // 4)
    return level_db(after.samples[inner]) - level_db(before.samples[inner])


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_says_what_it_is(name: str) -> None:
    """A sentence, a strength with a unit, a source, and the published thresholds."""
    held = condition(name)
    assert held.about.endswith(".")
    assert held.unit
    assert held.source
    assert 0.5 <= held.least_unchanged < 1
    assert held.largest_loss is None or 0 < held.largest_loss < 0.1
    assert held.part == f"test:{name}"


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("name", NAMES)
def test_every_condition_changes_sound_at_every_rate(name: str, rate_hz: int) -> None:
    """Float32 at the audio's own rate, finite, of the length that the condition promises."""
    before, held = speech(rate_hz=rate_hz), condition(name)
    kept = before.samples.copy()
    after = held.heard(before)
    assert after.rate_hz == rate_hz
    assert after.samples.dtype == np.float32
    assert np.isfinite(after.samples).all()
    assert (len(after.samples) == len(before.samples)) == held.keeps_length
    assert not np.array_equal(after.samples, before.samples)
    np.testing.assert_array_equal(before.samples, kept)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("name", NAMES)
def test_silence_and_scraps_of_sound_are_heard(name: str, rate_hz: int) -> None:
    """Silence stays silence; one sample and ten milliseconds stay sound."""
    held = condition(name)
    silence = held.heard(Audio(samples=np.zeros(rate_hz, "f4"), rate_hz=rate_hz))
    assert len(silence.samples)
    assert not silence.samples.any()
    for n_samples in (1, 2, rate_hz // 100):
        after = held.heard(Audio(samples=np.full(n_samples, 0.5, "f4"), rate_hz=rate_hz))
        assert np.isfinite(after.samples).all()
        least = n_samples if held.keeps_length else (n_samples + 1) // 2
        assert least <= len(after.samples) <= n_samples


@pytest.mark.parametrize(("name", "change_db"), [("gain_up", 2.0), ("gain_down", -2.0)])
def test_gain_changes_the_level_alone(name: str, change_db: float) -> None:
    """By its decibels; what grows above 1 is not cut off."""
    before = tone(440)
    loud = Audio(samples=before.samples * 1.9, rate_hz=before.rate_hz)
    after = condition(name).heard(loud).samples
    assert level_db(after) - level_db(loud.samples) == pytest.approx(change_db, abs=1e-4)
    np.testing.assert_allclose(after / 10 ** (change_db / 20), loud.samples, atol=1e-6)
    assert (np.abs(after).max() > 1) == (change_db > 0)


def test_clipping_cuts_the_loudest_samples() -> None:
    """Three of a thousand lie at the limit; the others are untouched."""
    before = speech(seconds=5)
    after = condition("clip").heard(before).samples
    limit = np.abs(after).max()
    cut = np.abs(before.samples) > limit
    assert cut.mean() == pytest.approx(0.003, abs=2e-4)
    np.testing.assert_array_equal(np.abs(after[cut]), limit)
    np.testing.assert_array_equal(after[~cut], before.samples[~cut])


@pytest.mark.parametrize("rate_hz", RATES)
def test_cropping_takes_a_sixteenth_of_a_second(rate_hz: int) -> None:
    """From one end, whatever the rate, and never more than half."""
    before = speech(rate_hz=rate_hz)
    n = round(rate_hz / 16)
    start, end = condition("crop_start").heard(before), condition("crop_end").heard(before)
    np.testing.assert_array_equal(start.samples, before.samples[n:])
    np.testing.assert_array_equal(end.samples, before.samples[:-n])
    short = Audio(samples=np.arange(7, dtype="f4"), rate_hz=rate_hz)
    assert list(condition("crop_start").heard(short).samples) == [3, 4, 5, 6]
    assert list(condition("crop_end").heard(short).samples) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["white_noise", "pink_noise"])
def test_noise_is_a_hundredth_of_the_power(name: str) -> None:
    """The ratio of 20 dB holds; other samples have other noise, the same the same."""
    before = speech(1, seconds=4)
    noise = condition(name).heard(before).samples - before.samples
    assert level_db(before.samples) - level_db(noise) == pytest.approx(20, abs=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    low, high = (power[(hz >= a) & (hz < 2 * a)].sum() for a in (500, 4000))
    expected_db = {"white_noise": 9.03, "pink_noise": 0.0}[name]
    assert 10 * np.log10(high / low) == pytest.approx(expected_db, abs=0.5)
    np.testing.assert_array_equal(condition(name).heard(before).samples - before.samples, noise)
    other = speech(2, seconds=4)
    others = condition(name).heard(other).samples - other.samples
    assert abs(np.corrcoef(noise, others)[0, 1]) < 0.05


def test_noise_is_the_same_in_another_process() -> None:
    """It depends on the samples, not on a process or on numpy's global seed."""
    np.random.seed(3)
    code = (
        "import numpy as np\n"
        "from serlab.bench.cache import samples_hash\n"
        "from serlab.bench.conditions import condition\n"
        "from serlab.bench.contracts import Audio\n"
        "audio = Audio(samples=np.arange(999, dtype='f4') / 999, rate_hz=16000)\n"
        "print(samples_hash(condition('pink_noise').heard(audio)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    audio = Audio(samples=np.arange(999, dtype="f4") / 999, rate_hz=16000)
    assert samples_hash(condition("pink_noise").heard(audio)) == done.stdout.strip()


@pytest.mark.parametrize("rate_hz", RATES)
def test_low_pass_has_its_corner_where_it_says(rate_hz: int) -> None:
    """3 dB at 6.5 kHz and the curve of a first-order filter around it, at any rate."""
    for hz in (200, 1000, 3500, 6500):
        if hz < 0.45 * rate_hz:
            expected = -10 * np.log10(1 + (hz / 6500) ** 2)
            assert gain_db("low_pass", hz, rate_hz) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rate_hz", RATES)
def test_telephone_keeps_its_band_alone(rate_hz: int) -> None:
    """Voices pass, 3 dB are lost at the corners, and little is left beyond."""
    assert gain_db("telephone", 1000, rate_hz) == pytest.approx(0, abs=0.1)
    assert gain_db("telephone", 300, rate_hz) == pytest.approx(-3, abs=0.3)
    assert gain_db("telephone", 3400, rate_hz) == pytest.approx(-3, abs=0.3)
    assert gain_db("telephone", 100, rate_hz) < -30
    if rate_hz > 8000:
        assert gain_db("telephone", 5000, rate_hz) < -60


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize(("name", "slope_db"), [("tilt_up", 3.0), ("tilt_down", -3.0)])
def test_tilt_changes_the_spectrum_and_not_the_level(
    name: str, slope_db: float, rate_hz: int
) -> None:
    """Octaves differ by three decibels; the power stays."""
    time_s = np.arange(rate_hz) / rate_hz
    sound = sum(np.sin(2 * np.pi * hz * time_s) for hz in (200, 800, 3200))
    before = Audio(samples=(0.1 * sound).astype("f4"), rate_hz=rate_hz)
    after = condition(name).heard(before).samples
    found = np.abs(np.fft.rfft(after))[[200, 800, 3200]]
    steps = 20 * np.log10(found[1:] / found[:-1])
    np.testing.assert_allclose(steps, 2 * slope_db, atol=0.5)
    assert level_db(after) == pytest.approx(level_db(before.samples), abs=1e-3)


def test_unknown_conditions_are_told_with_the_nearest() -> None:
    """A name that nothing has."""
    with pytest.raises(UnknownName, match='did you mean "gain_up"'):
        condition("gain_upp")


# --- copies and the cache --------------------------------------------------------------------


def files(folder: Path, n: int = 2) -> list[Utterance]:
    """Utterances in files, the second one of two channels."""
    for i in range(n):
        sound = speech(i).samples
        stereo = np.stack([sound, 0.5 * sound], axis=1)
        soundfile.write(folder / f"{i}.wav", stereo if i else sound, 16000)
        os.utime(folder / f"{i}.wav", (1e9, 1e9))  # a file that has just changed is not trusted
    return [
        Utterance(id=f"u{i}", speaker="s", audio=AudioFile(path=folder / f"{i}.wav"))
        for i in range(n)
    ]


def test_copies_have_ids_of_their_own(tmp_path: Path) -> None:
    """The name and a hash of the strength; what has no audio has no copy."""
    (first, second) = files(tmp_path)
    how = condition("gain_up")
    (copy,) = under([first, replace(second, audio=None)], how)
    assert copy.id == f"u0~c-{how.mark}"
    assert how.mark.startswith("gain_up-")
    assert replace(how, strength=3.0).mark != how.mark
    assert copy.heard().name().endswith("0.wav [gain_up]")
    np.testing.assert_array_equal(
        copy.heard().read().samples, how.heard(first.heard().read()).samples
    )
    assert hash(copy.heard()) == hash(Conditioned(source=first.heard(), how=how))


def test_the_cache_tells_conditions_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy has features of its own, and a second time no sound is decoded."""
    utterances, cache = files(tmp_path), Cache(tmp_path / "cache")
    clean = extract(LOG_MEL, utterances, cache=cache)
    found = {}
    for name in ("gain_up", "telephone"):
        copies = under(utterances, condition(name))
        fill(LOG_MEL, copies, cache=cache)
        with monkeypatch.context() as patch:
            patch.setattr(AudioFile, "read", lambda self: pytest.fail("decoded again"))
            found[name] = extract(LOG_MEL, copies, cache=cache)
    for i, u in enumerate(utterances):
        arrays = [clean[u.id], *(list(held.values())[i] for held in found.values())]
        assert not np.array_equal(arrays[0], arrays[1])
        assert not np.array_equal(arrays[1], arrays[2])
    nothing = replace(condition("gain_up"), strength=0.0)
    same = extract(LOG_MEL, under(utterances, nothing), cache=cache)
    for u, values in zip(utterances, same.values(), strict=True):
        np.testing.assert_array_equal(values, clean[u.id])


# --- what a training does with them ----------------------------------------------------------


def heard(change: Callable[[FloatArray], FloatArray], held: Bench) -> Bench:
    """A bench whose only condition changes every array."""

    def arrays(utterances: Sequence[Utterance]) -> Arrays:
        return {
            name: {u.id: change(found[u.id]) for u in utterances}
            for name, found in held.arrays.items()
        }

    return replace(held, conditioned={"other": arrays})


def run(held: Bench, system: str = "li2018") -> FoldResult:
    """Trains on one fold."""
    small = {"epochs": 3, "n_bands": 16, "width": 0.5, "segment_s": 1.0}
    variant = resolve(system, "", small if system == "li2018" else {})
    spec = TrialSpec(variant=variant, corpus="tiny", data="", protocol=held.split.protocol,
                     split=held.split.hash, seed=0)  # fmt: skip
    return run_fold(spec, "base", held.split.folds[0], make(variant), held)


def scores(result: FoldResult, part: str) -> FloatArray:
    """The scores of one part."""
    assert result.predictions is not None, result.reason
    return result.predictions.scores[np.array(result.predictions.parts) == part]


def vectors(protocol: ProtocolSpec) -> Bench:
    """The tiny corpus with one vector an utterance."""
    held = bench(protocol)
    means = {i: x.mean(axis=0, keepdims=True) for i, x in held.arrays["image"].items()}
    return replace(held, arrays={"vector": means}, rates={"vector": 0.0})


@pytest.mark.gate
@pytest.mark.parametrize("system", ["li2018", "functionals_svm"])
@pytest.mark.parametrize("normalisation", ["train", "speaker"])
def test_conditions_reach_nothing_but_their_own_rows(system: str, normalisation: str) -> None:
    """With rubbish under a condition, clean scores, curves and epoch are the same bits."""
    protocol = ProtocolSpec(validation=1, normalisation=normalisation)  # type: ignore[arg-type]
    held = bench(protocol) if system == "li2018" else vectors(protocol)
    before = run(held, system)
    after = run(heard(lambda x: np.full_like(x, 1e6), held), system)
    assert before.status is after.status is Status.COMPLETED, after.reason
    for part in ("test", "validation"):
        np.testing.assert_array_equal(scores(before, part), scores(after, part))
    assert (before.curves, before.chosen_epoch) == (after.curves, after.chosen_epoch)
    assert not len(scores(before, "test:other"))
    assert not np.array_equal(scores(after, "test:other"), scores(after, "test"))


@pytest.mark.gate
@pytest.mark.parametrize("system", ["li2018", "functionals_svm"])
def test_a_condition_that_does_nothing_changes_nothing(system: str) -> None:
    """Same network, same normaliser: the rows under it are those of the test part, bit for bit."""
    protocol = ProtocolSpec(validation=1)
    held = bench(protocol) if system == "li2018" else vectors(protocol)
    result = run(heard(lambda x: x, held), system)
    np.testing.assert_array_equal(scores(result, "test"), scores(result, "test:other"))
    found = result.predictions
    assert found is not None
    rows = {part: [i for i, p in enumerate(found.parts) if p == part] for part in set(found.parts)}
    assert set(rows) == {"test", "validation", "test:other"}
    for column in (found.ids, found.speakers, list(found.truth)):
        assert [column[i] for i in rows["test"]] == [column[i] for i in rows["test:other"]]
    assert result.measurements["conditions_wall"].value is not None


def test_the_time_of_conditions_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition that takes long is no part of the training's time."""
    held = vectors(ProtocolSpec(validation=1))
    now = 0.0

    def slow(x: FloatArray) -> FloatArray:
        nonlocal now
        now += 1.0
        return x

    clock = SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now / 2)
    monkeypatch.setattr(trial, "time", clock)
    found = run(heard(slow, held), "functionals_svm").measurements
    n_tested = len(held.split.folds[0].test)
    assert found["conditions_wall"].value == n_tested
    assert found["conditions_cpu"].value == n_tested / 2
    assert found["train_wall"].value == found["train_cpu"].value == 0


def test_a_score_that_is_not_finite_names_the_condition() -> None:
    """The fold has diverged, and the reason tells where."""
    result = run(heard(lambda x: np.full_like(x, np.nan), bench(ProtocolSpec(validation=1))))
    assert result.status is Status.DIVERGED
    assert "test:other" in result.reason


def test_traces_are_predicted_frame_by_frame_under_a_condition() -> None:
    """Every rated frame has a row, and one that does nothing gives the same values."""
    system = rich.system_of("tzirakis2021")
    protocol, folds, corpus = rich.few("traces")
    held = rich.bench(system, protocol, held=corpus, folds=folds)
    result = rich.run(system, heard(lambda x: x, held), max_epochs=1)
    np.testing.assert_array_equal(scores(result, "test"), scores(result, "test:other"))
    found = result.predictions
    assert found is not None
    assert len(found.frames) == len(found.parts) == 2 * len(scores(result, "test"))


def test_conditions_are_part_of_a_trials_key() -> None:
    """Another strength trains again; without conditions the key is the one of before."""
    held = bench()
    spec = TrialSpec(variant=resolve("li2018"), corpus="tiny", data="", seed=0,
                     protocol=held.split.protocol, split=held.split.hash)  # fmt: skip
    how: Condition = condition("gain_up")
    keys = {
        replace(spec, conditions=marks).key
        for marks in ((), (how.mark,), (replace(how, strength=3.0).mark,))
    }
    assert len(keys) == 3
    assert spec.key in keys
