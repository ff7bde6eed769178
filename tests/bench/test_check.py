"""The data check."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serlab.bench.audio import AudioFile
from serlab.bench.check import CheckReport, check_corpora, check_corpus
from serlab.bench.contracts import Corpus, Utterance, Word, plain
from serlab.bench.corpora.base import load_corpus
from serlab.bench.hearing import clipped_samples


def sound(path: Path, seed: int, seconds: float = 0.5, rate: int = 16000) -> Path:
    """The path, with noise in it."""
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, wave, rate)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Corpus:
    """Two speakers, two classes, two sounds of each, nothing wrong."""
    utterances = []
    for index in range(8):
        speaker, emotion, name = f"s{index // 4}", ("joy", "rage")[index // 2 % 2], f"u{index}"
        audio = AudioFile(path=sound(tmp_path / f"{name}.wav", index))
        utterances.append(Utterance(id=name, speaker=speaker, emotion=emotion, audio=audio))
    return Corpus(
        name="small",
        utterances=tuple(utterances),
        labels=("joy", "rage"),
        licence="none",
        source="test",
    )


def found(report: CheckReport, kind: str) -> list[tuple[str, ...]]:
    """The ids of each finding of a kind."""
    return [f.ids for f in report.findings if f.kind == kind]


def with_changed(corpus: Corpus, name: str, **changes: object) -> Corpus:
    """The corpus with one utterance changed."""
    changed = (replace(u, **changes) if u.id == name else u for u in corpus.utterances)  # type: ignore[arg-type]
    return replace(corpus, utterances=tuple(changed))


def test_clean_corpus(clean: Corpus) -> None:
    """Counts of everything, no finding, exit code 0."""
    report = check_corpus(clean)
    assert report.findings == ()
    assert report.exit_code == 0
    assert report.n_by_class == {"joy": 4, "rage": 4}
    assert report.n_by_speaker == {"s0": 4, "s1": 4}
    assert report.n_by_rate_hz == {16000: 8}
    assert report.n_by_channels == {1: 8}
    assert report.durations is not None
    assert report.durations.total_s == pytest.approx(4.0)
    assert report.durations.median_s == pytest.approx(0.5)
    text = report.text()
    assert "joy 4, rage 4" in text
    assert "16000 Hz 8" in text
    assert text.endswith("verdict    clean")


def test_report_is_json(clean: Corpus) -> None:
    """The plain form goes through JSON and tells the exit code."""
    report = check_corpus(with_changed(clean, "u0", emotion=None))
    told = json.loads(json.dumps(plain(report)))
    assert told["exit_code"] == 1
    assert told["findings"][0] == {
        "kind": "missing label",
        "severity": "problem",
        "ids": ["u0"],
        "text": "1 utterance has no label",
    }


def test_one_thread_finds_the_same(clean: Corpus) -> None:
    """The number of threads changes nothing."""
    assert check_corpus(clean, threads=1) == check_corpus(clean, threads=4)


def test_broken_files_stop_nothing(clean: Corpus, tmp_path: Path) -> None:
    """A text, a missing file and a truncated one are told apart; the others are still read."""
    (tmp_path / "u0.wav").write_text("no audio")
    (tmp_path / "u1.wav").unlink()
    data = (tmp_path / "u2.wav").read_bytes()
    (tmp_path / "u2.wav").write_bytes(data[: len(data) // 2])
    report = check_corpus(clean)
    assert found(report, "unreadable") == [("u0",), ("u1",), ("u2",)]
    texts = [f.text for f in report.findings]
    for text, word in zip(texts, ("no audio", "no such file", "truncated"), strict=True):
        assert word in text
    assert (report.n_read, report.exit_code) == (5, 1)


def test_faults_of_sounds(clean: Corpus, tmp_path: Path) -> None:
    """Silent, clipped, too short and empty files are each found, with what was measured."""
    soundfile.write(tmp_path / "u0.wav", np.full(8000, 1e-4), 16000)
    loud = np.clip(np.random.default_rng(0).normal(0, 1, 8000), -1, 1)
    soundfile.write(tmp_path / "u1.wav", np.repeat(loud, 4), 16000)
    sound(tmp_path / "u2.wav", 2, seconds=0.1)
    soundfile.write(tmp_path / "u3.wav", np.zeros(0), 16000)
    report = check_corpus(clean)
    assert found(report, "silent") == [("u0",)]
    assert found(report, "clipped") == [("u1",)]
    assert found(report, "too short") == [("u2",)]
    assert found(report, "unreadable") == [("u3",)]
    assert "0.100 s, less than 0.25 s" in report.text()
    assert check_corpus(clean, shortest_s=0.05).findings != report.findings


def test_nan_is_found(clean: Corpus, tmp_path: Path) -> None:
    """A file with a NaN counts as unreadable and says why."""
    wave = np.zeros(8000, np.float32)
    wave[5] = np.nan
    soundfile.write(tmp_path / "u0.wav", wave, 16000, subtype="FLOAT")
    report = check_corpus(clean)
    assert found(report, "unreadable") == [("u0",)]
    assert "NaN" in report.findings[0].text


def test_duplicates_across_formats(clean: Corpus, tmp_path: Path) -> None:
    """One recording as wav and flac is found by its content."""
    samples, rate = soundfile.read(tmp_path / "u0.wav", dtype="int16")
    soundfile.write(tmp_path / "copy.flac", samples, rate)
    corpus = with_changed(clean, "u1", audio=AudioFile(path=tmp_path / "copy.flac"))
    report = check_corpus(corpus)
    assert found(report, "duplicate") == [("u0", "u1")]
    assert report.findings[0].text == "u0 and u1 are the same recording"


def test_duplicate_of_another_speaker(clean: Corpus, tmp_path: Path) -> None:
    """Equal audio by two names and with two labels is said to be that."""
    corpus = with_changed(clean, "u6", audio=AudioFile(path=tmp_path / "u0.wav"))
    text = check_corpus(corpus).findings[0].text
    assert "by s0 and s1: one speaker under two names?" in text
    assert "the labels differ: joy, rage" in text


def test_labels(clean: Corpus) -> None:
    """An unknown label meets its nearest known one, or all of them."""
    near = check_corpus(with_changed(clean, "u0", emotion="Rages"))
    assert found(near, "unknown label") == [("u0",)]
    assert 'labelled "Rages", which is no label here; did you mean "rage"?' in near.text()
    far = check_corpus(with_changed(clean, "u0", emotion="xyz"))
    assert "known are joy, rage" in far.text()
    assert far.n_by_class == {"joy": 3, "rage": 4, "xyz": 1}


def test_one_class_speakers(clean: Corpus) -> None:
    """A speaker of whom one class only is heard is a problem of the corpus."""
    tied = replace(
        clean,
        utterances=tuple(
            replace(u, emotion="joy" if u.speaker == "s0" else "rage") for u in clean.utterances
        ),
    )
    report = check_corpus(tied)
    assert "2 of 2 speakers are heard in one class only: s0 (joy), s1 (rage);" in report.text()
    assert report.exit_code == 1


def test_mixed_rates_and_channels(clean: Corpus, tmp_path: Path) -> None:
    """Another rate is noted, channels are counted; neither is a problem."""
    sound(tmp_path / "u0.wav", 20, rate=44100)
    stereo = np.random.default_rng(5).normal(0, 0.1, (8000, 2))
    soundfile.write(tmp_path / "u1.wav", stereo, 16000)
    report = check_corpus(clean)
    assert found(report, "mixed rates") == [("u0",)]
    assert report.n_by_rate_hz == {16000: 7, 44100: 1}
    assert report.n_by_channels == {1: 7, 2: 1}
    assert report.exit_code == 0


@pytest.mark.parametrize("case", ["no utterance", "not one file", "two classes"])
def test_unusable(clean: Corpus, tmp_path: Path, case: str) -> None:
    """Nothing to read, nothing readable or one class only: exit code 2."""
    corpus = clean
    if case == "no utterance":
        corpus = replace(clean, utterances=())
    elif case == "not one file":
        for u in clean.utterances:
            (tmp_path / f"{u.id}.wav").unlink()
    else:
        corpus = replace(clean, utterances=tuple(u for u in clean.utterances if u.emotion == "joy"))
    report = check_corpus(corpus)
    assert report.exit_code == 2
    assert case in report.findings[0].text
    assert report.text().endswith("unusable")
    assert report.durations is None or case == "two classes"


def test_counts_against_the_published(tmp_path: Path) -> None:
    """A part of a known corpus is noted as a part."""
    for index, name in enumerate(("03a01Fa", "03a01Na", "03a01Wa")):
        sound(tmp_path / f"{name}.wav", index)
    report = check_corpus(load_corpus("emodb", roots={"emodb": tmp_path}))
    assert [f.severity for f in report.findings] == ["note"]
    assert "anger: 1 of 127" in report.text()
    assert report.exit_code == 0


def test_many_speakers_are_shortened(clean: Corpus) -> None:
    """A table of more than 40 entries ends in dots; the counts themselves are whole."""
    many = tuple(
        replace(u, id=f"{u.id}-{k}", speaker=f"s{k}") for k in range(50) for u in clean.utterances
    )
    report = check_corpus(replace(clean, utterances=many))
    assert len(report.n_by_speaker) == 50
    assert ", ...\n" in report.text()


def test_synthetic_corpus_is_clean() -> None:
    """The embedded corpus passes its own check and is called synthetic."""
    report = check_corpus(load_corpus("synth", roots={}, options={"utterances": 60}))
    assert report.findings == ()
    assert report.text().startswith("synth (synthetic speech): 60 utterances, 60 read, 6 speakers")


@pytest.mark.parametrize(
    ("wave", "expected"),
    [
        ([0, 1, 1, 0], 0),
        ([1, 1, 1], 3),
        ([0, -1, -1, -1, 0, 1, 1, 1, 1], 7),
        ([1, 0, 1, 0, 1, 0], 0),
        ([0.99] * 8, 0),
    ],
)
def test_clipped_samples(wave: list[float], expected: int) -> None:
    """Rows of three or more at full scale count, peaks do not."""
    assert clipped_samples(np.array(wave, np.float32)) == expected


# --- what else utterances hold ---


def test_utterances_of_no_class_are_told(clean: Corpus) -> None:
    """What the corpus itself calls them is counted: a note, since it is meant so."""
    corpus = with_changed(clean, "u0", emotion=None, facts={"label": "xxx"})
    corpus = with_changed(corpus, "u2", emotion=None, facts={"label": "other"})
    report = check_corpus(with_changed(corpus, "u4", emotion=None, facts={"label": "xxx"}))
    assert found(report, "no class") == [("u0", "u2", "u4")]
    assert "note       no class: 3 utterances are of no class here: xxx 2, other 1" in report.text()
    assert report.exit_code == 0


def test_dc_offset_is_a_note(clean: Corpus, tmp_path: Path) -> None:
    """A mean of 5 % of full scale is told, and is no problem."""
    wave = np.random.default_rng(1).normal(0.05, 0.1, 8000)
    soundfile.write(tmp_path / "u0.wav", wave, 16000)
    report = check_corpus(clean)
    assert found(report, "dc offset") == [("u0",)]
    assert "a mean of 0.049" in report.text()
    assert report.exit_code == 0


@pytest.mark.parametrize("span", [(0.2, 0.7), (-0.5, 0.1), (0.3, 0.2)])
def test_words_outside_the_audio(clean: Corpus, span: tuple[float, float]) -> None:
    """Half a second of audio holds no word that ends at 0.7 s, or ends before it begins."""
    inside = Word(text="well", start_s=0.0, end_s=0.55)  # within the slack of alignments
    word = Word(text="oh", start_s=span[0], end_s=span[1])
    report = check_corpus(with_changed(clean, "u3", words=(inside, word)))
    assert found(report, "words") == [("u3",)]
    assert f'u3: "oh" from {span[0]:g} to {span[1]:g} s, and the audio has 0.50 s' in report.text()
    assert found(check_corpus(with_changed(clean, "u3", words=(inside,))), "words") == []


def test_dominant_speaker(clean: Corpus) -> None:
    """Half of all is no finding among two speakers, and is one among seven."""
    assert found(check_corpus(clean), "dominant speaker") == []
    corpus = clean
    for index in range(2, 8):
        corpus = with_changed(corpus, f"u{index}", speaker=f"t{index}")
    report = check_corpus(with_changed(corpus, "u2", speaker="s0"))
    assert found(report, "dominant speaker") == [("u0", "u1", "u2")]
    assert "s0 speaks 3 of 8 utterances (38%), of 6 speakers" in report.text()


def test_silence_is_no_duplicate(clean: Corpus, tmp_path: Path) -> None:
    """Two silent files are silent, not one recording."""
    for name in ("u0", "u1"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 16000)
    report = check_corpus(clean)
    assert found(report, "silent") == [("u0", "u1")]
    assert found(report, "duplicate") == []


def test_many_findings_of_a_kind_are_shortened(clean: Corpus, tmp_path: Path) -> None:
    """The text names ten broken files and counts the others; the report holds all."""
    broken = tuple(
        Utterance(id=f"b{k}", speaker="s0", audio=AudioFile(path=tmp_path / f"no{k}.wav"))
        for k in range(13)
    )
    report = check_corpus(replace(clean, utterances=(*clean.utterances, *broken)))
    assert len(found(report, "unreadable")) == 13
    assert report.text().count("no such file") == 10
    assert "unreadable: and 3 more (--json has all)" in report.text()


# --- a corpus that is a table ---


def vectors(corpus: Corpus, values: Sequence[Sequence[float]]) -> Corpus:
    """The corpus without audio, one vector "face" for each utterance."""
    return replace(
        corpus,
        utterances=tuple(
            replace(u, audio=None, supplied={"face": tuple(vector)})
            for u, vector in zip(corpus.utterances, values, strict=True)
        ),
    )


GOOD = [[float(k), 1.5 * k, -1.0 / (k + 1)] for k in range(8)]


def test_table_without_audio(clean: Corpus) -> None:
    """Its vectors are checked; nothing is said of audio that it is not to have."""
    report = check_corpus(vectors(clean, GOOD))
    assert (report.findings, report.exit_code, report.n_read) == ((), 0, 8)
    assert report.durations is None
    assert report.vectors == {"face": 3}
    assert "vectors    face of length 3" in report.text()
    assert "rates" not in report.text()


@pytest.mark.parametrize(
    ("row", "severity", "words"),
    [
        ([1.0, float("nan"), 2.0], "problem", '1 utterance has a vector "face" with NaN or inf'),
        ([1.0, float("inf"), 2.0], "problem", "with NaN or infinite values"),
        ([1.0, 2.0], "problem", '1 utterance has a vector "face" of another length than 3'),
    ],
)
def test_bad_vectors(clean: Corpus, row: list[float], severity: str, words: str) -> None:
    """Each is named with its utterance."""
    report = check_corpus(vectors(clean, [*GOOD[:4], row, *GOOD[5:]]))
    (problem,) = report.findings
    assert (problem.severity, problem.ids) == (severity, ("u4",))
    assert words in problem.text


def test_constant_columns(clean: Corpus) -> None:
    """A column that never changes tells nothing: a note."""
    report = check_corpus(vectors(clean, [[k, 2.0, 3.0] for k in range(8)]))
    assert found(report, "constant column") == [()]
    assert "2 of 3 columns" in report.text()
    assert "(counted from 1: 2, 3)" in report.text()
    assert report.exit_code == 0


def test_what_only_some_have(clean: Corpus) -> None:
    """Audio or a vector that single utterances lack is a problem of these."""
    corpus = vectors(clean, GOOD)
    mixed = with_changed(corpus, "u5", audio=clean.by_id()["u5"].audio, supplied={})
    report = check_corpus(mixed)
    kinds = found(report, "missing part")
    assert ("u5",) in kinds
    assert tuple(f"u{k}" for k in range(8) if k != 5) in kinds


# --- traces ---


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Traces made in the test."""

    values: tuple[tuple[float, ...], ...]
    rate_hz: float = 10.0

    def read(self) -> np.ndarray:
        return np.array(self.values, np.float32)


