"""The fingerprint on this and on other systems, and how busy the machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from fake_gpu import FakeNvml, FakeTorchCuda

from serlab.bench.meters import environment
from serlab.bench.meters.environment import fingerprint, load

GPU = ("gpu", "gpu_memory_bytes", "cuda", "cudnn", "driver", "power_limit_w")


def anew(device: str = "cpu") -> dict[str, object]:
    """A fingerprint that is not remembered."""
    return fingerprint.__wrapped__(device)


def test_fingerprint_is_the_same_every_time() -> None:
    """It names a file of the store, so the machine's load has no place in it."""
    first, second = anew(), anew()
    for found in (first, second):
        assert found.pop("git") != ""  # somebody may be working in the checkout
    assert first == second
    assert json.loads(json.dumps(first)) == first
    assert not set(load()) & set(first)
    assert fingerprint() is fingerprint()


def test_fingerprint_tells_how_torch_runs() -> None:
    """Threads of both kinds, and the instructions that it uses."""
    found = anew()
    assert found["threads"] == torch.get_num_threads()
    assert found["interop_threads"] == torch.get_num_interop_threads()
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert found["cpu"]


def test_variables_are_those_that_steer_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not those that a library sets while it is imported."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    found = anew()["variables"]
    assert isinstance(found, dict)
    assert (found["OMP_NUM_THREADS"], found["MKL_CBWR"]) == ("3", "COMPATIBLE")
    assert not {"KMP_INIT_AT_FORK", "PATH", "HOME"} & set(found)


def test_cpu_has_no_facts_of_a_gpu() -> None:
    """All null."""
    assert {name: anew()[name] for name in GPU} == dict.fromkeys(GPU)


def test_facts_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's and NVML's; what NVML cannot tell is null, and the rest stays."""
    nvml = FakeNvml()
    nvml.install(monkeypatch)
    FakeTorchCuda().install(monkeypatch)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    found = anew("cuda")
    told = ("NVIDIA Fake", 80 * 10**9, "12.8", 91002, "570.1", 700.0)
    assert tuple(found[name] for name in GPU) == told
    nvml.broken["nvmlDeviceGetEnforcedPowerLimit"] = "Not Supported"
    assert [anew("cuda")[name] for name in GPU[-2:]] == ["570.1", None]
    nvml.broken["nvmlInit"] = "Driver Not Loaded"
    assert [anew("cuda")[name] for name in GPU] == [*told[:4], None, None]
    assert nvml.opened == 0


def says(patch: pytest.MonkeyPatch, command: str, text: str) -> None:
    """Makes one command print this, and all others fail."""

    def run(words: tuple[str, ...], **_: object) -> SimpleNamespace:
        if words[0] != command:
            raise FileNotFoundError(words[0])
        return SimpleNamespace(stdout=text)

    patch.setattr(subprocess, "run", run)


def test_model_of_an_arm_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lscpu knows it; /proc/cpuinfo has only its number."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr(environment, "CPUINFO", cpuinfo)
    monkeypatch.setattr(sys, "platform", "linux")
    says(monkeypatch, "lscpu", "Architecture: aarch64\nModel name:   Neoverse-N1\nCPU(s): 4\n")
    assert environment._cpu_model() == "Neoverse-N1"
    cpuinfo.write_text("model name\t: Xeon\nmodel name\t: Xeon\n")
    assert environment._cpu_model() == "Xeon"


def test_model_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """By sysctl."""
    monkeypatch.setattr(sys, "platform", "darwin")
    says(monkeypatch, "sysctl", "Apple M2 Pro\n")
    assert environment._cpu_model() == "Apple M2 Pro"


def test_model_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the registry; where that fails, the platform's own words."""
    registry = ModuleType("winreg")
    registry.HKEY_LOCAL_MACHINE = 1  # type: ignore[attr-defined]
    registry.OpenKey = lambda *_: nullcontext("key")  # type: ignore[attr-defined]
    registry.QueryValueEx = lambda *_: ("AMD Ryzen 9  ", 1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    assert environment._cpu_model() == "AMD Ryzen 9"

    def refuse(*_: object) -> None:
        raise OSError

    registry.OpenKey = refuse  # type: ignore[attr-defined]
    monkeypatch.setattr(environment.platform, "processor", lambda: "AMD64 Family 25")
    assert environment._cpu_model() == "AMD64 Family 25"


def test_unknown_model_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing tells."""
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment.platform, "processor", lambda: "")
    says(monkeypatch, "nothing", "")
    assert environment._cpu_model() is None


def test_load_is_the_systems_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The averages, and the last beside the cores."""
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 4.0, 2.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert load() == {"load_1m": 6.0, "load_5m": 4.0, "load_15m": 2.0, "load_per_core": 1.5}


def test_load_is_null_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the function is not there; elsewhere it may fail."""
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert set(load().values()) == {None}

    def fail() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fail, raising=False)
    assert set(load().values()) == {None}
