"""What a feature is, and how one is made from its spec.

The files beside this one hold one family each. A feature is a frozen dataclass of settings under
``@FEATURES.register("name", title=..., source=...)``, a subclass of `Extractor`; its version
number rises whenever its values change. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

import numpy as np

from serlab.bench.audio import resample
from serlab.bench.cache import samples_hash
from serlab.bench.contracts import (
    Audio,
    FeatureSpec,
    FloatArray,
    Scalar,
    Utterance,
    digest,
    setting,
)
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.identity import file_hash
from serlab.bench.registry import Registry

FEATURES = Registry("feature", "serlab.bench.features")

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Extractor(ABC):
    """The settings of a feature, checked, and its arithmetic."""

    version: ClassVar[int] = 1
    """Part of the cache's key; raised when the same settings give other values than before."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "soxr")
    """Distributions whose version may change the values; part of the cache's key."""
    unscaled: ClassVar[bool] = False
    """Whether the values reach a system as they are, under every normalisation of a protocol."""
    in_this_process: ClassVar[bool] = False
    """Whether to compute in the asking process alone, since copies of what it holds cost much."""

    rate_hz: int = setting(16000, "sampling rate that the audio is brought to", low=1000)

    @property
    @abstractmethod
    def frame_rate_hz(self) -> float:
        """Frames per second; 0 for one vector an utterance."""

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Values of a frame."""

    @abstractmethod
    def values(self, samples: FloatArray) -> FloatArray:
        """The feature (frame, value) of finite samples (sample,) at ``rate_hz``, at least one.

        Audio shorter than a frame is padded with zeros to one frame.
        """

    def files(self) -> tuple[str, ...]:
        """Paths of the files, such as weights, that the values depend on."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """The settings of a feature that is not of the audio, but of words, faces or a table."""

    version: ClassVar[int] = 1
    """As `Extractor.version`."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    unscaled: ClassVar[bool] = False
    """As `Extractor.unscaled`."""
    in_this_process: ClassVar[bool] = False
    """As `Extractor.in_this_process`."""
    may_be_missing: ClassVar[bool] = False
    """Whether single utterances may lack it: they have no frame then, and a mask that says so."""

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second; 0, unless overridden, for frames that are never cut."""
        return 0.0

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Values of a frame."""

    def expect(self, utterances: Sequence[Utterance]) -> None:
        """Is told whose values are asked for next: a large file is then read once for all."""
        return

    def remark(self, utterances: Sequence[Utterance]) -> str:
        """What a reader of the results must be told of the values; empty if nothing."""
        return ""

    @abstractmethod
    def lacks(self, utterance: Utterance) -> str:
        """What the utterance lacks for this feature, such as "words"; empty if nothing."""

    def files(self) -> tuple[str, ...]:
        """Paths of the files beside the corpus that the values depend on."""
        return ()

    @abstractmethod
    def identity(self, utterance: Utterance) -> str:
        """Hash of all of the utterance that the values depend on."""

    @abstractmethod
    def read(self, utterance: Utterance) -> FloatArray:
        """The feature (frame, value) of an utterance that lacks nothing."""


