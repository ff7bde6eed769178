"""What one utterance's audio, words and traces come to, read once for the data check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from serlab.bench.audio import AudioFile, audio_facts, content_hash
from serlab.bench.contracts import ArraySource, Audio, FloatArray, Utterance
from serlab.bench.errors import BadFile

SILENT_PEAK = 1e-3
"""Audio whose loudest sample stays below this (-60 dB of full scale) counts as silent."""
FULL_SCALE = 0.999
CLIPPED_RUN = 3
"""So many samples in a row at full scale count as clipped."""
SHORTEST_S = 0.25
"""Shorter audio counts as too short to hear an emotion in."""
LARGEST_MEAN = 0.01
"""A mean further from zero, in shares of full scale, counts as a DC offset."""
WORD_SLACK_S = 0.1
"""So far may a word reach beyond the audio: alignments count in steps of 10 ms and more."""
TRACE_SLACK_S = 1.0
"""So much may the lengths of traces and audio differ."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something wrong with one utterance."""

    kind: str
    what: str
    """What was measured."""


@dataclass(frozen=True, kw_only=True)
class TraceFacts:
    """Continuous labels: frames per second, and the range of each dimension."""

    rate_hz: float
    n_frames: int
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """An utterance with what its files came to; nothing is known of audio it does not have."""

    utterance: Utterance
    error: str = ""
    rate_hz: int = 0
    n_channels: int = 0
    duration_s: float = 0.0
    content: str = ""
    """`audio.content_hash`; empty where the audio is silent, which has none of its own."""
    traces: TraceFacts | None = None
    faults: tuple[Fault, ...] = ()


def hear(utterance: Utterance, shortest_s: float = SHORTEST_S) -> Heard:
    """Reads the audio and traces of an utterance; a broken file is told, not raised.

    Raises:
        MissingExtra: a library that reads such files is not installed.
    """
    try:
        traces = _trace_facts(utterance.traces) if utterance.traces else None
        if utterance.audio is None:
            return Heard(utterance=utterance, traces=traces)
        audio = utterance.audio.read()
        path = utterance.audio.path if isinstance(utterance.audio, AudioFile) else None
        n_channels = audio_facts(path).n_channels if path else 1
    except BadFile as error:
        return Heard(utterance=utterance, error=str(error))
    faults = [*_audio_faults(audio, shortest_s), *_word_faults(utterance, audio.duration_s)]
    silent = any(fault.kind == "silent" for fault in faults)
    return Heard(
        utterance=utterance,
        rate_hz=audio.rate_hz,
        n_channels=n_channels,
        duration_s=audio.duration_s,
        content="" if silent else content_hash(audio),
        traces=traces,
        faults=(*faults, *(_trace_faults(traces, audio.duration_s) if traces else ())),
    )


def _audio_faults(audio: Audio, shortest_s: float) -> Iterator[Fault]:
    peak = float(np.abs(audio.samples).max())
    if peak < SILENT_PEAK:
        yield Fault(kind="silent", what=f"never louder than {peak:.1e} of full scale")
    if n_clipped := clipped_samples(audio.samples):
        what = f"{n_clipped} samples at full scale in a row with others"
        yield Fault(kind="clipped", what=what)
    if audio.duration_s < shortest_s:
        what = f"{audio.duration_s:.3f} s, less than {shortest_s:g} s"
        yield Fault(kind="too short", what=what)
    mean = float(audio.samples.mean(dtype=np.float64))
    if abs(mean) > LARGEST_MEAN:
        yield Fault(kind="dc offset", what=f"a mean of {mean:.3f} of full scale")


def clipped_samples(samples: FloatArray) -> int:
    """Samples at full scale that stand in a row of at least three.

    Example:
        >>> clipped_samples(np.array([0, 1, 1, 1, 0, -1, 0], np.float32))
        3
    """
    full = np.abs(samples) >= FULL_SCALE
    if int(full.sum()) < CLIPPED_RUN:
        return 0
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def _word_faults(utterance: Utterance, duration_s: float) -> Iterator[Fault]:
    for word in utterance.words:
        last_s = duration_s + WORD_SLACK_S
        if not -WORD_SLACK_S <= word.start_s <= word.end_s <= last_s:
            what = (
                f'"{word.text}" from {word.start_s:g} to {word.end_s:g} s, '
                f"and the audio has {duration_s:.2f} s"
            )
            yield Fault(kind="words", what=what)
            return


def _trace_facts(source: ArraySource) -> TraceFacts:
    values = np.asarray(source.read(), dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise BadFile(_name(source), f"has traces of shape {values.shape}: expected frames")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        what = f"{len(bad)} frames of traces are NaN or infinite, the first is {bad[0]}"
        raise BadFile(_name(source), what)
    return TraceFacts(
        rate_hz=float(source.rate_hz),
        n_frames=len(values),
        low=tuple(values.min(axis=0).tolist()),
        high=tuple(values.max(axis=0).tolist()),
    )


def _name(source: ArraySource) -> str:
    return str(getattr(source, "path", "traces"))


def _trace_faults(traces: TraceFacts, duration_s: float) -> Iterator[Fault]:
    length_s = traces.n_frames / traces.rate_hz
    if abs(length_s - duration_s) > TRACE_SLACK_S:
        what = f"traces of {length_s:.2f} s, audio of {duration_s:.2f} s"
        yield Fault(kind="traces", what=what)
