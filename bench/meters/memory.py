"""Peak memory of a section of code, on the CPU and on CUDA, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serlab.bench.contracts import Measurement

NO_CUDA = "the section ran on the CPU"


@contextmanager
def peak_memory(device: str = "cpu") -> Iterator[dict[str, Measurement]]:
    """Fills a dictionary with the peaks of the code inside when it ends.

    "peak_memory" is the process's resident set: on Linux the peak counter is reset first, which
    makes it exact for the section. "cuda_allocated" and "cuda_reserved" are torch's own peaks.
    """
    found: dict[str, Measurement] = {}
    was_reset = _reset_peak()
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    yield found
    found["peak_memory"] = _peak(was_reset)
    for name in ("allocated", "reserved"):
        found[f"cuda_{name}"] = _cuda(name, device)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak(was_reset: bool) -> Measurement:
    if not was_reset:
        reason = "this system has no resettable peak counter (/proc/self/clear_refs)"
        return Measurement(value=None, unit="bytes", reason=reason)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        return Measurement(value=None, unit="bytes", reason="no VmHWM in /proc/self/status")
    return Measurement(value=int(found[1]) * 1024.0, unit="bytes")


def _cuda(name: str, device: str) -> Measurement:
    if not device.startswith("cuda"):
        return Measurement(value=None, unit="bytes", reason=NO_CUDA)
    import torch

    peak = {
        "allocated": torch.cuda.max_memory_allocated,
        "reserved": torch.cuda.max_memory_reserved,
    }
    return Measurement(value=float(peak[name]()), unit="bytes")
