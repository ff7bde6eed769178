"""How fast features are computed, beside librosa and torch on the same audio.

Run with::

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_features_benchmark.py --benchmark-enable -s

Contestants take turns over the same decoded files in one process and one thread, and their
values are compared: the table tells seconds of audio per second of CPU, and how far the values
are, at most, from those of the same arithmetic in double precision throughout. The features of
openSMILE are measured apart, and the whole road from files to arrays cold, warm and in two
processes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, FeatureSpec, FloatArray, Utterance
from serlab.bench.corpora.base import load_corpus
from serlab.bench.features.base import FEATURES, feature
from serlab.bench.features.extraction import extract
from serlab.bench.seeds import generator

N_FILES = 100
N_ROUNDS = 9
ELSEWHERE = {
    "compare2016": "opensmile", "egemaps": "opensmile", "face_frames": "skimage",
    "speech_encoder": "a model", "text_encoder": "a model",
}  # fmt: skip
"""Features that the core alone does not give, and what they need; openSMILE's are timed below."""
EQUAL = 1e-4
"""Largest difference, in decibels, at which values count as equal."""
MEL = {"sr": 16000, "n_fft": 512, "n_mels": 64}
FRAME = {"win_length": 400, "hop_length": 160, "center": False}
MARGIN = (512 - 400) // 2
"""librosa and torch centre a window of 400 samples in the transform's 512; serlab starts it."""

Benchmark = Any  # pytest-benchmark is untyped
Compute = Callable[[Audio], FloatArray]
Size = Callable[[int, int], int]


@pytest.fixture(scope="module")
def utterances(real_corpus: Callable[[str], Path], size: Size) -> list[Utterance]:
    """EmoDB, or some of it where nothing is timed."""
    held = load_corpus("emodb", roots={"emodb": real_corpus("emodb")}).utterances
    return list(held[: size(len(held), 12)])


@pytest.fixture(scope="module")
def audios(utterances: Sequence[Utterance]) -> list[Audio]:
    """The audio of its first files, decoded beforehand."""
    return [u.heard().read() for u in utterances[:N_FILES]]


# --- the contestants --------------------------------------------------------------------------


def by_librosa(audio: Audio) -> FloatArray:
    """Bands in decibels, (mel, frame)."""
    import librosa

    energy = librosa.feature.melspectrogram(y=audio.samples, **MEL, **FRAME)
    held: FloatArray = librosa.power_to_db(energy, top_db=None)
    return held


def mfcc_by_librosa(audio: Audio) -> FloatArray:
    """Coefficients, (coefficient, frame)."""
    import librosa

    held: FloatArray = librosa.feature.mfcc(S=by_librosa(audio), n_mfcc=20)
    return held


def by_torch(kind: torch.dtype, *, cepstrum: bool = False) -> Compute:
    """torch.stft, librosa's filters and the product of both, in single or double precision."""
    import librosa
    import scipy.fft

    filters = torch.from_numpy(librosa.filters.mel(**MEL)).to(kind)
    cosines = torch.from_numpy(scipy.fft.dct(np.eye(64), axis=0, norm="ortho")[:20]).to(kind)
    shape = torch.hann_window(400, dtype=kind)

    def compute(audio: Audio) -> FloatArray:
        signal = torch.from_numpy(audio.samples).to(kind)
        found = torch.stft(signal, 512, 160, 400, shape, center=False, return_complex=True)
        power = found.real.square() + found.imag.square()
        bands = (filters @ power).clamp_(min=1e-10).log10_().mul_(10)
        held: FloatArray = (cosines @ bands if cepstrum else bands).numpy()
        return held

    return compute


def in_double(audio: Audio, *, cepstrum: bool = False) -> Any:
    """The same by numpy alone, float64 from the window to the logarithm, (mel, frame)."""
    import librosa
    import scipy.fft

    shape = np.zeros(512)
    shape[MARGIN : MARGIN + 400] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    framed = np.lib.stride_tricks.sliding_window_view(audio.samples.astype(np.float64), 512)[::160]
    power = np.abs(np.fft.rfft(framed * shape)) ** 2
    bands = 10 * np.log10(np.maximum(power @ librosa.filters.mel(**MEL, dtype=np.float64).T, 1e-10))
    return (scipy.fft.dct(bands, axis=1, norm="ortho")[:, :20] if cepstrum else bands).T