def traced(corpus: Corpus, **sources: Drawn) -> Corpus:
    """The corpus with half a second of traces each, other ones where they are given."""
    plain_one = Drawn(values=tuple((k / 10, -k / 5) for k in range(5)))
    utterances = tuple(
        replace(u, emotion=None, traces=sources.get(u.id, plain_one)) for u in corpus.utterances
    )
    return replace(corpus, utterances=utterances, dimensions=("arousal", "valence"), labels=())


def test_traces_are_told(clean: Corpus) -> None:
    """Their rate and each dimension's range; no label is missing where there are traces."""
    report = check_corpus(traced(clean))
    assert report.findings == ()
    assert report.traces is not None
    assert report.traces.ranges["valence"] == (pytest.approx(-0.8), 0.0)
    line = "traces     of 8 utterances at 10 Hz, arousal 0 to 0.4, valence -0.8 to 0"
    assert line in report.text()


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (Drawn(values=((0.0, float("nan")),) * 5), "unreadable", "5 frames of traces are NaN"),
        (Drawn(values=((0.1, 0.2),) * 40), "traces", "u2: traces of 4.00 s, audio of 0.50 s"),
        (Drawn(values=((0.1, 0.2),) * 5, rate_hz=25.0), "trace rates", "another rate than 10 Hz"),
        (Drawn(values=((0.1,),) * 5), "trace dimensions", "not 2 dimensions of traces"),
        (Drawn(values=()), "unreadable", "has traces of shape (0,)"),
    ],
)
def test_bad_traces(clean: Corpus, source: Drawn, kind: str, words: str) -> None:
    """Each is a problem of its utterance."""
    report = check_corpus(traced(clean, u2=source))
    assert found(report, kind) == [("u2",)]
    assert words in report.text()
    assert report.exit_code == 1


