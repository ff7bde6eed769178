"""Readers: names, roots, options, real corpora, and tables."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Utterance
from serlab.bench.corpora.base import CORPORA, corpus_digest, load_corpus
from serlab.bench.corpora.manifest import TraceFile
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName

NAMES = {
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "fearful": "fear",
    "surprised": "surprise",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


def touch(root: Path, *names: str) -> Path:
    """The root, with short sounds of those names below it."""
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(index).normal(0, 0.1, 800)
        soundfile.write(path, wave, 16000)
    return root


def load(name: str, root: Path, /, **options: str | float) -> Corpus:
    """A corpus from a folder."""
    return load_corpus(name, roots={name: root}, options=options)


# --- the real corpora ---


@pytest.mark.parametrize(("name", "n_speakers"), [("emodb", 10), ("urdu", 29), ("ravdess", 24)])
def test_real_corpus_is_as_its_manifest_says(
    real_corpus: Callable[[str], Path], name: str, n_speakers: int
) -> None:
    """Label, speaker, sex, text and duration of every file are those of an independent table."""
    root = real_corpus(name)
    with (root / "manifest.csv").open(encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    corpus = load(name, root)
    assert len(corpus.utterances) == len(rows)
    for u in corpus.utterances:
        assert isinstance(u.audio, AudioFile)
        row = rows[u.audio.path.name]
        assert u.emotion == NAMES.get(row["emotion"], row["emotion"])
        assert u.speaker == row["speaker"]
        assert (u.text or "") == row["text"]
        assert u.facts["sex"][0] == row["gender"]
        info = soundfile.info(u.audio.path)
        assert info.frames / info.samplerate == pytest.approx(float(row["duration"]), abs=1e-3)
        if "text_id" in row:
            assert (u.sentence or "").lstrip("0") == row["text_id"]
        if "intensity" in row:
            assert (u.facts["intensity"], u.facts["repetition"].lstrip("0")) == (
                row["intensity"],
                row["repetition"],
            )
        if "age" in row:
            assert u.facts["age"] == row["age"]
    assert len({u.speaker for u in corpus.utterances}) == n_speakers
    counts = CORPORA.entry(name).facts["counts"]
    assert Counter(u.emotion for u in corpus.utterances) == counts
    assert corpus.labels == tuple(sorted(counts))


# --- file names ---

OFFICIAL = {
    "emodb": ("wav/03a01Fa.wav", "wav/16b10Wb.wav"),
    "urdu": ("Angry/SM1_F10_A010.wav", "Sad/SF8_F1_S01.wav"),
    "ravdess": ("Actor_01/03-01-05-02-01-02-01.wav", "Actor_24/03-01-02-01-02-01-24.wav"),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_layout(tmp_path: Path, name: str) -> None:
    """Folders as distributed are searched; ids are the files' names."""
    corpus = load(name, touch(tmp_path, *OFFICIAL[name]))
    assert [u.id for u in corpus.utterances] == [Path(n).stem for n in OFFICIAL[name]]
    assert all(len(u.audio.read().samples) == 800 for u in corpus.utterances)


def test_ravdess_name_says_everything(tmp_path: Path) -> None:
    """Emotion, intensity, sentence, repetition, actor and sex come from the seven numbers."""
    first, second = load("ravdess", touch(tmp_path, *OFFICIAL["ravdess"])).utterances
    assert (first.emotion, first.speaker, first.sentence) == ("anger", "01", "01")
    assert first.text == "Kids are talking by the door."
    assert first.facts == {"sex": "male", "intensity": "strong", "repetition": "02"}
    assert (second.emotion, second.facts["sex"]) == ("calm", "female")


def test_emodb_name_says_everything(tmp_path: Path) -> None:
    """Speaker, sentence, emotion and take come from the name, the speaker's age from the paper."""
    first, second = load("emodb", touch(tmp_path, *OFFICIAL["emodb"])).utterances
    assert (first.speaker, first.sentence, first.emotion) == ("03", "a01", "happiness")
    assert first.text == "Der Lappen liegt auf dem Eisschrank."
    assert first.facts == {"sex": "male", "age": "31", "take": "a"}
    assert (second.speaker, second.emotion) == ("16", "anger")


