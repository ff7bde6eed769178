"""Computes a feature of many utterances: in processes where that pays, each value once.

Values are kept in the cache under the hash of all that they depend on. This module imports no
torch before it computes.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from serlab.bench.cache import Cache, samples_hash
from serlab.bench.contracts import FeatureSpec, FloatArray, Utterance
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.features.base import Feature, Reader, feature
from serlab.bench.memo import CacheError

Progress = Callable[[int, int], None]
"""Told how many utterances are done, of how many."""

_SHOWN = 5
_CHUNK = 8
"""Utterances that a worker process is given at a time."""
_LEAST_S = 1.0
"""So long this process works alone, and knows then how long it would take."""
_START_S = 5.0
"""What the start of processes, with torch, may cost."""


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
        workers: processes that compute where that saves more than their start; 1 computes here.
            A feature that stays in this process computes in so many threads instead.

    Raises:
        SerlabError: an utterance's audio is broken; lists the first five, after all are tried.
        CacheError: the cache cannot be written to.
    """
    items = list(utterances)
    done: dict[str, FloatArray] = {}

    def keep(utterance: Utterance, values: FloatArray | None) -> None:
        assert values is not None
        done[utterance.id] = values

    _all(_Job(feature=feature(spec), cache=cache, opens=True), items, keep, progress, workers)
    return {u.id: done[u.id] for u in items}


def fill(
    spec: FeatureSpec,
    utterances: Iterable[Utterance],
    *,
    cache: Cache,
    progress: Progress | None = None,
    workers: int = 1,
) -> None:
    """As `extract`, for its cache alone: arrays are neither opened nor held."""
    job = _Job(feature=feature(spec), cache=cache, opens=False)
    _all(job, list(utterances), lambda utterance, values: None, progress, workers)


def _all(
    job: _Job,
    items: Sequence[Utterance],
    keep: Callable[[Utterance, FloatArray | None], None],
    progress: Progress | None,
    workers: int,
) -> None:
    """Every utterance is tried and told; then what is broken is raised."""
    if workers < 1:
        raise BadValue("workers", workers, "an integer of at least 1")
    broken: list[str] = []
    job.feature.expect(items)
    stays = job.feature.extractor.in_this_process
    try:
        with job.threads(workers if stays else 1):
            results = _results(job, items, 1 if stays else workers)
            for n_done, (utterance, result) in enumerate(results, 1):
                if isinstance(result, _Broken):
                    broken.append(result.problem)
                else:
                    keep(utterance, result)
                if progress is not None:
                    progress(n_done, len(items))
    finally:
        if job.cache is not None:
            job.cache.memo.flush()
    if broken:
        raise _summary(job.feature.spec, broken, len(items))


