"""A corpus with the features of one system, as trials and kept models ask for it."""

from __future__ import annotations

from collections.abc import Sequence

from serlab.bench.cache import Cache
from serlab.bench.conditions import Condition, condition, under
from serlab.bench.contracts import FloatArray, System, Utterance, digest
from serlab.bench.data import Rated
from serlab.bench.errors import SerlabError
from serlab.bench.features.base import feature
from serlab.bench.features.extraction import extract
from serlab.bench.perturb import is_of_audio
from serlab.bench.trial import Bench
from serlab.studies.grounds import Ground

_BENCHES: dict[str, Bench] = {}


def bench_for(
    ground: Ground, system: System, cached: Cache | None, conditions: Sequence[str] = ()
) -> Bench:
    """The corpus with the features of one system, mapped from the cache, once a process.

    What is heard under audio conditions is opened when a test part asks for it.
    """
    wanted = [(name, feature(spec), who) for name, spec, who in ground.wanted(system)]
    key = digest({
        "data": ground.data,
        "outside": [o.data for o in ground.outside],
        "split": ground.split.hash,
        "inputs": [(name, made.spec, made.files(), len(who)) for name, made, who in wanted],
        "perturbation": system.perturbation(),
        "conditions": conditions,
    })  # fmt: skip
    if key not in _BENCHES:
        arrays: dict[str, dict[str, FloatArray]] = {}
        for name, made, who in wanted:
            arrays.setdefault(name, {}).update(extract(made.spec, who, cache=cached))
        _BENCHES[key] = Bench(
            corpus=ground.corpus,
            split=ground.split,
            arrays=arrays,
            rates={name: made.rate_hz for name, made, _ in wanted},
            outside=tuple(u for o in ground.outside for u in o.corpus.utterances),
            rated=_rated(ground),
            unscaled=frozenset(name for name, made, _ in wanted if made.extractor.unscaled),
            conditioned={name: _Heard(system, condition(name), cached) for name in conditions},
        )
    return _BENCHES[key]


class _Heard:
    """The inputs made from sound under an audio condition, opened as test parts ask for them.

    Arrays are kept only where the cache does not know them without the sound: a corpus without
    files would be synthesised again for every fold and seed.
    """

    def __init__(self, system: System, how: Condition, cached: Cache | None) -> None:
        inputs = system.inputs().items()
        self.specs = {name: spec for name, spec in inputs if is_of_audio(spec)}
        self.how, self.cached = how, cached
        self.kept: dict[tuple[str, str], FloatArray] = {}

    def __call__(self, utterances: Sequence[Utterance]) -> dict[str, dict[str, FloatArray]]:
        """By input, by the utterance's own id."""
        ids = [u.id for u in utterances if u.audio is not None]
        copies = under(utterances, self.how)
        return {
            name: dict(zip(ids, self._arrays(name, copies), strict=True)) for name in self.specs
        }

    def _arrays(self, name: str, copies: Sequence[Utterance]) -> list[FloatArray]:
        missing = [u for u in copies if (name, u.id) not in self.kept]
        found = extract(self.specs[name], missing, cache=self.cached)
        for u in missing:
            if self.cached is None or self.cached.memo.get(u.heard()) is None:
                self.kept[name, u.id] = found[u.id]
        return [self.kept[name, u.id] if (name, u.id) in self.kept else found[u.id] for u in copies]


def _rated(ground: Ground) -> Rated | None:
    """The continuous labels that the split asks for, the columns in its order."""
    if ground.split.protocol.target != "traces":
        return None
    columns = [ground.corpus.dimensions.index(name) for name in ground.split.labels]
    sources = {u.id: u.traces for u in ground.utterances()}
    rates = {source.rate_hz for source in sources.values() if source}
    if len(rates) != 1:
        raise SerlabError(f"{ground.corpus.name}: its traces have several rates: {sorted(rates)}")
    traces = {i: source.read()[:, columns] for i, source in sources.items() if source}
    return Rated(traces=traces, rate_hz=rates.pop())
