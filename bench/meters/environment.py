"""The environment fingerprint that every record carries; an unknown probe is null."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serlab.bench.meters.gpu import Unreadable, open_gpu

PACKAGES = ("serlab", "torch", "numpy", "scikit-learn", "soundfile", "soxr", "opensmile", "ray",
            "optuna")  # fmt: skip
VARIABLES = ("OMP_", "MKL_", "GOMP_", "OPENBLAS_", "KMP_AFFINITY", "KMP_BLOCKTIME",
             "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE")  # fmt: skip
"""What the names of environment variables begin with that steer the numerical libraries.

Not those that scikit-learn sets when it is imported, which may be later than this is asked.
"""

CPUINFO = Path("/proc/cpuinfo")


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def fingerprint(device: str = "cpu") -> dict[str, object]:
    """Machine, versions, threads and revision, as plain JSON values.

    It is taken once a process, so threads must be set before. Nothing in it differs between two
    processes that are started alike: see `load` for what does.
    """
    import torch

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "device": device,
        **_gpu(device),
        "packages": {name: _version(name) for name in PACKAGES},
        "variables": {n: v for n, v in sorted(os.environ.items()) if n.startswith(VARIABLES)},
        "git": _git(),
    }


def load() -> dict[str, float | None]:
    """How busy the machine is now, to be asked before and after a measurement.

    "load_1m" to "load_15m" are processes that run or wait, on average over so many minutes;
    "load_per_core" is that of one minute beside the cores of the machine. Null where the system
    has no such count, as Windows.
    """
    try:
        averages: tuple[float | None, ...] = os.getloadavg()
    except (AttributeError, OSError):
        averages = (None, None, None)
    last, n_cores = averages[0], os.cpu_count()
    per_core = None if last is None or n_cores is None else last / n_cores
    named = dict(zip(("load_1m", "load_5m", "load_15m"), averages, strict=True))
    return {**named, "load_per_core": per_core}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- processor -------------------------------------------------------------------------------


def _cpu_model() -> str | None:
    found: str | None = None
    if sys.platform == "win32":
        found = _from_registry()
    elif sys.platform == "darwin":
        found = _said("sysctl", "-n", "machdep.cpu.brand_string")
    else:
        found = _from_cpuinfo() or _from_lscpu()
    return found or platform.processor() or None


def _from_cpuinfo() -> str | None:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), None)


def _from_lscpu() -> str | None:
    """By lscpu, which knows the names of ARM cores; /proc/cpuinfo has their numbers only."""
    lines = (_said("lscpu") or "").splitlines()
    return next((ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("Model name")), None)


def _from_registry() -> str | None:
    if sys.platform != "win32":
        return None
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return None


def _said(*command: str) -> str | None:
    """What a command prints; None where it cannot be run or fails."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# --- GPU -------------------------------------------------------------------------------------


def _gpu(device: str) -> dict[str, object]:
    """Facts of the GPU and of what drives it; all null on the CPU."""
    names = ("gpu", "gpu_memory_bytes", "cuda", "cudnn", "driver", "power_limit_w")
    if not device.startswith("cuda"):
        return dict.fromkeys(names)
    import torch

    driver, limit = _by_nvml(device)
    properties = torch.cuda.get_device_properties(device)
    facts = (
        properties.name,
        properties.total_memory,
        torch.version.cuda,
        torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        driver,
        limit,
    )
    return dict(zip(names, facts, strict=True))


def _by_nvml(device: str) -> tuple[str | None, float | None]:
    """The driver's version and the power limit in watts."""
    driver = limit = None
    try:
        with open_gpu(device) as gpu:
            driver = gpu.driver()
            limit = gpu.power_limit_w()
    except Unreadable:
        pass
    return driver, limit


# --- revision --------------------------------------------------------------------------------


def _git() -> dict[str, object] | None:
    """Revision of the checkout that the code runs from, and whether it has changes."""

    def ask(*words: str) -> str | None:
        return _said("git", "-C", str(Path(__file__).parent), *words)

    tracked = ask("ls-files", "--error-unmatch", Path(__file__).name)
    if tracked is None:
        return None
    return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
