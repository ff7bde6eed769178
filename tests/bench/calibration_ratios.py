"""How often a comparison of two calls is wrong, by simulation; prints a Markdown table.

    python tests/bench/calibration_ratios.py [--draws 2000] [--seed 0] [--processes 3 5 10]
        [--rounds 3 30 100] [--within 0.013] [--slower 0.02 0.05 0.1]

A process times three calls in the orders of `meters.compare`. A call's logarithmic time is what
its instance takes in this process (Gaussian: where its memory lies), the load at that moment,
and noise of its own. Every setting adds something to the noise: an instance's effect, a drift
through the process, a neighbour that comes and goes, or calls that take much longer, one in
thirty or a third of all, as on a machine that has more to do than cores.
Without a difference the share of "faster" and "slower" should be 5 % at most; with one, the
column tells how often it is found. Verdicts come from the functions that the command uses.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.meters.compare import ORDERS
from serlab.bench.statistics.ratios import Judged, judge, log_ratios, ratio_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Standard deviations and sizes of what disturbs, as logarithms."""

    name: str
    instance: float = 0.0
    """Of a model's time from process to process."""
    of_b: float = 1.0
    """How many times as large it is for B."""
    drift: float = 0.0
    """Largest slope through a process, drawn for each."""
    neighbour: float = 0.0
    """What a neighbour adds while it is there."""
    tails: float = 0.0
    """Scale of what some calls take longer, exponential."""
    share: float = 1 / 30
    """Of the calls that do."""


SETTINGS = (
    Setting(name="noise alone"),
    Setting(name="instances 0.5 %", instance=0.005),
    Setting(name="instances 2 %", instance=0.02),
    Setting(name="instances 1 %, of B 3 %", instance=0.01, of_b=3.0),
    Setting(name="drift to 40 %", instance=0.005, drift=0.4),
    Setting(name="a neighbour, 50 %", instance=0.005, neighbour=0.5),
    Setting(name="tails of 100 %", instance=0.005, tails=1.0),
    Setting(name="a third of the calls x 10", instance=0.005, tails=2.3, share=1 / 3),
    Setting(name="drift, neighbour, tails", instance=0.01, drift=0.4, neighbour=0.5, tails=1.0),
)


def process_logs(
    setting: Setting, n_rounds: int, within: float, slower: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The log ratios of B and of the twin over A, by round, in one process."""
    halves = (ORDERS * (n_rounds // len(ORDERS) + 1))[:n_rounds]
    order = np.array([list(half + half[::-1]) for half in halves]).ravel()
    n = len(order)
    spread = {name: setting.instance * (setting.of_b if name == "b" else 1.0) for name in "abt"}
    level = {
        name: rng.normal(0, sd) + (slower if name == "b" else 0) for name, sd in spread.items()
    }
    load = np.linspace(0, rng.uniform(-1, 1) * setting.drift, n)
    load += setting.neighbour * (np.cumsum(rng.random(n) < 0.03) % 2)
    noise = rng.normal(0, within, n)
    noise += setting.tails * rng.exponential(1.0, n) * (rng.random(n) < setting.share)
    times = np.exp(load + noise + [level[name] for name in order]) * 1e6
    a, b, t = (times[order == name].reshape(n_rounds, 2) for name in "abt")
    return log_ratios(b, a), log_ratios(t, a)


def verdict(
    setting: Setting, n_processes: int, n_rounds: int, *, within: float, slower: float,
    rng: np.random.Generator,
) -> Judged:  # fmt: skip
    """One comparison of two models."""
    logs = [process_logs(setting, n_rounds, within, slower, rng) for _ in range(n_processes)]
    return judge(ratio_of([b for b, _ in logs]), ratio_of([t for _, t in logs]))


def main() -> None:
    """Prints a row for every setting, number of processes and number of rounds."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--draws", type=int, default=2000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--processes", type=int, nargs="+", default=[3, 5, 10])
    asked.add_argument("--rounds", type=int, nargs="+", default=[3, 30, 100])
    asked.add_argument("--within", type=float, default=0.013, help="sd of a call's log time")
    asked.add_argument("--slower", type=float, nargs="*", default=[0.02, 0.05, 0.1])
    chosen = asked.parse_args()
    effects = [0.0, *chosen.slower]
    print("| disturbed by | processes | rounds | wrong verdicts | smallest at 80 % |", end="")
    print("".join(f" {share:.0%} slower found |" for share in chosen.slower))
    print("|---|---|---|---|---|" + "---|" * len(chosen.slower))
    for setting in SETTINGS:
        for n_processes in chosen.processes:
            for n_rounds in chosen.rounds:
                rng = np.random.default_rng(chosen.seed)
                shares, smallest = [], 0.0
                for share in effects:
                    found = [
                        verdict(
                            setting, n_processes, n_rounds, within=chosen.within,
                            slower=float(np.log1p(share)), rng=rng,
                        )
                        for _ in range(chosen.draws)
                    ]  # fmt: skip
                    shares.append(np.mean([f.verdict in ("faster", "slower") for f in found]))
                    smallest = float(np.median([f.smallest or 0.0 for f in found]))
                print(f"| {setting.name} | {n_processes} | {n_rounds} | {shares[0]:.1%} | "
                      f"{smallest:.1%} |" + "".join(f" {s:.0%} |" for s in shares[1:]),
                      flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
