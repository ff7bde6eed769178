"""One cell measured: a system under one set of conditions, in a process that does nothing else.

Each thing is measured in a pass of its own, one after the other: building, loading, the first
call, the steady calls, the features, memory, multiply-accumulates, a training step. Nothing here
names a model.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from serlab.bench.checkpoint import state_of
from serlab.bench.contracts import Measurement, Stage, System, TrainingSettings
from serlab.bench.data import Batch
from serlab.bench.meters.energy import energy
from serlab.bench.meters.environment import fingerprint, load
from serlab.bench.meters.inputs import Inputs, make_inputs
from serlab.bench.meters.latency import (
    WARM_UP_SHARE,
    Call,
    percentiles,
    quiet,
    real_time_factor,
    throughput,
    time_calls,
    time_once,
)
from serlab.bench.meters.memory import peak_memory
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.meters.size import (
    Work,
    count_parameters,
    count_trainable,
    count_work,
)
from serlab.bench.seeds import generator, torch_seeded
from serlab.bench.train import make_optimiser, select_parameters, training_mode, training_step
from serlab.bench.trial import vectors

WARM_UP = 10
"""Calls between the first one and the timed ones; fewer where they take long."""
FEWER = 5
"""How much more seldom than the network's call all else is timed."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ESTIMATOR = "an estimator is fitted as a whole, in no steps"
Found = dict[str, Measurement]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a system's network or estimator with its inputs, ready to be called."""

    system: System
    cell: Cell
    inputs: Inputs
    built: Any  # nn.Module or trial.Estimator, as System.build
    call: Call
    """From features in memory to scores: (item, class) of all segments, or (utterance, class)."""
    batch: Batch | None = None
    """What the network is given; none for an estimator."""
    checkpoint_bytes: int
    """Of a file of its weights."""
    phases: Mapping[str, Measurement] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device(self.cell.device)

    def step(self, stage: Stage) -> Call:
        """One update of a stage, from batches on the device to new weights.

        The network's mode and what it trains are set here, for all steps until another is made.
        """
        stage = replace(stage, training=_precise(stage.training, self.cell.dtype))
        trained = select_parameters(self.built, stage.trains)
        optimiser = make_optimiser(trained, stage.training)
        batches = [b.to(self.device) for b in self.inputs.trained(self.system, stage)]
        training_mode(self.built)
        return lambda: training_step(self.built, batches, stage, optimiser, trained)


def _precise(training: TrainingSettings, dtype: str) -> TrainingSettings:
    """The settings' own precision, unless the cell asks for another."""
    return replace(training, precision=dtype) if dtype == "bf16" else training


def refusal(system: System, cell: Cell) -> str:
    """Why a cell is no cell of this system; empty where it is one."""
    plain = cell.device == "cpu" and cell.dtype == "fp32" and not cell.compiled
    if system.stages() or plain:
        return ""
    return "an estimator runs on the CPU in its own precision, and is not compiled"


def measure(system: System, cell: Cell, *, label: str, process: int = 0) -> Measured:
    """Everything about one cell, measured in this process, which should do nothing else.

    What goes wrong in a pass beside the network's own call costs that pass's values and no more.

    Raises:
        SerlabError: the system reads what noise cannot give.
        Exception: whatever the system itself raises, such as torch.OutOfMemoryError.
    """
    blank = Measured(cell=cell, label=label, process=process)
    reason = refusal(system, cell)
    if reason:
        return replace(blank, status="skipped", reason=reason)
    torch.set_num_threads(cell.threads)
    before = load()
    subject = prepare(system, cell)
    phases = dict(subject.phases)
    samples = _calls(subject, phases)
    features = _seldom(subject.inputs.compute, cell, "cpu")
    found = {**_speed(cell, samples, features), **_memory(subject.call, cell.device)}
    sizes, uncounted = _size(subject)
    found |= sizes | _energy(subject)
    train_ns, of_training = _training(subject)
    return replace(
        blank,
        phases=phases,
        samples_ns=tuple(samples),
        feature_ns=tuple(features),
        train_ns=train_ns,
        measurements={**found, **of_training},
        uncounted=uncounted,
        environment={**fingerprint(cell.device), "load_before": before, "load_after": load()},
    )