def transposed(compute: Compute) -> Compute:
    """Serlab's (frame, value) as the others' (value, frame), a view."""
    return lambda audio: compute(audio).T


def contestants(name: str) -> dict[str, Compute]:
    """Who computes a feature, by name; serlab first."""
    cepstrum = name == "mfcc"
    return {
        "serlab": transposed(feature(FeatureSpec(name=name)).compute),
        "librosa": mfcc_by_librosa if cepstrum else by_librosa,
        "torch double": by_torch(torch.float64, cepstrum=cepstrum),
        "torch single": by_torch(torch.float32, cepstrum=cepstrum),
    }


def furthest(name: str, who: str, compute: Compute, audios: Sequence[Audio]) -> float:
    """Largest distance from the values in double precision, the frames laid onto each other."""
    worst = 0.0
    for audio in audios:
        padded = Audio(samples=np.pad(audio.samples, MARGIN), rate_hz=audio.rate_hz)
        true = in_double(padded, cepstrum=name == "mfcc")
        found = compute(audio if who == "serlab" else padded)
        n = min(true.shape[1], found.shape[1])
        assert abs(true.shape[1] - found.shape[1]) <= 1
        worst = max(worst, float(np.abs(found[:, :n] - true[:, :n]).max()))
    return worst


def cpu_s(compute: Callable[[Audio], object], audios: Sequence[Audio]) -> float:
    """CPU time of the whole process."""
    started = time.process_time()
    for audio in audios:
        compute(audio)
    return time.process_time() - started


