"""Groups of speakers whose results are compared: by what the corpus tells, and by pitch.

The pitch is a speaker's, as in the published suite (Derington et al., arXiv 2312.06270, and
audeering/ser-tests): the mean over the voiced frames of an utterance, utterances below 50 or
above 350 Hz left out as errors of measurement, then the mean over the speaker's utterances. (An
utterance's own pitch would rather tell its emotion.) The suite has fixed bands, up to 145 and up
to 190 Hz; here the tested speakers are cut into thirds, so that no group is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from serlab.bench.cache import Cache
from serlab.bench.contracts import FeatureSpec, Groups, Utterance
from serlab.bench.errors import SerlabError
from serlab.bench.features.extraction import extract

PITCH = "pitch"
TERCILES = ("low", "middle", "high")
PITCH_SPEC = FeatureSpec(name="mean_pitch")
DEFAULT = ("sex",)
"""Where no group is asked for and the corpus tells it."""

ABOUT = {
    PITCH: "thirds of the tested speakers by mean pitch; utterances outside 50-350 Hz left out"
}
"""What groups are that no corpus tells of itself."""

_LOWEST_HZ, _HIGHEST_HZ = 50.0, 350.0


def known_groups(utterances: Iterable[Utterance]) -> tuple[str, ...]:
    """The names of the groups that some of the utterances have."""
    found = set()
    for u in utterances:
        found |= {name for name, value in u.facts.items() if value}
        if u.audio is not None:
            found.add(PITCH)
    return tuple(sorted(found - {"id", "speaker"}))


def groups_of(
    utterances: Sequence[Utterance],
    names: Sequence[str],
    *,
    cache: Cache | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Groups:
    """What group every utterance is in; an empty text where nobody knows.

    Args:
        utterances: the tested ones.
        names: groups that some of them have.
        cache: where mean pitches are looked for and kept.
        workers: processes that may compute pitch.
        progress: told after every utterance whose pitch is known.

    Raises:
        SerlabError: audio is broken, or fewer than three speakers have a pitch.
    """
    values = {}
    for name in names:
        told = tuple(u.facts.get(name, "") for u in utterances)
        if name == PITCH:
            heard = [u for u in utterances if u.audio is not None]
            found = extract(PITCH_SPEC, heard, cache=cache, workers=workers, progress=progress)
            told = terciles(utterances, {i: float(x[0, 0]) for i, x in found.items()})
        values[name] = told
    return Groups(
        ids=tuple(u.id for u in utterances),
        speakers=tuple(u.speaker for u in utterances),
        values=values,
    )


def terciles(utterances: Sequence[Utterance], hertz: Mapping[str, float]) -> tuple[str, ...]:
    """Every utterance's third by its speaker's mean pitch; empty where the speaker has none.

    Args:
        utterances: of at least three speakers who have a pitch.
        hertz: mean pitch by utterance id, 0 where nothing is voiced.

    Raises:
        SerlabError: fewer than three speakers have a pitch.
    """
    held: dict[str, list[float]] = {}
    for u in utterances:
        if _LOWEST_HZ <= hertz.get(u.id, 0.0) <= _HIGHEST_HZ:
            held.setdefault(u.speaker, []).append(hertz[u.id])
    means = {speaker: float(np.mean(found)) for speaker, found in held.items()}
    if len(means) < len(TERCILES):
        raise SerlabError(
            f"groups: {PITCH}: thirds of speakers need three with voiced speech, and "
            f"{len(means)} of the tested ones have some"
        )
    ranked = sorted(means, key=lambda speaker: (means[speaker], speaker))
    third = {s: TERCILES[3 * place // len(ranked)] for place, s in enumerate(ranked)}
    return tuple(third.get(u.speaker, "") for u in utterances)
