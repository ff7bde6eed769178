"""Several runs as one frame: arms that were measured alike stand beside each other.

Arms share a block where their runs tested the same utterances of a corpus, in the same folds,
under the same protocol, with the same classes, in the same metric. All others have blocks of
their own, which say what differs. The base of a block is that of the first run that is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serlab.bench.contracts import canonical
from serlab.bench.errors import NotComparable
from serlab.reports.attribution import NoAttribution
from serlab.reports.changes import differing
from serlab.reports.effects import with_effects
from serlab.reports.meters import ArmMeters
from serlab.reports.pooling import same_utterances
from serlab.reports.records import Arm, Block, CorpusFacts, Counts, Frame, StudyFacts
from serlab.reports.words import listed

UNTIMED = (
    "times of unlike runs are not compared: each run's own report has them, and serlab bench "
    "compare compares two variants"
)
"""Why a joined block has no meters."""

OF_ITS_RUN = "it is told in the report of its own run"


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A block, and the run that it is of."""

    run: str
    place: int
    """Of the run among those that are joined."""
    block: Block


def join(frames: Sequence[Frame]) -> Frame:
    """The frames of several runs as one; a single one is given back as it is.

    Raises:
        NotComparable: arms of one split tested unlike utterances, or the levels of the
            intervals differ.
    """
    if len(frames) == 1:
        return frames[0]
    _same_level(frames)
    runs = _run_names(frames)
    parts = [
        _Part(run=run, place=place, block=block)
        for place, (run, frame) in enumerate(zip(runs, frames, strict=True))
        for block in frame.blocks
    ]
    groups = _grouped(parts)
    return Frame(
        path=frames[0].path,
        study=_study(frames, runs),
        blocks=tuple(_told(_joined(group), group, groups) for group in groups),
        environments={k: v for frame in frames for k, v in frame.environments.items()},
        meter_notes=tuple(
            f"{run}: {note}"
            for run, frame in zip(runs, frames, strict=True)
            for note in frame.meter_notes
        ),
        n_stale=sum(frame.n_stale for frame in frames),
        runs=tuple(replace(f.study, name=n) for n, f in zip(runs, frames, strict=True)),
        summed_up=_summed_up(groups),
    )


def _same_level(frames: Sequence[Frame]) -> None:
    for frame in frames[1:]:
        if frame.study.level != frames[0].study.level:
            text = f"intervals at {frames[0].study.level:g}, and at {frame.study.level:g}"
            raise NotComparable(f"{frames[0].path} and {frame.path}: {text}")


def _run_names(frames: Sequence[Frame]) -> list[str]:
    """What each run is called: its study's name, numbered where several have the same."""
    names = [frame.study.name for frame in frames]
    several, seen, found = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        found.append(f"{name} #{seen[name]}" if several[name] > 1 else name)
    return found


def _facts(block: Block) -> dict[str, Any]:  # values of any shape
    corpus = block.corpus
    return {
        "labels": list(corpus.labels),
        "protocol": corpus.protocol,
        "split": corpus.split,
        "data": corpus.data,
    }


def _why_apart(one: Block, other: Block) -> tuple[str, ...]:
    """What keeps two blocks of one corpus from being compared; none where they may be."""
    metrics = one.study.metric, other.study.metric
    unlike = () if metrics[0] == metrics[1] else (f"metric {metrics[0]}, and {metrics[1]}",)
    return (*unlike, *differing(_facts(one), _facts(other)))


def _grouped(parts: Sequence[_Part]) -> list[list[_Part]]:
    """The blocks that may stand beside each other, in the order of their first."""
    groups: list[list[_Part]] = []
    for part in parts:
        name = part.block.corpus.name
        for group in groups:
            held = [one.block for one in group]
            if name == held[0].corpus.name and not any(_why_apart(b, part.block) for b in held):
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def _summed_up(groups: Sequence[Sequence[_Part]]) -> bool:
    """Whether the blocks are unlike corpora in one metric, with the base of one run."""
    corpora = [group[0].block.corpus.name for group in groups]
    metrics = {group[0].block.study.metric for group in groups}
    bases = {group[0].place for group in groups}
    return len(set(corpora)) == len(corpora) and len(metrics) == len(bases) == 1