def warmed(spent: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Without the first round, but where benchmarks are off and there is no other."""
    return {who: times[1:] or times for who, times in spent.items()}


def table(title: str, audio_s: float, spent: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Prints and gives audio seconds per second at the median, and the ratios to the first."""
    print(f"\n{title}\n{'who':<16}{'median':>10}{'least':>10}{'x real time':>13}{'ratio':>8}")
    first = statistics.median(next(iter(spent.values())))
    for who, times in spent.items():
        middle = statistics.median(times)
        row = f"{who:<16}{middle * 1e3:>7.1f} ms{min(times) * 1e3:>7.1f} ms"
        print(f"{row}{audio_s / middle:>13.0f}{middle / first:>8.2f}")
    return {who: audio_s / statistics.median(times) for who, times in spent.items()}


# --- benchmarks -------------------------------------------------------------------------------


@pytest.mark.benchmark(group="features beside others")
@pytest.mark.parametrize("name", ["log_mel", "mfcc"])
def test_beside_the_others(benchmark: Benchmark, audios: list[Audio], name: str) -> None:
    """All contestants by turns; serlab's values are equal to those in double precision."""
    pytest.importorskip("librosa")
    computes = contestants(name)
    far = {who: furthest(name, who, c, audios[::10]) for who, c in computes.items()}
    assert far["serlab"] <= EQUAL
    assert far["torch double"] <= EQUAL  # the reference is one that others reach
    spent: dict[str, list[float]] = {who: [] for who in computes}

    def turn() -> None:
        for who, compute in computes.items():
            spent[who].append(cpu_s(compute, audios))

    benchmark.pedantic(turn, rounds=N_ROUNDS, warmup_rounds=1)
    speeds = table(name, sum(a.duration_s for a in audios), warmed(spent))
    print("largest difference:", ", ".join(f"{who} {d:.1e}" for who, d in far.items()))
    benchmark.extra_info.update(audio_s_per_cpu_s=speeds, largest_difference=far)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Audio that is read without any work."""

    audio: Audio

    def read(self) -> Audio:
        """The audio."""
        return self.audio

    def name(self) -> str:
        """For messages."""
        return "decoded audio"


@pytest.fixture(scope="module")
def spoken() -> list[Utterance]:
    """Twenty utterances of the embedded corpus, decoded, with everything that a feature reads."""
    held = load_corpus("synth", roots={}).utterances[:20]
    face = tuple(generator(0, "benchmark", "face").random(56).tolist())
    return [
        replace(u, audio=Decoded(u.heard().read()), supplied={"face": face}, partner=((0.2, 0.6),))
        for u in held
    ]


def test_every_feature_has_its_place() -> None:
    """What is not measured here needs something that only an extra or a model brings."""
    assert set(ELSEWHERE) < set(FEATURES.entries())


@pytest.mark.benchmark(group="features")
@pytest.mark.parametrize("name", [n for n in FEATURES.entries() if n not in ELSEWHERE])
def test_feature(benchmark: Benchmark, spoken: list[Utterance], name: str) -> None:
    """Twenty utterances of about two seconds, from decoded audio or words."""
    made = feature(FeatureSpec(name=name))
    found = benchmark.pedantic(
        lambda: [made.of(u) for u in spoken], rounds=N_ROUNDS, warmup_rounds=1
    )
    widths = {values.shape[1] for values in found}
    assert widths == {made.n_values} or not made.n_values
    audio_s = sum(u.heard().read().duration_s for u in spoken)
    if benchmark.enabled:
        benchmark.extra_info["audio_s_per_s"] = audio_s / benchmark.stats.stats.median


@pytest.mark.benchmark(group="features")
@pytest.mark.parametrize("name", ["egemaps", "compare2016"])
def test_opensmile(benchmark: Benchmark, audios: list[Audio], name: str) -> None:
    """OpenSMILE's share, which is not serlab's to quicken."""
    pytest.importorskip("opensmile")
    one_alone(benchmark, audios, name)


def one_alone(benchmark: Benchmark, audios: list[Audio], name: str) -> None:
    """Times one feature over some of the files."""
    compute, some = feature(FeatureSpec(name=name)).compute, audios[:20]
    compute(audios[0])
    spent: list[float] = []
    benchmark.pedantic(lambda: spent.append(cpu_s(compute, some)), rounds=3)
    speeds = table(name, sum(a.duration_s for a in some), {"serlab": spent})
    benchmark.extra_info["audio_s_per_cpu_s"] = speeds["serlab"]


def by_files(utterances: Sequence[Utterance], compute: Compute) -> None:
    """What a plain loop does: decode a file, compute, keep."""
    held = [compute(u.heard().read()) for u in utterances]
    assert len(held) == len(utterances)


@pytest.mark.benchmark(group="extraction")
def test_whole_extraction(
    benchmark: Benchmark, utterances: list[Utterance], tmp_path: Path
) -> None:
    """All of EmoDB from files to arrays: cold, warm, and beside plain loops; wall time."""
    pytest.importorskip("librosa")
    spec = FeatureSpec(name="log_mel")
    spent: dict[str, list[float]] = {}

    def timed(who: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        spent.setdefault(who, []).append(time.perf_counter() - started)

    def turn() -> None:
        cache = Cache(tmp_path / str(len(spent.get("cold", ()))))
        timed("cold", lambda: extract(spec, utterances, cache=cache))
        timed("warm", lambda: extract(spec, utterances, cache=cache))
        timed("no cache", lambda: extract(spec, utterances))
        timed("loop: torch", lambda: by_files(utterances, by_torch(torch.float32)))
        timed("loop: librosa", lambda: by_files(utterances, by_librosa))
        assert cache.info().n_arrays == len(utterances)

    benchmark.pedantic(turn, rounds=3, warmup_rounds=1)
    audio_s = sum(u.heard().read().duration_s for u in utterances)
    speeds = table("all of EmoDB", audio_s, warmed(spent))
    benchmark.extra_info["audio_s_per_s"] = speeds


@pytest.mark.benchmark(group="extraction")
def test_two_processes(benchmark: Benchmark, utterances: list[Utterance]) -> None:
    """The slow functionals of EmoDB three times over in one process and in two; wall time."""
    spec = FeatureSpec(name="functionals")
    many = [replace(u, id=f"{u.id}-{k}") for k in range(3) for u in utterances]
    spent: dict[str, list[float]] = {"1 process": [], "2 processes": []}

    def turn() -> None:
        for workers, times in zip((1, 2), spent.values(), strict=True):
            started = time.perf_counter()
            extract(spec, many, workers=workers)
            times.append(time.perf_counter() - started)

    benchmark.pedantic(turn, rounds=1)
    audio_s = sum(u.heard().read().duration_s for u in many)
    benchmark.extra_info["audio_s_per_s"] = table("functionals", audio_s, spent)
