"""What a feature is, how one is made from its spec, and how a corpus's are computed and kept.

The files beside this one hold one family each. A feature is a frozen dataclass of settings under
``@FEATURES.register("name", title=..., source=...)``, a subclass of `Extractor`; its version
number rises whenever its values change. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, TypeVar, get_type_hints

import numpy as np

from serlab.bench.audio import resample
from serlab.bench.cache import Cache, CacheError, samples_hash
from serlab.bench.contracts import (
    Audio,
    FeatureSpec,
    FloatArray,
    Scalar,
    Utterance,
    digest,
    setting,
)
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.registry import Registry

FEATURES = Registry("feature", "serlab.bench.features")

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Extractor(ABC):
    """The settings of a feature, checked, and its arithmetic."""

    version: ClassVar[int] = 1
    """Part of the cache's key; raised when the same settings give other values than before."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "soxr")
    """Distributions whose version may change the values; part of the cache's key."""

    rate_hz: int = setting(16000, "sampling rate that the audio is brought to", low=1000)

    @property
    @abstractmethod
    def frame_rate_hz(self) -> float:
        """Frames per second; 0 for one vector an utterance."""

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Values of a frame."""

    @abstractmethod
    def values(self, samples: FloatArray) -> FloatArray:
        """The feature (frame, value) of finite samples (sample,) at ``rate_hz``, at least one.

        Audio shorter than a frame is padded with zeros to one frame.
        """


class Feature:
    """A feature ready to be computed; `feature` makes one.

    Args:
        name: its registered name.
        extractor: its settings and arithmetic.
    """

    def __init__(self, name: str, extractor: Extractor) -> None:
        self.extractor = extractor
        self.spec = FeatureSpec(name=name, settings=dataclasses.asdict(extractor))
        self.rate_hz = extractor.frame_rate_hz
        self.n_values = extractor.n_values

    def compute(self, audio: Audio) -> FloatArray:
        """The values, shape (frame, value), float32, finite, at least one frame.

        Audio shorter than one frame is padded with zeros to one. Nothing but the audio and the
        settings matters: neither what was computed before, nor any global seed.

        Raises:
            BadValue: there is no sample, or one is NaN or infinite.
            SerlabError: the feature has no finite value for this audio.
        """
        if not len(audio.samples):
            raise BadValue("audio", "no samples", "at least one")
        if not np.isfinite(audio.samples).all():
            n_bad = int((~np.isfinite(audio.samples)).sum())
            raise BadValue("audio", f"{n_bad} NaN or infinite samples", "finite samples")
        samples = resample(audio, self.extractor.rate_hz).samples
        if not len(samples):  # less than half a sample at the new rate
            samples = np.zeros(1, np.float32)
        values = np.ascontiguousarray(self.extractor.values(samples), dtype=np.float32)
        assert values.ndim == 2
        assert values.shape[1] == self.n_values
        if not np.isfinite(values).all():
            raise SerlabError(f"feature {self.spec.name}: its values are not finite")
        return values

    def key(self, content: str) -> str:
        """The cache's key of these values for the audio with that `samples_hash`."""
        return digest({**self._identity, "audio": content})

    def key_of(self, audio: Audio) -> str:
        """The cache's key of these values for an audio."""
        return self.key(samples_hash(audio))

    @cached_property
    def _identity(self) -> Mapping[str, object]:
        """Everything besides the audio that the values depend on."""
        return {
            "feature": self.spec.name,
            "settings": self.spec.settings,
            "version": self.extractor.version,
            "libraries": {name: _installed(name) for name in self.extractor.libraries},
        }


def feature(spec: FeatureSpec) -> Feature:
    """The feature of a spec, with the settings it leaves out at their defaults.

    Raises:
        UnknownName: there is no such feature, or it has no such setting.
        BadValue: a setting has a wrong type or is out of its range, or two contradict.
    """
    extractor: type[Extractor] = FEATURES.load(spec.name)
    return Feature(spec.name, checked(extractor, spec.settings, where=f"feature {spec.name}"))


