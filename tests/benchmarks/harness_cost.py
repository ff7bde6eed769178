"""What the harness costs beside a bare pool of two workers that do the same work.

``python tests/benchmarks/harness_cost.py`` runs both with few and with many trials, in turn,
and prints CPU seconds of the whole process tree, split into a start and a cost per trial (the
difference between many and few). Two trials at a time, one thread each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent

BARE = """
import sys; sys.path.insert(0, {here!r})
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import torch
from workload import train
def work(seed):
    torch.set_num_threads(1)
    return train(seed)
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        print(len(list(pool.map(work, range({n})))))
"""

STUDY = """
question = "What does the harness cost?"
seeds = [0]
[base]
system = "workload"
[grid]
number = {numbers}
[[corpora]]
name = "workload"
[protocol]
validation = 1
max_folds = 1
[meters]
latency = false
[resources]
workers = 2
"""


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the command and all that it started."""
    started = time.monotonic()
    root = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HERE)
    spent: dict[int, float] = {}
    while root.poll() is None:
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            spent[process.pid] = times.user + times.system
        time.sleep(0.05)
    if root.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {root.returncode}")
    return time.monotonic() - started, sum(spent.values())


def bare(n: int, folder: Path) -> list[str]:
    """The bare pool as a command."""
    path = folder / "bare.py"
    path.write_text(BARE.format(here=str(HERE), n=n))
    return [sys.executable, str(path)]


def harness(n: int, folder: Path) -> list[str]:
    """The study as a command."""
    path = folder / f"cost{n}-{time.monotonic_ns()}.toml"
    path.write_text(STUDY.format(numbers=list(range(n))))
    out = folder / path.stem
    command = [sys.executable, "-m", "serlab", "run", str(path), "--out", str(out)]
    return [*command, "--plugin", "workload", "--no-report"]


def main() -> None:
    """Measures both in turn and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    few, many = 2, 2 + chosen.trials
    print("| how | trials | wall, s | CPU, s |\n|---|---|---|---|")
    per_trial: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(chosen.rounds):
            for how, make in (("bare pool", bare), ("serlab", harness)):
                cpu = {}
                for n in (few, many):
                    wall, cpu[n] = measure(make(n, Path(name)))
                    print(f"| {how} | {n} | {wall:.1f} | {cpu[n]:.1f} |", flush=True)
                per_trial.setdefault(how, []).append((cpu[many] - cpu[few]) / chosen.trials)
    for how, costs in per_trial.items():
        print(f"{how}: {', '.join(f'{c:.3f}' for c in costs)} CPU-s a trial after the start")
    pairs = zip(per_trial["serlab"], per_trial["bare pool"], strict=True)
    print("ratio serlab / bare pool:", ", ".join(f"{a / b:.3f}" for a, b in pairs))


if __name__ == "__main__":
    main()
