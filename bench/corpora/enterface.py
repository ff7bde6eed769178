"""The eNTERFACE'05 audio-visual emotion database: sentences in English by speakers of 14 nations.

Martin, Kotsia, Macq, Pitas: "The eNTERFACE'05 Audio-Visual Emotion Database", IEEE ICDE Workshops,
2006. The archive ``project2_database.zip`` has clips such as
``subject 1/anger/sentence 1/s1_an_1.avi``. Folders tell everything here, for names of files do not:
those of subject 11 say ``s12``, and some are misspelt (``s16_su_3avi.avi``, ``s_3_ha_1.avi``).

The release holds more than the 1166 clips by 42 people that the paper counts: 43 people's 1287
(subject 23 lacks three of happiness) and subject 6, who has no folders of sentences but one long
recording for each emotion; those have no class here, for five sentences follow each other in each.

Every emotion has five sentences of its own, so that the words alone tell it: what reads words can
recognise these emotions without hearing any. Nothing is known of single speakers, not even sex.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serlab.bench.audio import SUFFIXES as SOUNDS
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, choice, corpus_of, files_below
from serlab.bench.errors import BadFile
from serlab.bench.media import SUFFIXES, VideoFile, sound_of

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
WORDS = "folders such as subject 1/anger/sentence 1, with one clip each"

_PATTERN = re.compile(
    rf"(?:.*/)?subject[ _-]?(\d+)/({'|'.join(EMOTIONS)})(?:/sentence[ _-]?([1-5]))?/[^/]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, order=True)
class _Clip:
    """What the folders tell of a file."""

    speaker: int
    emotion: str
    sentence: str
    """Empty where the emotion's sentences are not cut apart."""
    path: Path

    @property
    def id(self) -> str:
        """As files should be named, the emotion in full."""
        return f"s{self.speaker}_{self.emotion}" + (f"_{self.sentence}" if self.sentence else "")


@CORPORA.register(
    "enterface",
    title="eNTERFACE'05 audio-visual emotion database",
    language="English",
    licence="MIT",
    source="Martin et al., IEEE ICDE Workshops, 2006",
    needs_root=True,
    counts={
        "anger": 215,
        "disgust": 215,
        "fear": 215,
        "happiness": 212,
        "sadness": 215,
        "surprise": 215,
    },
    protocols=("leave-one-speaker-out", "speaker-groups"),
    options={"crop": "face", "unknown": "error"},
)
def enterface(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Elicited English speech with video, 6 emotions, 44 speakers, 5 sentences an emotion.

    The option ``crop`` is "face" or "none": what is seen of the pictures. A tree of sound files
    in the same folders has no video.

    Raises:
        BadFile: the folder has none of the corpus's clips, one in another folder, or two for one
            sentence.
    """
    assert root is not None
    crop = choice(options, "crop", ("face", "none"))
    clips = _clips(root, unknown=choice(options, "unknown", ("error", "skip")))
    return corpus_of("enterface", (_utterance(clip, crop == "face") for clip in clips), EMOTIONS)


def _clips(root: Path, *, unknown: str) -> list[_Clip]:
    clips: dict[str, _Clip] = {}
    strange = []
    for path in sorted(files_below(root)):
        if path.suffix.lower() not in (*SUFFIXES, *SOUNDS):
            continue
        match = _PATTERN.fullmatch(path.relative_to(root).as_posix())
        if not match:
            strange.append(path)
            continue
        clip = _Clip(
            speaker=int(match[1]), emotion=match[2].lower(), sentence=match[3] or "", path=path
        )
        if clip.id in clips:
            raise BadFile(path, f"is a second clip beside {clips[clip.id].path.name}; keep one")
        clips[clip.id] = clip
    if not clips:
        raise BadFile(root, f"holds no clip of the corpus enterface: expected {WORDS}")
    if strange and unknown == "error":
        what = f'expected {WORDS} (the option unknown="skip" leaves such files out)'
        raise BadFile(strange[0], f"lies in no folder of eNTERFACE'05: {what}")
    return sorted(clips.values())


def _utterance(clip: _Clip, face: bool) -> Utterance:
    whole = {} if clip.sentence else {"label": f"{clip.emotion}, five sentences in one recording"}
    video = VideoFile(path=clip.path, crop="face" if face else "none")
    return Utterance(
        id=clip.id,
        speaker=f"s{clip.speaker}",
        audio=sound_of(clip.path),
        emotion=clip.emotion if clip.sentence else None,
        sentence=f"{clip.emotion}-{clip.sentence}" if clip.sentence else None,
        video=video if clip.path.suffix.lower() in SUFFIXES else None,
        facts={"file": clip.path.stem, **whole},
    )
