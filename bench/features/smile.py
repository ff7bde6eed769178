"""The field's standard functionals by openSMILE, an optional part with a research-only licence."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.errors import MissingExtra, SerlabError
from serlab.bench.features.base import FEATURES, Extractor

_LEAST_S = 0.1
"""Zeros complete shorter audio: openSMILE's longest frame has 60 ms."""

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
    """A feature set of openSMILE at the level of functionals."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opensmile", "soxr")
    feature_set: ClassVar[str]
    width: ClassVar[int]

    def __post_init__(self) -> None:
        """Looks for the package, without importing it, so that a plan fails before it runs."""
        if importlib.util.find_spec("opensmile") is None:
            raise MissingOpensmile

    @property
    def frame_rate_hz(self) -> float:
        """0: one vector an utterance."""
        return 0.0

    @property
    def n_values(self) -> int:
        """Functionals of the set."""
        return self.width

    def values(self, samples: FloatArray) -> FloatArray:
        """The functionals, shape (1, value), in openSMILE's order.

        openSMILE is not thread-safe: threads wait for each other, processes do not.
        """
        missing = max(0, round(_LEAST_S * self.rate_hz) - len(samples))
        with _one_at_a_time:
            found = _smile(self.feature_set).process_signal(
                np.pad(samples, (0, missing)), self.rate_hz
            )
        row: FloatArray = found.to_numpy(np.float32)
        return row


@FEATURES.register(
    "egemaps",
    title="eGeMAPSv02 functionals",
    source="Eyben et al., IEEE TAC 7(2), 2016; openSMILE (research-only licence)",
    dimension="(1, 88)",
)
@dataclass(frozen=True, kw_only=True)
class Egemaps(_Smile):
    """The extended Geneva minimalistic acoustic parameter set, 88 values."""

    feature_set: ClassVar[str] = "eGeMAPSv02"
    width: ClassVar[int] = 88


@FEATURES.register(
    "compare2016",
    title="ComParE 2016 functionals",
    source="Schuller et al., Interspeech 2016; openSMILE (research-only licence)",
    dimension="(1, 6373)",
)
@dataclass(frozen=True, kw_only=True)
class Compare2016(_Smile):
    """The set of the Computational Paralinguistics Challenge of 2016, 6,373 values."""

    feature_set: ClassVar[str] = "ComParE_2016"
    width: ClassVar[int] = 6373


@lru_cache(maxsize=2)
def _smile(feature_set: str) -> Any:  # opensmile is optional, hence untyped here
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set],
        feature_level=opensmile.FeatureLevel.Functionals,
    )
