"""One cell measured: a system under one set of conditions, in a process that does nothing else.

Each thing is measured in a pass of its own, one after the other: building, loading, the first
call, the steady calls, the features, memory, multiply-accumulates, a training step. Nothing here
names a model.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from serlab.bench.checkpoint import state_of
from serlab.bench.contracts import Measurement, Stage, System
from serlab.bench.data import Batch
from serlab.bench.meters.environment import fingerprint
from serlab.bench.meters.inputs import Inputs, make_inputs
from serlab.bench.meters.latency import percentiles, time_calls
from serlab.bench.meters.memory import peak_memory
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.meters.size import count_macs, count_parameters
from serlab.bench.seeds import generator, torch_seeded
from serlab.bench.train import make_optimiser, select_parameters, training_mode, training_step
from serlab.bench.trial import vectors

WARM_UP, FEWEST, FEWER = 10, 3, 5
"""Calls before the timed ones; the fewest that are timed; how much more seldom the rest is."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ESTIMATOR = "an estimator is fitted as a whole, in no steps"
Call = Callable[[], object]
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
    checkpoint_bytes: int = 0
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


def _precise(training: Any, dtype: str) -> Any:  # TrainingSettings
    """The settings' own precision, unless the cell asks for another."""
    return replace(training, precision=dtype) if dtype == "bf16" else training


def refusal(system: System, cell: Cell) -> str:
    """Why a cell is no cell of this system; empty where it is one."""
    plain = cell.device == "cpu" and cell.dtype == "fp32" and not cell.compiled
    if system.stages() or plain:
        return ""
    return "an estimator runs on the CPU in its own precision, and is not compiled"


