"""The pass after the trials: each variant's latency and size, in a fresh process, one by one.

``python -m serlab.studies.meter_arms RUN ARM`` measures one arm of a finished run and writes
``meters/<hash>.json``; `meter_arms` starts these processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serlab.bench.contracts import (
    Audio,
    FloatArray,
    Measurement,
    System,
    Target,
    Utterance,
    Variant,
    digest,
    plain,
)
from serlab.bench.data import Items, Normaliser, Rated
from serlab.bench.errors import SerlabError
from serlab.bench.features.base import feature
from serlab.bench.meters.environment import fingerprint
from serlab.bench.meters.latency import percentiles, time_calls
from serlab.bench.meters.size import count_macs, count_parameters
from serlab.bench.seeds import generator, torch_seeded
from serlab.bench.shapes import example_sizes
from serlab.bench.store import Store
from serlab.models.variant import make

RATE_HZ = 16_000
TEXT = "the words of an utterance that nobody said"


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of a given length as an utterance's audio, and as its continuous labels."""

    seconds: float
    n_dimensions: int = 0
    rate_hz: float = 10.0

    def name(self) -> str:
        """For messages."""
        return "noise"

    def read(self) -> Any:  # audio, or an array (frame, dimension)
        """The noise."""
        rng = generator(0, "meter")
        if self.n_dimensions:
            shape = (round(self.seconds * self.rate_hz), self.n_dimensions)
            return rng.standard_normal(shape).astype(np.float32)
        samples = rng.standard_normal(round(self.seconds * RATE_HZ)).astype(np.float32) * 0.1
        return Audio(samples=samples, rate_hz=RATE_HZ)


def meter_arms(store: Store, say: Callable[[str], None]) -> None:
    """Measures the arms of a run that have not been measured with these settings yet."""
    facts = store.resolved()
    wanted = [a for a in facts["arms"] if a["kind"] != "searched" or a["name"] == facts.get("best")]
    skipped = {entry["arm"] for entry in facts["skipped"]}
    known = store.meters()
    todo = [
        a["name"]
        for a in wanted
        if a["name"] not in skipped
        and known.get(a["name"], {}).get("of") != _of(a["variant"], facts)
    ]
    for n, arm in enumerate(todo, 1):
        say(f"measuring latency and size {n}/{len(todo)}: {arm}")
        command = [sys.executable, "-m", "serlab.studies.meter_arms", str(store.path), arm]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            say(f"{arm}: not measured: {last}")


def _of(variant: Mapping[str, Any], facts: Mapping[str, Any]) -> str:  # JSON values
    """What a measurement is of: a variant, classes, and how it is measured."""
    labels = facts["corpora"][0]["labels"]
    return digest({"variant": variant, "labels": labels, "meters": facts["study"]["meters"]})[:16]


def measure_arm(store: Store, arm: str, device: str = "cpu") -> dict[str, Any]:  # JSON values
    """Builds one arm with random weights and measures it on one utterance of noise.

    The weights do not matter to the time that a forward pass takes.
    """
    facts = store.resolved()
    found = [a for a in facts["arms"] if a["name"] == arm]
    if not found:
        raise SerlabError(f'the run has no arm "{arm}"')
    meters, variant = facts["study"]["meters"], Variant(**found[0]["variant"])
    torch.set_num_threads(facts["study"]["resources"]["threads"])
    system = make(variant)
    corpus = facts["corpora"][0]
    target = corpus["protocol"].get("target", "emotion")
    items, spent_ms = _items(system, corpus, target, meters["seconds"])
    call, size = _call(system, items, target, device)
    samples = time_calls(call, meters["calls"], device=device)
    return {
        "arm": arm,
        "of": _of(found[0]["variant"], facts),
        "device": device,
        "seconds": meters["seconds"],
        "threads": torch.get_num_threads(),
        "latency_ms": {**{k: m.value for k, m in percentiles(samples).items()}, "n": len(samples)},
        "samples_ns": samples,
        "feature_ms": spent_ms,
        **size,
        "environment": store.keep_environment(fingerprint(device)),
    }


