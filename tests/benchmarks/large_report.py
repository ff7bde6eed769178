"""What the report of a very large run costs: time, CPU and memory of ``serlab report``.

``python tests/benchmarks/large_report.py`` writes an ablation of 10,000 trials (200 arms of 50
seeds) and a search of 10,000 variants, with 500 test utterances each in 5 folds, and makes the
report of both in fresh processes. Writing them takes longer than reading: ``--keep DIR`` keeps
them there, and takes what is there already. ``--trials 400`` is a quick look.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "reports"))
from fake_run import FakeStudy, write_fake_run

SEEDS, FOLDS, UTTERANCES = 50, 5, 500
LABELS = ("anger", "boredom", "joy", "neutral", "sadness")


def study(n_trials: int, design: str) -> FakeStudy:
    """So many trials; a speaker is a fold."""
    search = design == "search"
    n_arms = n_trials if search else max(2, n_trials // SEEDS)
    arms = ["base", *(f"learning_rate={k}" for k in range(1, n_arms))]
    values = {arm: 0.7 - 0.2 * (k * 37 % n_arms) / n_arms for k, arm in enumerate(arms)}
    return FakeStudy(
        skill=values,
        design=design,
        labels=LABELS,
        speakers=tuple(f"s{k}" for k in range(FOLDS)),
        seeds=(0,) if search else tuple(range(SEEDS)),
        per_cell=UTTERANCES // FOLDS // len(LABELS),
        epochs=30,
        meters=not search,
        processes=1,
        batches=(1,),
        history=tuple((arm, value, "complete") for arm, value in values.items()) if search else (),
    )


def measure(run: Path, out: Path) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds, and the most bytes of memory of a report's process."""
    command = [sys.executable, "-m", "serlab", "report", str(run), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    cpu_s, most = 0.0, 0
    while process.poll() is None:
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        cpu_s, most = times.user + times.system, max(most, memory.rss)
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - started, cpu_s, most


@contextmanager
def home(kept: str | None) -> Iterator[Path]:
    """The folder that is kept, or one for a while."""
    if kept:
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    """Writes the runs, makes their reports and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--keep", metavar="DIR", help="where the runs are kept")
    chosen = parser.parse_args()
    print("| run | trials | wall, s | CPU, s | memory, MB | page, MB |\n|---|---|---|---|---|---|")
    with home(chosen.keep) as folder:
        for design in ("ablate", "search"):
            run = folder / f"{design}-{chosen.trials}"
            if not (run / "written").exists():
                write_fake_run(run, study(chosen.trials, design))
                (run / "written").touch()
            wall_s, cpu_s, memory = measure(run, run / "report")
            page = (run / "report" / "index.html").stat().st_size
            numbers = f"{wall_s:.1f} | {cpu_s:.1f} | {memory / 1e6:.0f} | {page / 1e6:.1f}"
            print(f"| {design} | {chosen.trials} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