def measure(system: System, cell: Cell, *, label: str, process: int = 0) -> Measured:
    """Everything about one cell, measured in this process.

    Raises:
        SerlabError: the system reads what noise cannot give.
        Exception: whatever the system itself raises, such as torch.OutOfMemoryError.
    """
    blank = Measured(cell=cell, label=label, process=process)
    reason = refusal(system, cell)
    if reason:
        return replace(blank, status="skipped", reason=reason)
    torch.set_num_threads(cell.threads)
    subject = prepare(system, cell)
    phases = dict(subject.phases)
    samples = _timed(subject.call, cell, phases)
    features = _timed(subject.inputs.compute, _seldom(cell, device="cpu"))
    found = {**_speed(cell, samples, features), **_memory(subject.call, cell.device)}
    found |= _size(subject)
    train_ns, of_training = _training(subject)
    return replace(
        blank,
        phases=phases,
        samples_ns=tuple(samples),
        feature_ns=tuple(features),
        train_ns=train_ns,
        measurements={**found, **of_training},
        environment=fingerprint(cell.device),
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
    with torch_seeded(0, "meter"):
        with _phase(phases, "build"):
            network: nn.Module = system.build(inputs.sizes)
    with _kept(network) as path, _phase(phases, "load"):
        from safetensors.torch import load_file

        network.load_state_dict(load_file(path))
        network.to(device).eval()
        _settle(device)
        n_bytes = path.stat().st_size
    batch = inputs.called().to(device)
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


def _seldom(cell: Cell, device: str) -> Cell:
    """The same with fewer calls, for what is not the network's own call."""
    calls = max(FEWEST, cell.calls // FEWER)
    return replace(cell, calls=calls, limit_s=cell.limit_s / FEWER, device=device)


def _timed(call: Call, cell: Cell, phases: Found | None = None) -> list[int]:
    """Nanoseconds of as many calls as were asked for, or as fit into the limit."""
    phases = {} if phases is None else phases
    device = torch.device(cell.device)
    with _phase(phases, "first_call"):
        call()
        _settle(device)
    start = time.perf_counter()
    n = 0
    with _phase(phases, "warm_up"):
        while n < 1 or (n < WARM_UP and time.perf_counter() - start < cell.limit_s / FEWER):
            call()
            _settle(device)
            n += 1
    each_s = (time.perf_counter() - start) / n
    fitting = max(FEWEST, int(cell.limit_s / each_s))
    with _phase(phases, "steady"):
        return time_calls(call, min(cell.calls, fitting), warm_up=0, device=cell.device)


def _settle(device: torch.device) -> None:
    """Waits for what the device still does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _speed(cell: Cell, samples: list[int], features: list[int]) -> Found:
    """What the times come to."""
    found = {f"latency_{name}": m for name, m in percentiles(samples).items()}
    audio_s, call_s = cell.batch * cell.seconds, float(np.median(samples)) / 1e9
    made_s = float(np.median(features)) / 1e9
    values = {
        "throughput": (cell.batch / (float(np.mean(samples)) / 1e9), "utterances/s"),
        "rtf": (call_s / audio_s, "s/s"),
        "rtf_with_features": ((call_s + made_s) / audio_s, "s/s"),
        "feature_p50": (made_s * 1e3, "ms"),
    }
    return found | {k: Measurement(value=v, unit=unit) for k, (v, unit) in values.items()}


def _memory(call: Call, device: str, prefix: str = "") -> Found:
    """Peaks of one call."""
    with peak_memory(device) as found:
        call()
        _settle(torch.device(device))
    return {prefix + name: m for name, m in found.items()}


def _size(subject: Subject) -> Found:
    """Parameters, bytes, and multiply-accumulates of the call."""
    built, batch = subject.built, subject.batch
    if isinstance(built, nn.Module):
        prefixes = tuple(p for stage in subject.system.stages() for p in stage.trains)
        trained = [p for name, p in built.named_parameters() if name.startswith(prefixes)]
        total, trainable = count_parameters(built), sum(p.numel() for p in trained)
        macs = count_macs(lambda: built(batch))
    else:
        total = trainable = built.n_parameters()
        macs = Measurement(value=None, unit="MAC", reason="counted for networks only")
    flops = None if macs.value is None else 2 * macs.value
    return {
        "parameters": Measurement(value=float(total), unit="parameters"),
        "trainable_parameters": Measurement(value=float(trainable), unit="parameters"),
        "checkpoint": Measurement(value=float(subject.checkpoint_bytes), unit="bytes"),
        "macs": macs,
        "flops": Measurement(value=flops, unit="FLOP", reason=macs.reason),
    }


# --- training ------------------------------------------------------------------------------------


def _training(subject: Subject) -> tuple[dict[str, tuple[int, ...]], Found]:
    """Times of a step by stage; time and memory of the stage that takes most of each.

    What goes wrong here costs the training's values and no others.
    """
    cell, stages = subject.cell, subject.system.stages()
    reason = "" if cell.training else "not asked for"
    reason = reason if stages else ESTIMATOR
    if cell.dtype == "fp16" and not reason:
        reason = "training knows fp32 and bf16 only"
    times: dict[str, tuple[int, ...]] = {}
    peaks: list[Found] = []
    if not reason:
        try:
            for stage in stages:
                step = subject.step(stage)
                times[stage.name] = tuple(_timed(step, _seldom(cell, device=cell.device)))
                peaks.append(_memory(step, cell.device, "train_"))
        except Exception as error:
            reason = reason_of(error)
    if reason:
        return {}, _no_training(reason)
    slowest = max(float(np.median(spent)) for spent in times.values())
    found = {"train_p50": Measurement(value=slowest / 1e6, unit="ms")}
    return times, found | _largest(peaks)


def _largest(peaks: list[Found]) -> Found:
    return {name: max((p[name] for p in peaks), key=lambda m: m.value or 0) for name in peaks[0]}


def _no_training(reason: str) -> Found:
    names = ("peak_memory", "cuda_allocated", "cuda_reserved")
    units = {"train_p50": "ms", **{f"train_{name}": "bytes" for name in names}}
    return {k: Measurement(value=None, unit=unit, reason=reason) for k, unit in units.items()}


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    return f"{type(error).__name__}: {text}"[:500]