def _items(
    system: System,
    corpus: Mapping[str, Any],  # JSON values
    target: Target,
    seconds: float,
) -> tuple[Items, float]:
    """One utterance of noise, its features computed; and how long these took, in ms (median)."""
    rated, labels = target == "traces", tuple(corpus["labels"])
    utterance = Utterance(
        id="noise",
        speaker="nobody",
        audio=Noise(seconds=seconds),
        text=TEXT,
        supplied={name: (0.0,) * size for name, size in corpus.get("supplied", {}).items()},
        emotion=None if rated else labels[0],
        traces=Noise(seconds=seconds, n_dimensions=len(labels)) if rated else None,
    )
    features = {name: feature(spec) for name, spec in system.inputs().items()}
    arrays: dict[str, dict[str, FloatArray]] = {}
    spent = 0.0
    for name, made in features.items():
        arrays[name] = {"noise": made.of(utterance)}
        samples = time_calls(lambda made=made: made.of(utterance), 5, warm_up=1)  # type: ignore[misc]
        spent += float(np.median(samples)) / 1e6
    source = utterance.traces
    items = Items(
        utterances=[utterance],
        arrays=arrays,
        rates={name: made.rate_hz for name, made in features.items()},
        normaliser=Normaliser(mode="none"),
        segments=system.segments(),
        labels=labels,
        speakers=(),
        class_weights=torch.ones(0 if rated else len(labels)),
        rated=Rated(traces={"noise": source.read()}, rate_hz=source.rate_hz) if source else None,
    )
    return items, spent


def _call(
    system: System, items: Items, target: Target, device: str
) -> tuple[Callable[[], object], dict[str, Any]]:
    """What is timed, from features in memory to scores, and the size of what does it."""
    n_classes = len(items.labels)
    sizes = example_sizes(system, n_classes, n_corpora=2, target=target)
    widths = {name: arrays["noise"].shape[1] for name, arrays in items.arrays.items()}
    sizes = replace(sizes, n_features={**sizes.n_features, **widths})
    with torch_seeded(0, "meter"):
        built = system.build(sizes)
    stages = system.stages()
    if not stages:
        return _estimator_call(built, sizes.n_features, n_classes)
    network = built.eval().to(device)
    batch = items.batch(items.starts(items.segments.test_hop_s)).to(torch.device(device))
    bf16 = stages[-1].training.precision == "bf16" and device != "cpu"

    def call() -> object:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            return network(batch).scores

    macs = count_macs(lambda: network(batch))
    size = {"parameters": count_parameters(network), "macs": macs.value, "macs_reason": macs.reason}
    return call, size


def _estimator_call(
    estimator: Any,
    widths: Mapping[str, int],
    n_classes: int,  # scikit-learn has no types
) -> tuple[Callable[[], object], dict[str, Any]]:
    """An estimator fitted on noise, and its learnt numbers."""
    rng = generator(0, "meter", "fit")
    shape = {name: (4 * n_classes, width) for name, width in widths.items()}
    inputs = {name: rng.standard_normal(s, dtype=np.float32) for name, s in shape.items()}
    estimator.fit(inputs, np.arange(4 * n_classes) % n_classes, 0)
    one = {name: values[:1] for name, values in inputs.items()}
    unknown = Measurement(value=None, unit="MAC", reason="counted for networks only")
    size = {
        "parameters": estimator.n_parameters(),
        "macs": unknown.value,
        "macs_reason": unknown.reason,
    }
    return lambda: estimator.predict(one), size


def main(arguments: list[str]) -> int:
    """Measures one arm and writes what it found."""
    store = Store.open(Path(arguments[0]))
    facts = store.resolved()
    gpu = facts["study"]["resources"]["gpus"] > 0 and torch.cuda.is_available()
    try:
        found = measure_arm(store, arguments[1], "cuda" if gpu else "cpu")
    except SerlabError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    path = store.write_json(f"meters/{digest(arguments[1])[:16]}.json", plain(found))
    sys.stdout.write(json.dumps({"written": str(path)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