@dataclass(frozen=True, kw_only=True)
class _Broken:
    problem: str


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What lies in the cache, by the hash of what it was made from."""

    content: str


@dataclass(frozen=True, kw_only=True)
class _Job:
    feature: Feature
    cache: Cache | None
    opens: bool
    """Whether values are wanted, or only to be in the cache."""

    @contextmanager
    def threads(self, number: int) -> Iterator[None]:
        """Computes in so many threads: the last bits of a product depend on their number."""
        if "torch" not in self.feature.extractor.libraries:
            yield
            return
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def known(self, utterance: Utterance) -> FloatArray | None:
        """The values, if they can be had without decoding the audio."""
        content = self.content(utterance)
        return self.cache.get(self.feature.key(content)) if self.cache and content else None

    def content(self, utterance: Utterance) -> str | None:
        """The hash of what the values are made from, if it is known without decoding audio."""
        reader = self.feature.extractor
        if isinstance(reader, Reader):
            return None if reader.lacks(utterance) else reader.identity(utterance)
        if self.cache is None or utterance.audio is None:
            return None
        return self.cache.memo.get(utterance.audio)

    def values(self, utterance: Utterance) -> FloatArray | _Broken | None:
        """The values, looked up or computed and kept; None if unwanted. Raises CacheError."""
        try:
            if self.opens:
                found = self.known(utterance)
                return self._computed(utterance) if found is None else found
            if not self._held(utterance):
                self._computed(utterance)
        except CacheError:  # the next utterance would meet it as well
            raise
        except SerlabError as error:
            name, text = utterance.audio.name() if utterance.audio else utterance.id, str(error)
            return _Broken(problem=text if name in text else f"{name}: {text}")
        return None

    def _held(self, utterance: Utterance) -> bool:
        content = self.content(utterance)
        return bool(self.cache and content and self.cache.holds(self.feature.key(content)))

    def sendable(self, utterance: Utterance) -> FloatArray | _Kept | _Broken | None:
        """As `values`, but for the array only where to find it, which is cheaper to send."""
        result = self.values(utterance)
        if self.cache is None or isinstance(result, _Broken):
            return result
        content = self.content(utterance)
        return _Kept(content=content) if content else result

    def reopened(
        self, utterance: Utterance, result: FloatArray | _Kept | _Broken | None
    ) -> FloatArray | _Broken | None:
        """What `sendable` gave, in the process that asked, which remembers it."""
        if not isinstance(result, _Kept):
            return result
        assert self.cache is not None
        if utterance.audio is not None and not isinstance(self.feature.extractor, Reader):
            self.cache.memo.put(utterance.audio, result.content)
        if not self.opens:
            return None
        found = self.cache.get(self.feature.key(result.content))
        if found is None:
            raise SerlabError(f"{utterance.id}: was removed from the cache while it was wanted")
        return found

    def _computed(self, utterance: Utterance) -> FloatArray:
        if self.cache is None:
            return self.feature.of(utterance)
        if isinstance(self.feature.extractor, Reader):
            values = self.feature.of(utterance)
            key = self.feature.key(self.feature.extractor.identity(utterance))
            return self.cache.put(key, values)
        source = utterance.heard()
        audio = source.read()
        content = samples_hash(audio)
        key = self.feature.key(content)
        found = self.cache.get(key)
        if found is None:
            found = self.cache.put(key, self.feature.compute(audio))
        self.cache.memo.put(source, content)
        return found


_own_job: _Job | None = None  # of a worker process, set as it starts


def _results(
    job: _Job, items: Sequence[Utterance], workers: int
) -> Iterator[tuple[Utterance, FloatArray | _Broken | None]]:
    """Every utterance with what came of it, as they finish."""
    started = time.monotonic()
    for index, utterance in enumerate(items):
        if workers > 1 and _pays(time.monotonic() - started, index, len(items), workers):
            yield from _in_processes(job, items[index:], workers)
            return
        yield utterance, job.values(utterance)


def _pays(spent_s: float, n_done: int, n_all: int, workers: int) -> bool:
    """Whether processes would save more than their start costs, going on as until now."""
    if spent_s < _LEAST_S or not n_done:
        return False
    left_s = spent_s / n_done * (n_all - n_done)
    return left_s * (1 - 1 / workers) > _START_S


def _in_processes(
    job: _Job, items: Sequence[Utterance], workers: int
) -> Iterator[tuple[Utterance, FloatArray | _Broken | None]]:
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,))
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    with pool:
        try:
            asked = {pool.submit(_work, chunk): chunk for chunk in chunks}
            for future in as_completed(list(asked)):
                for utterance, result in zip(asked.pop(future), future.result(), strict=True):
                    yield utterance, job.reopened(utterance, result)
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


def _work(items: Sequence[Utterance]) -> list[FloatArray | _Kept | _Broken | None]:
    """In a worker: the results, or where the cache keeps them."""
    assert _own_job is not None
    return [_own_job.sendable(utterance) for utterance in items]


def _summary(spec: FeatureSpec, broken: Sequence[str], n_all: int) -> SerlabError:
    shown = "; ".join(broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return SerlabError(
        f"feature {spec.name}: {len(broken)} of {n_all} utterances are broken: {shown}{more}"
    )
