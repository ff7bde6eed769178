"""The corpora that a finished run tested, read again for a report that shows their recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serlab.bench.contracts import Corpus
from serlab.bench.corpora.base import corpus_digest
from serlab.bench.errors import SerlabError
from serlab.bench.typed import build
from serlab.studies.grounds import read_again
from serlab.studies.specification import CorpusSpec


@dataclass(frozen=True, kw_only=True)
class RunCorpus:
    """A corpus of a finished run, by the facts that the run keeps of it."""

    name: str
    data: str
    """Hash of what was tested; empty where the run does not tell."""
    number: int
    """Its place among the run's corpora."""
    tables: Sequence[Any]  # JSON values
    """What the corpora of its study were read from; empty where the run does not tell."""
    split: str

    def read(self, roots: Mapping[str, Path]) -> Corpus:
        """The corpus as it lies here now.

        Raises:
            SerlabError: it is not at hand, or cannot be read; the text says how to give it.
        """
        if not self.tables:
            raise SerlabError(f"the run does not tell how the corpus {self.name} was read")
        specs = [build(CorpusSpec, table, f"corpora[{i}]") for i, table in enumerate(self.tables)]
        return read_again(specs, self.split, self.number, roots)

    def note(self, corpus: Corpus) -> str:
        """What a reader must know where the corpus is not what was tested, else nothing.

        Raises:
            BadFile: a file is missing or unreadable.
        """
        if self.data == corpus_digest(corpus):
            return ""
        return (
            f"The corpus {self.name} that the recordings are from is not the very one that was "
            "tested: its files, its options or serlab have changed since. What is seen and heard "
            "here may differ from what the arms were given."
        )


def corpora_of_run(resolved: Mapping[str, Any]) -> tuple[RunCorpus, ...]:  # JSON values
    """The corpora of a run, from what it resolved to."""
    return tuple(
        RunCorpus(
            name=str(fact["name"]),
            data=str(fact.get("data") or ""),
            number=number,
            tables=(resolved.get("study") or {}).get("corpora") or (),
            split=str((fact.get("protocol") or {}).get("split", "")),
        )
        for number, fact in enumerate(resolved["corpora"])
    )
