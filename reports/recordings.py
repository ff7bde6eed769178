"""The recordings that a report may show or play, handed to it by whoever can read the corpora."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import soundfile

from serlab.bench.contracts import Audio, Utterance
from serlab.reports.records import CorpusFacts


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """What is at hand of one corpus."""

    utterances: Mapping[str, Utterance] = field(default_factory=dict)
    """By id; empty where the corpus is not at hand."""
    reason: str = ""
    """Why there are none, and how to give them."""
    note: str = ""
    """What a reader must know, such as that the corpus is not as it was."""
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By id, what groups the run says that an utterance is in."""


def _none(corpus: CorpusFacts) -> Recordings:
    return Recordings(reason="the report was written without looking for them")


def _silent(text: str) -> None:
    """What nobody asked to be told."""


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Whether and how a report gets at recordings."""

    source: Callable[[CorpusFacts], Recordings] = _none
    with_audio: bool = False
    """Whether the page holds the sound; the pictures are there wherever the corpus is at hand."""
    say: Callable[[str], None] = _silent
    """Told what sound went into the page."""


def flac_uri(audio: Audio) -> str:
    """The recording in 16 bits as an address that holds it; samples beyond full scale are cut."""
    pcm = np.clip(np.rint(audio.samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    held = io.BytesIO()
    soundfile.write(held, pcm, audio.rate_hz, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(held.getvalue()).decode()}"
