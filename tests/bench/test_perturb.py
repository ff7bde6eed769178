"""Perturbed copies: what is done to the sound, who has copies, and who sees them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rich
import soundfile
import torch
from tiny import corpus

from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache, samples_hash
from serlab.bench.contracts import (
    Audio,
    Corpus,
    FeatureSpec,
    FloatArray,
    Part,
    Perturbation,
    ProtocolSpec,
    Status,
    System,
    Utterance,
)
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.features.extraction import extract
from serlab.bench.perturb import (
    Perturbed,
    copies_of,
    copy_ids,
    faster,
    is_of_audio,
    noisy,
    perturbed,
    warp_knots,
    warped,
)
from serlab.bench.protocols import make_split
from serlab.bench.shapes import every_input
from serlab.bench.trial import Bench, fold_items
from serlab.models.variant import make, resolve
from serlab.studies.benches import bench_for
from serlab.studies.grounds import Ground
from serlab.studies.plan import make_plan
from serlab.studies.specification import parse

RATE_HZ = 16_000
ALL = Perturbation(copies=3, snr_db=(10, 30), warp=(0.9, 1.1), speed=(0.9, 1.1))
LOG_MEL = FeatureSpec(name="log_mel")


def tone(hz: float, rate_hz: int = RATE_HZ, seconds: float = 1.0) -> Audio:
    """A sine."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return Audio(samples=(0.5 * np.sin(2 * np.pi * hz * time_s)).astype("f4"), rate_hz=rate_hz)


def voice(number: int = 0, seconds: float = 1.0) -> Audio:
    """Harmonics of a wavering pitch with a pause, over a little noise."""
    rng = np.random.default_rng(number)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(140 + 10 * number + 20 * np.sin(9 * time_s)) / RATE_HZ
    sound = sum(np.sin(k * phase) / k for k in range(1, 20))
    sound = sound * (np.sin(5 * time_s) > -0.5) + 0.01 * rng.standard_normal(len(time_s))
    return Audio(samples=(0.2 * sound).astype("f4"), rate_hz=RATE_HZ)


