"""Latency, size and memory: what is measured, and the reason where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from serlab.bench.meters import environment, memory
from serlab.bench.meters.latency import percentiles, time_calls
from serlab.bench.meters.size import count_macs, count_parameters


def test_macs_of_known_layers() -> None:
    """A convolution, a linear map and a product of matrices, counted by hand."""
    convolution = nn.Conv2d(3, 8, (5, 3), padding=(2, 1))
    x = torch.zeros(2, 3, 20, 10)
    assert count_macs(lambda: convolution(x)).value == 2 * 20 * 10 * 8 * 3 * 15
    linear = nn.Linear(7, 5)
    assert count_macs(lambda: linear(torch.zeros(4, 7))).value == 4 * 35
    lstm, gru = nn.LSTM(10, 20), nn.GRU(10, 20, bidirectional=True)
    sequence = torch.zeros(5, 1, 10)
    assert count_macs(lambda: lstm(sequence)).value == 5 * 4 * 20 * (10 + 20)
    assert count_macs(lambda: gru(sequence)).value == 2 * 5 * 3 * 20 * (10 + 20)
    a, b = torch.zeros(3, 4, 5), torch.zeros(3, 5, 6)
    assert count_macs(lambda: torch.einsum("bij,bjk->bik", a, b)).value == 3 * 4 * 5 * 6


def test_transformer_layer_is_counted_whole() -> None:
    """The fast path hides a transformer layer's products; they are counted all the same."""
    d, t, ffn = 16, 10, 32
    layer = nn.TransformerEncoderLayer(d, 4, ffn, batch_first=True).eval()
    projections, attention, feed = 4 * t * d * d, 2 * t * t * d, 2 * t * d * ffn
    found = count_macs(lambda: layer(torch.zeros(1, t, d)))
    assert found.value == projections + attention + feed


def test_operator_without_a_formula_gives_no_number() -> None:
    """The value is null and the operator is named; a small number would be a lie."""
    found = count_macs(lambda: torch.linalg.svd(torch.eye(4)))
    assert found.value is None
    assert "svd" in found.reason


def test_parameters_are_counted() -> None:
    """Trained or frozen."""
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == 8


def test_every_call_is_a_sample() -> None:
    """As many samples as calls, after the warm-up."""
    calls = []
    samples = time_calls(lambda: calls.append(1), 20, warm_up=3)
    assert len(samples) == 20
    assert len(calls) == 23
    assert min(samples) > 0


def test_percentiles_need_enough_calls() -> None:
    """p90 from 64 calls, p95 from 130, p99 from 662; else null with the reason."""
    few, many = percentiles([10**6] * 63), percentiles(list(range(1, 701)))
    assert few["p50"].value == 1.0
    assert few["p90"].value is None
    assert "needs 64 calls" in few["p90"].reason
    assert many["p99"].value == pytest.approx(np.percentile(np.arange(1, 701), 99) / 1e6)


def test_peak_memory_is_that_of_the_section() -> None:
    """What was taken and given back before the section does not count."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no resettable peak counter here")
    before = np.ones(40_000_000, np.uint8)
    del before
    with memory.peak_memory() as small:
        pass
    with memory.peak_memory() as large:
        held = np.ones(60_000_000, np.uint8)
    assert held.size
    difference = (large["peak_memory"].value or 0) - (small["peak_memory"].value or 0)
    assert 40e6 < difference < 90e6


def test_missing_counter_is_null_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems without the counter there is no number."""
    monkeypatch.setattr(memory, "_reset_peak", lambda: False)
    with memory.peak_memory() as found:
        pass
    assert found["peak_memory"].value is None
    assert "counter" in found["peak_memory"].reason


def test_fingerprint_has_no_invented_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are those installed; what cannot be known is null."""
    found = environment.fingerprint()
    assert found["packages"]["torch"] == torch.__version__  # type: ignore[index]
    assert found["gpu"] is None
    assert environment._version("no-such-package") is None
    monkeypatch.setattr(environment.subprocess, "run", _fails)
    assert environment._git() is None


def _fails(*_: object, **__: object) -> None:
    raise OSError("no git")
