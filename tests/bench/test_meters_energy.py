"""Energy of a call, by counters of hardware that is faked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_gpu import FakeNvml, FakeTorchCuda

from serlab.bench.contracts import Measurement
from serlab.bench.meters import energy as module
from serlab.bench.meters.energy import energy
from serlab.bench.meters.gpu import Unreadable, open_gpu

IDLE_W, BUSY_W = 70.0, 350.0


class Board:
    """A board whose counter has a new value every period; stands for the time module too."""

    def __init__(self, nvml: FakeNvml, period_s: float) -> None:
        self.nvml, self.period_s = nvml, period_s
        self.now, self.tick, self.total = 100.0, 100.0, 12_345.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.spend(seconds, IDLE_W)

    def spend(self, seconds: float, watts: float) -> None:
        end = self.now + seconds
        while self.period_s and self.tick <= end:
            self.total += watts * (self.tick - self.now)
            self.now, self.tick = self.tick, self.tick + self.period_s
            self.nvml.millijoules = round(self.total * 1e3)
        self.total += watts * (end - self.now)
        self.now = end


def board(patch: pytest.MonkeyPatch, period_s: float) -> Board:
    """The board in the place of time, torch's CUDA and NVML."""
    nvml = FakeNvml(millijoules=12_345_000)
    found = Board(nvml, period_s)
    patch.setattr(module, "time", found)
    FakeTorchCuda().install(patch)
    nvml.install(patch)
    return found


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("call_s", [0.0002, 0.013, 3.0])
def test_energy_of_a_call_is_power_times_time(
    monkeypatch: pytest.MonkeyPatch, period_s: float, call_s: float
) -> None:
    """Within two parts in a hundred, whatever the counter's period is; idle power apart."""
    faked, calls = board(monkeypatch, period_s), []

    def call() -> None:
        calls.append(faked.now)
        faked.spend(call_s, BUSY_W)

    found = energy(call, "cuda")
    slack = 0.02 if call_s < period_s else period_s / call_s
    assert found["energy"].value == pytest.approx(BUSY_W * call_s, rel=slack)
    assert found["idle_power"].value == pytest.approx(IDLE_W, rel=0.01)
    assert (found["energy"].unit, found["idle_power"].unit) == ("J", "W")
    assert faked.now - calls[1] >= max(2.0, 10 * period_s)
    assert faked.nvml.opened == 0


def test_a_counter_that_stands_still_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a board that is not told its power."""
    board(monkeypatch, 0.0)
    assert_null(energy(lambda: None, "cuda"), "has stopped")


def test_a_counter_that_stops_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the calls, which then end."""
    faked = board(monkeypatch, 0.05)
    n_calls = 0

    def call() -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 5:
            faked.period_s = 0.0
        faked.spend(0.005, BUSY_W)

    assert_null(energy(call, "cuda"), "has stopped")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nvmlInit", "NVML Shared Library Not Found"),
        ("nvmlDeviceGetHandleByUUID", "Not Found"),
        ("nvmlDeviceGetTotalEnergyConsumption", "Not Supported"),
    ],
)
def test_what_nvml_cannot_tell_is_null(
    monkeypatch: pytest.MonkeyPatch, function: str, message: str
) -> None:
    """No driver, a part of a GPU, or one before Volta: with the library's own words."""
    faked = board(monkeypatch, 0.05)
    faked.nvml.broken[function] = message
    assert_null(energy(lambda: None, "cuda"), f"{function}: {message}")
    assert faked.nvml.opened == 0


def test_without_the_library_it_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be installed."""
    board(monkeypatch, 0.05)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert_null(energy(lambda: None, "cuda"), "nvidia-ml-py is not installed")


def test_a_driver_of_bytes_and_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old releases of the library give bytes; power is in milliwatts."""
    faked = board(monkeypatch, 0.05)
    with open_gpu("cuda") as gpu:
        monkeypatch.setattr(sys.modules["pynvml"], "nvmlSystemGetDriverVersion", lambda: b"450.2")
        assert gpu.driver() == "450.2"
        assert gpu.power_limit_w() == 700.0
        faked.nvml.broken["nvmlDeviceGetEnforcedPowerLimit"] = "Not Supported"
        with pytest.raises(Unreadable, match="Not Supported"):
            gpu.power_limit_w()


# --- processor packages ----------------------------------------------------------------------


def zone(folder: Path, name: str, kind: str, value: int) -> Path:
    """A counter of RAPL."""
    found = folder / name
    found.mkdir(parents=True)
    (found / "name").write_text(f"{kind}\n")
    (found / "max_energy_range_uj").write_text("999999999\n")
    (found / "energy_uj").write_text(f"{value}\n")
    return found / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the counters."""
    monkeypatch.setattr(module, "POWERCAP", tmp_path)
    return tmp_path


def test_packages_add_up_and_begin_again(powercap: Path) -> None:
    """Two packages, one of which wraps around; cores and the whole system are not added."""
    first = zone(powercap, "intel-rapl:0", "package-0", 5_000_000)
    second = zone(powercap, "intel-rapl:1", "package-1", 999_000_000)
    others = [("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys"),
              ("intel-rapl-mmio:0", "package-0")]  # fmt: skip
    beside = [zone(powercap, name, kind, 0) for name, kind in others]
    packages = module._Packages()
    assert packages.joules() == 0.0
    for path in beside:
        path.write_text("500000000")
    first.write_text("7000000")
    second.write_text("3000000")
    assert packages.joules() == pytest.approx(2 + 4)
    second.write_text("4000000")
    assert packages.joules() == pytest.approx(2 + 4 + 1)


def test_processor_without_a_counter_is_null(powercap: Path) -> None:
    """As in a virtual machine, on macOS and on Windows."""
    assert_null(energy(lambda: None), "no energy counter of its processor")


def test_counter_that_may_not_be_read_is_null(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the administrator may, on most systems."""
    path = zone(powercap, "intel-rapl:0", "package-0", 5)
    read = Path.read_text

    def refuse(self: Path, *arguments: str) -> str:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert_null(energy(lambda: None), "administrator")


def test_processor_energy_is_measured_where_it_can_be_read(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same window and the same idle power as of a GPU, and nothing of CUDA is asked."""
    path = zone(powercap, "intel-rapl:0", "package-0", 0)
    faked = Board(FakeNvml(), 0.001)
    spend = faked.spend

    def spend_and_show(seconds: float, watts: float) -> None:
        spend(seconds, watts)
        path.write_text(str(faked.nvml.millijoules * 1000 % 10**9))

    monkeypatch.setattr(faked, "spend", spend_and_show)
    monkeypatch.setattr(module, "time", faked)
    monkeypatch.setattr(module, "WINDOW_S", 0.2)
    found = energy(lambda: faked.spend(0.01, BUSY_W))
    assert found["energy"].value == pytest.approx(BUSY_W * 0.01, rel=0.02)
    assert found["idle_power"].value == pytest.approx(IDLE_W, rel=0.02)


def assert_null(found: dict[str, Measurement], reason: str) -> None:
    """Both are null, for this reason."""
    assert set(found) == {"energy", "idle_power"}
    for measurement in found.values():
        assert measurement.value is None
        assert reason in measurement.reason
