"""How often the gate, its cross-checks and its planning are wrong, by simulation.

    python tests/bench/calibration_gate.py {gate,methods,bootstrap,seeds} [--draws 4000]
        [--seed 0] [--metric ua|wa] [--margin 0.02]

The arms are those of ``calibration.py``; a candidate is the first of two, its true loss the
margin or nothing. ``gate``: verdicts of the one-sided test at 5 %, and of its two-look form: R
seeds at 2.5 %, where that is inconclusive 2 R seeds at 2.5 %. ``methods``: how often other ways
to a lower bound at 95 % pass a candidate that lost the margin. ``bootstrap``: the bootstrap-t
over speakers beside the crossed interval. ``seeds``: whether the number of seeds that
``needed_seeds`` names reaches 80 % power. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from calibration import BLOCK, Counts, Floats, Setting, numbers_of, right_answers, tables, truth
from scipy import optimize, stats

from serlab.bench.statistics.cells import recall_cells
from serlab.bench.statistics.crossed import crossed_interval, variance_of_mean
from serlab.bench.statistics.differences import bootstrap_t
from serlab.bench.statistics.power import needed_seeds

ALPHA = 0.05
PASS, FAIL = 1, -1
RESAMPLES = 999
MOST = 40
"""Seeds up to which the true power is simulated."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of verdicts."""

    passed: float
    failed: float

    @property
    def open(self) -> float:
        """Share of those that are inconclusive."""
        return 1 - self.passed - self.failed


def losing(setting: Setting, metric: str, loss: float) -> Setting:
    """The setting whose true difference is ``-loss``."""

    def lack(size: float) -> float:
        return truth(replace(setting, difference=size), metric) + loss

    return replace(setting, difference=float(optimize.brentq(lack, -2.0, 2.0)))


def verdicts(values: Floats, margin: float, alpha: float) -> npt.NDArray[np.int64]:
    """``PASS``, ``FAIL`` or 0 for each table (draw, speaker, seed), as ``noninferior`` says."""
    mean = values.mean(axis=(1, 2))
    variance, df = variance_of_mean(values)
    half = np.sqrt(variance) * stats.t.isf(alpha, df)
    return np.where(mean - half > -margin, PASS, np.where(mean + half < -margin, FAIL, 0))


