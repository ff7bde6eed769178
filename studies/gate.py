"""Trains the candidate of a gate: one arm of a study, with the seeds of a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from serlab.bench.errors import BadFile, UnknownName
from serlab.studies.specification import Study, load_study


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """One arm of a study, trained into one run folder.

    The folder is a new one: what a run holds counts as done whatever code it was trained with,
    and a gate asks what the code of now does.
    """

    study: Study
    """With that arm alone."""
    folder: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    address: str = ""
    command: str = ""
    plugins: tuple[str, ...] = ()
    say: Callable[[str], None] = print

    def terms(self) -> dict[str, dict[str, object]]:
        """What makes its results comparable, by corpus: labels, and the hashes of split and data.

        Raises:
            SerlabError: a corpus or the protocol does not fit.
        """
        from serlab.studies.plan import make_plan  # torch costs a second

        grounds = make_plan(self.study, self.roots, audit=False).grounds
        return {
            g.corpus.name: {"labels": g.split.labels, "split": g.split.hash, "data": g.data}
            for g in grounds
        }

    def train(self, seeds: Sequence[int]) -> Path:
        """Trains what is not in the folder yet, and returns the folder.

        Raises:
            SerlabError: whatever can be found wrong before work starts.
        """
        from serlab.studies.runner import run_study  # ray costs a second

        run_study(
            replace(self.study, seeds=tuple(seeds)),
            self.folder,
            roots=self.roots,
            device=self.device,
            address=self.address,
            command=self.command,
            plugins=self.plugins,
            say=self.say,
        )
        return self.folder


def candidate_study(name_or_path: str, arm: str, changes: Sequence[str] = ()) -> Study:
    """A study with one of its arms alone, whatever its design.

    Raises:
        UnknownName: the study has no such arm.
        SerlabError: whatever is wrong with the study.
    """
    study = load_study(name_or_path, changes)
    known = {one.name: one for one in study.arms}
    if arm not in known:
        raise UnknownName("arm of the study", arm, known, where=name_or_path)
    meters = replace(study.meters, latency=False)
    return replace(study, design="ablate", search=None, arms=(known[arm],), meters=meters)


def new_folder(study: Study, out: Path | None) -> Path:
    """Where the candidate is trained: a folder that holds no run.

    Raises:
        BadFile: the folder that was asked for holds one.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    folder = out or Path("runs") / "gate" / f"{study.name}-{stamp}"
    if (folder / "resolved.json").exists():
        raise BadFile(folder, "holds a run already; --run judges it, or name a new folder")
    return folder