def peak_hz(samples: FloatArray, rate_hz: int = RATE_HZ) -> float:
    """The frequency of the greatest power."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(power.argmax() * rate_hz / len(samples))


# --- what is done to the sound -----------------------------------------------------------------


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
def test_noise_has_the_ratio_that_is_asked(snr_db: float, pink: bool) -> None:
    """Measured on what was added, to a tenth of a decibel; an offset is no part of the speech."""
    spoken = voice()
    for offset in (0.0, 0.3):
        audio = replace(spoken, samples=spoken.samples + np.float32(offset))
        noise = noisy(audio, snr_db, np.random.default_rng(1), pink=pink) - audio.samples
        ratio = 10 * np.log10(audio.samples.astype("f8").var() / np.mean(noise.astype("f8") ** 2))
        assert abs(ratio - snr_db) < 0.1


def test_pink_noise_has_as_much_in_every_octave() -> None:
    """Within a decibel from 62.5 Hz to 8 kHz, while white noise doubles; nothing is below 20 Hz."""
    audio = voice(seconds=20.0)
    octaves = {}
    for pink in (True, False):
        noise = noisy(audio, 0.0, np.random.default_rng(2), pink=pink) - audio.samples
        hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
        power = np.abs(np.fft.rfft(noise.astype("f8"))) ** 2
        edges = 62.5 * 2.0 ** np.arange(8)
        octaves[pink] = 10 * np.log10([power[(hz >= a) & (hz < 2 * a)].sum() for a in edges[:-1]])
        if pink:
            assert power[hz < 19].sum() < 1e-6 * power.sum()
    assert np.ptp(octaves[True]) < 1
    np.testing.assert_allclose(np.diff(octaves[False]), 3, atol=0.7)


def test_silence_stays_silence() -> None:
    """There is no ratio to nothing."""
    silent = Audio(samples=np.zeros(800, "f4"), rate_hz=RATE_HZ)
    assert not noisy(silent, 10.0, np.random.default_rng(0), pink=True).any()


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_frequency_axis_is_stretched(rate_hz: int, factor: float) -> None:
    """What is at 1 kHz comes to 1.1 kHz, and the length stays; loudness nearly does."""
    before = tone(1000, rate_hz)
    after = warped(before, factor)
    assert len(after) == len(before.samples)
    assert peak_hz(after, rate_hz) == pytest.approx(1000 * factor, abs=2)
    assert 0.85 < after.std() / before.samples.std() < 1.15


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_above_the_corner_it_is_stretched_less(factor: float) -> None:
    """As the published line says, which ends where it began: at half the rate."""
    before, after = warp_knots(factor, RATE_HZ)
    assert before[-1] == after[-1] == RATE_HZ / 2
    assert max(before[1], after[1]) == pytest.approx(4800)
    wanted = float(np.interp(6500, before, after))
    assert abs(wanted - 6500) < 0.7 * abs(factor - 1) * 6500
    assert peak_hz(warped(tone(6500), factor)) == pytest.approx(wanted, abs=4)


def test_overlapping_frames_agree_on_the_warped_magnitudes() -> None:
    """The sound has the magnitudes that were asked for, to a quarter of their norm."""
    from serlab.bench.perturb import _moved

    shape = torch.hann_window(512)

    def spectrum(x: FloatArray) -> FloatArray:
        found: FloatArray = torch.stft(
            torch.from_numpy(x), 512, 128, window=shape, pad_mode="constant", return_complex=True
        ).numpy()
        return found

    for number in range(3):
        audio = voice(number)
        wanted, _ = _moved(spectrum(audio.samples), 1.08, RATE_HZ)
        heard = np.abs(spectrum(warped(audio, 1.08)))
        assert np.linalg.norm(heard - wanted) < 0.25 * np.linalg.norm(wanted)
        assert np.linalg.norm(np.abs(spectrum(audio.samples)) - wanted) > 0.4 * np.linalg.norm(
            wanted
        )


def test_a_factor_of_one_changes_nothing() -> None:
    """To a thousandth of full scale, and the speed to a hundredth (its filter)."""
    audio = voice()
    np.testing.assert_allclose(warped(audio, 1.0), audio.samples, atol=1e-3)
    np.testing.assert_allclose(faster(audio, 1.0), audio.samples, atol=1e-2)


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.1])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    """Both by the factor."""
    audio = tone(1000)
    quick = faster(audio, factor)
    assert abs(len(quick) - len(audio.samples) / factor) <= 1
    assert peak_hz(quick) == pytest.approx(1000 * factor, abs=2)


@pytest.mark.parametrize("rate_hz", [8000, 48_000])
@pytest.mark.parametrize("n", [1, 2, 5, 100, 511, 600])
def test_the_shortest_audio_has_copies(n: int, rate_hz: int) -> None:
    """Finite, and never empty."""
    samples = np.random.default_rng(n).standard_normal(n).astype("f4")
    audio = Audio(samples=samples, rate_hz=rate_hz)
    for number in range(1, 9):
        copy = perturbed(audio, ALL, number)
        assert copy.rate_hz == rate_hz
        assert copy.samples.dtype == np.float32
        assert len(copy.samples)
        assert np.isfinite(copy.samples).all()


# --- which copies there are --------------------------------------------------------------------


def test_copies_are_the_same_in_every_process() -> None:
    """Whatever the process, its hash seed and its number of threads."""
    program = (
        "import sys, torch; sys.path += ['tests', 'tests/bench']; torch.set_num_threads(2)\n"
        "from test_perturb import *\n"
        "for k in range(1, 7): print(samples_hash(perturbed(voice(), ALL, k)))"
    )
    here = [samples_hash(perturbed(voice(), ALL, k)) for k in range(1, 7)]
    there = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == here
    assert len(set(here)) == 6


def test_a_copy_depends_on_its_own_sound_and_on_its_number() -> None:
    """More copies leave the first ones; other sounds and other ranges give others."""
    other = replace(ALL, snr_db=(10, 31))
    more = replace(ALL, copies=9)
    first = perturbed(voice(), ALL, 1).samples
    np.testing.assert_array_equal(perturbed(voice(), more, 1).samples, first)
    assert copy_ids("a", more)[:3] == copy_ids("a", ALL)
    assert not set(copy_ids("a", other)) & set(copy_ids("a", ALL))
    names = {samples_hash(perturbed(voice(k), how, 2)) for k in (0, 1) for how in (ALL, other)}
    assert len(names) == 4


def test_every_kind_is_drawn() -> None:
    """Of many copies about a third each; the strengths stay in their ranges."""
    audio = voice(seconds=0.3)
    kinds = {"noise": 0, "warp": 0, "speed": 0}
    for number in range(1, 121):
        copy = perturbed(audio, ALL, number).samples
        if len(copy) != len(audio.samples):
            kinds["speed"] += 1
            assert 0.9 <= len(audio.samples) / len(copy) <= 1.1
            continue
        added = (copy - audio.samples).astype("f8")
        ratio = 10 * np.log10(audio.samples.astype("f8").var() / np.mean(added**2))
        kinds["noise" if ratio >= 9.9 else "warp"] += 1
        assert ratio < 30.1
    assert min(kinds.values()) > 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"copies": 1},
        {"copies": -1, "speed": (0.9, 1.1)},
        {"snr_db": (10, 30)},
        {"copies": 2, "snr_db": (30, 10)},
        {"copies": 2, "warp": (0.0, 1.1)},
        {"copies": 2, "speed": (0.9, 5.0)},
    ],
)
def test_perturbations_that_cannot_be_are_refused(wrong: Mapping[str, object]) -> None:
    """Copies without a kind, a kind without copies, ranges upside down or of no factor."""
    with pytest.raises(BadValue, match="perturbation"):
        Perturbation(**wrong)  # type: ignore[arg-type]


# --- the cache ---------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path: Path) -> Utterance:
    """An utterance in a file that was written a while ago."""
    path = tmp_path / "a.wav"
    soundfile.write(path, voice().samples, RATE_HZ, subtype="FLOAT")
    os.utime(path, (time.time() - 100, time.time() - 100))
    return Utterance(id="a", speaker="s", audio=AudioFile(path=path))


def test_cached_copies_are_not_made_again(
    recorded: Utterance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is decoded, and the values are those of the perturbed sound."""
    cache = Cache(tmp_path / "cache")
    copies = copies_of(recorded, ALL)
    first = extract(LOG_MEL, copies, cache=cache)
    plain_values = extract(LOG_MEL, copies)

    def read(self: AudioFile) -> Audio:
        raise AssertionError("read again")

    monkeypatch.setattr(AudioFile, "read", read)
    second = extract(LOG_MEL, copies, cache=cache)
    assert len(second) == 3
    for name, values in second.items():
        np.testing.assert_array_equal(values, first[name])
        np.testing.assert_array_equal(values, plain_values[name])


