"""Readers of acted corpora whose names tell nearly everything."""

from __future__ import annotations

import importlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from trees.sounds import sound

from serlab.bench.contracts import Corpus, Utterance
from serlab.bench.corpora.base import CORPORA, load_corpus
from serlab.bench.errors import BadFile, UnknownName

ACTED = ("crema_d", "savee", "tess", "emovo", "emov_db", "nemo", "ased", "esd", "shemo")


def load(name: str, root: Path, /, **options: str) -> Corpus:
    return load_corpus(name, roots={name: root}, options=options)


@pytest.fixture
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The miniature tree of the corpus that the test names."""
    importlib.import_module(f"trees.{request.param}").build(tmp_path / "tree")
    return tmp_path / "tree"


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tree", [name], indirect=True, ids=[name])


def one(corpus: Corpus, name: str) -> Utterance:
    return corpus.by_id()[name]


@pytest.mark.parametrize(("tree", "name"), [(n, n) for n in ACTED], indirect=["tree"])
def test_classes_are_those_published(tree: Path, name: str) -> None:
    """The tree has every class, and the registration a published count of each."""
    corpus = load(name, tree)
    counts = CORPORA.entry(name).facts["counts"]
    assert corpus.labels == tuple(sorted(counts))
    assert {u.emotion for u in corpus.utterances} == set(counts)


def test_published_counts_come_to_the_published_totals() -> None:
    """The sums are those that the papers give."""
    totals = {name: sum(CORPORA.entry(name).facts["counts"].values()) for name in ACTED}
    assert totals == {
        "crema_d": 7442,
        "savee": 480,
        "tess": 2800,
        "emovo": 588,
        "emov_db": 7000,
        "nemo": 4481,
        "ased": 2474,
        "esd": 35000,
        "shemo": 3000,
    }


STRANGE = {
    "crema_d": ("AudioWAV/1001_XXX_ANG_XX", "AudioWAV/1001_DFA_BOR_XX", "AudioWAV/1001_DFA_ANG_ZZ"),
    "savee": ("AudioData/XX/a01", "AudioData/DC/b01", "XDC_a01"),
    "tess": ("OAF_back_bored", "MAF_back_angry"),
    "emovo": ("EMOVO/f1/dis-f4-b1", "EMOVO/f1/dis-f1-b4", "EMOVO/f1/xxx-f1-b1"),
    "emov_db": ("amused_1-15_0001", "tom_Amused/amused_1-15_0001", "bea_Amused/glad_1-15_0001"),
    "nemo": ("samples/WR0_bored_1", "samples/wr0_anger_1"),
    "ased": ("05Angry/b5-01-01-02-50", "05Angry/a5-01-01-02-66", "05Angry/a5-08-01-02-50"),
    "esd": ("0001/Angry/0021_000351", "0001/Angry/0001_001751", "0001/Angry/0001_351"),
    "shemo": ("male/X01A01", "male/M01X01"),
}


@pytest.mark.parametrize(("tree", "name"), [(n, n) for n in ACTED], indirect=["tree"])
def test_strange_names(tree: Path, name: str) -> None:
    """A file of another name is refused, or left out where that is asked."""
    n = len(load(name, tree).utterances)
    for strange in STRANGE[name]:
        path = sound(tree / f"{strange}.wav")
        with pytest.raises(BadFile, match=r"such as .*unknown=.skip") as caught:
            load(name, tree)
        assert Path(strange).name in str(caught.value)
        assert len(load(name, tree, unknown="skip").utterances) == n
        path.unlink()


@pytest.mark.parametrize(
    ("tree", "name", "path", "words"),
    [
        ("tess", "tess", "OAF_angry/OAF_dog_happy.wav", "name says OAF happiness and its folder"),
        ("tess", "tess", "YAF_angry/OAF_dog_angry.wav", "says OAF anger and its folder YAF_angry"),
        ("emovo", "emovo", "EMOVO/f1/dis-f2-b3.wav", "its name says f2 and its folder f1"),
        ("emov_db", "emov_db", "bea_Angry/amused_1-28_0002.wav", "says amusement and its folder"),
        ("ased", "ased", "04Sad/a5-03-01-02-50.wav", "name says anger and its folder 04Sad"),
        ("esd", "esd", "0001/Sad/train/0001_000360.wav", "name says anger and its folder Sad"),
        ("shemo", "shemo", "male/F09A01.wav", "name says female and its folder male"),
    ],
    indirect=["tree"],
)
def test_folder_against_name(tree: Path, name: str, path: str, words: str) -> None:
    """Where folder and name disagree, nobody knows which is right."""
    sound(tree / path)
    with pytest.raises(BadFile, match=words):
        load(name, tree)


# --- crema_d ---


@of("crema_d")
def test_crema_d(tree: Path) -> None:
    """Actor, sentence, emotion, intensity; the audio is that of AudioWAV alone."""
    corpus = load("crema_d", tree)
    u = one(corpus, "1002_IEO_HAP_MD")
    assert (u.speaker, u.sentence, u.emotion) == ("1002", "IEO", "happiness")
    assert u.text == "It's eleven o'clock."
    assert u.facts == {"sex": "female", "age": "21", "intensity": "medium"}
    assert one(corpus, "1040_ITH_SAD_X").facts == {"sex": "male", "age": "42"}
    assert len([u for u in corpus.utterances if u.id == "1001_DFA_ANG_XX"]) == 1
    assert load("crema_d", tree / "AudioWAV").by_id().keys() == corpus.by_id().keys()


@of("crema_d")
@pytest.mark.parametrize("table", ["tabulatedVotes.csv", "summaryTable.csv"])
def test_crema_d_votes(tree: Path, table: str) -> None:
    """Either table gives the winners; a tie has no class, and the clip without audio is let be."""
    for path in (tree / "processedResults").iterdir():
        if path.name != table:
            path.unlink()
    voice = load("crema_d", tree, label="voice")
    tie = one(voice, "1001_DFA_DIS_XX")
    assert (tie.emotion, tie.facts["label"]) == (None, "anger:disgust")
    assert tie.facts["intended"] == "disgust"
    assert one(voice, "1001_DFA_ANG_XX").emotion == "anger"
    assert one(voice, "1040_ITH_SAD_X").emotion == "sadness"
    counted = table == "tabulatedVotes.csv"
    assert tie.facts.get("votes") == ("anger 5, disgust 5" if counted else None)
    assert {u.emotion for u in load("crema_d", tree, label="face").utterances} == {"neutral"}
    assert {u.emotion for u in load("crema_d", tree, label="multimodal").utterances} == {"sadness"}
    assert voice.labels == load("crema_d", tree).labels


@of("crema_d")
def test_crema_d_wrong_votes(tree: Path) -> None:
    """A clip without a vote, a letter that is none, no table, and no such option."""
    table = tree / "processedResults" / "tabulatedVotes.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:1] + lines[4:]), encoding="utf-8")
    with pytest.raises(BadFile, match=r"no vote \(voice\) on the clip 1001_DFA_ANG_XX"):
        load("crema_d", tree, label="voice")
    table.write_text("\n".join([*lines[:1], lines[1].replace('"A"', '"A:X"')]), encoding="utf-8")
    with pytest.raises(BadFile, match=r"tabulatedVotes\.csv:2: the vote is 'A:X'"):
        load("crema_d", tree, label="voice")
    table.write_text("\n".join([*lines[:1], lines[1].replace('"100001"', "x")]), encoding="utf-8")
    with pytest.raises(BadFile, match=r"csv:2: the row's number is 'x'"):
        load("crema_d", tree, label="voice")
    shutil.rmtree(tree / "processedResults")
    with pytest.raises(BadFile, match=r"summaryTable\.csv: there is no such file"):
        load("crema_d", tree, label="voice")
    with pytest.raises(UnknownName, match='"voices" is no value of the option label'):
        load("crema_d", tree, label="voices")


# --- savee ---


@of("savee")
def test_savee_layouts(tree: Path, tmp_path: Path) -> None:
    """Folders of speakers and one flat folder are the same corpus."""
    first = load("savee", tree)
    for path in (tree / "AudioData").glob("*/*.wav"):
        flat = tmp_path / "ALL" / f"{path.parent.name}_{path.name}"
        flat.parent.mkdir(exist_ok=True)
        shutil.copy(path, flat)
    second = load("savee", tmp_path / "ALL")
    assert [(u.id, u.speaker, u.emotion, u.sentence) for u in first.utterances] == [
        (u.id, u.speaker, u.emotion, u.sentence) for u in second.utterances
    ]
    assert one(first, "KL_su15").emotion == "surprise"
    shutil.copy(tmp_path / "ALL" / "DC_a01.wav", tree)
    with pytest.raises(BadFile, match=r"is the same utterance as"):
        load("savee", tree)


@of("savee")
def test_savee_sentences(tree: Path) -> None:
    """What several emotions share has one name."""
    corpus = load("savee", tree)
    sentences = {u.id: u.sentence for u in corpus.utterances if u.speaker == "DC"}
    assert {sentences[f"DC_{e}01"] for e in ("a", "n", "sa", "su")} == {"common1"}
    assert sentences["DC_a04"] == sentences["DC_n15"] == "specific"
    assert (sentences["DC_a15"], sentences["DC_n30"]) == ("a15", "n30")


# --- tess ---


@of("tess")
def test_tess(tree: Path) -> None:
    """The word in its sentence, the age of the actress, and the lost letter put back."""
    corpus = load("tess", tree)
    u = one(corpus, "OAF_bite_neutral")
    assert (u.speaker, u.emotion, u.sentence) == ("OAF", "neutral", "bite")
    assert (u.text, u.facts) == ("Say the word bite.", {"sex": "female", "age": "64"})
    assert one(corpus, "YAF_youth_ps").emotion == "surprise"
    sound(tree / "OAF_neutral" / "OAF_bite_neutral.wav")
    with pytest.raises(BadFile, match=r"OA_bite_neutral\.wav: is the same utterance as .*OAF_bite"):
        load("tess", tree)


@of("tess")
def test_copies_of_folders_are_left_out(tree: Path) -> None:
    """A set of folders within the same set counts once; two recordings of a name are refused."""
    n = len(load("tess", tree).utterances)
    top = tree / "TESS Toronto emotional speech set data"
    for folder in sorted(top.iterdir()):
        shutil.copytree(folder, top / top.name / folder.name)
    assert len(load("tess", tree).utterances) == n
    path = top / top.name / "YAF_angry" / "YAF_back_angry.wav"
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x02")
    with pytest.raises(BadFile, match=r"YAF_back_angry\.wav: is the same utterance as"):
        load("tess", tree)


def test_broken_link_is_no_copy(tmp_path: Path) -> None:
    """A link to nothing under a name that is there already is refused in one line."""
    sound(tmp_path / "b" / "YAF_angry" / "YAF_back_angry.wav")
    (tmp_path / "c" / "YAF_angry").mkdir(parents=True)
    (tmp_path / "c" / "YAF_angry" / "YAF_back_angry.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(BadFile, match="is the same utterance as"):
        load("tess", tmp_path)


# --- emovo ---


@of("emovo")
def test_emovo(tree: Path) -> None:
    """Emotion, actor and sentence with its text."""
    u = one(load("emovo", tree), "sor-m3-n5")
    assert (u.speaker, u.emotion, u.sentence) == ("m3", "surprise", "n5")
    assert u.text == "Uno quarantatré dieci mille cinquantasette venti."
    assert u.facts == {"sex": "male"}


# --- emov_db ---


@of("emov_db")
def test_emov_db(tree: Path) -> None:
    """Speaker from the folder; a sentence in two ranges is two utterances; texts by number."""
    corpus = load("emov_db", tree)
    u = one(corpus, "bea_sleepiness_1-28_0028")
    assert (u.speaker, u.emotion, u.sentence) == ("bea", "sleepiness", "0028")
    assert (u.text, u.facts) == ("Gad, your letter came just in time.", {"sex": "female"})
    twice = [u.id for u in corpus.utterances if u.speaker == "jenie" and u.sentence == "0094"]
    assert {"jenie_amused_85-94_0094", "jenie_amused_94-112_0094"} <= set(twice)
    assert one(corpus, "sam_anger_225_252_0239").text is None


@of("emov_db")
@pytest.mark.parametrize("layout", ["{speaker}/{style}", "EmoV-DB_sorted/{speaker}/{style}", "{n}"])
def test_emov_db_layouts(tree: Path, tmp_path: Path, layout: str) -> None:
    """The sorted release and that of the script of alignment are the same corpus."""
    numbers = {"bea": 1, "jenie": 2, "josh": 3, "sam": 4}
    for path in tree.glob("*/*.wav"):
        speaker, style = path.parent.name.split("_")
        folder = tmp_path / layout.format(speaker=speaker, style=style, n=numbers[speaker])
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    names = {p.name for p in tmp_path.rglob("*.wav")}
    corpus = load("emov_db", tmp_path)
    assert {u.id.split("_", 1)[1] + ".wav" for u in corpus.utterances} == names
    assert Counter(u.speaker for u in corpus.utterances) == {
        "bea": 15,
        "jenie": 16,
        "josh": 9,
        "sam": 16,
    }


@of("emov_db")
def test_emov_db_texts(tree: Path) -> None:
    """Without the file there is no text; a file of something else is told."""
    table = tree / "cmuarctic.data"
    table.write_text("<html>404</html>", encoding="utf-8")
    with pytest.raises(BadFile, match=r"cmuarctic\.data: has no line such as"):
        load("emov_db", tree)
    table.unlink()
    assert {u.text for u in load("emov_db", tree).utterances} == {None}


# --- nemo ---


@of("nemo")
def test_nemo(tree: Path) -> None:
    """The table's text with its quotation marks, sex and age; padded cells are trimmed."""
    u = one(load("nemo", tree), "IC0_surprised_46")
    assert (u.speaker, u.emotion, u.sentence) == ("IC0", "surprise", "46")
    assert u.text == '"Żołwica" to dawne określenie na siostrę męża.'
    assert u.facts == {"sex": "female", "age": "28"}