def test_constant_traces(clean: Corpus) -> None:
    """A dimension without any change is a problem of the corpus."""
    still = Drawn(values=tuple((k / 10, 0.25) for k in range(5)))
    report = check_corpus(traced(clean, **{u.id: still for u in clean.utterances}))
    assert 'the traces of "valence" are 0.25 everywhere' in report.text()


# --- several corpora ---


def test_recordings_of_another_corpus(clean: Corpus, tmp_path: Path) -> None:
    """Found by content, told in both reports with both names, speakers and labels."""
    pcm, rate = soundfile.read(tmp_path / "u0.wav", dtype="int16")
    soundfile.write(tmp_path / "x.flac", pcm, rate)
    others = [
        Utterance(
            id=f"v{k}",
            speaker=f"t{k % 2}",
            emotion=("joy", "rage")[k // 2],
            audio=AudioFile(
                path=tmp_path / "x.flac" if k == 3 else sound(tmp_path / f"v{k}.wav", 50 + k)
            ),
        )
        for k in range(4)
    ]
    other = replace(clean, name="other", utterances=tuple(others))
    first, second = check_corpora([clean, other])
    assert found(first, "in another corpus") == [("u0",)]
    assert found(second, "in another corpus") == [("v3",)]
    text = "1 recordings are also in other: u0 is v3, by s0 and t1: one speaker under two names?"
    assert text + "; the labels differ: joy, rage" in first.text()
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert check_corpus(clean).exit_code == 0


def test_progress_is_told(clean: Corpus) -> None:
    """After every utterance, under the corpus's name."""
    told: list[tuple[str, int, int]] = []
    check_corpora([clean], telling=lambda name: lambda *counts: told.append((name, *counts)))
    assert told == [("small", k, 8) for k in range(1, 9)]


# --- the real corpora ---


def test_emodb_is_clean(real_corpus: Callable[[str], Path]) -> None:
    """EmoDB has no problem, and as many utterances as published."""
    report = check_corpus(load_corpus("emodb", roots={"emodb": real_corpus("emodb")}))
    assert (report.n_read, report.findings, report.exit_code) == (535, (), 0)


def test_ravdess_duplicate_is_found(real_corpus: Callable[[str], Path]) -> None:
    """The two repetitions of actor 07 that are one file are found, and nothing else."""
    report = check_corpus(load_corpus("ravdess", roots={"ravdess": real_corpus("ravdess")}))
    assert [f.ids for f in report.findings] == [
        ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07"),
    ]
    assert report.findings[0].kind == "duplicate"
    assert report.exit_code == 1


def test_urdu_one_class_speakers_are_found(real_corpus: Callable[[str], Path]) -> None:
    """26 of URDU's 29 speakers speak one emotion only."""
    report = check_corpus(load_corpus("urdu", roots={"urdu": real_corpus("urdu")}))
    assert report.n_by_speaker["SM5"] == 80
    assert "26 of 29 speakers are heard in one class only" in report.text()
    kinds = {"clipped", "one-class speaker", "dc offset", "dominant speaker"}
    assert {f.kind for f in report.findings} == kinds
    assert "SM5 speaks 80 of 400 utterances (20%), of 29 speakers" in report.text()
