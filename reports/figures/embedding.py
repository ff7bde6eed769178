"""A map of the embeddings of a few arms, by emotion and by speaker, with what a line can tell."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Measurement, Part
from serlab.bench.insight import Embeddings
from serlab.bench.probe import emotion_probe, speaker_probe
from serlab.reports.figure import (
    FAINT,
    FIGURES,
    INK,
    MARKERS,
    PALETTE,
    PAPER,
    Absent,
    is_narrow,
    mark,
    new_figure,
)
from serlab.reports.insight import Inside, inside, why_none
from serlab.reports.records import Block
from serlab.reports.words import clean, listed, marks_of, number, short, tagged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_ARMS = 3
MOST_SPEAKERS = 6
"""Training speakers with a colour of their own; the others are grey."""

MOST_EMOTIONS = 8
MOST_POINTS = 120
"""Utterances of each part that are drawn of an arm; of more, every second, third and so on."""

OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class Map:
    """The training and the test utterances of one arm."""

    arm: str
    fold: str
    seed: int
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    emotions: tuple[str, ...]
    tested: npt.NDArray[np.bool_]
    """(utterance,), whether it is of the test part."""
    places: FloatArray
    """(utterance, 2), on the principal components of the training part."""
    shares: tuple[float, float]
    """Of the training part's variance, on each of them."""
    probes: dict[str, Measurement]
    """"speaker_probe", "emotion_probe" and the chance of each."""

    def names(self, key: str, *, tested: bool) -> set[str]:
        """The speakers, or the emotions, of a part."""
        held = self.emotions if key == "emotion" else self.speakers
        return {name for name, t in zip(held, self.tested, strict=True) if t == tested}

    def value(self, name: str) -> float | None:
        """Of a probe."""
        return self.probes[name].value


