"""What holds for every reader of a corpus, on a miniature of its official tree."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from serlab.bench.audio import AudioFile
from serlab.bench.check import check_corpus
from serlab.bench.contracts import Corpus, Part, ProtocolSpec
from serlab.bench.corpora.base import CORPORA, corpus_digest, load_corpus
from serlab.bench.corpora.describe import describe_corpus, describe_corpus_text
from serlab.bench.corpora.relabel import EMOTIONS, SCHEMES, relabelled
from serlab.bench.errors import SerlabError
from serlab.bench.protocols import SPLITS, make_split

TREES = sorted(
    path.stem
    for path in (Path(__file__).resolve().parents[2] / "trees").glob("*.py")
    if path.stem in CORPORA.entries()
)
NO_TREE = {"synth", "synth_words", "synth_face", "audb"}
"""Corpora that are synthesised or found by name."""

Built = Callable[[str], Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Makes the tree of a corpus, once."""

    @functools.cache
    def make(name: str) -> Path:
        root: Path = tmp_path_factory.mktemp(name)
        importlib.import_module(f"trees.{name}").build(root)
        return root

    return make


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


def load(name: str, root: Path) -> Corpus:
    return load_corpus(name, roots={name: root})


def test_every_reader_has_a_tree() -> None:
    """A corpus whose files cannot be had is read from a miniature of its tree at least."""
    assert set(CORPORA.entries()) - NO_TREE == set(TREES)


@pytest.mark.parametrize("name", sorted(CORPORA.entries()))
def test_registration_tells_what_people_ask(name: str) -> None:
    """Title, language, licence, citation, published counts and the usual protocols."""
    facts = CORPORA.entry(name).facts
    for key in ("title", "language", "licence", "source"):
        assert facts[key].strip(), key
    assert set(facts["counts"]) <= set(EMOTIONS)
    assert set(facts.get("protocols", ())) <= set(SPLITS.entries())
    told = describe_corpus_text(describe_corpus(name))
    for option in facts["options"]:
        assert f"  {option} = " in told
    assert "Raises" not in told


@pytest.mark.parametrize("name", TREES)
def test_utterances_are_whole(built: Built, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids differ, labels are the field's words, and nothing is decoded to read the corpus."""

    def refuse(source: object) -> None:
        raise AssertionError("audio was decoded")

    with monkeypatch.context() as patch:
        patch.setattr(AudioFile, "read", refuse)
        corpus = load(name, built(name))
    ids = [u.id for u in corpus.utterances]
    assert len(set(ids)) == len(ids) > 0
    assert len({u.speaker for u in corpus.utterances}) >= 2
    assert corpus.labels or corpus.dimensions
    assert set(corpus.labels) <= set(EMOTIONS)
    for u in corpus.utterances:
        assert u.id.strip()
        assert u.speaker.strip()
        assert u.emotion in (*corpus.labels, None)
        if corpus.labels and u.emotion is None:
            assert u.facts.get("label"), f"{u.id} has no class and does not say what it has"
        assert all(isinstance(value, str) for value in u.facts.values())
        assert all(word.end_s >= word.start_s >= 0 for word in u.words)


@pytest.mark.parametrize("name", TREES)
def test_the_data_check_reads_all(built: Built, name: str) -> None:
    """Every utterance of a sound tree can be read and has a length."""
    corpus = load(name, built(name))
    report = check_corpus(corpus, shortest_s=0.01)
    unread = [f.text for f in report.findings if f.kind == "unreadable"]
    assert not unread
    assert report.exit_code < 2, report.text()
    if any(u.audio for u in corpus.utterances):
        assert report.durations is not None
        assert report.durations.shortest_s > 0


@pytest.mark.parametrize("name", TREES)
def test_what_it_holds_is_hashed(built: Built, name: str, tmp_path: Path) -> None:
    """The same tree elsewhere has the same hash; with one file changed it has another."""
    first = corpus_digest(load(name, built(name)))
    importlib.import_module(f"trees.{name}").build(tmp_path / "again")
    corpus = load(name, tmp_path / "again")
    assert corpus_digest(corpus) == first
    path = getattr(corpus.utterances[0].audio, "path", None)
    if path is not None:
        path.write_bytes(path.read_bytes()[:-2] + b"\x01\x02")
        assert corpus_digest(load(name, tmp_path / "again")) != first


@pytest.mark.parametrize("name", TREES)
def test_usual_protocols_cut_it(built: Built, name: str) -> None:
    """Parts share no speaker, or the split says so."""
    corpus = load(name, built(name))
    target = "emotion" if corpus.labels else "traces"
    for split in CORPORA.entry(name).facts.get("protocols", ()):
        leaks = SPLITS.entry(split).facts.get("leaks", False)
        protocol = ProtocolSpec(
            split=split,
            validation=1,
            groups=3 if leaks else 2,
            target=target,  # type: ignore[arg-type]
        )
        made = make_split(corpus, protocol)
        known = corpus.by_id()
        for fold in made.folds:
            parts = [{known[i].speaker for i in fold.part(part)} for part in Part]
            shared = parts[2] & (parts[0] | parts[1])
            assert not shared or made.leaks, f"{split}: {shared}"


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_schemes_know_its_labels(built: Built, name: str, scheme: str) -> None:
    """Every corpus comes to the classes of a scheme without a word from the user."""
    corpus = load(name, built(name))
    if corpus.labels:
        assert set(relabelled(corpus, scheme, {}).labels) <= set(EMOTIONS)


@pytest.mark.parametrize("name", TREES)
def test_a_wrong_folder_is_one_line(name: str, tmp_path: Path) -> None:
    """An empty folder, and one with files of something else."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(SerlabError) as caught:
        load(name, tmp_path / "empty")
    assert "\n" not in str(caught.value)
    other = tmp_path / "other"
    importlib.import_module("trees.sounds").sound(other / "holiday song.wav")
    (other / "notes.txt").write_text("milk, bread", encoding="utf-8")
    with pytest.raises(SerlabError):
        load(name, other)