@pytest.mark.parametrize(
    ("name", "strange"),
    [
        ("emodb", "03a01Xa.wav"),
        ("emodb", "03a03Fa.wav"),
        ("urdu", "SX1_F10_A010.wav"),
        ("ravdess", "03-01-09-01-01-01-01.wav"),
        ("ravdess", "03-01-05-01-01-01-25.wav"),
        ("ravdess", "03-02-05-01-01-01-01.wav"),
    ],
)
def test_strange_name(tmp_path: Path, name: str, strange: str) -> None:
    """A file that is not named as the others is refused, or left out where that is asked."""
    root = touch(tmp_path, *OFFICIAL[name], strange)
    with pytest.raises(BadFile, match=r"such as .* .1 of 3 audio files.*skip") as caught:
        load(name, root)
    assert strange in str(caught.value)
    assert len(load(name, root, unknown="skip").utterances) == 2


@pytest.mark.parametrize("name", OFFICIAL)
def test_folder_of_another_corpus(tmp_path: Path, name: str) -> None:
    """A folder with none of the corpus's files says what was expected and what is there."""
    touch(tmp_path, "x/one.wav", "two.flac")
    (tmp_path / "readme.txt").write_text("x")
    words = f"no file of the corpus {name}: .*such as.* other names: 2, .*other kinds: 1"
    for unknown in ("error", "skip"):
        with pytest.raises(BadFile, match=words):
            load(name, tmp_path, unknown=unknown)


def test_empty_folder(tmp_path: Path) -> None:
    """So does an empty one."""
    with pytest.raises(BadFile, match="other names: 0, files of other kinds: 0"):
        load("emodb", tmp_path)


def test_same_utterance_twice(tmp_path: Path) -> None:
    """A wav beside its flac would be trained on twice: refused."""
    with pytest.raises(BadFile, match=r"03a01Fa\.wav: is the same utterance as .*03a01Fa\.flac"):
        load("emodb", touch(tmp_path, "03a01Fa.flac", "wav/03a01Fa.wav"))


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("urdu", "Sad/SM1_F10_A010.wav", "name says anger and its folder Sad"),
        ("ravdess", "Actor_02/03-01-05-01-01-01-01.wav", "says actor 01 and its folder Actor_02"),
    ],
)
def test_folder_against_name(tmp_path: Path, name: str, path: str, words: str) -> None:
    """Where folder and name disagree, nobody knows the label."""
    with pytest.raises(BadFile, match=words):
        load(name, touch(tmp_path, path))


def test_hidden_files_and_link_loops(tmp_path: Path) -> None:
    """Hidden files are not looked at; links are followed, and a loop of them ends."""
    root = touch(tmp_path / "root", "03a01Fa.wav", "._03a01Na.wav", ".old/03a01Wa.wav")
    other = touch(tmp_path / "other", "16b10Wb.wav")
    os.symlink(root, root / "loop", target_is_directory=True)
    os.symlink(other, root / "more", target_is_directory=True)
    assert [u.id for u in load("emodb", root).utterances] == ["03a01Fa", "16b10Wb"]


# --- roots and options ---


def test_root_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SERLAB_DATA is a folder with one folder a corpus; a root that is given wins."""
    touch(tmp_path / "data" / "emodb", "03a01Fa.wav")
    other = touch(tmp_path / "other", "16b10Wb.wav")
    monkeypatch.setenv("SERLAB_DATA", str(tmp_path / "data"))
    assert load_corpus("emodb", roots={}).utterances[0].id == "03a01Fa"
    assert load("emodb", other).utterances[0].id == "16b10Wb"


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says both ways to give one."""
    monkeypatch.delenv("SERLAB_DATA", raising=False)
    with pytest.raises(SerlabError, match=r"--root emodb=DIR.*SERLAB_DATA"):
        load_corpus("emodb", roots={})


