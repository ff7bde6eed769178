"""How long the command line takes to start, each time in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

Benchmark = Any  # pytest-benchmark is untyped

COMMANDS = {
    "python": ["-c", "print('nothing but Python')"],
    "--version": ["-m", "serlab", "--version"],
    "--help": ["-m", "serlab", "--help"],
    "list systems": ["-m", "serlab", "list", "systems"],
    "describe li2018": ["-m", "serlab", "describe", "li2018"],
}
"""What is started; the first is what a start costs without serlab."""


@pytest.mark.benchmark(group="command line")
@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark: Benchmark, name: str) -> None:
    """From the start of the process to its end."""
    command = [sys.executable, *COMMANDS[name]]

    def start() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert benchmark.pedantic(start, rounds=5, warmup_rounds=1)
