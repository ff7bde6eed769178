"""Peak memory of a section of code, on the CPU and on CUDA, or the reason why there is none."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from serlab.bench.contracts import Measurement
from serlab.bench.meters.gpu import Unreadable, open_gpu

NO_CUDA = "the section ran on the CPU"
WHOLE = "the peak of the whole process up to here: this system has none of a section"

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@contextmanager
def peak_memory(device: str = "cpu", *, fresh: bool = False) -> Iterator[dict[str, Measurement]]:
    """Fills a dictionary with the peaks of the code inside, in bytes, when it ends.

    "peak_memory" is the process's resident set: on Linux the peak counter is reset first, which
    makes it exact for the section. "cuda_allocated" and "cuda_reserved" are torch's own peaks.
    "cuda_process" is what the driver holds for the process when the section ends: torch's
    reserved memory, which it does not give back by itself, the context and the libraries.

    Args:
        device: where the section runs.
        fresh: whether the process was started for this, so that where there is no resettable
            counter the peak of the whole process will do. Its measurement then says so in its
            reason, beside the value.
    """
    found: dict[str, Measurement] = {}
    cuda = device.startswith("cuda")
    was_reset = _reset_peak()
    if cuda:
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    found["peak_memory"] = _peak(was_reset, fresh)
    found.update(_cuda(device) if cuda else {f"cuda_{n}": _none(NO_CUDA) for n in _CUDA})


_CUDA = ("allocated", "reserved", "process")


def _none(reason: str) -> Measurement:
    return Measurement(value=None, unit="bytes", reason=reason)


def _reset_peak() -> bool:
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _peak(was_reset: bool, fresh: bool) -> Measurement:
    if not was_reset and not fresh:
        return _none(f"this system has no resettable peak counter ({CLEAR_REFS})")
    try:
        value = _high_water() if was_reset else _whole()
    except Unreadable as error:
        return _none(str(error))
    return Measurement(value=float(value), unit="bytes", reason="" if was_reset else WHOLE)


def _high_water() -> int:
    try:
        text = STATUS.read_text()
    except OSError:
        text = ""
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    if found is None:
        raise Unreadable(f"there is no VmHWM in {STATUS}")
    return int(found[1]) * 1024


def _whole() -> int:
    """The process's peak; on Linux not by getrusage, which takes over the parent's."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        return _high_water()
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cuda(device: str) -> dict[str, Measurement]:
    import torch

    torch.cuda.synchronize(device)
    peaks: dict[str, Callable[[str], int]] = {
        "cuda_allocated": torch.cuda.max_memory_allocated,
        "cuda_reserved": torch.cuda.max_memory_reserved,
    }
    found = {n: Measurement(value=float(peak(device)), unit="bytes") for n, peak in peaks.items()}
    try:
        with open_gpu(device) as gpu:
            held = gpu.process_bytes(torch.cuda.memory_reserved(device))
        found["cuda_process"] = Measurement(value=float(held), unit="bytes")
    except Unreadable as error:
        found["cuda_process"] = _none(str(error))
    return found
