"""CREMA-D: the repository with audio of two encodings, demographics and votes."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

LETTERS = "ADFHNS"
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
CLIPS = [
    *(f"{actor}_DFA_{code}_XX" for actor in (1001, 1002, 1039) for code in EMOTIONS),
    "1001_IEO_HAP_LO",
    "1002_IEO_HAP_MD",
    "1039_IEO_HAP_HI",
    *(f"1040_{s}_{code}_XX" for s in ("TIE",) for code in EMOTIONS[:5]),
    "1040_ITH_SAD_X",
]


def build(root: Path) -> None:
    """Four actors; one name as misspelt as in the repository."""
    for clip in CLIPS:
        sound(root / "AudioWAV" / f"{clip}.wav")
    sound(root / "AudioMP3" / "1001_DFA_ANG_XX.wav")  # the other encoding; libsndfile writes no mp3
    (root / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n'
        '1001,51,"Male","Caucasian","Not Hispanic"\n'
        '1002,21,"Female","Caucasian","Not Hispanic"\n'
        '1039,51,"Male","African American","Not Hispanic"\n'
        '1040,42,"Male","Caucasian","Not Hispanic"\n',
        encoding="utf-8",
    )
    _votes(root / "processedResults")


def _votes(folder: Path) -> None:
    """Voices are heard as intended but for a tie; faces all look neutral, both together sad."""
    folder.mkdir()
    clips = [clip + "X" if clip.endswith("_X") else clip for clip in CLIPS]
    clips.append("1006_TIE_NEU_XX")  # without audio
    counts = [
        '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"'
    ]
    summary = ['"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel",']
    summary[0] += '"MultiModalVote","MultiModalLevel"'
    for number, clip in enumerate(clips, 1):
        voice = "A:D" if clip == "1001_DFA_DIS_XX" else clip[9]
        summary.append(f'"{number}","{clip}","{voice}","52.1","N","92.22","S","64.78"')
        for modality, winner in enumerate((voice, "N", "S"), 1):
            n = ",".join("5" if letter in winner.split(":") else "0" for letter in LETTERS)
            counts.append(f'"{modality}{number:05d}",{n},"{clip}",10,0.5,"{winner}",NA')
    (folder / "tabulatedVotes.csv").write_text("\n".join(counts) + "\n", encoding="utf-8")
    (folder / "summaryTable.csv").write_text("\r\n".join(summary) + "\r\n", encoding="utf-8")
