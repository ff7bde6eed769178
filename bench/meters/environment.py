"""The environment fingerprint that every record carries; an unknown probe is null."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("serlab", "torch", "numpy", "scikit-learn", "soundfile", "soxr", "opensmile", "ray",
            "optuna")  # fmt: skip


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def fingerprint(device: str = "cpu") -> dict[str, object]:
    """Machine, versions, threads and revision, as plain JSON values."""
    import torch

    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": gpu,
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), None)


def _git() -> dict[str, object] | None:
    """Revision of the checkout that the code runs from, and whether it has changes."""
    here = Path(__file__).parent

    def ask(*words: str) -> str | None:
        command = ("git", "-C", str(here), *words)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    tracked = ask("ls-files", "--error-unmatch", Path(__file__).name)
    if tracked is None:
        return None
    return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
