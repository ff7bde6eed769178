"""Databases in audformat, in a folder and by name through audb, without a network."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from trees.audformat import SENTENCES, build, table
from trees.sounds import sound

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadFile, BadValue, MissingExtra, SerlabError
from serlab.bench.protocols import make_split

library = pytest.importorskip("audformat")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path / "db")
    return tmp_path / "db"


def read(root: Path, **options: str) -> Corpus:
    return load_corpus("audformat", roots={"audformat": root}, options=options)


def database(root: Path, *names: str) -> Any:  # an untyped database
    """One without tables, and files for them."""
    for name in names:
        sound(root / name)
    db = library.Database("mine", source="me", license="CC0-1.0")
    db.schemes["emotion"] = library.Scheme("str", labels=["happy", "angry", "lively", "xxx"])
    db.schemes["speaker"] = library.Scheme("str")
    return db


def test_a_database_like_that_of_the_catalogue(root: Path) -> None:
    """Labels, speakers with sex and age, texts spelt out, and the partitions of its tables."""
    held = read(root)
    assert held.name == "emodb"
    assert held.licence == "CC0-1.0"
    assert held.labels == ("anger", "happiness", "neutral", "sadness")
    assert len(held.utterances) == 32
    assert Counter(u.emotion for u in held.utterances) == dict.fromkeys(held.labels, 8)
    u = held.by_id()["wav/03a01h"]
    assert (u.speaker, u.emotion, u.partition) == ("3", "happiness", "train")
    assert (u.sentence, u.text) == ("a01", SENTENCES["a01"])
    assert u.facts == {"sex": "male", "age": "31"}
    assert u.audio == AudioFile(path=root / "wav" / "03a01h.wav")
    assert held.by_id()["wav/09a02s"].facts == {"sex": "female"}
    made = make_split(held, ProtocolSpec(split="fixed", validation=1))
    assert {held.by_id()[i].speaker for i in made.folds[0].test} == {"9", "10"}
    assert made.leaks == ()


def test_labels_may_stand_in_tables_of_parts_alone(tmp_path: Path) -> None:
    """Train and test are joined; a pattern chooses among several kinds of label."""
    db = database(tmp_path, "a.wav", "b.wav")
    for part, file in (("train", "a.wav"), ("test", "b.wav")):
        table(db, f"emotion.{part}.gold", [file], {"emotion": ["happy"]})
        table(db, f"emotion.{part}.rater", [file], {"emotion": ["angry"]})
    table(db, "files", ["a.wav", "b.wav"], {"speaker": ["x", "y"]})
    db.save(str(tmp_path))
    with pytest.raises(BadFile, match=r"which are the emotions, emotion\.test\.gold\.emotion, "):
        read(tmp_path)
    held = read(tmp_path, emotion="emotion.*.gold.emotion")
    assert {(u.id, u.emotion, u.partition) for u in held.utterances} == {
        ("a", "happiness", "train"),
        ("b", "happiness", "test"),
    }


def test_segments_are_parts_of_their_files(tmp_path: Path) -> None:
    """Start and end in seconds; a file's speaker is that of its segments."""
    db = database(tmp_path, "long.wav")
    db["segments"] = library.Table(
        library.segmented_index(["long.wav"] * 2, ["0s", "0.1s"], ["0.1s", None])
    )
    db["segments"]["emotion"] = library.Column(scheme_id="emotion")
    db["segments"]["emotion"].set(["happy", "xxx"])
    table(db, "files", ["long.wav"], {"speaker": ["x"]})
    db.save(str(tmp_path))
    first, second = read(tmp_path).utterances
    assert (first.id, second.id) == ("long:0-0.1", "long:0.1-end")
    assert first.audio == AudioFile(path=tmp_path / "long.wav", start_s=0.0, end_s=0.1)
    assert second.heard().read().duration_s == pytest.approx(0.2, abs=1e-4)
    assert (first.speaker, first.source) == ("x", "long")
    assert second.emotion is None
    assert second.facts == {"label": "xxx"}


def test_speakers_may_be_told_by_a_table_of_their_own(tmp_path: Path) -> None:
    """Labels of a scheme that are a table of the database."""
    import pandas as pd

    db = database(tmp_path, "a.wav")
    db["people"] = library.MiscTable(pd.Index(["x", "y"], name="speaker", dtype="string"))
    db["people"]["age"] = library.Column()
    db["people"]["age"].set([20, 30])
    db.schemes["who"] = library.Scheme("str", labels="people")
    db["files"] = library.Table(library.filewise_index(["a.wav"]))
    db["files"]["speaker"] = library.Column(scheme_id="who")
    db["files"]["speaker"].set(["y"])
    table(db, "labels", ["a.wav"], {"emotion": ["angry"]})
    db.save(str(tmp_path))
    (u,) = read(tmp_path).utterances
    assert (u.speaker, u.facts) == ("y", {"age": "30"})


