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

from serlab.bench.cache import Cache, CacheError, samples_hash
from serlab.bench.contracts import FeatureSpec, FloatArray, Utterance
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.features.base import Feature, Reader, feature

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
        workers: processes that compute if it takes more than five seconds; 1 computes here. A
            feature that stays in this process computes in so many threads instead.

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
    job.feature.expect(items)
    stays = job.feature.extractor.in_this_process
    with job.threads(workers if stays else 1):
        for utterance, result in _results(job, items, 1 if stays else workers):
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

    def values(self, utterance: Utterance) -> FloatArray | _Broken:
        """The values, looked up or computed and kept. Raises CacheError."""
        try:
            found = self.known(utterance)
            return self._computed(utterance) if found is None else found
        except CacheError:  # the next utterance would meet it as well
            raise
        except SerlabError as error:
            name, text = utterance.audio.name() if utterance.audio else utterance.id, str(error)
            return _Broken(problem=text if name in text else f"{name}: {text}")

    def sendable(self, utterance: Utterance) -> FloatArray | str | _Broken:
        """As `values`, but the key of what the cache holds: cheaper to send than the array."""
        result = self.values(utterance)
        if self.cache is None or isinstance(result, _Broken):
            return result
        content = self.content(utterance)
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