def test_the_memo_tells_copies_apart(recorded: Utterance, tmp_path: Path) -> None:
    """Original, each copy, each perturbation and each state of the file have their own memory."""
    memo = Cache(tmp_path / "cache").memo
    other = replace(ALL, speed=(0.8, 1.2))
    sources = [recorded.heard()]
    sources += [c.heard() for how in (ALL, other) for c in copies_of(recorded, how)]
    for source in sources:
        assert memo.get(source) is None
        memo.put(source, samples_hash(source.read()))
    assert len({memo.get(source) for source in sources}) == 7
    again = Perturbed(source=recorded.heard(), how=replace(ALL, copies=1), number=1)
    assert memo.get(again) == memo.get(sources[1])  # whatever the number of copies
    path = tmp_path / "a.wav"
    os.utime(path, (time.time() - 50, time.time() - 50))
    assert [memo.get(source) for source in sources] == [None] * 7


def test_copies_of_what_is_no_file_are_not_remembered(tmp_path: Path) -> None:
    """As their originals; they are made from the sound that is there."""
    memo = Cache(tmp_path).memo
    synthetic = load_corpus("synth", roots={}, options={"speakers": 2}).utterances[0]
    (copy, *_) = copies_of(synthetic, ALL)
    memo.put(copy.heard(), "0" * 64)
    assert memo.get(copy.heard()) is None