def test_labels_are_renamed(tmp_path: Path) -> None:
    """What the list of names lacks is said in an option, or stays."""
    db = database(tmp_path, "a.wav")
    table(db, "t", ["a.wav"], {"emotion": ["lively"], "speaker": ["x"]})
    db.save(str(tmp_path))
    assert read(tmp_path).labels == ("lively",)
    assert read(tmp_path, rename="lively=excitement").labels == ("excitement",)
    with pytest.raises(BadValue, match="rename = 'lively'"):
        read(tmp_path, rename="lively")


def test_without_speakers_every_split_leaks(tmp_path: Path) -> None:
    """They are asked for; to do without them is allowed and marked."""
    names = [f"{n}.wav" for n in range(9)]
    db = database(tmp_path, *names)
    table(db, "t", names, {"emotion": ["happy", "angry", "lively"] * 3})
    db.save(str(tmp_path))
    with pytest.raises(BadFile, match=r'speaker-independent; say speaker="table\.column"'):
        read(tmp_path)
    held = read(tmp_path, speaker="none")
    assert make_split(held, ProtocolSpec(split="random-utterances", groups=9)).leaks
    with pytest.raises(SerlabError, match="the corpus has 1: unknown"):
        make_split(held, ProtocolSpec())


def test_what_is_missing_is_named(root: Path) -> None:
    """A file, a speaker, a column, the database itself."""
    with pytest.raises(SerlabError, match=r'"emotion\.emotio" is no column; did you mean "emotion'):
        read(root, emotion="emotion.emotio")
    files = (root / "db.files.csv").read_text(encoding="utf-8").splitlines()
    (root / "db.files.csv").write_text("\n".join(files[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(BadFile, match=r"10a02s\.wav: no table tells who speaks"):
        read(root)
    (root / "wav" / "03a01h.wav").unlink()
    with pytest.raises(BadFile, match=r"03a01h\.wav: there is no such file, and the database"):
        read(root)
    (root / "db.yaml").write_text("tables: [", encoding="utf-8")
    with pytest.raises(BadFile, match=r"db\.yaml: cannot be read"):
        read(root)
    with pytest.raises(BadFile, match=r"it has no db\.yaml"):
        read(root / "wav")


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    """A database cannot name what does not belong to it."""
    (tmp_path / "db").mkdir()
    sound(tmp_path / "secret.wav")
    db = database(tmp_path / "db")
    table(db, "t", ["../secret.wav"], {"emotion": ["happy"], "speaker": ["x"]})
    db.save(str(tmp_path / "db"))
    with pytest.raises(BadFile, match="expected a path inside the folder"):
        read(tmp_path / "db")


def test_pickled_tables_are_not_opened(root: Path) -> None:
    """A pickle beside a table could run code; the table itself is read."""
    (root / "db.emotion.pkl").write_bytes(pickle.dumps(Trap()))
    assert len(read(root).utterances) == 32
    (root / "db.emotion.csv").unlink()
    with pytest.raises(BadFile, match=r"db\.yaml: cannot be read: No file found for table"):
        read(root)


class Trap:
    """Fails where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was opened",)


# --- audb -----------------------------------------------------------------------------------


@pytest.fixture
def repository(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the file system that holds the database, and no other."""
    audb = pytest.importorskip("audb")
    host = tmp_path / "host"
    (host / "local").mkdir(parents=True)
    where = audb.Repository("local", str(host), "file-system")
    monkeypatch.setattr(audb.config, "REPOSITORIES", [where])
    monkeypatch.setattr(audb.config, "CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setattr(audb.config, "SHARED_CACHE_ROOT", str(tmp_path / "shared"))
    monkeypatch.delenv("AUDB_CACHE_ROOT", raising=False)
    audb.publish(str(root), "1.0.0", where, verbose=False)
    return host


@pytest.mark.usefixtures("repository")
def test_a_database_by_name(root: Path) -> None:
    """Loaded into audb's cache, it is the same as in its folder."""
    named = load_corpus("audb", roots={}, options={"name": "emodb"})
    folder = read(root)
    assert [u.id for u in named.utterances] == [u.id for u in folder.utterances]
    assert [u.emotion for u in named.utterances] == [u.emotion for u in folder.utterances]
    assert [u.partition for u in named.utterances] == [u.partition for u in folder.utterances]
    assert named.utterances[0].heard().read().duration_s == pytest.approx(0.3)
    again = load_corpus("audb", roots={}, options={"name": "emodb", "version": "1.0.0"})
    assert again == named


@pytest.mark.usefixtures("repository")
def test_a_database_that_is_not_there() -> None:
    """Name and version are told."""
    with pytest.raises(BadValue, match=r"audb\.name = ''"):
        load_corpus("audb", roots={})
    with pytest.raises(SerlabError, match="nowhere: cannot be read"):
        load_corpus("audb", roots={}, options={"name": "nowhere"})
    with pytest.raises(SerlabError, match="emodb: cannot be read"):
        load_corpus("audb", roots={}, options={"name": "emodb", "version": "9.9.9"})


@pytest.mark.parametrize("name", ["audformat", "audb"])
def test_without_the_library_the_extra_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtra, match=rf"serlab\[{name}\]"):
        load_corpus(name, roots={name: tmp_path} if name == "audformat" else {})
