"""The command that writes reports, and what it does to find the recordings of a run's corpora."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serlab.bench.errors import BadValue, SerlabError
from serlab.commands import roots_of, say

if TYPE_CHECKING:
    from serlab.bench.contracts import Groups
    from serlab.bench.store import Store
    from serlab.reports.recordings import Listening, Recordings
    from serlab.reports.records import CorpusFacts
    from serlab.reports.report import Way
    from serlab.reports.template import Template
    from serlab.studies.recordings import RunCorpus


def report_command(chosen: Namespace, typed: str) -> int:
    """Writes the report of a run, or of several together; 1 where a figure failed."""
    runs, roots = [Path(run) for run in chosen.run], roots_of(chosen.root)
    if len(runs) > 1 and not chosen.out:
        raise BadValue("--out", None, "a folder for the report, as there are several runs")
    template = _template(chosen.template)
    listening = listening_to(runs, roots, with_audio=chosen.with_audio)
    way = _way(listening, template=template, width=chosen.width)
    return _write(runs, Path(chosen.out) if chosen.out else None, way)


def report_of_run(run: Path, roots: Mapping[str, Path]) -> int:
    """Writes the report of a run that has just ended; 1 where a figure failed."""
    return _write([run], None, _way(listening_to([run], roots, with_audio=False)))


def _template(folder: str | None) -> Template | None:
    from serlab.reports.template import load_template

    return load_template(Path(folder)) if folder is not None else None


def _way(listening: Listening, **asked: Any) -> Way:  # as Way's own
    """How a report is made that tells how far it is."""
    from serlab.reports.report import Way
    from serlab.studies.progress import telling

    def told(what: str, unit: str) -> Callable[[int, int], None]:
        return telling(what, say, unit=unit)

    return Way(listening=listening, telling=told, **asked)


def _write(runs: Sequence[Path], out: Path | None, way: Way) -> int:
    from serlab.reports.gallery import FigureFailed
    from serlab.reports.report import write_joined, write_report

    code = 0
    try:
        if len(runs) == 1:
            page = write_report(runs[0], out, way)
        else:
            assert out is not None
            page = write_joined(runs, out, way)
    except FigureFailed as failed:
        say(f"serlab: {failed}")
        page, code = failed.page, 1
    print(f"report: {page.resolve()}")
    return code


def listening_to(runs: Sequence[Path], roots: Mapping[str, Path], *, with_audio: bool) -> Listening:
    """Where a report of these runs finds recordings; with sound, every corpus must be at hand.

    Raises:
        BadFile: there is no run in a folder.
        SerlabError: the sound is asked for, and a corpus is not at hand or has none.
    """
    from serlab.bench.store import Store
    from serlab.reports.frame import read_resolved
    from serlab.reports.recordings import Listening
    from serlab.studies.recordings import corpora_of_run

    tested: dict[str, list[tuple[Store, RunCorpus]]] = {}
    for store in map(Store.open, runs):
        for one in corpora_of_run(read_resolved(store)):
            tested.setdefault(one.data or one.name, []).append((store, one))
    known: dict[str, Recordings] = {}

    def find(key: str) -> Recordings:
        if key not in known:
            known[key] = _recordings(tested[key], roots)
        return known[key]

    def source(corpus: CorpusFacts) -> Recordings:
        return find(corpus.data or corpus.name)

    for key, ((_, one), *_) in tested.items() if with_audio else ():
        found = find(key)
        if not found.utterances:
            raise SerlabError(f"--with-audio: {found.reason}")
        if not any(u.audio for u in found.utterances.values()):
            raise SerlabError(f"--with-audio: the corpus {one.name} has no audio, only features")
    return Listening(source=source, with_audio=with_audio, say=say)


def _recordings(held: Sequence[tuple[Store, RunCorpus]], roots: Mapping[str, Path]) -> Recordings:
    """What is at hand of the data that several blocks of results may share."""
    from serlab.reports.recordings import Recordings

    (_, tested), *_ = held
    groups: dict[str, dict[str, str]] = {}
    for store, one in held:
        groups |= _by_utterance(store.groups(one.number))
    try:
        corpus = tested.read(roots)
        note = tested.note(corpus)
    except SerlabError as error:
        reason = f"the corpus {tested.name} cannot be read here ({error})"
        return Recordings(reason=reason, groups=groups)
    if note:
        say(note)
    return Recordings(utterances=corpus.by_id(), note=note, groups=groups)


def _by_utterance(groups: Groups) -> dict[str, dict[str, str]]:
    return {
        name: {group: values[i] for group, values in groups.values.items()}
        for i, name in enumerate(groups.ids)
    }