# --- one block --------------------------------------------------------------------------------


def _joined(group: Sequence[_Part]) -> Block:
    """The block of a group: all of its arms, compared with the base of its first run."""
    first = group[0].block
    if len(group) == 1:
        return first
    skipped = (
        (_named(name, part), reason) for part in group for name, reason in part.block.skipped
    )
    block = Block(
        study=replace(first.study, name=_sum_of(part.run for part in group),
                      seeds=_seeds(part.block.study for part in group)),
        corpus=_corpus([part.block.corpus for part in group]),
        arms=tuple(same_utterances(first.corpus, _arms(group))),
        searched=sum((part.block.searched for part in group), Counts(planned=0)),
        skipped=tuple(skipped),
        attribution=next(
            (NoAttribution(reason=OF_ITS_RUN) for part in group if part.block.attribution), None
        ),
    )  # fmt: skip
    return with_effects(block)


def _corpus(facts: Sequence[CorpusFacts]) -> CorpusFacts:
    """What several runs tell of the corpus that they share."""

    def all_of(key: str) -> tuple[Any, ...]:  # outside corpora, findings or notes
        return tuple({canonical(x): x for fact in facts for x in getattr(fact, key)}.values())

    return replace(
        facts[0], outside=all_of("outside"), audit=all_of("audit"), notes=all_of("notes")
    )


def _named(name: str, part: _Part) -> str:
    """An arm's name, with that of its run unless that is the first of all."""
    return f"{name} ({part.run})" if part.place else name


def _arms(group: Sequence[_Part]) -> list[Arm]:
    """The arms of a group by their names among all; its first run alone has a base."""
    return [
        replace(
            arm,
            name=_named(arm.name, part),
            kind="arm" if arm.kind == "base" and part is not group[0] else arm.kind,
            is_base=arm.is_base and part is group[0],
            failures=tuple(replace(f, arm=_named(f.arm, part)) for f in arm.failures),
            meters=ArmMeters(reason=UNTIMED),
            command=part.block.study.command,
        )
        for part in group
        for arm in part.block.arms
    ]


def _told(block: Block, group: Sequence[_Part], groups: Sequence[Sequence[_Part]]) -> Block:
    """The block with what a reader must know of the runs in it, under a name of its own."""
    corpus, runs = block.corpus, [part.run for part in group]
    others = [one for one in groups if one[0].block.corpus.name == corpus.name and one != group]
    notes = [
        f"its results are of {listed(runs)}"
        + (f"; all are compared with the base of {runs[0]}" if len(runs) > 1 else "")
    ]
    margins = {part.block.study.margin for part in group}
    if len(margins) > 1:
        notes.append(f"the margins of the runs differ; that of {runs[0]} is taken")
    for other in others:
        why = "; ".join(_why_apart(group[0].block, other[0].block))
        names = listed([part.run for part in other])
        notes.append(f"it is not compared with {corpus.name} of {names}, measured otherwise: {why}")
    name = f"{corpus.name} ({_sum_of(runs)})" if others else corpus.name
    return replace(block, corpus=replace(corpus, name=name, notes=(*corpus.notes, *notes)))


# --- the study --------------------------------------------------------------------------------


def _sum_of(names: Any) -> str:  # an iterable of texts
    return " + ".join(dict.fromkeys(names))


def _seeds(studies: Any) -> tuple[int, ...]:  # an iterable of StudyFacts
    return tuple(sorted({seed for study in studies for seed in study.seeds}))


def _study(frames: Sequence[Frame], runs: Sequence[str]) -> StudyFacts:
    """What the studies asked, together."""
    studies = [frame.study for frame in frames]

    def all_of(key: str, between: str) -> str:
        return between.join(dict.fromkeys(str(getattr(s, key)) for s in studies if getattr(s, key)))

    toml: Mapping[str, Any] = dict(zip(runs, (s.toml for s in studies), strict=True))
    return replace(
        studies[0],
        name=_sum_of(runs),
        question=all_of("question", " "),
        design=studies[0].design if len({s.design for s in studies}) == 1 else "joined",
        command=all_of("command", " && "),
        created=all_of("created", ", "),
        serlab=all_of("serlab", ", "),
        seeds=_seeds(studies),
        toml=toml,
    )
