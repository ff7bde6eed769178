"""Groups of utterances: what a corpus tells of them, and thirds of speakers by pitch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, Groups, Utterance
from serlab.bench.errors import BadFile, SerlabError
from serlab.bench.features.base import feature
from serlab.bench.groups import PITCH_SPEC, groups_of, known_groups, terciles
from serlab.bench.store import Store


@dataclass(frozen=True)
class Voice:
    """Harmonics of a pitch; silence at 0 Hz."""

    hz: float
    rate_hz: int = 16000

    def read(self) -> Audio:
        """Half a second."""
        time_s = np.arange(self.rate_hz // 2) / self.rate_hz
        sound = sum(np.sin(2 * np.pi * k * self.hz * time_s) / k for k in range(1, 8))
        return Audio(samples=(0.2 * sound).astype("f4"), rate_hz=self.rate_hz)

    def name(self) -> str:
        """For messages."""
        return f"a voice of {self.hz} Hz"


def utterance(speaker: str, number: int, hz: float = 0.0, **facts: str) -> Utterance:
    """An utterance of a voice."""
    return Utterance(id=f"{speaker}{number}", speaker=speaker, audio=Voice(hz), facts=facts)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("hz", [90.0, 140.0, 220.0, 330.0])
def test_mean_pitch_is_the_voices(hz: float, rate_hz: int) -> None:
    """To half a percent, at every rate."""
    found = feature(PITCH_SPEC).compute(Voice(hz, rate_hz).read())
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(hz, rel=5e-3)


def test_silence_and_a_click_have_no_pitch() -> None:
    """0 Hz stands for none."""
    made = feature(PITCH_SPEC)
    for n_samples in (1, 16000):
        silence = Audio(samples=np.zeros(n_samples, "f4"), rate_hz=16000)
        assert made.compute(silence)[0, 0] == 0


def test_terciles_are_of_speakers() -> None:
    """Each speaker's mean decides for all of its utterances; the order of names does not."""
    hertz = {"d": 250, "a": 100, "c": 200, "b": 120, "f": 300, "e": 110}
    held = [utterance(s, k) for s in hertz for k in range(2)]
    pitch = {u.id: hertz[u.speaker] + (10.0 if u.id[-1] == "1" else -10.0) for u in held}
    found = dict(zip((u.id for u in held), terciles(held, pitch), strict=True))
    wanted = {"a": "low", "e": "low", "b": "middle", "c": "middle", "d": "high", "f": "high"}
    assert found == {u.id: wanted[u.speaker] for u in held}


def test_outliers_and_unvoiced_speakers_are_left_out() -> None:
    """A mean of 30 or 400 Hz is an error of measurement; who has no pitch is in no group."""
    held = [utterance(s, k) for s in "abcx" for k in range(2)]
    pitch = {"a0": 100.0, "a1": 400.0, "b0": 150.0, "b1": 30.0, "c0": 220.0, "c1": 0.0, "x0": 500.0}
    found = terciles(held, pitch)
    assert found == ("low", "low", "middle", "middle", "high", "high", "", "")


def test_thirds_need_three_speakers() -> None:
    """Two are told, not split."""
    held = [utterance(s, 0) for s in "ab"]
    with pytest.raises(SerlabError, match="need three with voiced speech, and 2"):
        terciles(held, {u.id: 150.0 for u in held})


def test_groups_are_facts_and_pitch(tmp_path: Path) -> None:
    """Unknown is an empty text; what has no audio has no pitch."""
    held = [
        utterance("a", 0, 100, sex="male"),
        utterance("b", 0, 150),
        utterance("c", 0, 220, sex="female", id="x"),
        replace(utterance("d", 0), audio=None),
    ]
    assert known_groups(held) == ("pitch", "sex")
    assert known_groups(held[3:]) == ()
    found = groups_of(held, ("sex", "pitch"), cache=Cache(tmp_path))
    assert found.ids == ("a0", "b0", "c0", "d0")
    assert found.speakers == ("a", "b", "c", "d")
    assert found.values == {
        "sex": ("male", "", "female", ""),
        "pitch": ("low", "middle", "high", ""),
    }


def test_the_store_keeps_groups(tmp_path: Path) -> None:
    """As they were, by the corpus's place; none is none; a damaged file is told."""
    store = Store.create(tmp_path)
    groups = Groups(ids=("ü/1", "2"), speakers=("s", "t"), values={"sex": ("", "female")})
    store.write_groups(1, groups)
    store.write_groups(2, Groups(ids=("1",), speakers=("s",), values={}))
    assert store.groups(1) == groups
    assert store.groups(2).ids == ("1",)
    assert store.groups(0) == Groups(ids=(), speakers=(), values={})
    path = tmp_path / "groups" / "1.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadFile, match="not readable as Parquet"):
        store.groups(1)
