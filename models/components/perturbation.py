"""Perturbation: what is done to the waveform of training utterances and to nothing else.

Four copies of each are made, so that an epoch shows the original of every fifth utterance. Their
features take four times the space of the originals' on disk.
"""

from __future__ import annotations

from serlab.bench.contracts import Perturbation
from serlab.models.variant import OPTIONS

COPIES = 4
SNR_DB = (10.0, 30.0)
FACTORS = (0.9, 1.1)


@OPTIONS.register("perturbation.none", source="Li et al., Interspeech 2018", tag="I")
def none() -> Perturbation:
    """Nothing."""
    return Perturbation()


@OPTIONS.register("perturbation.noise", source="ours, after Wei et al.'s 15 to 30 dB", tag="I")
def noise() -> Perturbation:
    """White or pink noise, 10 to 30 dB below the speech."""
    return Perturbation(copies=COPIES, snr_db=SNR_DB)


@OPTIONS.register("perturbation.vtlp", source="Jaitly and Hinton, ICML workshop 2013", tag="A")
def vtlp() -> Perturbation:
    """Another vocal tract: the frequency axis times 0.9 to 1.1 up to 4.8 kHz."""
    return Perturbation(copies=COPIES, warp=FACTORS)


@OPTIONS.register("perturbation.speed", source="Ko et al., Interspeech 2015", tag="A")
def speed() -> Perturbation:
    """Speed and pitch times 0.9 to 1.1."""
    return Perturbation(copies=COPIES, speed=FACTORS)


@OPTIONS.register("perturbation.all", source="ours", tag="I")
def every() -> Perturbation:
    """One of noise, vocal tract and speed for each copy, drawn."""
    return Perturbation(copies=COPIES, snr_db=SNR_DB, warp=FACTORS, speed=FACTORS)