@of("nemo")
def test_nemo_wrong_tables(tree: Path) -> None:
    """A row without audio, audio without a row, a row twice or of another file, no table."""
    table = tree / "data.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()

    def told(rows: list[str], words: str) -> None:
        table.write_text("\r\n".join(rows), encoding="utf-8-sig")
        with pytest.raises(BadFile, match=words):
            load("nemo", tree)

    told(lines[:-1], r"data\.tsv: has no row of WR0_surprised_46 \(1 files have none\)")
    told([*lines, lines[-1]], r"data\.tsv:74: WR0_surprised_46 stands on line 73 already")
    told([*lines, lines[-1].replace("_46.wav", "_47.wav")], r"tsv:74: there is no audio file WR0")
    told([*lines[:-1], lines[-1].replace("\tsurprised", "\tfear")], r":73: says WR0 and fear of")
    told(["file_id\temotion"], 'has no column "raw_text"')
    table.unlink()
    with pytest.raises(BadFile, match=r"data\.tsv: there is no such file"):
        load("nemo", tree)


# --- ased ---


@of("ased")
def test_ased(tree: Path) -> None:
    """A capital letter changes nothing, and one wrong sex does not change the speaker's."""
    corpus = load("ased", tree)
    u = one(corpus, "s4-04-02-01-29")
    assert (u.speaker, u.emotion, u.sentence) == ("29", "sadness", "04")
    assert u.facts == {"sex": "female", "repetition": "02"}
    assert one(corpus, "s4-01-02-02-09").facts["sex"] == "female"
    assert one(corpus, "a5-07-01-02-50").facts["sex"] == "male"