# --- building and loading ------------------------------------------------------------------------


def prepare(system: System, cell: Cell) -> Subject:
    """Builds a system, gives it weights from a file, and puts its inputs where it runs.

    Raises:
        SerlabError: the system reads what noise cannot give.
    """
    inputs = make_inputs(system, cell)
    phases: Found = {}
    made = _network if system.stages() else _estimator
    return made(system, cell, inputs, phases)


def _network(system: System, cell: Cell, inputs: Inputs, phases: Found) -> Subject:
    device = torch.device(cell.device)
    with torch_seeded(0, "meter"), _phase(phases, "build"):
        network: nn.Module = system.build(inputs.sizes)
    with _kept(network) as path, _phase(phases, "load"):
        from safetensors.torch import load_file

        network.load_state_dict(load_file(path))
        network.to(device).eval()
        _settle(device)
        n_bytes = path.stat().st_size
    batch = inputs.called().to(device)
    _settle(device)
    return Subject(
        system=system,
        cell=cell,
        inputs=inputs,
        built=network,
        call=_forward(network, batch, cell),
        batch=batch,
        checkpoint_bytes=n_bytes,
        phases=phases,
    )


def _settle(device: torch.device) -> None:
    """Waits for what the device still does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forward(network: nn.Module, batch: Batch, cell: Cell) -> Call:
    called: Any = torch.compile(network) if cell.compiled else network
    dtype, kind = DTYPES[cell.dtype], torch.device(cell.device).type

    def call() -> object:
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=cell.dtype != "fp32"):
            return called(batch).scores

    return call


def _estimator(system: System, cell: Cell, inputs: Inputs, phases: Found) -> Subject:
    """An estimator fitted to noise; the fit is no part of any phase."""
    with _phase(phases, "build"):
        fitted = system.build(inputs.sizes)
    rows, _ = vectors(inputs.items)
    rng, n = generator(0, "meter", "fit"), 4 * cell.n_classes
    noise = {k: rng.random((n, x.shape[1]), dtype=np.float32) for k, x in rows.items()}
    fitted.fit(noise, np.arange(n) % cell.n_classes, 0)
    estimator = system.build(inputs.sizes)
    with _kept(fitted) as path, _phase(phases, "load"):
        from safetensors.numpy import load_file

        estimator.restore(load_file(path))
        n_bytes = path.stat().st_size
    return Subject(
        system=system,
        cell=cell,
        inputs=inputs,
        built=estimator,
        call=lambda: estimator.predict(rows),
        checkpoint_bytes=n_bytes,
        phases=phases,
    )


@contextmanager
def _kept(built: Any) -> Iterator[Path]:  # as System.build
    """A file of the weights, for as long as it is asked for."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(prefix="serlab-meter-") as folder:
        path = Path(folder) / "model.safetensors"
        save_file(state_of(built), path)
        yield path


