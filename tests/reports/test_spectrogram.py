"""The small pictures of recordings: where a tone lies, and what they weigh."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from serlab.bench.contracts import Audio
from serlab.reports.spectrogram import HIGHEST_HZ, N_BANDS, RANGE_DB, WIDTH_PX, spectrogram


def tone(hertz: float, seconds: float, rate: int) -> Audio:
    """A tone at half of full scale."""
    at = np.arange(round(seconds * rate)) / rate
    return Audio(samples=(0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32), rate_hz=rate)


def mel(hertz: float) -> float:
    """The scale of the bands."""
    return float(2595 * np.log10(1 + hertz / 700))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("hertz", [120.0, 1000.0, 3000.0])
def test_a_tone_lies_in_its_band(rate: int, hertz: float) -> None:
    """At any rate; what is above half of the rate is blank."""
    found = spectrogram(tone(hertz, 1.0, rate))
    assert found.energies.shape == (N_BANDS, 100)
    step = mel(HIGHEST_HZ) / (N_BANDS + 1)
    band = int(found.energies.sum(axis=1).argmax())
    assert abs((band + 1) * step - mel(hertz)) < step
    above = np.arange(N_BANDS) * step > mel(rate / 2)
    assert not found.energies[above].any()
    assert found.decibels.max() == 0
    assert found.decibels.min() == -RANGE_DB


def test_time_goes_to_the_right() -> None:
    """A tone that begins late is in the right half, whatever the length."""
    for seconds in (1.0, 30.0):
        sound = tone(500, seconds, 16000)
        late = np.where(np.arange(len(sound.samples)) < len(sound.samples) // 2, 0, sound.samples)
        found = spectrogram(Audio(samples=late.astype(np.float32), rate_hz=16000))
        n = found.energies.shape[1]
        assert n == min(WIDTH_PX, round(seconds * 100))
        over_time = found.energies.sum(axis=0)
        assert over_time[: n // 2 - 2].max() < 1e-6 * over_time[n // 2 + 2 :].min()


def test_long_recordings_are_averaged() -> None:
    """A steady tone has the same energy in every column but the ends, long or short."""
    short, long = (spectrogram(tone(500, s, 16000)).energies.sum(axis=0) for s in (1.0, 20.0))
    assert long[1:-1] == pytest.approx(np.full(WIDTH_PX - 2, np.median(short)), rel=0.01)


def test_png_has_a_pixel_a_band() -> None:
    """Sixteen greys, low bands at the bottom, loud is black; the bytes are always the same."""
    sound = tone(150, 5.0, 16000)
    data = spectrogram(sound).png()
    assert data == spectrogram(sound).png()
    image = Image.open(io.BytesIO(data))
    assert image.size == (WIDTH_PX, N_BANDS)
    grey = np.array(image.convert("L"))
    assert grey[: N_BANDS // 2, 20:-20].min() == 255
    assert grey[N_BANDS // 2 :].min() == 0
    assert set(np.unique(grey)) <= {round(i * 17) for i in range(16)}


def test_noise_stays_below_its_limit() -> None:
    """What compresses worst weighs less than 8 kB."""
    noise = np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32)
    assert len(spectrogram(Audio(samples=noise, rate_hz=16000)).png()) < 8000


@pytest.mark.parametrize("n", [1, 3, 200, 1000])
def test_silence_and_scraps(n: int) -> None:
    """What is silent or shorter than a window has a picture, a blank one."""
    found = spectrogram(Audio(samples=np.zeros(n, np.float32), rate_hz=16000))
    assert (found.decibels == -RANGE_DB).all()
    assert "nothing is heard" in found.words()
    assert Image.open(io.BytesIO(found.png())).height == N_BANDS


def test_words_tell_what_is_seen() -> None:
    """Length, loudest moment, where the energy lies, and pauses."""
    sound = tone(1000, 2.0, 16000)
    shape = np.where(np.arange(32000) < 16000, 0.001, 1.0)
    told = spectrogram(Audio(samples=(sound.samples * shape).astype(np.float32), rate_hz=16000))
    words = told.words()
    assert words.startswith("2.00 s, loudest at 1.")
    assert words.endswith("50% of it pauses")
    below = float(words.split("below ")[1].split(" Hz")[0])
    assert 950 < below < 1100