# --- esd ---


@of("esd")
def test_esd(tree: Path) -> None:
    """Emotion and sentence from the number, the part from the folder, texts in any encoding."""
    corpus = load("esd", tree)
    u = one(corpus, "0016_000401")
    assert (u.speaker, u.emotion, u.sentence) == ("0016", "anger", "english051")
    assert (u.partition, u.text) == ("train", "It’s Tom, 51.")
    assert u.facts == {"sex": "female", "language": "english"}
    u = one(corpus, "0003_001421")
    assert (u.emotion, u.partition, u.sentence) == ("surprise", "test", "mandarin021")
    assert (u.facts["sex"], u.facts["language"]) == ("female", "mandarin")
    assert {u.text for u in corpus.utterances} == {
        text.format(n)
        for text in ("打远一看，它们的确很是美丽。{}", "It’s Tom, {}.")
        for n in (1, 21, 51)
    }
    assert Counter(u.partition for u in corpus.utterances) == {
        "train": 20,
        "validation": 20,
        "test": 20,
    }


@of("esd")
def test_esd_languages(tree: Path) -> None:
    """One language only, where that is asked; a language that is not there is told."""
    speakers = {u.speaker for u in load("esd", tree, language="english").utterances}
    assert speakers == {"0011", "0016"}
    shutil.rmtree(tree / "0001")
    assert {u.speaker for u in load("esd", tree, language="mandarin").utterances} == {"0003"}
    shutil.rmtree(tree / "0003")
    with pytest.raises(BadFile, match='no file for the option language="mandarin"'):
        load("esd", tree, language="mandarin")


