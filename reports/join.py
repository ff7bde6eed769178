"""Several runs as one frame: arms that were measured alike stand beside each other.

Arms share a block where their runs tested the same utterances of a corpus, in the same folds,
under the same protocol, with the same classes, in the same metric. All others have blocks of
their own, which say what differs. The base of a block is that of the first run that is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
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
    system: str
    """What tells its arms from those of the other runs; empty where the run's name does."""
    block: Block

    def named(self, name: str, is_base: bool = False) -> str:
        """An arm's name among those of all runs."""
        if self.system:
            return self.system if is_base else f"{name} ({self.system})"
        return f"{name} ({self.run})" if self.place else name


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
        _Part(run=run, place=place, system=system, block=block)
        for place, (run, system, frame) in enumerate(
            zip(runs, _systems(frames), frames, strict=True)
        )
        for block in frame.blocks
    ]
    groups = _grouped(parts)
    blocks = tuple(_joined(group) for group in groups)
    return Frame(
        path=frames[0].path,
        study=_study(frames, runs, _title(parts)),
        blocks=tuple(_told(b, group, groups) for b, group in zip(blocks, groups, strict=True)),
        environments={k: v for frame in frames for k, v in frame.environments.items()},
        meter_notes=tuple(
            f"{run}: {note}"
            for run, frame in zip(runs, frames, strict=True)
            for note in frame.meter_notes
        ),
        n_stale=sum(frame.n_stale for frame in frames),
        runs=tuple(replace(f.study, name=n) for n, f in zip(runs, frames, strict=True)),
        unsummed=_unsummed(blocks),
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


def _systems(frames: Sequence[Frame]) -> list[str]:
    """The system of each run's base, where that tells the runs on every corpus apart."""
    found = [next((b.base.system for b in frame.blocks if b.base), "") for frame in frames]
    held = Counter(
        (block.corpus.name, system)
        for system, frame in zip(found, frames, strict=True)
        for block in frame.blocks
    )
    if all(found) and len(set(found)) > 1 and max(held.values()) == 1:
        return found
    return [""] * len(frames)


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
    return (*_unlike("metric", one, other), *differing(_facts(one), _facts(other)))


def _unlike(key: str, one: Block, other: Block) -> tuple[str, ...]:
    """What two studies ask otherwise."""
    mine, theirs = getattr(one.study, key), getattr(other.study, key)
    return () if mine == theirs else (f"{key} {mine}, and {theirs}",)


def _unlike_terms(one: Block, other: Block) -> tuple[str, ...]:
    """What keeps blocks of unlike corpora from being summed up, beside their arms."""
    protocols = [{"protocol": block.corpus.protocol} for block in (one, other)]
    studies = (_unlike(key, one, other) for key in ("metric", "margin"))
    return (*chain.from_iterable(studies), *differing(*protocols))


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


def _unsummed(blocks: Sequence[Block]) -> str:
    """Why the blocks are not summed up; empty where they may be.

    They must be unlike corpora, alike in metric, margin and protocol, with the same variants
    under the same names and one of them as the base.
    """
    names = [block.corpus.name for block in blocks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"several blocks are of {listed(twice)}"
    for other in blocks[1:]:
        if unlike := _unlike_terms(blocks[0], other):
            return f"{other.corpus.name} is measured otherwise: {'; '.join(unlike)}"
    bases = sorted({block.base.name for block in blocks if block.base})
    if len(bases) > 1:
        return f"the bases are {listed(bases)}"
    held: dict[str, str] = {}
    for block in blocks:
        for arm in block.arms:
            what = canonical([arm.system, arm.preset, arm.options, arm.settings, arm.is_base])
            if held.setdefault(arm.name, what) != what:
                return f"{arm.name} is not the same variant, or not the base, on every corpus"
    return ""


# --- one block --------------------------------------------------------------------------------


def _joined(group: Sequence[_Part]) -> Block:
    """The block of a group: all of its arms, compared with the base of its first run."""
    first = group[0].block
    if len(group) == 1:
        return _renamed(group[0])
    skipped = ((part.named(name), reason) for part in group for name, reason in part.block.skipped)
    block = Block(
        study=replace(first.study, name=_sum_of(part.run for part in group), design="joined",
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


def _renamed(part: _Part) -> Block:
    """The only block of a corpus, under the names that its arms have among all."""
    if not part.system:
        return part.block
    held = part.block
    names = {arm.name: part.named(arm.name, arm.is_base) for arm in held.arms}
    names |= {p.arm: part.named(p.arm) for p in held.search if p.arm not in names}
    return replace(
        held,
        arms=tuple(
            replace(
                arm,
                name=names[arm.name],
                failures=tuple(replace(f, arm=names[f.arm]) for f in arm.failures),
                command=held.study.command,
            )
            for arm in held.arms
        ),
        search=tuple(replace(p, arm=names[p.arm]) for p in held.search),
        front=tuple(names[name] for name in held.front),
        skipped=tuple((part.named(name), reason) for name, reason in held.skipped),
    )


def _arms(group: Sequence[_Part]) -> list[Arm]:
    """The arms of a group by their names among all; its first run alone has a base."""
    return [
        replace(
            arm,
            name=part.named(arm.name, arm.is_base),
            kind="arm" if arm.kind == "base" and part is not group[0] else arm.kind,
            is_base=arm.is_base and part is group[0],
            failures=tuple(replace(f, arm=part.named(f.arm, arm.is_base)) for f in arm.failures),
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
    if len(runs) > 1 and (searches := [part.run for part in group if part.block.search]):
        notes.append(f"how the search went is told in the report of {listed(searches)}")
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


MOST_NAMED = 4
"""Runs that a title names; of more it tells the number."""


def _sum_of(names: Any) -> str:  # an iterable of texts
    found = list(dict.fromkeys(names))
    more = len(found) - MOST_NAMED
    rest = [f"{more + 1} more runs"] if more > 0 else []
    return " + ".join([*found[: MOST_NAMED - 1], *rest] if rest else found)


def _title(parts: Sequence[_Part]) -> str:
    """The systems and corpora where arms are called by these, else the runs."""
    systems = dict.fromkeys(part.system for part in parts)
    if not all(systems):
        return _sum_of(part.run for part in parts)
    corpora = dict.fromkeys(part.block.corpus.name for part in parts)
    return f"{listed(list(systems))} on {listed(list(corpora))}"


def _seeds(studies: Any) -> tuple[int, ...]:  # an iterable of StudyFacts
    return tuple(sorted({seed for study in studies for seed in study.seeds}))


def _study(frames: Sequence[Frame], runs: Sequence[str], title: str) -> StudyFacts:
    """What the studies asked, together."""
    studies = [frame.study for frame in frames]

    def all_of(key: str, between: str) -> str:
        return between.join(dict.fromkeys(str(getattr(s, key)) for s in studies if getattr(s, key)))

    toml: Mapping[str, Any] = dict(zip(runs, (s.toml for s in studies), strict=True))
    return replace(
        studies[0],
        name=title,
        question=all_of("question", " "),
        design=studies[0].design if len({s.design for s in studies}) == 1 else "joined",
        command=all_of("command", " && "),
        created=all_of("created", ", "),
        serlab=all_of("serlab", ", "),
        seeds=_seeds(studies),
        toml=toml,
    )
