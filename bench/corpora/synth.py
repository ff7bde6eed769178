"""Synthetic emotional speech, made by our own code: the corpus that is always at hand.

Speakers in sessions of two hold dialogues; every utterance has audio, words with times, frames of
a face and continuous traces. An utterance depends on the seed and on its own id, whatever is read
before it. `serlab.bench.corpora.synth_voice` makes the sound, `synth_face` what is seen and rated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from serlab.bench.contracts import Audio, Corpus, Scalar, Utterance, digest
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.synth_face import DIMENSIONS, SynthFace, SynthRating
from serlab.bench.corpora.synth_voice import EMOTIONS, VERSION, Take, say, score_of, speaker_of
from serlab.bench.errors import BadValue
from serlab.bench.seeds import generator

TURNS = 10
"""Turns of a dialogue."""
HOME_SHARE = 0.85
"""Share of a speaker's own emotion in all that they say, where the confound is 1."""

_BOUNDS = {
    "utterances": (1, 1_000_000),
    "speakers": (1, 10_000),
    "emotions": (2, len(EMOTIONS)),
    "confound": (0.0, 1.0),
    "shortest_s": (0.5, 30.0),
    "longest_s": (0.5, 30.0),
    "rate_hz": (8000, 48000),
    "rater_delay_s": (0.0, 10.0),
}


@dataclass(frozen=True, kw_only=True)
class SynthSpeech:
    """The audio of a take, synthesised when it is read."""

    take: Take

    def name(self) -> str:
        """What a message calls it."""
        return f"synth:{self.take.id}"

    def read(self) -> Audio:
        """The sound, mono, at the take's rate."""
        return Audio(samples=say(self.take), rate_hz=self.take.rate_hz)

    def identity(self) -> str:
        """Hash of all that the sound depends on."""
        return digest({"synth": VERSION, "take": self.take})


@CORPORA.register(
    "synth",
    title="Synthetic emotional speech",
    language="none (English-like words)",
    licence="Apache-2.0, as serlab itself",
    source="serlab's own source-filter synthesis",
    needs_root=False,
    counts={},
    options={
        "utterances": 300,
        "speakers": 6,
        "emotions": 4,
        "confound": 0.0,
        "seed": 0,
        "shortest_s": 1.2,
        "longest_s": 2.2,
        "rate_hz": 16000,
        "rater_delay_s": 0.4,
    },
)
def synth(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Synthetic speech with words, faces, dialogues and traces; needs no data.

    The option ``confound``, 0 to 1, ties emotions to speakers: at 1 a speaker says most in one
    emotion. ``emotions`` is how many of anger, happiness, neutral, sadness and fear occur.

    Raises:
        BadValue: an option is out of its bounds.
    """
    _check(options)
    emotions = EMOTIONS[: int(options["emotions"])]
    utterances: list[Utterance] = []
    last: dict[tuple[str | None, str], str] = {}
    for plan in _plans(options, emotions):
        before = last.get((plan.dialogue, plan.speaker))
        utterances.append(_utterance(plan, before, float(options["rater_delay_s"])))
        last[plan.dialogue, plan.speaker] = plan.take.emotion
    return Corpus(
        name="synth",
        utterances=tuple(utterances),
        labels=tuple(sorted(emotions)),
        licence="Apache-2.0, as serlab itself",
        source="serlab's own source-filter synthesis",
        version=str(VERSION),
        synthetic=True,
        dimensions=DIMENSIONS,
    )


def _check(options: Mapping[str, Scalar]) -> None:
    for name, (low, high) in _BOUNDS.items():
        if not low <= float(options[name]) <= high:
            raise BadValue(f"synth.{name}", options[name], f"between {low} and {high}")
    if float(options["shortest_s"]) > float(options["longest_s"]):
        expected = f"at most longest_s, which is {options['longest_s']}"
        raise BadValue("synth.shortest_s", options["shortest_s"], expected)
    if int(options["utterances"]) < int(options["speakers"]):
        expected = f"at least one for each of {options['speakers']} speakers"
        raise BadValue("synth.utterances", options["utterances"], expected)


# --- who says what to whom ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Plan:
    take: Take
    speaker: str
    session: str
    dialogue: str
    turn: int


def _plans(options: Mapping[str, Scalar], emotions: tuple[str, ...]) -> Iterator[_Plan]:
    """All turns of all sessions, in order."""
    n_speakers, n_utterances = int(options["speakers"]), int(options["utterances"])
    blank = Take(
        id="",
        speaker=0,
        emotion="",
        seed=int(options["seed"]),
        rate_hz=int(options["rate_hz"]),
        shortest_s=float(options["shortest_s"]),
        longest_s=float(options["longest_s"]),
    )
    for first in range(0, n_speakers, 2):
        queues = {}
        for index in range(first, min(first + 2, n_speakers)):
            n = n_utterances // n_speakers + (index < n_utterances % n_speakers)
            queues[index] = _course(index, n, emotions, float(options["confound"]), blank.seed)
        yield from _session(queues, blank)


def _session(queues: dict[int, list[str]], blank: Take) -> Iterator[_Plan]:
    """The speakers of a session take turns; a dialogue has so many turns."""
    session = f"{min(queues) // 2 + 1:02d}"
    turns = sorted((at, index) for index, course in queues.items() for at in range(len(course)))
    for number, (at, index) in enumerate(turns):
        speaker = f"{session}{'F' if index % 2 else 'M'}"
        dialogue, turn = f"{session}-{number // TURNS + 1:03d}", number % TURNS + 1
        name = f"{dialogue}-{turn:02d}{speaker[-1]}"
        take = replace(blank, id=name, speaker=index, emotion=queues[index][at])
        yield _Plan(take=take, speaker=speaker, session=session, dialogue=dialogue, turn=turn)


def _course(index: int, n: int, emotions: tuple[str, ...], confound: float, seed: int) -> list[str]:
    """A speaker's emotions in order of time: exact shares, in runs of one to three."""
    home = np.full(len(emotions), (1 - HOME_SHARE) / (len(emotions) - 1))
    home[index % len(emotions)] = HOME_SHARE
    shares = (1 - confound) / len(emotions) + confound * home
    exact = shares * n
    counts = np.floor(exact).astype(int)
    turned = np.roll(np.arange(len(emotions)), -index * (n % len(emotions)))  # who gets the rest
    order = sorted(turned, key=lambda k: -round(float(exact[k] - counts[k]), 9))
    counts[order[: n - int(counts.sum())]] += 1
    draw = generator(seed, "course", str(index))
    runs: list[list[str]] = []
    for emotion, count in zip(emotions, counts.tolist(), strict=True):
        while count > 0:
            length = min(count, int(draw.integers(1, 4)))
            runs.append([emotion] * length)
            count -= length
    return [emotion for at in draw.permutation(len(runs)) for emotion in runs[at]]


def _utterance(plan: _Plan, before: str | None, delay_s: float) -> Utterance:
    take = plan.take
    words = score_of(take).words
    return Utterance(
        id=take.id,
        speaker=plan.speaker,
        audio=SynthSpeech(take=take),
        emotion=take.emotion,
        session=plan.session,
        dialogue=plan.dialogue,
        turn=plan.turn,
        text=" ".join(word.text for word in words),
        words=words,
        traces=SynthRating(take=take, before=before, delay_s=delay_s),
        video=SynthFace(take=take),
        facts={"sex": "female" if speaker_of(take.seed, take.speaker).female else "male"},
    )