@of("esd")
def test_esd_without_parts_and_texts(tree: Path) -> None:
    """Later releases have no parts; texts may be missing."""
    for path in list(tree.glob("*/*/*/*.wav")):
        path.rename(path.parents[1] / path.name)
    for path in tree.glob("*/*.txt"):
        path.unlink()
    corpus = load("esd", tree)
    assert {(u.partition, u.text) for u in corpus.utterances} == {(None, None)}
    assert one(corpus, "0016_000401").emotion == "anger"


@of("esd")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "gb18030"])
def test_esd_encodings(tree: Path, encoding: str) -> None:
    """More encodings of one text, with and without a byte order mark."""
    table = tree / "0001" / "0001.txt"
    table.write_bytes("0001_000001\t它们\t中立\n0001_000351 美丽 生气\n".encode(encoding))
    corpus = load("esd", tree)
    assert [one(corpus, f"0001_000{n}").text for n in ("001", "351")] == ["它们", "美丽"]


@of("esd")
def test_esd_bad_text_and_number(tree: Path) -> None:
    """Bytes that are no text are told with the line; so is the number 0."""
    table = tree / "0001" / "0001.txt"
    table.write_bytes(b"0001_000001\tx\n0001_000002\t\xff\xff\n")
    with pytest.raises(BadFile, match=r"0001\.txt:2"):
        load("esd", tree)
    table.unlink()
    sound(tree / "0001" / "Neutral" / "train" / "0001_000000.wav")
    with pytest.raises(BadFile, match=r"0001_000000\.wav: has the number 0"):
        load("esd", tree)