# --- who has copies ----------------------------------------------------------------------------


def ground(held: Corpus, **protocol: object) -> Ground:
    """A corpus cut into folds."""
    split = make_split(held, ProtocolSpec(**{"validation": 1, **protocol}))  # type: ignore[arg-type]
    return Ground(corpus=held, data="none", split=split, audit=())


def origin(name: str) -> str:
    """The utterance that a copy is of."""
    return name.partition("~")[0]


def test_only_what_trains_has_copies() -> None:
    """With one fold, neither the tested nor the validating speaker has any."""
    system = make(resolve("li2018", "small", {"perturbation": "noise"}))
    one = ground(corpus(), max_folds=1)
    ((name, _, wanted),) = one.wanted(system)
    fold = one.split.folds[0]
    assert name == "image"
    originals = [u.id for u in wanted if "~" not in u.id]
    copies = [u.id for u in wanted if "~" in u.id]
    assert set(originals) == one.used
    assert sorted(copies) == sorted(
        c for i in fold.train for c in copy_ids(i, system.perturbation())
    )
    assert {origin(c) for c in copies}.isdisjoint({*fold.test, *fold.validation})


def test_only_features_of_the_sound_have_copies() -> None:
    """What is said, and what is seen, is the original's."""
    system = make(resolve("lian2019", "small", {"perturbation": "all"}))
    wanted = {name: ids for name, _, ids in ground(corpus()).wanted(system)}
    assert any("~" in u.id for u in wanted["audio"])
    assert not any("~" in u.id for u in wanted["text"])
    assert is_of_audio(LOG_MEL)
    assert not is_of_audio(FeatureSpec(name="turns"))


def test_without_perturbation_nothing_has_copies() -> None:
    """The default."""
    system = make(resolve("li2018"))
    for _, _, wanted in ground(corpus()).wanted(system):
        assert not any("~" in u.id for u in wanted)


# --- who sees them -----------------------------------------------------------------------------


class Watched(dict[str, FloatArray]):
    """Arrays that remember which of them were read."""

    def __init__(self, *arguments: Mapping[str, FloatArray]) -> None:
        super().__init__(*arguments)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> FloatArray:
        self.read.add(name)
        return super().__getitem__(name)


def with_copies(held: Bench, system: System, shift: float = 0.3) -> Bench:
    """The bench with copies of every utterance of the corpus, each unlike its original."""
    how, arrays = system.perturbation(), {}
    for name, found in held.arrays.items():
        arrays[name] = Watched(found)
        if is_of_audio(every_input(system)[name]):
            for u in held.corpus.utterances:
                for k, copy in enumerate(copy_ids(u.id, how), start=1):
                    arrays[name][copy] = found[u.id] + np.float32(shift * k)
    return replace(held, arrays=arrays)


def copies_read(held: Bench) -> set[str]:
    """Ids of the copies that were read, of any input."""
    found = (one.read for one in held.arrays.values() if isinstance(one, Watched))
    return {i for read in found for i in read if "~" in i}


SYSTEMS: Mapping[str, Mapping[str, str]] = {
    "li2018": {"perturbation": "speed"},
    "crnn": {"perturbation": "all"},
    "lian2019": {"perturbation": "noise", "unlabelled": "test_speakers"},
    "gao2021": {"perturbation": "vtlp"},
    "wei2022": {"perturbation": "noise"},
    "tzirakis2021": {"perturbation": "noise"},
}


