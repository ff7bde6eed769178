"""How often the crossed interval is wrong, by simulation; prints a Markdown table.

    python tests/bench/calibration.py [--draws 4000] [--seed 0] [--metric ua|wa|ccc|pcc|rmse]
        [--speakers 4 10 24] [--seeds 3 5 10] [--interactions 0 0.3] [--speaker-sd 0.3]
        [--seed-sd 0.15] [--utterances 50] [--skew 0.35]

Two arms classify the same utterances of the same speakers under the same seeds. An utterance is
recognised where a latent value is above 0: a level of its class, plus what speakers, utterances,
arms and training seeds add to it, all Gaussian. Classes are unbalanced (36 to 8 %) and speakers
unequally long. Without a difference the share of p < 0.05 should be 5 %; with one, whose size
the Gaussians give exactly, the 90 % interval should cover it in 90 %. The tables come from the
functions that every report uses.

Under a metric of continuous labels two arms follow the same traces of the same speakers, three
dimensions of autocorrelated frames whose level the speaker sets. A prediction is gain x trace +
offset + autocorrelated error; speakers and training seeds shift the two arms' gain and offset
apart, and part of the error is common to both arms, part one arm's, part one training's. The
true difference is that of endlessly many speakers, averaged over seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import signal, stats

from serlab.bench.statistics.cells import jackknife, recall_cells
from serlab.bench.statistics.crossed import variance_of_mean
from serlab.bench.statistics.moments import BY_MOMENTS, Moments, moments

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Estimator = Callable[[Floats], tuple[Floats, Floats]]
"""Variance of the mean of tables (draw, speaker, seed), and its degrees of freedom."""

SHARES = np.array([0.36, 0.26, 0.18, 0.12, 0.08])
LEVELS = np.array([0.8, 0.65, 0.5, 0.35, 0.2])
"""Mean latent value of each class; rarer classes are harder."""
COMMON_SD, UTTERANCE_SD, ARM_SD, RUN_SD = 0.5, 1.0, 0.4, 0.6
"""Of speaker x class in both arms, utterance in both, utterance in one arm, and one run of it."""
BLOCK = 100
"""Draws that share one design (numbers of utterances, or of frames)."""

DIMENSIONS, FRAMES, MEMORY = 3, 100, 0.95
"""Of the traces; frames per speaker on average, and correlation of each with the next."""
GAIN, LEVEL_SD = 0.6, 0.6
"""Of the predictions on the trace, whose own movement has sd 1; and of the speakers' levels."""
COMMON_GAIN_SD, COMMON_OFFSET_SD = 0.2, 0.3
"""Of speakers in both arms."""
COMMON_ERROR_SD, ARM_ERROR_SD, RUN_ERROR_SD = 0.5, 0.3, 0.3
"""Of a frame in both arms, in one arm, and in one run of it."""


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
    """Per speaker, at the median."""
    skew: float = 0.35
    """Standard deviation of the logarithm of a speaker's number of utterances."""


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
    if metric in BY_MOMENTS:
        blocks = [_trace_table(setting, rng, metric) for _ in range(draws // BLOCK)]
        return np.concatenate(blocks)
    for _ in range(draws // BLOCK):
        numbers = numbers_of(setting, rng)
        hits = _hits(setting, numbers, rng)
        if metric == "wa":
            hits, numbers = hits.sum(axis=-1, keepdims=True), numbers.sum(axis=1, keepdims=True)
        blocks.append(recall_cells(hits[0], numbers) - recall_cells(hits[1], numbers))
    return np.concatenate(blocks)


def truth(setting: Setting, metric: str) -> float:
    """The difference of the two arms over all speakers and seeds there could be."""
    if metric in BY_MOMENTS:
        return _trace_truth(setting, metric)
    parts = (setting.speaker_sd, setting.seed_sd, setting.interaction_sd)
    own = sum(sd**2 for sd in parts) / 4
    sd = np.sqrt(own + COMMON_SD**2 + UTTERANCE_SD**2 + ARM_SD**2 + RUN_SD**2)
    half = setting.difference / 2
    by_class = stats.norm.cdf((LEVELS + half) / sd) - stats.norm.cdf((LEVELS - half) / sd)
    return float(np.average(by_class, weights=SHARES if metric == "wa" else None))


def rates(values: Floats, true: float, estimator: Estimator = variance_of_mean) -> Rates:
    """How often the interval of each table (draw, speaker, seed) is right."""
    mean = values.mean(axis=(1, 2))
    variance, df = estimator(values)
    se = np.sqrt(np.maximum(variance, 1e-24))
    return Rates(
        found=float(np.mean(2 * stats.t.sf(np.abs(mean) / se, df) < 0.05)),
        covered=float(np.mean(np.abs(mean - true) <= se * stats.t.isf(0.05, df))),
        df=float(np.median(df)),
    )


def numbers_of(setting: Setting, rng: np.random.Generator) -> Counts:
    """Utterances (speaker, class); every class has two speakers at least."""
    lengths = setting.utterances * np.exp(setting.skew * rng.standard_normal(setting.speakers))
    numbers = rng.poisson(lengths[:, None] * SHARES)
    numbers[:2] = np.maximum(numbers[:2], 1)
    return numbers.astype(np.int64)


def _hits(setting: Setting, numbers: Counts, rng: np.random.Generator) -> Counts:
    """Utterances recognised, (arm, draw, speaker, seed, class)."""
    held = numbers.ravel() > 0
    starts = np.concatenate([[0], np.cumsum(numbers.ravel()[held])[:-1]])
    hits = np.zeros((2, BLOCK, setting.seeds, numbers.size), dtype=np.int64)
    for arm, right in enumerate(right_answers(setting, numbers, rng)):
        hits[arm][:, :, held] = np.add.reduceat(right.astype(np.int32), starts, axis=-1)
    return hits.reshape(2, BLOCK, setting.seeds, *numbers.shape).swapaxes(2, 3)


def right_answers(
    setting: Setting, numbers: Counts, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.bool_]]:
    """Whether each arm recognises each utterance, (draw, seed, utterance), speaker by speaker."""
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
    for sign in (0.5, -0.5):
        latent = (common + np.float32(sign) * gap).reshape(BLOCK, r, s * c)[:, :, owner]
        yield latent + shared + normal(ARM_SD, 1, total) + normal(RUN_SD, r, total) > 0


# --- traces --------------------------------------------------------------------------------


def _trace_table(setting: Setting, rng: np.random.Generator, metric: str) -> Floats:
    """Differences of two arms, (draw, speaker, seed), of one design."""
    lengths = np.maximum(FRAMES * np.exp(0.35 * rng.standard_normal(setting.speakers)), 20)
    owner = np.repeat(np.arange(setting.speakers), lengths.astype(np.int64))
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    sets = np.concatenate([np.ones((1, len(starts))), 1.0 - np.eye(len(starts))])
    difference = np.zeros((len(starts), setting.seeds, BLOCK * DIMENSIONS))
    for sign, seed, y, x in _runs(setting, owner, rng):
        table = BY_MOMENTS[metric](moments(y, x, starts).joined(sets))
        difference[:, seed] += sign * jackknife(table[0], table[1:])
    by_draw = difference.reshape(*difference.shape[:2], BLOCK, DIMENSIONS).mean(axis=-1)
    return by_draw.transpose(2, 0, 1)


def _runs(
    setting: Setting, owner: Counts, rng: np.random.Generator
) -> Iterator[tuple[float, int, Floats, Floats]]:
    """Sign of the arm, seed, traces and predictions (frame, draw x dimension) of every run."""
    s, r, columns = setting.speakers, setting.seeds, BLOCK * DIMENSIONS

    def normal(sd: float, *shape: int) -> Floats:
        return sd * rng.standard_normal((*shape, columns))

    def apart() -> Floats:
        return normal(setting.speaker_sd, s, 1) + normal(setting.interaction_sd, s, r)

    y = normal(LEVEL_SD, s)[owner] + _moving(1.0, owner, columns, rng)
    gain, offset = normal(COMMON_GAIN_SD, s, 1) + GAIN, normal(COMMON_OFFSET_SD, s, 1)
    gains = apart() + normal(setting.seed_sd, 1, r) + setting.difference
    offsets = apart()
    common = _moving(COMMON_ERROR_SD, owner, columns, rng)
    for sign in (1.0, -1.0):
        error = common + _moving(ARM_ERROR_SD, owner, columns, rng)
        for seed in range(r):
            own = error + _moving(RUN_ERROR_SD, owner, columns, rng)
            slope = (gain + sign / 2 * gains)[:, seed][owner]
            yield sign, seed, y, slope * y + (offset + sign / 2 * offsets)[:, seed][owner] + own


def _moving(sd: float, owner: Counts, columns: int, rng: np.random.Generator) -> Floats:
    """Autocorrelated values of that sd (frame, column), each speaker's on their own."""
    lengths = np.bincount(owner)
    noise = rng.standard_normal((len(lengths), int(lengths.max()), columns))
    noise[:, 1:] *= np.sqrt(1 - MEMORY**2)
    whole = sd * signal.lfilter([1.0], [1.0, -MEMORY], noise, axis=1)
    kept: Floats = whole[np.arange(whole.shape[1]) < lengths[:, None]]
    return kept


def _trace_truth(setting: Setting, metric: str) -> float:
    """The difference of the metric of endlessly many speakers, its mean over seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    values = [weights @ _of_many(setting, metric, sign, nodes) for sign in (0.5, -0.5)]
    return float((values[0] - values[1]) / weights.sum())


def _of_many(setting: Setting, metric: str, sign: float, seeds: Floats) -> Floats:
    """An arm's metric of endlessly many speakers, at some sds of the seed's effect."""
    own = (setting.speaker_sd**2 + setting.interaction_sd**2) / 4
    errors = COMMON_ERROR_SD**2 + ARM_ERROR_SD**2 + RUN_ERROR_SD**2
    yy = np.full(len(seeds), 1 + LEVEL_SD**2)
    gain = GAIN + sign * (setting.difference + setting.seed_sd * seeds)
    xx = (gain**2 + COMMON_GAIN_SD**2 + own) * yy + COMMON_OFFSET_SD**2 + own + errors
    yx, zero, one = gain * yy, np.zeros(len(seeds)), np.ones(len(seeds))
    held = Moments(
        n=one, y=zero, x=zero, yy=yy, xx=xx, yx=yx, errors=yy + xx - 2 * yx,
        y_range=(-one, one), x_range=(-one, one),
    )  # fmt: skip
    return BY_MOMENTS[metric](held)


def _row(setting: Setting, args: argparse.Namespace) -> str:
    speakers, seeds, interaction = setting.speakers, setting.seeds, setting.interaction_sd
    found = []
    for difference in (0.0, 0.3):
        real = replace(setting, difference=difference)
        rng = np.random.default_rng(
            [args.seed, speakers, seeds, bool(interaction), int(difference > 0)]
        )
        values = tables(real, rng, args.metric, args.draws)
        found.append(rates(values, truth(real, args.metric)))
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
    parser.add_argument("--metric", choices=("ua", "wa", *BY_MOMENTS), default="ua")
    parser.add_argument("--speakers", type=int, nargs="+", default=(4, 10, 24))
    parser.add_argument("--seeds", type=int, nargs="+", default=(3, 5, 10))
    parser.add_argument("--interactions", type=float, nargs="+", default=(0.0, 0.3))
    names = ("speaker_sd", "seed_sd", "utterances", "skew")
    for name in names:
        kept = getattr(Setting, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(kept), default=kept)
    args = parser.parse_args()
    others = {name: getattr(args, name) for name in names}
    start = time.process_time()
    print(
        "| speakers | seeds | interaction | p < 0.05 without a difference | 90 % interval covers 0 "
        "| 90 % interval covers a difference | median df | power at it |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for interaction in args.interactions:
        for speakers in args.speakers:
            for seeds in args.seeds:
                setting = Setting(
                    speakers=speakers, seeds=seeds, interaction_sd=interaction, **others
                )
                print(_row(setting, args), flush=True)
    print(f"\n{args.draws} draws a row, {args.metric}, {time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