def two_looks(values: Floats, margin: float) -> npt.NDArray[np.int64]:
    """The verdicts of half of the seeds, and where they are none those of all."""
    first = verdicts(values[:, :, : values.shape[2] // 2], margin, ALPHA / 2)
    return np.where(first, first, verdicts(values, margin, ALPHA / 2))


def shares(found: npt.NDArray[np.int64]) -> Shares:
    """How many of the verdicts are which."""
    return Shares(passed=float(np.mean(found == PASS)), failed=float(np.mean(found == FAIL)))


def gate_row(setting: Setting, rng: np.random.Generator, args: argparse.Namespace) -> str:
    """One row of the gate's table: at a loss of the margin, and at none."""
    twice = replace(setting, seeds=2 * setting.seeds)
    found = []
    for loss in (args.margin, 0.0):
        values = tables(losing(twice, args.metric, loss), rng, args.metric, args.draws)
        once = shares(verdicts(values[:, :, : setting.seeds], args.margin, ALPHA))
        found.append((once, shares(two_looks(values, args.margin))))
    (lost, lost_twice), (same, same_twice) = found
    return (
        f"{lost.passed:.1%} | {lost_twice.passed:.1%} | {same.failed:.2%} | "
        f"{same_twice.failed:.2%} | {same.passed:.0%} | {same_twice.passed:.0%} | {same.open:.0%}"
    )


GATE_HEAD = (
    "false passes at a loss of m | with two looks | false alarms at no loss | with two looks | "
    "passes at no loss | with two looks | inconclusive at no loss"
)


# --- other methods -------------------------------------------------------------------------


def lower_bounds(setting: Setting, rng: np.random.Generator) -> dict[str, Floats]:
    """Lower bounds at 95 % of UA's difference by several methods, (draw,), of one design."""
    numbers = numbers_of(setting, rng)
    right = list(right_answers(setting, numbers, rng))
    owner = np.repeat(np.arange(numbers.size), numbers.ravel())
    hits = [_by_speaker(one, owner, numbers) for one in right]
    values = recall_cells(hits[0], numbers) - recall_cells(hits[1], numbers)
    mean, runs = values.mean(axis=(1, 2)), values.mean(axis=1)
    variance, df = variance_of_mean(values)
    apart = right[0].mean(axis=1) - right[1].mean(axis=1)  # (draw, utterance)
    lone, lone_df = variance_of_mean(values[:, :, :1])
    spread = runs.std(axis=1, ddof=1) / np.sqrt(setting.seeds)
    return {
        "crossed": mean - np.sqrt(variance) * stats.t.isf(ALPHA, df),
        "t over speakers, one seed": runs[:, 0] - np.sqrt(lone) * stats.t.isf(ALPHA, lone_df),
        "t over seeds": mean - spread * stats.t.isf(ALPHA, setting.seeds - 1),
        "bootstrap of speakers": _bootstrap(apart, owner, numbers, rng, by_speaker=True),
        "bootstrap of utterances": _bootstrap(apart, owner, numbers, rng, by_speaker=False),
    }


def _by_speaker(right: npt.NDArray[np.bool_], owner: Counts, numbers: Counts) -> Counts:
    """Utterances recognised, (draw, speaker, seed, class)."""
    held = np.eye(numbers.size, dtype=np.float32)[owner]
    summed = (right.astype(np.float32) @ held).reshape(*right.shape[:2], *numbers.shape)
    counts: Counts = summed.swapaxes(1, 2).astype(np.int64)
    return counts


def _bootstrap(
    apart: Floats, owner: Counts, numbers: Counts, rng: np.random.Generator, *, by_speaker: bool
) -> Floats:
    """The 5 % quantile of UA's difference over resamples of speakers, or of utterances."""
    classes = numbers.shape[1]
    speaker, label = owner // classes, owner % classes
    units = speaker if by_speaker else np.arange(len(owner))
    n = int(units.max()) + 1
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)[:, units]
    parts = []
    for c in range(classes):
        weights = drawn[:, label == c]
        below = weights.sum(axis=1)
        above = apart[:, label == c] @ weights.T
        parts.append(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))
    found: Floats = np.quantile(np.nanmean(parts, axis=0), ALPHA, axis=1)
    return found