@pytest.fixture(params=list(SYSTEMS))
def case(request: pytest.FixtureRequest) -> tuple[System, Bench]:
    """Every system with a perturbation, and a bench with copies of all that it has."""
    system = rich.system_of(request.param, SYSTEMS[request.param])
    return system, with_copies(rich.bench(system), system)


@pytest.mark.gate
def test_no_copy_of_what_tests_or_validates_is_read(case: tuple[System, Bench]) -> None:
    """Not even where the unlabelled sound of tested speakers joins the training."""
    system, held = case
    fold = held.split.folds[0]
    result = rich.run(system, held, max_epochs=3)
    assert result.status is Status.COMPLETED, result.reason
    read = {origin(i) for i in copies_read(held)}
    assert read <= set(fold.train)
    assert len(read) > len(fold.train) / 2


@pytest.mark.gate
def test_rubbish_in_other_copies_changes_nothing(case: tuple[System, Bench]) -> None:
    """In those of test and validation; in those of the training part it does."""
    system, held = case
    fold = held.split.folds[0]

    def spoilt(ids: tuple[str, ...]) -> Bench:
        return replace(held, arrays={
            name: {i: (-5 * x if "~" in i and origin(i) in ids else x) for i, x in one.items()}
            for name, one in held.arrays.items()
        })  # fmt: skip

    clean = rich.run(system, held, max_epochs=2)
    others = rich.run(system, spoilt((*fold.test, *fold.validation)), max_epochs=2)
    trained = rich.run(system, spoilt(fold.train), max_epochs=2)
    assert clean.predictions is not None
    assert others.predictions is not None
    np.testing.assert_array_equal(clean.predictions.scores, others.predictions.scores)
    assert clean.curves == others.curves
    assert clean.curves["train_loss"] != trained.curves["train_loss"]


def test_copies_that_equal_their_originals_change_nothing(case: tuple[System, Bench]) -> None:
    """Drawing copies shifts no other draw: the training is that without a perturbation."""
    system, held = case
    same = with_copies(held, system, shift=0.0)
    name = system.variant.system  # type: ignore[attr-defined]
    plain_system = rich.system_of(name, {**SYSTEMS[name], "perturbation": "none"})
    with_them = rich.run(system, same, max_epochs=2)
    without = rich.run(plain_system, held, max_epochs=2)
    assert with_them.curves == without.curves
    assert with_them.predictions is not None
    assert without.predictions is not None
    np.testing.assert_array_equal(with_them.predictions.scores, without.predictions.scores)


def test_statistics_and_judged_parts_are_of_originals(case: tuple[System, Bench]) -> None:
    """Normalisation does not know the copies; the judged parts have none to draw."""
    system, held = case
    parts, streams = fold_items(held.split.folds[0], system, held)
    assert not copies_read(held)
    assert all(not parts[part].copies for part in Part)
    assert set(streams["train"].copies) == set(held.split.folds[0].train)


def test_copies_are_drawn_evenly_and_for_all_inputs_alike() -> None:
    """An original is as likely as each copy; frames and duration are those of what is shown."""
    system = rich.system_of("li2018", {"perturbation": "speed"})
    held = rich.bench(system)
    found = dict(held.arrays["image"])
    for u in held.corpus.utterances:
        for k, copy in enumerate(copy_ids(u.id, system.perturbation()), start=1):
            found[copy] = np.full((100 + k, found[u.id].shape[1]), k, np.float32)
    held = replace(held, arrays={"image": found, "other": found}, rates={"image": 62.5, "other": 0})
    _, streams = fold_items(held.split.folds[0], system, held)
    train = replace(streams["train"], rates=held.rates)
    rng = np.random.default_rng(0)
    counts = np.zeros(5)
    for _ in range(100):
        shown = train.with_copies(rng)
        for u in train.utterances:
            values = shown.arrays["image"][u.id]
            assert values is shown.arrays["other"][u.id]
            number = len(values) - 100 if values is not found[u.id] else 0
            assert number == 0 or shown.duration_s(u) == (100 + number) / 62.5
            counts[number] += 1
    share = counts / counts.sum()
    assert np.abs(share - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / counts.sum())


