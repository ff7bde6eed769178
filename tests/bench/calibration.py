"""How often the crossed interval is wrong, by simulation; prints a Markdown table.

    python tests/bench/calibration.py [--draws 4000] [--seed 0] [--metric ua]

Two arms classify the same utterances of the same speakers under the same seeds. An utterance is
recognised where a latent value is above 0: a level of its class, plus what speakers, utterances,
arms and training seeds add to it, all Gaussian. Classes are unbalanced (36 to 8 %) and speakers
unequally long. Without a difference the share of p < 0.05 should be 5 %; with one, whose size
the Gaussians give exactly, the 90 % interval should cover it in 90 %. The tables come from the
functions that every report uses.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from serlab.bench.statistics.cells import recall_cells
from serlab.bench.statistics.crossed import variance_of_mean

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

SHARES = np.array([0.36, 0.26, 0.18, 0.12, 0.08])
LEVELS = np.array([0.8, 0.65, 0.5, 0.35, 0.2])
"""Mean latent value of each class; rarer classes are harder."""
COMMON_SD, UTTERANCE_SD, ARM_SD, RUN_SD = 0.5, 1.0, 0.4, 0.6
"""Of speaker x class in both arms, utterance in both, utterance in one arm, and one run of it."""
BLOCK = 100
"""Draws that share one design (numbers of utterances)."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is simulated: sizes, and standard deviations of the latent difference of two arms."""

    speakers: int
    seeds: int
    speaker_sd: float = 0.3
    seed_sd: float = 0.15
    interaction_sd: float = 0.0
    difference: float = 0.0
    utterances: int = 50
    """Per speaker, on average."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of the draws in which p < 0.05, and in which the 90 % interval covers the truth."""

    found: float
    covered: float
    df: float
    """Median."""


def tables(setting: Setting, rng: np.random.Generator, metric: str, draws: int) -> Floats:
    """Differences of two arms, (draw, speaker, seed)."""
    blocks = []
    for _ in range(draws // BLOCK):
        numbers = _numbers(setting, rng)
        hits = _hits(setting, numbers, rng)
        if metric == "wa":
            hits, numbers = hits.sum(axis=-1, keepdims=True), numbers.sum(axis=1, keepdims=True)
        blocks.append(recall_cells(hits[0], numbers) - recall_cells(hits[1], numbers))
    return np.concatenate(blocks)


def truth(setting: Setting, metric: str) -> float:
    """The difference of the two arms over all speakers and seeds there could be."""
    parts = (setting.speaker_sd, setting.seed_sd, setting.interaction_sd)
    own = sum(sd**2 for sd in parts) / 4
    sd = np.sqrt(own + COMMON_SD**2 + UTTERANCE_SD**2 + ARM_SD**2 + RUN_SD**2)
    half = setting.difference / 2
    by_class = stats.norm.cdf((LEVELS + half) / sd) - stats.norm.cdf((LEVELS - half) / sd)
    return float(np.average(by_class, weights=SHARES if metric == "wa" else None))


def rates(values: Floats, true: float) -> Rates:
    """How often the interval of each table (draw, speaker, seed) is right."""
    mean = values.mean(axis=(1, 2))
    variance, df = variance_of_mean(values)
    se = np.sqrt(np.maximum(variance, 1e-24))
    return Rates(
        found=float(np.mean(2 * stats.t.sf(np.abs(mean) / se, df) < 0.05)),
        covered=float(np.mean(np.abs(mean - true) <= se * stats.t.isf(0.05, df))),
        df=float(np.median(df)),
    )


def _numbers(setting: Setting, rng: np.random.Generator) -> Counts:
    """Utterances (speaker, class); every class has two speakers at least."""
    lengths = setting.utterances * np.exp(0.35 * rng.standard_normal(setting.speakers))
    numbers = rng.poisson(lengths[:, None] * SHARES)
    numbers[:2] = np.maximum(numbers[:2], 1)
    return numbers.astype(np.int64)


def _hits(setting: Setting, numbers: Counts, rng: np.random.Generator) -> Counts:
    """Utterances recognised, (arm, draw, speaker, seed, class)."""
    s, c = numbers.shape
    r, total = setting.seeds, int(numbers.sum())
    owner = np.repeat(np.arange(s * c), numbers.ravel())

    def normal(sd: float, *shape: int) -> npt.NDArray[np.float32]:
        return np.float32(sd) * rng.standard_normal((BLOCK, *shape), dtype=np.float32)

    def split(sd: float, speakers: int, seeds: int) -> npt.NDArray[np.float32]:
        """Half of the variance is of all classes, half of each class."""
        return normal(sd / 2**0.5, seeds, speakers, 1) + normal(sd / 2**0.5, seeds, speakers, c)

    common = normal(COMMON_SD, 1, s, c) + LEVELS.astype(np.float32)
    gap = split(setting.speaker_sd, s, 1) + split(setting.seed_sd, 1, r)
    gap = gap + split(setting.interaction_sd, s, r) + np.float32(setting.difference)
    shared = normal(UTTERANCE_SD, 1, total)
    hits = np.zeros((2, BLOCK, r, s * c), dtype=np.int64)
    held = numbers.ravel() > 0
    starts = np.concatenate([[0], np.cumsum(numbers.ravel()[held])[:-1]])
    for arm, sign in enumerate((0.5, -0.5)):
        latent = (common + np.float32(sign) * gap).reshape(BLOCK, r, s * c)[:, :, owner]
        latent += shared + normal(ARM_SD, 1, total) + normal(RUN_SD, r, total)
        hits[arm][:, :, held] = np.add.reduceat((latent > 0).astype(np.int32), starts, axis=-1)
    return hits.reshape(2, BLOCK, r, s, c).swapaxes(2, 3)


def _row(speakers: int, seeds: int, interaction: float, args: argparse.Namespace) -> str:
    found = []
    for difference in (0.0, 0.3):
        setting = Setting(
            speakers=speakers, seeds=seeds, interaction_sd=interaction, difference=difference
        )
        rng = np.random.default_rng(
            [args.seed, speakers, seeds, bool(interaction), int(difference > 0)]
        )
        values = tables(setting, rng, args.metric, args.draws)
        found.append(rates(values, truth(setting, args.metric)))
    null, real = found
    return (
        f"| {speakers} | {seeds} | {'yes' if interaction else 'no'} | {null.found:.1%} | "
        f"{null.covered:.1%} | {real.covered:.1%} | {null.df:.1f} | {real.found:.0%} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=4000, help=f"a multiple of {BLOCK}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metric", choices=("ua", "wa"), default="ua")
    args = parser.parse_args()
    start = time.process_time()
    print(
        "| speakers | seeds | interaction | p < 0.05 without a difference | 90 % interval covers 0 "
        "| 90 % interval covers a difference | median df | power at it |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for interaction in (0.0, 0.3):
        for speakers in (4, 10, 24):
            for seeds in (3, 5, 10):
                print(_row(speakers, seeds, interaction, args), flush=True)
    print(f"\n{args.draws} draws a row, {args.metric}, {time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
