"""The corpora of a finished run, read again for its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serlab.bench.errors import SerlabError
from serlab.studies.facts import resolved
from serlab.studies.plan import make_plan
from serlab.studies.recordings import RunCorpus, corpora_of_run
from serlab.studies.specification import load_study

SYNTH = '[[corpora]]\nname = "synth"\noptions = {{ utterances = 48, speakers = 6, seed = {} }}\n'
STUDY = """
question = "?"
seeds = [0]
[base]
system = "functionals_svm"
[protocol]
split = "{split}"
validation = 1
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


def facts(folder: Path, split: str, *corpora: str) -> dict[str, Any]:  # JSON values
    """What a run of a study over these [[corpora]] keeps."""
    path = folder / "study.toml"
    path.write_text(STUDY.format(split=split) + "".join(corpora), encoding="utf-8")
    return resolved(make_plan(load_study(str(path)), {}), command="", created="")


@pytest.mark.parametrize("split", ["leave-one-speaker-out", "leave-one-corpus-out"])
def test_each_corpus_is_what_was_tested(tmp_path: Path, split: str) -> None:
    """Alone or in a pool, with its options and its labels: the hash is that of the run."""
    four = 'relabel = "four"\n'
    found = corpora_of_run(
        facts(tmp_path, split, SYNTH.format(1) + four, SYNTH.format(2) + four)
        if split == "leave-one-corpus-out"
        else facts(tmp_path, split, SYNTH.format(1) + four)
    )
    for one in found:
        corpus = one.read({})
        assert one.note(corpus) == ""
        assert all(u.id.startswith("synth") == (len(found) == 2) for u in corpus.utterances)
    assert [one.number for one in found] == list(range(len(found)))


def test_changed_corpus_is_told(tmp_path: Path) -> None:
    """Other options give other utterances, which the note tells."""
    one = corpora_of_run(facts(tmp_path, "leave-one-speaker-out", SYNTH.format(1)))[0]
    other = corpora_of_run(facts(tmp_path, "leave-one-speaker-out", SYNTH.format(2)))[0]
    assert "The corpus synth that the recordings are from is not the very one" in one.note(
        other.read({})
    )


def test_corpora_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """A run without its study, and one of a corpus that is not here."""
    told = facts(tmp_path, "leave-one-speaker-out", SYNTH.format(1))
    one: RunCorpus = corpora_of_run({**told, "study": None})[0]
    with pytest.raises(SerlabError, match="does not tell how the corpus synth was read"):
        one.read({})
    told["study"]["corpora"] = [{"name": "emodb"}]
    with pytest.raises(SerlabError, match=r"nowhere: there is no such folder"):
        corpora_of_run(told)[0].read({"emodb": tmp_path / "nowhere"})