@contextmanager
def _phase(phases: Found, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    phases[name] = Measurement(value=time.perf_counter() - start, unit="s")


# --- the passes ----------------------------------------------------------------------------------


def _calls(subject: Subject, phases: Found) -> list[int]:
    """Nanoseconds of each steady call, after the first and those that warm up."""
    call, cell, device = subject.call, subject.cell, subject.cell.device
    with _phase(phases, "first_call"):
        time_once([call], device)
    with quiet():
        with _phase(phases, "warm_up"):
            start, n = time.perf_counter(), 0
            end = start + cell.limit_s * WARM_UP_SHARE
            while n < 1 or (n < WARM_UP and time.perf_counter() < end):
                time_once([call], device)
                n += 1
        with _phase(phases, "steady"):
            return time_calls(call, cell.calls, warm_up=0, device=device, limit_s=cell.limit_s)


def _seldom(call: Call, cell: Cell, device: str) -> list[int]:
    """Nanoseconds of what is timed beside the network's call, with fewer calls."""
    n, limit_s = max(1, cell.calls // FEWER), cell.limit_s / FEWER
    return time_calls(call, n, warm_up=2, device=device, limit_s=limit_s)


def _speed(cell: Cell, samples: list[int], features: list[int]) -> Found:
    """What the times come to."""
    audio_s = cell.batch * cell.seconds
    return {
        **{f"latency_{name}": m for name, m in percentiles(samples).items()},
        "throughput": throughput(samples, cell.batch),
        "rtf": real_time_factor(audio_s, samples),
        "rtf_with_features": real_time_factor(audio_s, features, samples),
        "feature_p50": percentiles(features)["p50"],
    }


def _memory(call: Call, device: str, prefix: str = "") -> Found:
    """Peaks of one call."""
    with peak_memory(device, fresh=True) as found:
        call()
    return {prefix + name: m for name, m in found.items()}


def _size(subject: Subject) -> tuple[Found, tuple[str, ...]]:
    """Parameters, bytes, multiply-accumulates, and the operators that these leave out."""
    built, batch = subject.built, subject.batch
    if isinstance(built, nn.Module):
        total, trainable = count_parameters(built), count_trainable(built, subject.system.stages())
        work = _work(lambda: built(batch))
    else:
        total = trainable = built.n_parameters()
        work = _no_work("counted for networks only")
    found = {
        "parameters": Measurement(value=float(total), unit="parameters"),
        "trainable_parameters": Measurement(value=float(trainable), unit="parameters"),
        "checkpoint": Measurement(value=float(subject.checkpoint_bytes), unit="bytes"),
        "macs": work.macs,
        "flops": work.flops,
    }
    return found, work.uncounted


def _work(call: Call) -> Work:
    """The count, which takes more memory than the call itself does."""
    try:
        return count_work(call)
    except Exception as error:
        return _no_work(reason_of(error))


def _no_work(reason: str) -> Work:
    return Work(macs=_none("MAC", reason), flops=_none("FLOP", reason), uncounted=())


def _energy(subject: Subject) -> Found:
    try:
        return energy(subject.call, subject.cell.device)
    except Exception as error:
        units = {"energy": "J", "idle_power": "W"}
        return {n: _none(unit, reason_of(error)) for n, unit in units.items()}


def _none(unit: str, reason: str) -> Measurement:
    return Measurement(value=None, unit=unit, reason=reason)


# --- training ------------------------------------------------------------------------------------


def _training(subject: Subject) -> tuple[dict[str, tuple[int, ...]], Found]:
    """Times of a step by stage; the median time and the memory of the stage with the most."""
    cell = subject.cell
    reason = _no_steps(subject)
    times: dict[str, tuple[int, ...]] = {}
    peaks: list[Found] = []
    if not reason:
        try:
            for stage in subject.system.stages():
                step = subject.step(stage)
                times[stage.name] = tuple(_seldom(step, cell, cell.device))
                peaks.append(_memory(step, cell.device, "train_"))
        except Exception as error:
            reason = reason_of(error)
    if reason:
        names = ("peak_memory", "cuda_allocated", "cuda_reserved", "cuda_process")
        none = {f"train_{name}": _none("bytes", reason) for name in names}
        return {}, {"train_p50": _none("ms", reason), **none}
    slowest = max((percentiles(spent)["p50"] for spent in times.values()), key=_value)
    largest = {name: max((p[name] for p in peaks), key=_value) for name in peaks[0]}
    return times, {"train_p50": slowest, **largest}


def _no_steps(subject: Subject) -> str:
    """Why no training step is measured; empty where one is."""
    if not subject.system.stages():
        return ESTIMATOR
    if not subject.cell.training:
        return "not asked for"
    return "training knows fp32 and bf16 only" if subject.cell.dtype == "fp16" else ""


def _value(measurement: Measurement) -> float:
    return measurement.value or 0.0


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")
"""In messages of torch's allocator of the CPU."""


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    kind = type(error).__name__
    if known or any(words in text for words in OUT_OF_MEMORY):
        kind = "out of memory"
    return f"{kind}: {text}"[:500]
