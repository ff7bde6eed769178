"""A GPU that is not there: NVIDIA's management library and torch's memory counters, faked."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest
import torch

UUID = "ffc79498-8ff3-c2dc-3b0d-fafd804516ae"


class FakeNvmlError(Exception):
    """As the library's own."""


@dataclass
class FakeNvml:
    """What the library is asked for, and what it answers."""

    processes: list[SimpleNamespace] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Functions that fail, with the message."""
    millijoules: int = 0
    opened: int = 0
    """How often it was opened and not yet closed."""

    def lists(self, used: int | None, pid: int | None = None) -> None:
        """Adds a process: this one, or another."""
        number = os.getpid() if pid is None else pid
        self.processes.append(SimpleNamespace(pid=number, usedGpuMemory=used))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Puts it in the place of the library."""
        module = ModuleType("pynvml")
        answers = {
            "nvmlInit": self._open,
            "nvmlShutdown": self._close,
            "nvmlDeviceGetHandleByUUID": self._handle,
            "nvmlSystemGetDriverVersion": lambda: "570.1",
            "nvmlDeviceGetEnforcedPowerLimit": lambda _: 700_000,
            "nvmlDeviceGetTotalEnergyConsumption": lambda _: self.millijoules,
            "nvmlDeviceGetComputeRunningProcesses": lambda _: self.processes,
        }
        for name, answer in answers.items():
            setattr(module, name, self._checked(name, answer))
        module.NVMLError = FakeNvmlError  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "pynvml", module)

    def _checked(self, name: str, answer):  # type: ignore[no-untyped-def]
        def ask(*arguments: object) -> object:
            if name in self.broken:
                raise FakeNvmlError(self.broken[name])
            assert self.opened or name == "nvmlInit", f"{name} before nvmlInit"
            return answer(*arguments)

        return ask

    def _open(self) -> None:
        self.opened += 1

    def _close(self) -> None:
        self.opened -= 1

    def _handle(self, uuid: str) -> str:
        if uuid != f"GPU-{UUID}":
            raise FakeNvmlError("Not Found")
        return "handle"


@dataclass
class FakeTorchCuda:
    """torch's counters of a device of 80 GB, in bytes."""

    allocated: int = 0
    reserved: int = 0
    calls: list[str] = field(default_factory=list)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Puts it in the place of torch's."""
        properties = SimpleNamespace(name="NVIDIA Fake", total_memory=80 * 10**9, uuid=UUID)
        patch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        patch.setattr(torch.cuda, "synchronize", lambda _: self.calls.append("wait"))
        patch.setattr(torch.cuda, "reset_peak_memory_stats", self._reset)
        patch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.allocated)
        patch.setattr(torch.cuda, "max_memory_reserved", lambda _: self.reserved)
        patch.setattr(torch.cuda, "memory_reserved", lambda _: self.reserved)

    def _reset(self, _: str) -> None:
        self.calls.append("reset")
        self.allocated = 0