@dataclass(frozen=True, kw_only=True)
class EmbeddingNumbers:
    """Maps of a few arms; colours mean the same in all of them."""

    marks: tuple[str, ...]
    corpus: str
    maps: tuple[Map, ...]
    emotions: tuple[str, ...]
    """Those with a colour; none where the corpus has no classes."""
    speakers: tuple[str, ...]
    """Training speakers with a colour, those with most utterances."""
    n_speakers: int
    """Of the training part."""
    left_out: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row an arm and utterance."""
        return [
            {
                "arm": one.arm,
                **{name: held.value for name, held in one.probes.items()},
                "utterance": one.ids[i],
                "speaker": one.speakers[i],
                "emotion": one.emotions[i],
                "part": (Part.TEST if one.tested[i] else Part.TRAIN).value,
                "component_1": round(float(one.places[i, 0]), 4),
                "component_2": round(float(one.places[i, 1]), 4),
            }
            for one in self.maps
            for i in range(len(one.ids))
        ]

    def caption(self) -> str:
        """The caption."""
        first = self.maps[0]
        shares = [f"{sum(one.shares):.0%} for {clean(one.arm)}" for one in self.maps]
        rows = "by emotion (top) and by speaker (bottom)" if self.emotions else "by speaker"
        text = (
            f"Embeddings on {clean(self.corpus)} {rows}, of one training each (fold "
            f"{clean(first.fold)}, seed {first.seed}), on the first two principal components of "
            f"its training part (share of variance: {listed(shares)}). Edged: the test part"
            f"{', of speakers that the training has not seen' if self.unseen else ''}. "
            "The evidence is in the numbers above the maps, from all components; the maps "
            "illustrate them and prove nothing. Speaker probe: balanced accuracy at which a "
            "linear probe tells the training speakers. "
        )
        if self.emotions:
            text += (
                "Emotion probe: UA on the test part of one that has learnt the emotions of the "
                "training part. "
            )
        text += "In brackets: chance."
        for one, key in itertools.product(self.maps, self.keys):
            if one.value(f"{key}_probe") is None:
                reason = one.probes[f"{key}_probe"].reason
                text += f" No {key} probe for {clean(one.arm)}: {reason}."
        if self.n_speakers > len(self.speakers):
            text += (
                f" Of {self.n_speakers} training speakers, the {len(self.speakers)} with most "
                "utterances have colours."
            )
        thinned = max(self.drawn(one, tested=t)[1] for one in self.maps for t in (False, True))
        if thinned > 1:
            text += f" At most {MOST_POINTS} utterances of a part are drawn."
        return text + (f" Not shown: {listed(self.left_out)}." if self.left_out else "")

    @property
    def keys(self) -> tuple[str, ...]:
        """What the maps are coloured by, a row each."""
        return ("emotion", "speaker") if self.emotions else ("speaker",)

    @property
    def unseen(self) -> bool:
        """Whether no test speaker is in the training part."""
        return not any(
            one.names("speaker", tested=True) & one.names("speaker", tested=False)
            for one in self.maps
        )

    def drawn(self, one: Map, *, tested: bool) -> tuple[list[int], int]:
        """Which utterances of a part are drawn, and of how many each is one."""
        found = np.flatnonzero(one.tested == tested)
        step = max(1, -(-len(found) // MOST_POINTS))
        return found[::step].tolist(), step

    def alt(self) -> str:
        """Both probes of every arm in words."""
        told = [
            f"{clean(one.arm)} {' and '.join(_told(one, key, words=True) for key in self.keys)}"
            for one in self.maps
        ]
        return f"Embeddings: {'; '.join(told)}."


@FIGURES.register("embedding", order=7)
class Embedding:
    """Whether emotions or speakers lie apart in what a network makes of an utterance."""

    def info(self, block: Block) -> EmbeddingNumbers | Absent:
        """The base and the next arms of the study."""
        found = []
        for one in inside(block, "embeddings"):
            found.append(one)
            if len(found) == MOST_ARMS:
                break
        if not found:
            return why_none(block, "embeddings")
        return _numbers(block, found)

    def draw(self, numbers: EmbeddingNumbers, width_in: float) -> Figure:
        """A column an arm; a row for emotions where there are some, and one for speakers."""
        n, wide, keys = len(numbers.maps), not is_narrow(width_in), numbers.keys
        beside_in = 1.6 if wide else 0.5
        each_in = min((width_in - beside_in) / n, 2.2)
        lines = [0 if wide else -(-(len(_kinds(numbers, key)) + 2) // 4) for key in keys]
        heights = [each_in + 0.2 + 0.15 * n for n in (lines[0] + 1, *lines[1:])]
        width_in = max(beside_in + n * each_in, min(width_in, 4.4))
        figure = new_figure(width_in, 0.4 + sum(heights) + 0.16 * bool(numbers.marks))
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
        mark(figure, numbers.marks, f"Embeddings, {short(numbers.corpus, 24)}")
        rows = figure.subfigures(len(keys), 1, squeeze=False, height_ratios=heights)[:, 0]
        for row, key in zip(rows, keys, strict=True):
            panels = row.subplots(1, n, squeeze=False)[0]
            for axes, one in zip(panels, numbers.maps, strict=True):
                _scatter(axes, one, numbers, key)
                name = short(one.arm, int(each_in * 19)) if key == keys[0] else ""
                told = f"{name}\n{_told(one, key, words=wide)}".strip()
                axes.set_title(told, fontsize=6.5, fontweight="normal", pad=3)
            _legend(row, numbers, key, wide=wide)
        return figure


# --- numbers ---------------------------------------------------------------------------------


def _numbers(block: Block, found: Sequence[Inside]) -> EmbeddingNumbers:
    maps = tuple(_map(one) for one in found)
    shown = {one.arm.name for one in found}
    held = Counter(s for s, t in zip(maps[0].speakers, maps[0].tested, strict=True) if not t)
    largest = sorted(held, key=lambda name: (-held[name], name))[:MOST_SPEAKERS]
    emotions = Counter(e for one in maps for e in one.emotions if e)
    known = [e for e in block.corpus.labels if e in emotions]
    return EmbeddingNumbers(
        marks=marks_of(block, [one.arm for one in found]),
        corpus=block.corpus.name,
        maps=maps,
        emotions=tuple(known[:MOST_EMOTIONS]),
        speakers=tuple(sorted(largest)),
        n_speakers=len(held),
        left_out=tuple(tagged(arm) for arm in block.arms if arm.name not in shown),
    )


def _map(one: Inside) -> Map:
    held = one.held.embeddings
    assert held is not None
    parts = np.array(held.parts)
    train, test = (np.flatnonzero(parts == p.value) for p in (Part.TRAIN, Part.TEST))
    rows = np.concatenate([train, test])
    places, shares = _projected(held.values[train], held.values[rows])
    return Map(
        arm=tagged(one.arm),
        fold=one.kept.fold,
        seed=one.kept.seed,
        ids=tuple(held.ids[i] for i in rows),
        speakers=tuple(held.speakers[i] for i in rows),
        emotions=tuple(held.emotions[i] for i in rows),
        tested=np.isin(rows, test),
        places=places,
        shares=shares,
        probes=_probes(held, train, test),
    )


def _probes(
    held: Embeddings, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]
) -> dict[str, Measurement]:
    classed = [[i for i in part if held.emotions[i]] for part in (train, test)]
    learnt, judged = (held.values[rows] for rows in classed)
    names, truth = ([held.emotions[i] for i in rows] for rows in classed)
    speakers = [held.speakers[i] for i in train]
    return {
        **speaker_probe(held.values[train], speakers),
        **emotion_probe(learnt, names, judged, truth),
    }


def _projected(by: FloatArray, values: FloatArray) -> tuple[FloatArray, tuple[float, float]]:
    """Places on the first two principal components of ``by``, and their shares of its variance.

    Of each component the direction is taken in which its largest entry is positive.
    """
    centre = by.mean(axis=0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(by.astype(np.float64) - centre, full_matrices=False)
    axes, sizes = axes[:2], sizes**2
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
    places = (values - centre) @ axes.T
    missing = 2 - len(axes)
    shares = [*(sizes[:2] / (sizes.sum() or 1.0)).tolist(), *[0.0] * missing]
    return np.pad(places, ((0, 0), (0, missing))), (shares[0], shares[1])


# --- drawing ---------------------------------------------------------------------------------


def _told(one: Map, key: str, *, words: bool) -> str:
    """A probe with its chance."""
    value, chance = (number(one.value(f"{key}_probe{end}"), 2) for end in ("", "_chance"))
    if one.value(f"{key}_probe") is None:
        return f"{key} probe –" if words else f"{key} –"
    return f"{key} probe {value} (chance {chance})" if words else f"{key} {value} ({chance})"


def _kinds(numbers: EmbeddingNumbers, key: str) -> dict[str, tuple[str, str]]:
    """Colour and marker by emotion, or by speaker."""
    names = numbers.emotions if key == "emotion" else numbers.speakers
    colours = (*PALETTE, INK)
    return {
        name: (colours[i % len(colours)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)
    }


def _scatter(axes: Axes, one: Map, numbers: EmbeddingNumbers, key: str) -> None:
    """The utterances of an arm, those of the test part last and edged."""
    kinds = _kinds(numbers, key)
    names = one.emotions if key == "emotion" else one.speakers
    for tested in (False, True):
        rows = numbers.drawn(one, tested=tested)[0]
        for name, looks in {OTHERS: _UNSEEN if tested else _OTHER, **kinds}.items():
            mine = [i for i in rows if (names[i] if names[i] in kinds else OTHERS) == name]
            if mine:
                axes.plot(*one.places[mine].T, **_looks(*looks, tested=tested))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(FAINT)
    axes.margins(0.06)
    axes.set_box_aspect(1)


_OTHER, _UNSEEN = ("#aaaaaa", "."), (PAPER, "o")
"""Colour and marker of what has none of its own, in training and in the test part."""


def _looks(colour: str, shape: str, *, tested: bool) -> dict[str, Any]:  # of a line
    plain = {"linestyle": "", "marker": shape, "color": colour}
    if tested:
        return {**plain, "markersize": 3.4, "markeredgecolor": INK, "markeredgewidth": 0.6}
    return {**plain, "markersize": 2.6, "markeredgewidth": 0, "alpha": 0.6}


def _legend(row: SubFigure, numbers: EmbeddingNumbers, key: str, *, wide: bool) -> None:
    """Beside the maps, or below where there is no room."""
    from matplotlib.lines import Line2D

    looks = {n: _looks(*k, tested=False) for n, k in _kinds(numbers, key).items()}
    if any(one.names(key, tested=False) - set(looks) for one in numbers.maps):
        looks[OTHERS] = _looks(*_OTHER, tested=False)
    looks["test (edged)"] = _looks(*_UNSEEN, tested=True)
    row.legend(
        [Line2D([], [], **{**k, "markersize": 4, "alpha": 1}) for k in looks.values()],
        [short(name, 14) for name in looks],
        loc="outside right upper" if wide else "outside lower left",
        ncols=1 if wide else 4, title=key if wide else None, alignment="left",
        fontsize=6.5, title_fontsize=7, handletextpad=0.1, columnspacing=0.6, borderaxespad=0.2,
    )  # fmt: skip
