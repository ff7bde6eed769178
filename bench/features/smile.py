"""The field's standard sets by openSMILE, an optional part with a research-only licence."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from serlab.bench.contracts import FloatArray, setting
from serlab.bench.errors import MissingExtra, SerlabError
from serlab.bench.features.base import FEATURES, Extractor

_LEAST_S = 0.1
"""Zeros complete shorter audio: openSMILE's longest frame has 60 ms."""

LEVELS = {"functionals": "Functionals", "lld": "LowLevelDescriptors"}
"""By openSMILE's own names."""

_one_at_a_time = threading.Lock()


class MissingOpensmile(MissingExtra):
    """The package opensmile is not installed."""

    def __init__(self) -> None:
        SerlabError.__init__(
            self,
            "eGeMAPS and ComParE need openSMILE, which is optional since its licence is for "
            "research only: pip install 'serlab[opensmile]'",
        )


@dataclass(frozen=True, kw_only=True)
class _Smile(Extractor):
    """A feature set of openSMILE: functionals, or low-level descriptors every 10 ms."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opensmile", "soxr")
    feature_set: ClassVar[str]
    widths: ClassVar[Mapping[str, int]]

    level: str = setting("functionals", "a vector, or frames", choices=tuple(LEVELS))

    def __post_init__(self) -> None:
        """Looks for the package, without importing it, so that a plan fails before it runs."""
        if importlib.util.find_spec("opensmile") is None:
            raise MissingOpensmile

    @property
    def frame_rate_hz(self) -> float:
        """100 descriptors a second; 0 for functionals: one vector an utterance."""
        return 0.0 if self.level == "functionals" else 100.0

    @property
    def n_values(self) -> int:
        """Functionals or descriptors of the set."""
        return self.widths[self.level]

    def values(self, samples: FloatArray) -> FloatArray:
        """The functionals, shape (1, value), or descriptors (frame, value), in openSMILE's order.

        openSMILE is not thread-safe: threads wait for each other, processes do not.
        """
        missing = max(0, round(_LEAST_S * self.rate_hz) - len(samples))
        with _one_at_a_time:
            found = _smile(self.feature_set, LEVELS[self.level]).process_signal(
                np.pad(samples, (0, missing)), self.rate_hz
            )
        values: FloatArray = found.to_numpy(np.float32)
        return values


@FEATURES.register(
    "egemaps",
    title="eGeMAPSv02",
    source="Eyben et al., IEEE TAC 7(2), 2016; openSMILE (research-only licence)",
    dimension="(1, 88) or (frame, 25)",
)
@dataclass(frozen=True, kw_only=True)
class Egemaps(_Smile):
    """The extended Geneva minimalistic acoustic parameter set, 88 values, or 25 a frame."""

    feature_set: ClassVar[str] = "eGeMAPSv02"
    widths: ClassVar[Mapping[str, int]] = {"functionals": 88, "lld": 25}


@FEATURES.register(
    "compare2016",
    title="ComParE 2016",
    source="Schuller et al., Interspeech 2016; openSMILE (research-only licence)",
    dimension="(1, 6373) or (frame, 65)",
)
@dataclass(frozen=True, kw_only=True)
class Compare2016(_Smile):
    """The set of the Computational Paralinguistics Challenge of 2016: 6,373, or 65 a frame."""

    feature_set: ClassVar[str] = "ComParE_2016"
    widths: ClassVar[Mapping[str, int]] = {"functionals": 6373, "lld": 65}


@lru_cache(maxsize=4)
def _smile(feature_set: str, level: str) -> Any:  # opensmile is optional, hence untyped here
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set],
        feature_level=opensmile.FeatureLevel[level],
    )
