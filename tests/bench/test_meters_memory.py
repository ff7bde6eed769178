"""Peak memory where there is a counter, where there is another, and where there is none.

No GPU is needed: torch's counters and NVML are faked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_gpu import FakeNvml, FakeTorchCuda

from serlab.bench.meters import memory
from serlab.bench.meters.memory import peak_memory


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without /proc; gives where the status would be."""
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    return tmp_path / "status"


def measured(*, fresh: bool, device: str = "cpu") -> dict[str, tuple[float | None, str]]:
    """Value and reason of an empty section's peaks."""
    with peak_memory(device, fresh=fresh) as found:
        pass
    assert {m.unit for m in found.values()} == {"bytes"}
    return {name: (m.value, m.reason) for name, m in found.items()}


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_process_of_many_sections_has_no_peak_of_one(
    no_proc: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """Without the resettable counter there is no number, as of a worker that trains."""
    monkeypatch.setattr(sys, "platform", platform)
    no_proc.write_text("VmHWM:\t 5 kB\n")
    value, reason = measured(fresh=False)["peak_memory"]
    assert value is None
    assert "no resettable peak counter" in reason


def test_linux_without_the_reset_tells_the_process_peak(
    no_proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a fresh process, and says what it is."""
    monkeypatch.setattr(sys, "platform", "linux")
    no_proc.write_text("VmPeak:\t 99 kB\nVmHWM:\t  1234 kB\n")
    assert measured(fresh=True)["peak_memory"] == (1234 * 1024.0, memory.WHOLE)


def test_linux_without_proc_has_no_number(no_proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of a fresh process: getrusage would tell the parent's peak."""
    monkeypatch.setattr(sys, "platform", "linux")
    value, reason = measured(fresh=True)["peak_memory"]
    assert value is None
    assert "VmHWM" in reason


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_getrusage_has_its_own_units(
    no_proc: Path, monkeypatch: pytest.MonkeyPatch, platform: str, unit: int
) -> None:
    """Bytes on macOS, kilobytes on others."""
    monkeypatch.setattr(sys, "platform", platform)
    told = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=5_000_000))
    monkeypatch.setitem(sys.modules, "resource", told)
    assert measured(fresh=True)["peak_memory"] == (5e6 * unit, memory.WHOLE)


def test_windows_tells_its_peak_working_set(no_proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By psutil."""
    monkeypatch.setattr(sys, "platform", "win32")
    told = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=7_000_000))
    monkeypatch.setattr(psutil, "Process", lambda: told)
    assert measured(fresh=True)["peak_memory"] == (7e6, memory.WHOLE)


def test_exact_counter_needs_no_note() -> None:
    """Where the counter can be reset, a fresh process changes nothing."""
    if not memory.CLEAR_REFS.exists():
        pytest.skip("no resettable peak counter here")
    value, reason = measured(fresh=True)["peak_memory"]
    assert (value or 0) > 1e6
    assert reason == ""


def test_cuda_has_three_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own peaks of the section alone, and the driver's for the process."""
    cuda, nvml = FakeTorchCuda(allocated=999, reserved=300), FakeNvml()
    nvml.lists(50, pid=1)
    nvml.lists(800)
    cuda.install(monkeypatch)
    nvml.install(monkeypatch)
    with peak_memory("cuda") as found:
        assert cuda.calls == ["wait", "reset"]
        cuda.allocated = 200
    values = {name: found[name].value for name in found if name != "peak_memory"}
    assert values == {"cuda_allocated": 200, "cuda_reserved": 300, "cuda_process": 800}
    assert cuda.calls[-1] == "wait"
    assert nvml.opened == 0


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ((), "does not list this process"),
        ((None,), "no memory of single processes"),
        ((299,), "it is another"),
    ],
)
def test_process_memory_that_cannot_be_known_is_null(
    monkeypatch: pytest.MonkeyPatch, used: tuple[int | None, ...], reason: str
) -> None:
    """As inside a container, on Windows, and where the number is another process's."""
    cuda, nvml = FakeTorchCuda(allocated=200, reserved=300), FakeNvml()
    nvml.lists(5000, pid=1)
    for one in used:
        nvml.lists(one)
    cuda.install(monkeypatch)
    nvml.install(monkeypatch)
    found = measured(fresh=True, device="cuda:0")
    assert found["cuda_process"][0] is None
    assert reason in found["cuda_process"][1]
    assert found["cuda_reserved"] == (300.0, "")


def test_cpu_has_no_numbers_of_cuda() -> None:
    """Null with the reason, never 0."""
    found = measured(fresh=False)
    for name in ("cuda_allocated", "cuda_reserved", "cuda_process"):
        assert found[name] == (None, memory.NO_CUDA)