def test_missing_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there, or a file in its place, is named with where it came from."""
    with pytest.raises(BadFile, match=r"gone: there is no such folder .*--root emodb=DIR"):
        load("emodb", tmp_path / "gone")
    (tmp_path / "urdu").write_text("x")
    monkeypatch.setenv("SERLAB_DATA", str(tmp_path))
    with pytest.raises(BadFile, match=r"urdu: is a file, not a folder .*SERLAB_DATA"):
        load_corpus("urdu", roots={})


def test_unknown_names(tmp_path: Path) -> None:
    """Corpus, root, option and option value: each unknown one meets its nearest."""
    with pytest.raises(UnknownName, match='"emodbb" is no corpus; did you mean "emodb"'):
        load_corpus("emodbb", roots={})
    with pytest.raises(UnknownName, match='--root: "urduu" is no corpus; did you mean "urdu"'):
        load_corpus("synth", roots={"urduu": tmp_path})
    with pytest.raises(UnknownName, match='no option of the corpus emodb; did you mean "unknown"'):
        load("emodb", tmp_path, unknwon="skip")
    with pytest.raises(UnknownName, match='did you mean "skip"'):
        load("emodb", touch(tmp_path, "03a01Fa.wav"), unknown="skipp")


def test_register_tells_of_every_corpus() -> None:
    """Each corpus names its title, language, licence, source, counts and options."""
    entries = CORPORA.entries()
    assert {"emodb", "urdu", "ravdess", "manifest", "synth"} <= set(entries)
    for entry in entries.values():
        for fact in ("title", "language", "licence", "source"):
            assert entry.facts[fact]
        assert isinstance(entry.facts["needs_root"], bool)
        assert isinstance(entry.facts["counts"], dict)
        assert isinstance(entry.facts["options"], dict)
        assert entry.summary


# --- the hash of a corpus ---


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    """A moved or touched corpus keeps its hash; another sound or label changes it."""
    one = touch(tmp_path / "one", *OFFICIAL["urdu"])
    two = tmp_path / "elsewhere"
    shutil.copytree(one, two)
    os.utime(two / "Angry" / "SM1_F10_A010.wav", (1, 1))
    first = corpus_digest(load("urdu", one))
    assert corpus_digest(load("urdu", two)) == first
    (two / "Angry" / "SM1_F10_A010.wav").rename(two / "SM1_F10_H010.wav")
    assert corpus_digest(load("urdu", two)) != first
    (two / "SM1_F10_H010.wav").rename(two / "Angry" / "SM1_F10_A010.wav")
    assert corpus_digest(load("urdu", two)) == first
    shutil.copy(two / "Sad" / "SF8_F1_S01.wav", two / "Angry" / "SM1_F10_A010.wav")
    assert corpus_digest(load("urdu", two)) != first


def test_digest_of_strange_sources() -> None:
    """A source that tells nothing of its content cannot be hashed."""

    class Bare:
        def read(self) -> None: ...
        def name(self) -> str:
            return "bare"

    u = Utterance(id="a", speaker="s", audio=Bare())  # type: ignore[arg-type]
    corpus = Corpus(name="x", utterances=(u,), labels=(), licence="", source="")
    with pytest.raises(BadValue, match="'Bare': expected a source with a path or an identity"):
        corpus_digest(corpus)


def test_digest_of_a_missing_file(tmp_path: Path) -> None:
    """A file that went away is named."""
    corpus = load("urdu", touch(tmp_path, *OFFICIAL["urdu"]))
    (tmp_path / OFFICIAL["urdu"][0]).unlink()
    with pytest.raises(BadFile, match="SM1_F10_A010"):
        corpus_digest(corpus)


# --- tables ---


def table(root: Path, text: str | bytes, name: str = "manifest.csv") -> Path:
    """The root, with a table in it."""
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


FULL = """path,speaker,emotion,id,session,dialogue,turn,text,sentence,start,end,split,age
a/ä 1.wav,s1,anger,u1,1,d1,1,"Go, away!",p1,0.01,0.03,train,30
b.wav,s2,sadness,,1,d1,2,Oh.,,,,dev,
c.wav,s2,,,1,d1,3,,,0.02,,TEST,31
"""


def test_every_column(tmp_path: Path) -> None:
    """Each column arrives at its place; what is empty is absent; others become facts."""
    touch(tmp_path, "a/ä 1.wav", "b.wav", "c.wav")
    corpus = load("manifest", table(tmp_path, FULL))
    one, two, three = corpus.utterances
    assert corpus.labels == ("anger", "sadness")
    assert (one.id, one.speaker, one.emotion, one.session) == ("u1", "s1", "anger", "1")
    assert (one.dialogue, one.turn, one.text, one.sentence) == ("d1", 1, "Go, away!", "p1")
    assert (one.partition, one.source, one.facts) == ("train", "a/ä 1", {"age": "30"})
    assert len(one.audio.read().samples) == 320
    assert (two.id, two.partition, two.source, two.sentence) == ("b", "validation", None, None)
    assert two.facts == {}
    assert (three.id, three.emotion, three.partition) == ("c:0.02-end", None, "test")


@pytest.mark.parametrize(
    "data",
    [
        FULL.encode("utf-8-sig"),
        FULL.replace(",", ";").replace('"Go; away!"', '"Go, away!"').encode(),
        FULL.replace('"Go, away!"', "Go/ away!").replace(",", "\t").replace("/ ", ", ").encode(),
        FULL.replace("\n", "\r\n").encode(),
        (FULL + "\n\n").encode(),
        FULL.replace("a/ä", "a\\ä").encode(),
    ],
    ids=["bom", "semicolons", "tabs", "crlf", "blank lines", "backslashes"],
)
def test_dialects_of_csv(tmp_path: Path, data: bytes) -> None:
    """Byte order mark, other delimiters, line ends and separators change nothing."""
    first = load("manifest", table(tmp_path / "one", FULL)).utterances
    second = load("manifest", table(tmp_path / "two", data)).utterances

    def facts(u: Utterance, root: str) -> tuple[Utterance, AudioFile]:
        assert isinstance(u.audio, AudioFile)
        path = u.audio.path.relative_to(tmp_path / root)
        return replace(u, audio=None), replace(u.audio, path=path)

    assert [facts(u, "one") for u in first] == [facts(u, "two") for u in second]


def test_json_lines(tmp_path: Path) -> None:
    """JSON lines give what the CSV gives; numbers and null are taken as they are."""
    rows = [dict(row) for row in csv.DictReader(FULL.splitlines())]
    lines = []
    for row in rows:
        cells: dict[str, object] = {k: v or None for k, v in row.items()}
        for key in ("start", "end"):
            cells[key] = float(row[key]) if row[key] else None
        cells["turn"] = int(row["turn"])
        lines.append(json.dumps(cells))
    table(tmp_path, FULL)
    table(tmp_path, "\n".join(lines) + "\n", "other.jsonl")
    assert (
        load("manifest", tmp_path).utterances
        == load("manifest", tmp_path, file="other.jsonl").utterances
    )


def test_manifest_itself_as_root(tmp_path: Path) -> None:
    """The root may be the table."""
    table(tmp_path, "path,speaker,emotion\na.wav,s,x\n", "my.csv")
    assert load("manifest", tmp_path / "my.csv", name="mine").name == "mine"


def test_columns_of_other_names(tmp_path: Path) -> None:
    """The option rename takes a table as it is; labels fixes the classes."""
    root = table(tmp_path, "file,who,label\na.wav,s,x\nb.wav,s,y\n")
    corpus = load("manifest", root, rename="file=path who=speaker label=emotion", labels="y, x,z")
    assert corpus.labels == ("y", "x", "z")
    assert [u.emotion for u in corpus.utterances] == ["x", "y"]


HEAD = "path,speaker,emotion,start,end,turn,split\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'has no column "path"|holds no utterance'),
        (HEAD, "holds no utterance"),
        ("path,emotion\na.wav,x\n", r'no column "speaker"; it has path, emotion .*rename="other='),
        ("path,speaker,emotoin\na,s,x\n", 'column "emotoin": did you mean "emotion"'),
        ("path,speaker,speaker\na,s,x\n", r"csv:1: a column stands twice: path, speaker"),
        (HEAD + "a.wav,,x,,,,\n", 'csv:2: column "speaker" is empty'),
        (HEAD + ",s,x,,,,\n", 'csv:2: column "path" is empty'),
        (HEAD + "a.wav,s,x,,,,\na.wav,s\n", "csv:3: has 2 cells, and the header names 7 columns"),
        (HEAD + "a.wav,s,x,soon,,,\n", "csv:2: column \"start\" is 'soon': expected seconds"),
        (HEAD + "a.wav,s,x,-1,,,\n", "column \"start\" is '-1'"),
        (HEAD + "a.wav,s,x,nan,,,\n", "column \"start\" is 'nan'"),
        (HEAD + "a.wav,s,x,2,1,,\n", 'column "end" is 1: expected more than the start, 2'),
        (HEAD + "a.wav,s,x,,,1.5,\n", "column \"turn\" is '1.5': expected an integer"),
        (HEAD + "a.wav,s,x,,,,tset\n", 'column "split": "tset" is no part; did you mean "test"'),
        (HEAD + "../a.wav,s,x,,,,\n", "csv:2: column \"path\" is '../a.wav': expected a path ins"),
        (HEAD + "a/../../b.wav,s,x,,,,\n", "expected a path inside the manifest's folder"),
        (HEAD + "..\\b.wav,s,x,,,,\n", "expected a path inside the manifest's folder"),
        (HEAD + "/etc/a.wav,s,x,,,,\n", "expected a path inside the manifest's folder"),
        (HEAD + "C:\\a.wav,s,x,,,,\n", "expected a path inside the manifest's folder"),
        (HEAD + "a.wav,s,x,,,,\nb/../a.wav,t,x,,,,\n", "csv:3: column \"id\" is 'a', as on line 2"),
        (HEAD + 'a.wav,"s,x,,,,\n', "is no CSV: unexpected end of data"),
        (HEAD + "a\x00.wav,s,x,,,,\n", 'csv:2: column "path" has control characters'),
        (HEAD.encode() + b"a.wav,s,\xe4rger,,,,\n", r"csv:2: is not UTF-8 text \(byte 0xe4\)"),
        (HEAD.encode("utf-16"), r"csv:1: is not UTF-8 text \(byte 0xff\); save it as UTF-8"),
        (
            HEAD + ".,s,x,,,,\n..,s,x,,,,\n",
            "csv:3: column \"path\" is '..': expected a path inside",
        ),
        (
            HEAD + "a/b:c.wav,s,x,,,,\n\\\\server\\share\\a.wav,s,x,,,,\n",
            "csv:3: .*inside the manif",
        ),
    ],
)
def test_bad_tables(tmp_path: Path, text: str | bytes, words: str) -> None:
    """Each mistake is named with file, line and column, in one line."""
    with pytest.raises(SerlabError, match=words) as caught:
        load("manifest", table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_links_are_followed_out_of_the_folder(tmp_path: Path) -> None:
    """A link was made on this machine: unlike a path in a table, it may lead anywhere."""
    touch(tmp_path / "elsewhere", "a.wav")
    root = table(tmp_path / "root", "path,speaker,emotion\nlinked/a.wav,s,x\n")
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(load("manifest", root).utterances[0].heard().read().samples) == 800


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{]\n", "jsonl:1: is no JSON"),
        ('{"path": "a", "speaker": "s"}\n[1]\n', "jsonl:2: expected an object such as"),
        ('{"path": "a", "speaker": ["s"]}', 'jsonl:1: column "speaker" is a list, not a text'),
        ('{"path": "a", "speaker": true}', "is a bool"),
        ('{"path": "a", "speaker": "\\ud800"}', "control characters"),
        ('{"path": "a", "speaker": "s"}\n{"path": "a"}', 'has no column "speaker"'),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_bad_json_lines(tmp_path: Path, text: str, words: str) -> None:
    """So is each in JSON lines."""
    with pytest.raises(BadFile, match=words):
        load("manifest", table(tmp_path, text, "m.jsonl"), file="m.jsonl")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"file": "gone.csv"}, BadFile, r"gone\.csv: there is no such manifest .*option"),
        ({"rename": "file"}, BadValue, 'expected pairs such as "file=path label=emotion"'),
        ({"rename": "a=pth"}, UnknownName, 'manifest.rename: "pth" is no column; did you mean'),
        ({"rename": "emotion=path"}, BadFile, "csv:2: the option rename gives two columns one"),
        ({"trace_rate_hz": 0.0}, BadValue, "manifest.trace_rate_hz"),
    ],
)
def test_bad_manifest_options(
    tmp_path: Path, options: Mapping[str, str | float], error: type[SerlabError], words: str
) -> None:
    """Wrong options are named."""
    root = table(tmp_path, "path,speaker,emotion\na.wav,s,x\n")
    with pytest.raises(error, match=words):
        load("manifest", root, **options)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), json_lines=st.booleans(), headed=st.booleans())
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, json_lines: bool, headed: bool
) -> None:
    """Whatever a table holds, it is a corpus or one clear line, never a crash."""
    root = tmp_path_factory.mktemp("any")
    head = HEAD.encode() if headed and not json_lines else b""
    name = "m.jsonl" if json_lines else "m.csv"
    table(root, head + data, name)
    with suppress(SerlabError):
        assert load("manifest", root, file=name).utterances


TRACES = "time,arousal,valence\n" + "".join(f"{t / 10},{t / 10},-0.5\n" for t in range(5))


def test_traces(tmp_path: Path) -> None:
    """Continuous labels are read with their dimensions at the rate that is told."""
    table(tmp_path, TRACES, "a.csv")
    root = table(tmp_path, "path,speaker,traces\na.wav,s,a.csv\n")
    corpus = load("manifest", root)
    assert corpus.dimensions == ("arousal", "valence")
    traces = corpus.utterances[0].traces
    assert traces is not None
    assert traces.rate_hz == 10
    assert np.allclose(traces.read(), [[t / 10, -0.5] for t in range(5)])
    before = corpus_digest(load("manifest", touch(root, "a.wav")))
    table(tmp_path, TRACES.replace("-0.5", "0.5"), "a.csv")
    assert corpus_digest(load("manifest", root)) != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,arousal,valence\n", "has no rows"),
        ("time,arousal\n0,1\n", "expected the dimensions arousal, valence"),
        ("time\n0\n", "expected a column of time and one for each dimension"),
        ("time,arousal,valence\n0,high,1\n", "is no table of numbers"),
        ("time,arousal,valence\n0,nan,1\n", "NaN or infinite"),
        ("time,arousal,valence\n0,1,1\n0.2,1,1\n", r"steps of 0\.1 s .*trace_rate_hz"),
        ("time,arousal,valence\n0,1\n", "has 2 cells"),
    ],
)
def test_bad_traces(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong with continuous labels is told with their file."""
    path = table(tmp_path, text, "t.csv") / "t.csv"
    with pytest.raises(BadFile, match=words):
        TraceFile(path=path, dimensions=("arousal", "valence"), rate_hz=10.0).read()