# --- shemo ---


@of("shemo")
def test_shemo(tree: Path) -> None:
    """Sex, speaker, emotion, and the transcript where there is one."""
    corpus = load("shemo", tree)
    u = one(corpus, "F02F01")
    assert (u.speaker, u.emotion, u.sentence) == ("F02", "fear", None)
    assert (u.text, u.facts) == ("کی این حرفو زده؟ F02F01", {"sex": "female"})
    assert one(corpus, "M21W01").text is None
    (tree / "shemo.json").unlink()
    assert {u.text for u in load("shemo", tree).utterances} == {None}


@of("shemo")
def test_shemo_modified(tree: Path) -> None:
    """The corrected file comes first; its label is a fact where it is another."""
    entries = {
        "F01A01.wav": {"speech_name": "F01A01", "emotion": "anger", "transcript": "کی"},
        "M01S01.wav": {"speech_name": "M01S01", "emotion": "neutral", "transcript": "نه"},
    }
    (tree / "modified_shemo.json").write_text(json.dumps(entries), encoding="utf-8")
    corpus = load("shemo", tree)
    assert (one(corpus, "F01A01").text, one(corpus, "F01A01").facts) == ("کی", {"sex": "female"})
    assert one(corpus, "M01S01").emotion == "sadness"
    assert one(corpus, "M01S01").facts == {"sex": "male", "corrected": "neutral"}
    assert one(corpus, "M02S01").text is None


@of("shemo")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("3", "expected a list of objects"),
        ("[3]", 'entry 1: expected an object with a text "transcript"'),
        ('{"F01A01.wav": {"transcript": 3}}', "entry F01A01.wav: expected an object"),
        ('[{"transcript": "x", "emotion": "bored"}]', "entry 1: 'bored' is no emotion"),
        ('[{"transcript": "x", "emotion": ["sad"]}]', r"entry 1: \['sad'\] is no emotion"),
    ],
)
def test_shemo_bad_texts(tree: Path, text: str, words: str) -> None:
    """What is wrong with the texts is told with their file."""
    (tree / "modified_shemo.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadFile, match=words):
        load("shemo", tree)