def checked(record: type[S], given: Mapping[str, Scalar], *, where: str) -> S:
    """A record of settings (fields made with `contracts.setting`) from what differs.

    Raises:
        UnknownName: a name is no field.
        BadValue: a value has another type than its field or is out of its range.
    """
    types = get_type_hints(record)
    fields: Sequence[Any] = dataclasses.fields(record)  # type: ignore[arg-type]
    known = {f.name: f.metadata for f in fields}
    values: dict[str, Any] = {}  # of the fields' own types
    for name, value in given.items():
        if name not in known:
            raise UnknownName("setting", name, known, where=where)
        values[name] = _fitting(f"{where}: {name}", value, types[name], known[name])
    return record(**values)


def _fitting(key: str, value: Scalar, kind: type, facts: Mapping[str, Any]) -> Scalar:
    low, high, choices = facts.get("low"), facts.get("high"), facts.get("choices")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadValue(key, value, _ARTICLE[kind])
    if choices and value not in choices:
        raise BadValue(key, value, "one of " + ", ".join(map(str, choices)))
    if isinstance(value, int | float) and kind is not bool:
        if not math.isfinite(value):
            raise BadValue(key, value, "a finite number")
        if low is not None and value < low:
            raise BadValue(key, value, f"{_ARTICLE[kind]} of at least {low}")
        if high is not None and value > high:
            raise BadValue(key, value, f"{_ARTICLE[kind]} of at most {high}")
    return value


def check_frame(window_s: float, hop_s: float, rate_hz: int, n_fft: int) -> None:
    """Raises BadValue unless the frame fits the transform and has samples to hold."""
    length = round(window_s * rate_hz)
    if n_fft < length:
        wanted = f"at least the window's {length} samples ({window_s:g} s at {rate_hz} Hz)"
        raise BadValue("n_fft", n_fft, wanted)
    if length < 2 or round(hop_s * rate_hz) < 1:
        raise BadValue("window_s, hop_s", (window_s, hop_s), "two samples, and one, at least")


_ARTICLE: Mapping[type, str] = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"


# --- many utterances -------------------------------------------------------------------------

Progress = Callable[[int, int], None]
"""Told how many utterances are done, of how many."""

_SHOWN = 5
_CHUNK = 8
"""Utterances that a worker process is given at a time."""
_ALONE_S = 5.0
"""So long this process works alone: starting others, with torch, takes nearly as long."""


