"""NVIDIA's management library (NVML): what torch does not tell of a GPU, or why nothing can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Unreadable(Exception):
    """A probe that has no value here; its text is the reason, for a measurement of null."""


class Gpu:
    """A GPU as NVML knows it. Every method raises `Unreadable` where the driver cannot tell."""

    def __init__(self, library: Any, uuid: str) -> None:  # the module has no types
        self._library = library
        self._handle = self._ask("nvmlDeviceGetHandleByUUID", uuid)

    def driver(self) -> str:
        """The version of the driver."""
        found = self._ask("nvmlSystemGetDriverVersion")
        return found.decode() if isinstance(found, bytes) else str(found)

    def power_limit_w(self) -> float:
        """The limit that is in force, in watts."""
        return float(self._ask("nvmlDeviceGetEnforcedPowerLimit", self._handle)) / 1e3

    def joules(self) -> float:
        """Energy of the whole board since the driver was loaded; from Volta on.

        The counter is renewed every 20 to 100 ms.
        """
        return float(self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle)) / 1e3

    def process_bytes(self, reserved: int) -> int:
        """Memory of this process on the board now, with that of its context and kernels.

        The driver may count processes by the numbers that they have outside of a container. Such
        a number may be another's here, so less than ``reserved``, the bytes that torch itself
        holds, is no answer.
        """
        number = os.getpid()
        listed = self._ask("nvmlDeviceGetComputeRunningProcesses", self._handle)
        used = [process.usedGpuMemory for process in listed if process.pid == number]
        if not used:
            raise Unreadable("NVML does not list this process, as happens inside a container")
        if used[0] is None:
            raise Unreadable("the driver tells no memory of single processes")
        if used[0] < reserved:
            raise Unreadable("NVML's process of this number holds less than torch: it is another")
        return int(used[0])

    def _ask(self, name: str, *arguments: object) -> Any:  # whatever the function gives
        try:
            return getattr(self._library, name)(*arguments)
        except self._library.NVMLError as error:
            raise Unreadable(f"{name}: {error}") from None


@contextmanager
def open_gpu(device: str) -> Iterator[Gpu]:
    """The GPU that torch calls "cuda" or "cuda:1", whichever of them are visible to it.

    Raises:
        Unreadable: NVML is not there, or does not know the GPU (as a part of one, under MIG).
    """
    import torch

    try:
        import pynvml
    except ImportError:
        raise Unreadable("nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise Unreadable(f"nvmlInit: {error}") from None
    try:
        yield Gpu(pynvml, f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    finally:
        pynvml.nvmlShutdown()