def test_missing_traces(tmp_path: Path) -> None:
    """A file of traces that is not there is named."""
    root = table(tmp_path, "path,speaker,traces\na.wav,s,gone.csv\n")
    with pytest.raises(BadFile, match=r"gone\.csv: there is no such file"):
        load("manifest", root)


def test_unreadable_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that the system will not open is a clear error."""
    root = table(tmp_path, HEAD)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadFile, match=r"manifest\.csv: cannot be read: Permission denied"):
        load("manifest", root)


FACES = "audio_file,f0_mean,file,AU01_mean,joy_std,emotion\n"


def test_ravdess_takes_the_clips_of_a_table_of_faces(tmp_path: Path) -> None:
    """Only these, with the columns of the face; the voice's and the labels' are left."""
    touch(tmp_path, *OFFICIAL["ravdess"])
    rows = "03-01-05-02-01-02-01.flac,220,01-01-05-02-01-02-01,0.5,-1,angry\n"
    for name, opened in (("faces.csv", open), ("faces.csv.gz", gzip.open)):
        with opened(tmp_path / name, "wt", encoding="utf-8") as file:  # type: ignore[operator]
            file.write(FACES + rows)
        (utterance,) = load("ravdess", tmp_path, faces=name).utterances
        assert utterance.id == "03-01-05-02-01-02-01"
        assert utterance.supplied == {"face": (0.5, -1.0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "has no column audio_file"),
        (FACES + "03-01-05-02-01-02-02.flac,1,x,1,1,y\n", "names the clip 03-01-05-02-01-02-02"),
        (FACES + "03-01-05-02-01-02-01.flac,1,x,high,1,y\n", "clip 1: could not convert"),
        (FACES, "has no clip"),
        (None, "cannot be read as a table"),
    ],
)
def test_broken_tables_of_faces_are_told(tmp_path: Path, text: str | None, message: str) -> None:
    """With the table's path and what is wrong."""
    touch(tmp_path, *OFFICIAL["ravdess"])
    if text is not None:
        (tmp_path / "faces.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadFile, match=message):
        load("ravdess", tmp_path, faces="faces.csv")


def test_real_table_of_faces(real_corpus: Callable[[str], Path]) -> None:
    """Fifteen clips of each of 24 actors, 56 values each."""
    root = real_corpus("ravdess")
    table = root.parent / "ravdess_face_voice_360.csv.gz"
    if not table.is_file():
        pytest.skip("the table of face features is not beside the corpus")
    held = load("ravdess", root, faces=f"../{table.name}").utterances
    assert len(held) == 360
    assert Counter(Counter(u.speaker for u in held).values()) == {15: 24}
    assert {len(u.supplied["face"]) for u in held} == {56}