def extract(
    spec: FeatureSpec,
    utterances: Iterable[Utterance],
    *,
    cache: Cache | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> dict[str, FloatArray]:
    """The feature of every utterance, (frame, value), float32, by utterance id in their order.

    With a cache, arrays are read-only and the large ones mapped from disk. A broken file does
    not stop the others: what is computed stays in the cache.

    Args:
        spec: the feature.
        utterances: with unlike ids.
        cache: where values are looked for and kept; None computes all and keeps nothing.
        progress: told after every utterance.
        workers: processes that compute if it takes more than five seconds; 1 computes here.

    Raises:
        SerlabError: an utterance's audio is broken; lists the first five, after all are tried.
        CacheError: the cache cannot be written to.
    """
    if workers < 1:
        raise BadValue("workers", workers, "an integer of at least 1")
    items = list(utterances)
    job = _Job(feature=feature(spec), cache=cache)
    done: dict[str, FloatArray] = {}
    broken: list[str] = []
    with job.one_thread():
        for utterance, result in _results(job, items, workers):
            if isinstance(result, _Broken):
                broken.append(result.problem)
            else:
                done[utterance.id] = result
            if progress is not None:
                progress(len(done) + len(broken), len(items))
    if broken:
        raise _summary(spec, broken, len(items))
    return {u.id: done[u.id] for u in items}


@dataclass(frozen=True, kw_only=True)
class _Broken:
    problem: str


@dataclass(frozen=True, kw_only=True)
class _Job:
    feature: Feature
    cache: Cache | None

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Computes in one thread: the last bits of a product depend on their number."""
        if "torch" not in self.feature.extractor.libraries:
            yield
            return
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def known(self, utterance: Utterance) -> FloatArray | None:
        """The values, if they can be had without decoding the audio."""
        content = self.cache.memo.get(utterance.audio) if self.cache else None
        return self.cache.get(self.feature.key(content)) if self.cache and content else None

    def values(self, utterance: Utterance) -> FloatArray | _Broken:
        """The values, looked up or computed and kept. Raises CacheError."""
        try:
            found = self.known(utterance)
            return self._computed(utterance) if found is None else found
        except CacheError:  # the next utterance would meet it as well
            raise
        except SerlabError as error:
            name, text = utterance.audio.name(), str(error)
            return _Broken(problem=text if name in text else f"{name}: {text}")

    def sendable(self, utterance: Utterance) -> FloatArray | str | _Broken:
        """As `values`, but the key of what the cache holds: cheaper to send than the array."""
        result = self.values(utterance)
        if self.cache is None or isinstance(result, _Broken):
            return result
        content = self.cache.memo.get(utterance.audio)
        return self.feature.key(content) if content else result

    def reopened(self, result: FloatArray | str | _Broken) -> FloatArray | _Broken:
        """What `sendable` gave, in the process that asked."""
        if not isinstance(result, str):
            return result
        found = self.cache.get(result) if self.cache else None
        if found is None:
            raise SerlabError(f"{result}: was removed from the cache while it was wanted")
        return found

    def _computed(self, utterance: Utterance) -> FloatArray:
        audio = utterance.audio.read()
        if self.cache is None:
            return self.feature.compute(audio)
        content = samples_hash(audio)
        key = self.feature.key(content)
        found = self.cache.get(key)
        if found is None:
            found = self.cache.put(key, self.feature.compute(audio))
        self.cache.memo.put(utterance.audio, content)
        return found


_own_job: _Job | None = None  # of a worker process, set as it starts


def _results(
    job: _Job, items: Sequence[Utterance], workers: int
) -> Iterator[tuple[Utterance, FloatArray | _Broken]]:
    """Every utterance with what came of it, as they finish."""
    started = time.monotonic()
    for index, utterance in enumerate(items):
        if workers > 1 and time.monotonic() - started >= _ALONE_S:
            yield from _in_processes(job, items[index:], workers)
            return
        yield utterance, job.values(utterance)


def _in_processes(
    job: _Job, items: Sequence[Utterance], workers: int
) -> Iterator[tuple[Utterance, FloatArray | _Broken]]:
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,))
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    with pool:
        try:
            asked = {pool.submit(_work, chunk): chunk for chunk in chunks}
            for future in as_completed(asked):
                for utterance, result in zip(asked[future], future.result(), strict=True):
                    yield utterance, job.reopened(result)
        except BrokenProcessPool:
            raise SerlabError(
                f"feature {job.feature.spec.name}: a process that computed it died, most likely "
                "for want of memory; ask for fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start(job: _Job) -> None:
    global _own_job
    _own_job = job
    if "torch" in job.feature.extractor.libraries:
        import torch

        torch.set_num_threads(1)


def _work(items: Sequence[Utterance]) -> list[FloatArray | str | _Broken]:
    """In a worker: the results, or where the cache keeps them."""
    assert _own_job is not None
    return [_own_job.sendable(utterance) for utterance in items]


def _summary(spec: FeatureSpec, broken: Sequence[str], n_all: int) -> SerlabError:
    shown = "; ".join(broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return SerlabError(
        f"feature {spec.name}: {len(broken)} of {n_all} utterances are broken: {shown}{more}"
    )
