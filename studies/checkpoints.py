"""A kept model asked again: its corpus read, its fold cut and its network built as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from serlab.bench.cache import Cache
from serlab.bench.checkpoint import Checkpoint, Facts, load
from serlab.bench.contracts import Fold, Part, Predictions, System, plain
from serlab.bench.data import Items
from serlab.bench.errors import BadValue, NotComparable, SerlabError
from serlab.bench.features.base import feature
from serlab.bench.protocols import SPLITS
from serlab.bench.seeds import torch_seeded
from serlab.bench.statistics.agreement import Answers
from serlab.bench.train import Diverged
from serlab.bench.trial import fold_items, predictions, scores_of
from serlab.bench.typed import build
from serlab.models.variant import make, resolve
from serlab.studies.benches import bench_for
from serlab.studies.grounds import Ground, read_grounds
from serlab.studies.specification import Arm, CorpusSpec, Study


def predict_checkpoint(
    path: str | Path,
    *,
    roots: Mapping[str, Path],
    study: Study | None = None,
    device: str = "cpu",
) -> Answers:
    """What a kept model says of the test part of its fold.

    On the CPU of the machine that trained it the scores are, bit for bit, those of the training.

    Args:
        path: the file.
        roots: folders of the corpora, by name.
        study: whose corpora are read, and cut by its protocol; by default those that the file
            names, where they were.
        device: where the network predicts.

    Raises:
        BadFile: the file is missing, damaged, or no model that fits its own variant.
        NotComparable: the corpus, its folds, its features or serlab itself are not what they were.
        SerlabError: the corpus cannot be read, or the model gives scores that are not finite.
    """
    kept = load(path)
    facts = kept.facts
    system = _system(kept)
    ground = _ground(kept, study or _study(facts), roots)
    fold = next((f for f in ground.split.folds if f.name == facts.fold), None)
    if fold is None:
        raise NotComparable(f"{kept.path}: its corpus has no fold {facts.fold}")
    with _threads(facts.threads):
        held = _ask(kept, system, _items(kept, system, ground, fold), torch.device(device))
    return Answers(
        trial=facts.spec.key,
        arm=facts.arm,
        variant=plain(facts.spec.variant),
        corpus=facts.spec.corpus,
        split=facts.spec.split,
        fold=facts.fold,
        seed=facts.spec.seed,
        labels=facts.labels,
        predictions=held,
    )


def _ask(kept: Checkpoint, system: System, items: Items, device: torch.device) -> Predictions:
    with torch_seeded(0, "weights"):  # all of them are replaced
        built = system.build(kept.facts.sizes)
    kept.restore(built)
    if isinstance(built, nn.Module):
        built.to(device)
    try:
        return predictions({Part.TEST: items}, {Part.TEST: scores_of(built, items, device)})
    except Diverged as error:
        raise SerlabError(f"{kept.path}: {error}") from None


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """As many threads, and the same choice of operations, as in a training."""
    before = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=warned)


# --- what is asked ---------------------------------------------------------------------------


def _items(kept: Checkpoint, system: System, ground: Ground, fold: Fold) -> Items:
    """The test part as the training saw it.

    Where the file has the normaliser, no feature of any other utterance is computed.
    """
    if kept.normaliser is not None:
        fold = replace(fold, train=(), validation=())
    alone = replace(ground, split=replace(ground.split, folds=(fold,)), outside=())
    bench = bench_for(alone, system, Cache())
    items = fold_items(fold, system, bench)[0][Part.TEST]
    for name in system.inputs():
        width, now = kept.facts.sizes.n_features[name], bench.arrays[name][fold.test[0]].shape[1]
        if now != width:
            raise NotComparable(f"{kept.path}: its input {name} had {width} values and has {now}")
    return items if kept.normaliser is None else replace(items, normaliser=kept.normaliser)


def _system(kept: Checkpoint) -> System:
    """The system of its variant, if that still means what it meant."""
    spec = kept.facts.spec
    variant = spec.variant
    values = {**variant.settings, **variant.options}
    if resolve(variant.system, variant.preset, values, where=str(kept.path)) != variant:
        raise NotComparable(
            f"{kept.path}: {variant.system} has slots or settings now that it was trained without"
        )
    system = make(variant)
    for asked in system.inputs().values():
        if not set(feature(asked).files()) <= set(spec.outside):
            raise NotComparable(
                f"{kept.path}: the files that {asked.name} is made with are not those of its "
                "training"
            )
    return system


def _study(facts: Facts) -> Study:
    """A study of this one variant, as far as corpora and folds depend on it."""
    variant, sources = facts.spec.variant, facts.sources
    tables = sources.get("corpora", ())
    if not tables:
        raise BadValue("sources", dict(sources), "the corpora that it was trained on; give a study")
    corpora = [build(CorpusSpec, table, f"corpora[{i}]") for i, table in enumerate(tables)]
    return Study(
        name=facts.arm,
        question="",
        design="ablate",
        base=variant,
        arms=(Arm(name=facts.arm, variant=variant, kind="base"),),
        corpora=tuple(corpora),
        protocol=replace(facts.spec.protocol, folds=str(sources.get("folds", ""))),
    )


def _ground(kept: Checkpoint, study: Study, roots: Mapping[str, Path]) -> Ground:
    """The corpus that the model was tested on, cut as it was.

    Corpora of a study are looked at one by one, that of the same name first, unless they are
    trained on together.
    """
    spec = kept.facts.spec
    study = replace(study, outside=())
    tried: tuple[tuple[CorpusSpec, ...], ...] = (study.corpora,)
    if not SPLITS.entry(study.protocol.split).facts.get("pools", False):
        tried = tuple((c,) for c in sorted(study.corpora, key=lambda c: c.name != spec.corpus))
    found: list[Ground] = []
    for corpora in tried:
        grounds = read_grounds(replace(study, corpora=corpora), roots, _silent, audit=False)
        found += [ground for ground in grounds if ground.corpus.name == spec.corpus]
        if any((g.data, g.split.hash) == (spec.data, spec.split) for g in found):
            break
    if not found:
        raise NotComparable(f"{kept.path}: no corpus of the study is {spec.corpus}")
    return _same(kept, found[-1])


def _same(kept: Checkpoint, ground: Ground) -> Ground:
    spec = kept.facts.spec
    if ground.data != spec.data:
        raise NotComparable(
            f"{kept.path}: the corpus {spec.corpus} is not what it was: the hash of its utterances "
            f"and labels is {ground.data[:16]}, and it was {spec.data[:16]}"
        )
    if ground.split.hash != spec.split:
        raise NotComparable(
            f"{kept.path}: the folds of {spec.corpus} are not what they were: their hash is "
            f"{ground.split.hash}, and it was {spec.split}"
        )
    return ground


def _silent(text: str) -> None:
    """What a study would tell of its corpora, it has told."""
