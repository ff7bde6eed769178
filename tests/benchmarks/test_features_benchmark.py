"""How fast features are computed, beside librosa on the same audio.

Run with::

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_features_benchmark.py --benchmark-enable

Every row's ``extra_info`` has the seconds of audio that one second of CPU gets through, in one
thread; ``test_log_mel_beside_librosa`` alternates the two in one process and gives their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, FeatureSpec, Utterance
from serlab.bench.features.base import feature
from serlab.bench.features.extraction import extract

N_FILES = 100
N_PAIRS = 7

Benchmark = Any  # pytest-benchmark is untyped


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def utterances(real_corpus: Callable[[str], Path]) -> list[Utterance]:
    """The first files of EmoDB."""
    paths = sorted(real_corpus("emodb").rglob("*.flac"))[:N_FILES]
    return [Utterance(id=p.stem, speaker=p.stem[:2], audio=AudioFile(path=p)) for p in paths]


@pytest.fixture(scope="module")
def audios(utterances: Sequence[Utterance]) -> list[Audio]:
    """Their audio, decoded beforehand."""
    return [u.audio.read() for u in utterances]


def by_librosa(audio: Audio) -> None:
    """The bands that ``log_mel`` gives at its defaults."""
    import librosa

    energy = librosa.feature.melspectrogram(
        y=audio.samples, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=64,
        center=False,
    )  # fmt: skip
    librosa.power_to_db(energy, top_db=None)


def cpu_s(compute: Callable[[Audio], object], audios: Sequence[Audio]) -> float:
    started = time.process_time()
    for audio in audios:
        compute(audio)
    return time.process_time() - started


def test_log_mel_beside_librosa(benchmark: Benchmark, audios: list[Audio]) -> None:
    """log_mel and librosa by turns in one process: audio seconds per CPU second, and the ratio."""
    ours = feature(FeatureSpec(name="log_mel")).compute
    cpu_s(ours, audios[:5])
    cpu_s(by_librosa, audios[:5])
    pairs: list[tuple[float, float]] = []

    def pair() -> None:
        if len(pairs) % 2:
            theirs_s, ours_s = cpu_s(by_librosa, audios), cpu_s(ours, audios)
        else:
            ours_s, theirs_s = cpu_s(ours, audios), cpu_s(by_librosa, audios)
        pairs.append((ours_s, theirs_s))

    benchmark.pedantic(pair, rounds=N_PAIRS)
    total_s = sum(a.duration_s for a in audios)
    ratios = np.log([theirs / ours_s for ours_s, theirs in pairs])
    benchmark.extra_info["log_mel_audio_s_per_cpu_s"] = total_s / statistics.median(
        p[0] for p in pairs
    )
    benchmark.extra_info["librosa_audio_s_per_cpu_s"] = total_s / statistics.median(
        p[1] for p in pairs
    )
    benchmark.extra_info["times_as_fast_as_librosa"] = float(np.exp(ratios.mean()))
    benchmark.extra_info["least_and_most"] = np.exp([ratios.min(), ratios.max()]).tolist()


@pytest.mark.parametrize(
    "name", ["spectrogram", "mfcc", "functionals", "waveform", "egemaps", "compare2016"]
)
def test_feature(benchmark: Benchmark, audios: list[Audio], name: str) -> None:
    """Seconds of audio per CPU second of each of the other features."""
    if name in ("egemaps", "compare2016"):
        pytest.importorskip("opensmile")
    compute = feature(FeatureSpec(name=name)).compute
    compute(audios[0])
    spent: list[float] = []
    some = audios[:20]
    benchmark.pedantic(lambda: spent.append(cpu_s(compute, some)), rounds=3)
    total_s = sum(a.duration_s for a in some)
    benchmark.extra_info["audio_s_per_cpu_s"] = total_s / statistics.median(spent)


def test_found_in_cache(benchmark: Benchmark, utterances: list[Utterance], tmp_path: Path) -> None:
    """Time of an extraction in which every array is found and no file decoded."""
    cache, spec = Cache(tmp_path), FeatureSpec(name="spectrogram")
    extract(spec, utterances, cache=cache)
    benchmark(extract, spec, utterances, cache=cache)
    assert cache.info().n_arrays == len(utterances)