class Feature:
    """A feature ready to be computed; `feature` makes one.

    Args:
        name: its registered name.
        extractor: its settings and arithmetic.
    """

    def __init__(self, name: str, extractor: Extractor | Reader) -> None:
        self.extractor = extractor
        self.spec = FeatureSpec(name=name, settings=dataclasses.asdict(extractor))
        self.rate_hz = extractor.frame_rate_hz
        self.n_values = extractor.n_values

    def lacking(self, utterances: Iterable[Utterance]) -> str:
        """Why a corpus cannot have this feature; empty if it can.

        The first utterance that lacks what it is made from; where single ones may, all must.
        """
        reader, asked = self.extractor, list(utterances)
        if isinstance(reader, Extractor):
            mute = next((u.id for u in asked if u.audio is None), "")
            return f"the input {self.spec.name} needs audio, and {mute} has none" if mute else ""
        reader.expect(asked)
        missing = [u for u in asked if reader.lacks(u)]
        if not missing or (reader.may_be_missing and len(missing) < len(asked)):
            return ""
        first = missing[0]
        return f"the input {self.spec.name} needs {reader.lacks(first)}, and {first.id} has none"

    def expect(self, utterances: Sequence[Utterance]) -> None:
        """As `Reader.expect`."""
        if isinstance(self.extractor, Reader):
            self.extractor.expect(utterances)

    def remark(self, utterances: Sequence[Utterance]) -> str:
        """As `Reader.remark`."""
        return self.extractor.remark(utterances) if isinstance(self.extractor, Reader) else ""

    def of(self, utterance: Utterance) -> FloatArray:
        """The values of an utterance, shape (frame, value), float32, finite.

        Raises:
            SerlabError: its audio or what else the feature is made of is missing or broken.
        """
        reader = self.extractor
        if isinstance(reader, Extractor):
            return self.compute(utterance.heard().read())
        if reader.lacks(utterance):
            if not reader.may_be_missing:
                raise SerlabError(self.lacking([utterance]))
            return np.zeros((0, self.n_values), np.float32)
        values = np.ascontiguousarray(reader.read(utterance), dtype=np.float32)
        least = 0 if reader.may_be_missing else 1
        wrong = self.n_values and values.shape[-1] != self.n_values
        if values.ndim != 2 or len(values) < least or wrong:
            expected = f"shape (frame, {self.n_values}), at least {least} frames"
            raise BadValue(f"{utterance.id}: {self.spec.name}", f"shape {values.shape}", expected)
        if not all_finite(values):
            raise BadValue(f"{utterance.id}: {self.spec.name}", "NaN or infinite", "finite values")
        return values

    def compute(self, audio: Audio) -> FloatArray:
        """The values, shape (frame, value), float32, finite, at least one frame.

        Audio shorter than one frame is padded with zeros to one. Nothing but the audio and the
        settings matters: neither what was computed before, nor any global seed.

        Raises:
            BadValue: there is no sample, or one is NaN or infinite.
            SerlabError: the feature has no finite value for this audio.
        """
        assert isinstance(self.extractor, Extractor)
        if not len(audio.samples):
            raise BadValue("audio", "no samples", "at least one")
        if not all_finite(audio.samples):
            n_bad = int((~np.isfinite(audio.samples)).sum())
            raise BadValue("audio", f"{n_bad} NaN or infinite samples", "finite samples")
        samples = resample(audio, self.extractor.rate_hz).samples
        if not len(samples):  # less than half a sample at the new rate
            samples = np.zeros(1, np.float32)
        values = np.ascontiguousarray(self.extractor.values(samples), dtype=np.float32)
        assert values.ndim == 2
        assert values.shape[1] == self.n_values
        if not all_finite(values):
            raise SerlabError(f"feature {self.spec.name}: its values are not finite")
        return values

    def key(self, content: str) -> str:
        """The cache's key of these values for the audio with that `samples_hash`.

        Where the feature is not of the audio, ``content`` is the reader's own `identity`.
        """
        return digest({**self._identity, "audio": content})

    def files(self) -> tuple[str, ...]:
        """Hashes of the files beside the corpus that the values depend on."""
        return tuple(file_hash(Path(name)) for name in self.extractor.files())

    def key_of(self, audio: Audio) -> str:
        """The cache's key of these values for an audio."""
        return self.key(samples_hash(audio))

    @cached_property
    def _identity(self) -> Mapping[str, object]:
        """Everything besides the audio that the values depend on."""
        return {
            "feature": self.spec.name,
            "settings": self.spec.settings,
            "files": self.files(),
            "version": self.extractor.version,
            "libraries": {name: _installed(name) for name in self.extractor.libraries},
        }


def feature(spec: FeatureSpec) -> Feature:
    """The feature of a spec, with the settings it leaves out at their defaults.

    Raises:
        UnknownName: there is no such feature, or it has no such setting.
        BadValue: a setting has a wrong type or is out of its range, or two contradict.
    """
    extractor: type[Extractor | Reader] = FEATURES.load(spec.name)
    return Feature(spec.name, checked(extractor, spec.settings, where=f"feature {spec.name}"))


def checked(record: type[S], given: Mapping[str, Scalar], *, where: str) -> S:
    """A record of settings (fields made with `contracts.setting`) from what differs.

    Raises:
        UnknownName: a name is no field.
        BadValue: a value has another type than its field or is out of its range.
    """
    types = get_type_hints(record)
    fields: Sequence[Any] = dataclasses.fields(record)  # type: ignore[arg-type]
    known = {f.name: f.metadata for f in fields}
    values: dict[str, Any] = {}  # of the fields' own types
    for name, value in given.items():
        if name not in known:
            raise UnknownName("setting", name, known, where=where)
        values[name] = _fitting(f"{where}: {name}", value, types[name], known[name])
    return record(**values)


def _fitting(key: str, value: Scalar, kind: type, facts: Mapping[str, Any]) -> Scalar:
    low, high, choices = facts.get("low"), facts.get("high"), facts.get("choices")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadValue(key, value, _ARTICLE[kind])
    if choices and value not in choices:
        raise BadValue(key, value, "one of " + ", ".join(map(str, choices)))
    if isinstance(value, int | float) and kind is not bool:
        if not math.isfinite(value):
            raise BadValue(key, value, "a finite number")
        if low is not None and value < low:
            raise BadValue(key, value, f"{_ARTICLE[kind]} of at least {low}")
        if high is not None and value > high:
            raise BadValue(key, value, f"{_ARTICLE[kind]} of at most {high}")
    return value


def all_finite(values: FloatArray) -> bool:
    """Whether no value is NaN or infinite: NaN is the least and the greatest of all."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def check_frame(window_s: float, hop_s: float, rate_hz: int, n_fft: int) -> None:
    """Raises BadValue unless the frame fits the transform and has samples to hold."""
    length = round(window_s * rate_hz)
    if n_fft < length:
        wanted = f"at least the window's {length} samples ({window_s:g} s at {rate_hz} Hz)"
        raise BadValue("n_fft", n_fft, wanted)
    if length < 2 or round(hop_s * rate_hz) < 1:
        raise BadValue("window_s, hop_s", (window_s, hop_s), "two samples, and one, at least")


_ARTICLE: Mapping[type, str] = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
