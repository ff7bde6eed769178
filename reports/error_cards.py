"""The error browser: the base's worst utterances of a corpus as cards of the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from serlab.bench.contracts import Audio, FloatArray, Utterance
from serlab.bench.errors import SerlabError
from serlab.reports.errors import (
    ClassError,
    TraceError,
    missed,
    n_also,
    worst_classes,
    worst_traces,
)
from serlab.reports.inline import two_curves
from serlab.reports.recordings import Listening, Recordings, flac_uri
from serlab.reports.records import Block, Pooled
from serlab.reports.spectrogram import RECIPE, spectrogram
from serlab.reports.words import clean, label, number, plural

N_CARDS = 12
MOST_BARS = 8
"""Classes whose probabilities a card shows; of more the likeliest and the true one."""
MOST_GROUPS = 6
MOST_AUDIO_BYTES = 20_000_000
"""Of all recordings in one page, as it holds them; each corpus has an equal share."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The probability of one class."""

    label: str
    share: float
    kind: str
    """"true", "taken" (what it is taken for) or empty."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One dimension of the traces of an utterance."""

    label: str
    rmse: float
    picture: Markup


@dataclass(frozen=True, kw_only=True)
class Card:
    """One utterance that the base errs on."""

    id: str
    speaker: str
    told: str
    """What it is and what it is taken for, or how far the traces are off."""
    more: str
    """In how many seeds, or of how many frames."""
    also: str
    """How many of the other arms err on it."""
    error: ClassError | TraceError
    n_also: int
    bars: tuple[Bar, ...] = ()
    traces: tuple[Trace, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    picture: str = ""
    """Address that holds the spectrogram."""
    alt: str = ""
    heard: str = ""
    """Length and rate of the recording."""
    sound: str = ""
    """Address that holds the recording; empty where it was not asked for."""
    absent: str = ""
    """Why there is no picture, where those of others are there."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """The error browser of one corpus."""

    summary: str
    cards: tuple[Card, ...] = ()
    n_others: int = 0
    recipe: str = ""
    reason: str = ""
    """Why there are no spectrograms."""
    note: str = ""
    sound: str = ""
    """What is said of the recordings in the page; empty where there are none."""
    too_large: tuple[str, ...] = ()
    """Utterances whose recordings did not fit into the page."""
    file: str = ""
    """The whole list, in the folder of tables."""


def errors_of(block: Block, listening: Listening, most_bytes: int) -> Errors:
    """The error browser of a block; no more than so many bytes of sound go into it."""
    base = block.base
    if base is None or base.pooled is None:
        return Errors(summary="There is no base with a whole seed whose errors could be shown.")
    cards, n_others = _cards(block, base.pooled)
    found = Errors(summary=_summary(block, base.pooled, len(cards)), cards=cards, n_others=n_others)
    return _seen(found, block, listening, most_bytes) if cards else found


def _cards(block: Block, held: Pooled) -> tuple[tuple[Card, ...], int]:
    counts, n_others = n_also(block)
    ids = {name: i for i, name in enumerate(dict.fromkeys(sorted(held.ids)))}
    n = {name: int(counts[place]) if n_others else 0 for name, place in ids.items()}
    if block.corpus.target == "emotion":
        return tuple(
            _class_card(one, block.corpus.labels, n[one.id], n_others)
            for one in worst_classes(held, block.corpus.labels, N_CARDS)
        ), n_others
    worst, span = worst_traces(held, N_CARDS), _span(held)
    return tuple(
        _trace_card(one, block.corpus.labels, span, n[one.id], n_others) for one in worst
    ), n_others


def _class_card(one: ClassError, labels: Sequence[str], n_also: int, n_others: int) -> Card:
    return Card(
        id=one.id,
        speaker=one.speaker,
        told=f"{label(one.truth)}, taken for {label(one.said)}",
        more=f"wrong in {one.n_seeds_wrong} of {plural(one.n_seeds, 'seed')}",
        also=_also(n_also, n_others, "misses it", "miss it"),
        error=one,
        n_also=n_also,
        bars=_bars(one, labels),
    )


def _trace_card(
    one: TraceError, labels: Sequence[str], span: FloatArray, n_also: int, n_others: int
) -> Card:
    traces = tuple(
        Trace(
            label=name,
            rmse=one.by_dimension[i],
            picture=two_curves(one.truth[:, i], one.said[:, i], *map(float, span[:, i])),
        )
        for i, name in enumerate(labels)
    )
    has = "has it among its worst tenth", "have it among their worst tenth"
    return Card(
        id=one.id,
        speaker=one.speaker,
        told=f"RMSE {number(one.rmse)}",
        more=f"CCC within it {number(one.ccc)}, {plural(one.n_frames, 'frame')}",
        also=_also(n_also, n_others, *has),
        error=one,
        n_also=n_also,
        traces=traces,
    )


def _also(n: int, of: int, one: str, several: str) -> str:
    if not of:
        return ""
    if n in (0, of):
        return f"{'no' if n == 0 else 'every'} other arm {one}"
    return f"{n} of {of} other arms {one if n == 1 else several}"


def _bars(one: ClassError, labels: Sequence[str]) -> tuple[Bar, ...]:
    """In the order of the labels, so that cards can be compared."""
    kinds = {one.said: "taken", one.truth: "true"}
    ranked = sorted(range(len(labels)), key=lambda i: (labels[i] not in kinds, -one.scores[i], i))
    return tuple(
        Bar(label=labels[i], share=one.scores[i], kind=kinds.get(labels[i], ""))
        for i in sorted(ranked[:MOST_BARS])
    )


def _span(held: Pooled) -> FloatArray:
    """Least and greatest of each dimension, (2, dimension), over truth and predictions."""
    mean = held.scores.mean(axis=0)
    both = np.concatenate([held.truth, mean])
    found: FloatArray = np.stack([both.min(axis=0), both.max(axis=0)])
    return found


def _summary(block: Block, held: Pooled, n_cards: int) -> str:
    seeds = plural(len(held.seeds), "seed")
    found, (counts, n_others) = missed(held), n_also(block)
    n = int(found.errs.sum())
    if block.corpus.target == "traces":
        return (
            f"The {n_cards} of {plural(held.n_utterances, 'utterance')} on which the base has "
            f"the largest error (RMSE, mean over dimensions and {seeds})."
        )
    if not n:
        return f"The base takes none of {held.n_utterances} utterances for another class."
    text = f"The base takes {n} of {held.n_utterances} utterances for another class"
    if n_others:
        every = int((found.errs & (counts == n_others)).sum())
        alone = int((found.errs & (counts == 0)).sum())
        text += f"; {every} of them every other arm misses too, {alone} no other arm does"
    which = "It is" if n == 1 else f"All {n} are" if n <= n_cards else f"The {n_cards} that it"
    more = "misses most surely are " if n > n_cards else ""
    return f"{text}. {which} {more}shown (probabilities are means over {seeds})."


# --- pictures and sound ---------------------------------------------------------------------


def _seen(errors: Errors, block: Block, listening: Listening, most_bytes: int) -> Errors:
    """The browser with what can be seen and heard of its utterances."""
    at_hand = listening.source(block.corpus)
    cards = [_grouped(card, at_hand) for card in errors.cards]
    if not at_hand.utterances:
        return replace(errors, cards=tuple(cards), reason=at_hand.reason, note=at_hand.note)
    shown, too_large, spent = [], [], 0
    for card in cards:
        drawn, audio = _drawn(card, at_hand)
        uri = flac_uri(audio) if listening.with_audio and audio else ""
        if uri and spent + len(uri) > most_bytes:
            too_large.append(card.id)
            uri = ""
        spent += len(uri)
        shown.append(replace(drawn, sound=uri))
    errors = replace(
        errors,
        cards=tuple(shown),
        recipe=RECIPE if any(card.picture for card in shown) else "",
        note=at_hand.note,
        too_large=tuple(too_large),
    )
    return _told(errors, block, listening, spent)


def _told(errors: Errors, block: Block, listening: Listening, n_bytes: int) -> Errors:
    """The browser with what is said of its sound, which is also said on the command line."""
    n = sum(bool(card.sound) for card in errors.cards)
    if not listening.with_audio:
        return errors
    corpus = block.corpus
    whose = "synthetic speech" if corpus.synthetic else "recordings of speakers"
    text = (
        f"This page holds {whose}: {plural(n, 'recording')} of {clean(corpus.name)}, "
        f"{n_bytes / 1e6:.2f} MB. Licence of the corpus: {clean(corpus.licence) or 'unknown'}."
    )
    listening.say(text)
    if errors.too_large:
        names = ", ".join(clean(name) for name in errors.too_large)
        most = f"{MOST_AUDIO_BYTES / 1e6:g} MB of sound"
        listening.say(f"not in the page, which holds at most {most}: {names}")
    return replace(errors, sound=text if n else "")


def _utterance(card: Card, at_hand: Recordings) -> tuple[Utterance | None, str]:
    """The utterance of a card if it is what was tested, else why it is not there."""
    bare = _bare(card)
    found = at_hand.utterances.get(bare) or at_hand.utterances.get(card.id)
    if found is None:
        return None, "the corpus at hand has no such utterance"
    if found.speaker != card.speaker:
        return None, f"in the corpus at hand it is of speaker {clean(found.speaker)}"
    truth = card.error.truth if isinstance(card.error, ClassError) else found.emotion
    if found.emotion != truth:
        return None, f"in the corpus at hand it is {clean(found.emotion)}"
    return (found, "") if found.audio else (None, "the corpus has no audio of it")


def _bare(card: Card) -> str:
    """Its own id, without the fold that stands before it where it is tested in several."""
    return card.id.removeprefix(f"{card.error.fold}/")


def _drawn(card: Card, at_hand: Recordings) -> tuple[Card, Audio | None]:
    found, absent = _utterance(card, at_hand)
    if found is None:
        return replace(card, absent=absent), None
    try:
        audio = found.heard().read()
    except SerlabError as error:
        return replace(card, absent=str(error)), None
    seen = spectrogram(audio)
    encoded = base64.b64encode(seen.png()).decode()
    return replace(
        card,
        picture=f"data:image/png;base64,{encoded}",
        alt=f"Spectrogram of {clean(card.id)}: {seen.words()}",
        heard=f"{audio.duration_s:.2f} s at {audio.rate_hz / 1000:g} kHz",
    ), audio


def _grouped(card: Card, at_hand: Recordings) -> Card:
    pairs = dict(_facts(card, at_hand))
    return replace(card, groups=tuple(pairs.items())[:MOST_GROUPS])


def _facts(card: Card, at_hand: Recordings) -> Iterator[tuple[str, str]]:
    """The groups that the run tells of, then what the corpus at hand does."""
    bare = _bare(card)
    yield from ((k, v) for k, v in at_hand.groups.get(bare, {}).items() if v)
    found, _ = _utterance(card, at_hand)
    if found is not None:
        facts = {"sentence": found.sentence or "", **found.facts}
        yield from ((k, v) for k, v in facts.items() if v)