def methods_row(setting: Setting, rng: np.random.Generator, args: argparse.Namespace) -> str:
    """Shares of passes of a candidate that lost the margin."""
    lost = losing(setting, "ua", args.margin)
    blocks = [lower_bounds(lost, rng) for _ in range(args.draws // BLOCK)]
    rates = (np.mean([np.mean(one[name] > -args.margin) for one in blocks]) for name in blocks[0])
    return " | ".join(f"{rate:.1%}" for rate in rates)


METHODS_HEAD = (
    "crossed | t over speakers, one seed | t over seeds | bootstrap of speakers | "
    "bootstrap of utterances"
)


# --- cross-check and planning --------------------------------------------------------------


def bootstrap_row(setting: Setting, rng: np.random.Generator, args: argparse.Namespace) -> str:
    """How often the bootstrap-t finds what is not there, and covers; the crossed one beside it."""
    values = tables(setting, rng, args.metric, args.draws)
    wide = [bootstrap_t(one, rng, level=0.95, n_resamples=RESAMPLES) for one in values]
    narrow = [bootstrap_t(one, rng, level=0.9, n_resamples=RESAMPLES) for one in values]
    mean = values.mean(axis=(1, 2))
    variance, df = variance_of_mean(values)
    t = np.abs(mean) / np.sqrt(variance)
    rates = (
        np.mean([one.low > 0 or one.high < 0 for one in wide]),
        np.mean([one.low <= 0 <= one.high for one in narrow]),
        np.mean(t > stats.t.isf(0.025, df)),
        np.mean(t <= stats.t.isf(0.05, df)),
    )
    return " | ".join(f"{rate:.1%}" for rate in rates)


BOOTSTRAP_HEAD = "bootstrap-t, p < 0.05 | its 90 % interval covers | crossed, p < 0.05 | it covers"


def seeds_row(setting: Setting, rng: np.random.Generator, args: argparse.Namespace) -> str:
    """What ``needed_seeds`` names from a pilot, and the power that this number has."""
    real = losing(replace(setting, seeds=MOST), args.metric, args.margin)
    values = tables(real, rng, args.metric, args.draws)
    power = np.array([_found(values[:, :, :n]) for n in range(2, MOST + 1)])
    first = int(np.argmax(power >= 0.8)) + 2 if power.max() >= 0.8 else None
    pilots = [crossed_interval(one[:, : setting.seeds]) for one in values]
    totals = [needed_seeds(pilot, args.margin).total for pilot in pilots]
    named = np.array([total for total in totals if total is not None])
    reached = power[np.minimum(named, MOST) - 2]
    squares = np.mean(
        [[p.squares.speaker, p.squares.seed, p.squares.interaction] for p in pilots], 0
    )
    known = replace(
        pilots[0],
        squares=replace(
            pilots[0].squares, speaker=squares[0], seed=squares[1], interaction=squares[2]
        ),
    )
    plan = needed_seeds(known, args.margin).total
    at_plan = "-" if plan is None or plan > MOST else f"{power[plan - 2]:.0%}"
    low, middle, high = np.quantile(named, [0.25, 0.5, 0.75])
    return (
        f"{first or '> 40'} | {plan or 'none'} | {at_plan} | "
        f"{middle:.0f} ({low:.0f} to {high:.0f}) | "
        f"{1 - len(named) / len(totals):.0%} | {np.mean(reached):.0%}"
    )


SEEDS_HEAD = (
    "seeds with 80 % power | seeds named, variances known | power there | "
    "seeds named, from those held: median (quartiles) | none named | mean power at those named"
)


def _found(values: Floats) -> float:
    variance, df = variance_of_mean(values)
    t = np.abs(values.mean(axis=(1, 2))) / np.sqrt(variance)
    return float(np.mean(t > stats.t.isf(0.025, df)))


TABLES = {
    "gate": (gate_row, GATE_HEAD),
    "methods": (methods_row, METHODS_HEAD),
    "bootstrap": (bootstrap_row, BOOTSTRAP_HEAD),
    "seeds": (seeds_row, SEEDS_HEAD),
}


def main() -> None:
    """Prints one of the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", choices=tuple(TABLES))
    parser.add_argument("--draws", type=int, default=4000, help=f"a multiple of {BLOCK}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metric", choices=("ua", "wa"), default="ua")
    parser.add_argument("--margin", type=float, default=0.02)
    parser.add_argument("--speakers", type=int, nargs="+", default=(4, 10, 24))
    parser.add_argument("--seeds", type=int, nargs="+", default=(3, 5, 10))
    parser.add_argument("--interactions", type=float, nargs="+", default=(0.0, 0.3))
    parser.add_argument("--speaker-sd", type=float, default=Setting.speaker_sd)
    parser.add_argument("--seed-sd", type=float, default=Setting.seed_sd)
    args = parser.parse_args()
    start = time.process_time()
    row, head = TABLES[args.table]
    print(f"| speakers | seeds | interaction | {head} |")
    print("|---" * (3 + len(head.split(" | "))) + "|")
    for interaction in args.interactions:
        for speakers in args.speakers:
            for seeds in args.seeds:
                rng = np.random.default_rng([args.seed, speakers, seeds, bool(interaction)])
                setting = Setting(
                    speakers=speakers,
                    seeds=seeds,
                    interaction_sd=interaction,
                    speaker_sd=args.speaker_sd,
                    seed_sd=args.seed_sd,
                )
                kind = "yes" if interaction else "no"
                print(f"| {speakers} | {seeds} | {kind} | {row(setting, rng, args)} |", flush=True)
    print(f"\n{args.draws} draws a row, {args.metric}, {time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