def test_without_copies_nothing_is_drawn() -> None:
    """The items are the same object, and the generator has not moved."""
    system = rich.system_of("li2018")
    _, streams = fold_items(rich.bench(system).split.folds[0], system, rich.bench(system))
    rng = np.random.default_rng(0)
    assert streams["train"].with_copies(rng) is streams["train"]
    assert rng.random() == np.random.default_rng(0).random()


def test_missing_copies_are_an_error() -> None:
    """They are not quietly replaced by the originals."""
    system = rich.system_of("li2018", {"perturbation": "noise"})
    result = rich.run(system, rich.bench(system), max_epochs=1)
    assert result.status is Status.FAILED
    assert "copies" in result.reason


# --- what is refused, and the whole road ---------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "changes", "message"),
    [
        ("tzirakis2021", {"perturbation": "speed"}, "the frames of words follow"),
        ("tzirakis2021", {"perturbation": "all"}, "the frames of words follow"),
        ("lian2019", {"perturbation": "noise", "fusion": "second_only"}, "no input is made from"),
    ],
)
def test_perturbations_that_do_not_go_with_the_inputs(
    system: str, changes: Mapping[str, str], message: str
) -> None:
    """Before anything runs, by a sentence that says why."""
    with pytest.raises(BadValue, match=message):
        make(resolve(system, "small", changes))


def test_speed_goes_with_the_waveform_alone() -> None:
    """Where no word is read there is nothing to follow."""
    make(resolve("tzirakis2021", "small", {"perturbation": "speed", "fusion": "second_only"}))


def test_an_estimator_has_no_such_slot() -> None:
    """It is fitted once, and has no epochs in which to draw."""
    with pytest.raises(UnknownName, match="perturbation"):
        resolve("functionals_svm", "", {"perturbation": "noise"})


def study(changes: Mapping[str, object], protocol: Mapping[str, object], **more: object) -> object:
    """A study of li2018 (or another system) on the synthetic corpus."""
    table = {
        "question": "Is it worth it?",
        "base": {"system": "li2018", "set": {"augmentation": "none", **changes}},
        "corpora": [{"name": "synth", "options": {"speakers": 4, "utterances": 40}}],
        "protocol": {"validation": 1, "max_folds": 1, **protocol},
        "seeds": [0],
        **more,
    }
    return parse(table, "test")


def test_speed_does_not_go_with_traces() -> None:
    """Continuous labels follow the recording's own times: refused before a corpus is read."""
    asked = study({}, {"target": "traces", "labels": ["arousal"]}, metric="ccc", base={
        "system": "tzirakis2021", "set": {"perturbation": "speed", "fusion": "second_only"},
    })  # fmt: skip
    with pytest.raises(SerlabError, match="traces follow the recording's own times"):
        make_plan(asked, {}, audit=False)  # type: ignore[arg-type]


def test_a_study_of_perturbations_trains(tmp_path: Path) -> None:
    """From sound to a result: each arm has copies of its own, and trains on them."""
    small = {"width": 0.25, "n_bands": 16, "epochs": 2}
    asked = study(small, {}, ablate={"perturbation": ["noise", "all"]})
    plan = make_plan(asked, {}, audit=False)  # type: ignore[arg-type]
    (held,) = plan.grounds
    ((_, wanted),) = plan.features(held)
    n_train = len(held.split.folds[0].train)
    assert len(wanted) == len(held.used) + 2 * 4 * n_train
    curves = {}
    for job in plan.jobs():
        system = make(job.trial.variant)
        bench = bench_for(held, system, Cache(tmp_path))
        result = rich.run_fold(job.trial, job.arm, held.split.folds[0], system, bench)
        assert result.status is Status.COMPLETED, result.reason
        curves[job.arm] = result.curves["train_loss"]
    assert len(set(curves.values())) == 3
