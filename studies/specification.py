"""A study as a record: parsed from TOML, checked name by name before anything runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from serlab.bench.conditions import CONDITIONS, condition
from serlab.bench.contracts import ProtocolSpec, Scalar, Variant
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.meters.records import Dtype
from serlab.bench.typed import build, listed
from serlab.models.variant import SYSTEMS, resolve
from serlab.studies.catalogue import shipped
from serlab.studies.space import Search, parse_search

Table = Mapping[str, Any]  # what a TOML table holds
Design = Literal["ablate", "grid", "search"]
DESIGNS: tuple[Design, ...] = ("ablate", "grid", "search")


@dataclass(frozen=True, kw_only=True)
class CorpusSpec:
    """A corpus by name, with the reader's options and what becomes of its labels."""

    name: str
    options: Mapping[str, Scalar] = field(default_factory=dict)
    relabel: str = ""
    """A scheme of labels, such as "quadrants"."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Other labels for some of the corpus's own; an empty text leaves a class out."""
    tested: bool = True
    """False trains on it without testing it, where a corpus is left out at a time."""
    broken: Literal["error", "exclude"] = "error"
    """What happens to utterances whose audio cannot be read: nothing runs, or they are left out."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One variant of a study and the label that computes from it."""

    name: str
    variant: Variant
    kind: Literal["base", "arm", "baseline", "searched"] = "arm"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use; no part of what its results are."""

    workers: int = 0
    """Trials at a time; 0 means one for every ``threads`` cores (or for every GPU share)."""
    threads: int = 1
    gpus: float = 0.0
    """GPUs a trial, for instance 0.5."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        if self.workers < 0 or self.threads < 1 or self.gpus < 0:
            raise BadValue("resources", self, "workers from 0, threads from 1, gpus from 0")


@dataclass(frozen=True, kw_only=True)
class Meters:
    """The serial pass after the trials: every combination of the lists is measured.

    The first of each list makes the combination that tables and figures show.
    """

    latency: bool = True
    """False leaves the pass out."""
    devices: tuple[str, ...] = ("",)
    """"cpu", "cuda" or "cuda:1"; an empty text means the one that the trials ran on."""
    dtypes: tuple[Dtype, ...] = ("fp32",)
    batches: tuple[int, ...] = (1,)
    """Utterances a call."""
    seconds: tuple[float, ...] = (3.0,)
    """Length of each utterance."""
    threads: int = 0
    """0 means those of a trial."""
    processes: int = 3
    """Fresh processes that measure the same, one after the other."""
    calls: int = 100
    """Timed calls a process, fewer where these take longer than ``limit_s``."""
    limit_s: float = 20.0
    training: bool = True
    """Whether a training step is measured as well."""

    def __post_init__(self) -> None:
        """Checks the lists and the numbers."""
        for name in ("devices", "dtypes", "batches", "seconds"):
            held = getattr(self, name)
            if not held or len(set(held)) < len(held):
                raise BadValue(f"meters.{name}", list(held), "one or more different values")
        for device in self.devices:
            if not re.fullmatch(r"(cpu|cuda(:\d+)?)?", device):
                raise BadValue("meters.devices", device, '"cpu", "cuda", "cuda:1" or ""')
        counts = [("threads", self.threads, 0), ("processes", self.processes, 1)]
        counts += [("calls", self.calls, 1), *(("batches", n, 1) for n in self.batches)]
        for name, count, low in counts:
            if count < low:
                raise BadValue(f"meters.{name}", count, f"an integer of at least {low}")
        for name, spent in (("limit_s", self.limit_s), *(("seconds", s) for s in self.seconds)):
            if not 0 < spent < float("inf"):
                raise BadValue(f"meters.{name}", spent, "a number of seconds above 0")


@dataclass(frozen=True, kw_only=True)
class Insight:
    """What is kept of one training of every arm on every corpus, to look inside it.

    It is the training of the study's first seed on the corpus's first fold. Beside the trained
    network a control is shown: one of the same settings that was never trained.
    """

    embeddings: bool = True
    """Whether the embeddings of its training, validation and test utterances are kept."""
    utterances: int = 4
    """Test utterances of which attention and stream weights are kept: the first by id of each
    class in turn, or the first by id where traces are recognised."""

    def __post_init__(self) -> None:
        """Checks the count."""
        if self.utterances < 0:
            raise BadValue("insight.utterances", self.utterances, "an integer of at least 0")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that a study file says, defaults included."""

    name: str
    question: str
    design: Design
    base: Variant
    arms: tuple[Arm, ...]
    """The base first."""
    corpora: tuple[CorpusSpec, ...]
    outside: tuple[CorpusSpec, ...] = ()
    """Corpora that some systems train on beside the tested one."""
    protocol: ProtocolSpec = field(default_factory=ProtocolSpec)
    seeds: tuple[int, ...] = (0, 1, 2)
    metric: str = "ua"
    margin: float = 0.02
    level: float = 0.95
    max_epochs: int = 0
    keep_models: bool = False
    """Whether every trained model is kept in the run's folder; no part of what its results are."""
    insight: Insight | None = None
    """What is kept to look inside a training; no part of what its results are."""
    conditions: tuple[str, ...] = ()
    """Audio conditions that every test part is predicted under as well, in order of name."""
    groups: tuple[str, ...] = ()
    """Facts of utterances whose results are told apart; without any the sex, where it is known."""
    resources: Resources = field(default_factory=Resources)
    meters: Meters = field(default_factory=Meters)
    search: Search | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise BadValue("seeds", list(self.seeds), "one or more different integers")
        if not 0 < self.margin < 1:
            raise BadValue("margin", self.margin, "a number between 0 and 1, such as 0.02")
        if not 0.5 <= self.level < 1:
            raise BadValue("level", self.level, "a number from 0.5 to below 1, such as 0.95")
        if self.max_epochs < 0:
            raise BadValue("max_epochs", self.max_epochs, "an integer of at least 0")
        if len(set(self.groups)) < len(self.groups):
            raise BadValue("groups", list(self.groups), "different names")


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> Study:
    """A shipped study by name, or one from a file, with ``key=value`` overrides.

    Raises:
        SerlabError: whatever is wrong with it, with the key and what was expected.
    """
    path = find_study(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFile(path, f"is not readable as TOML: {error}") from None
    for assignment in overrides:
        _override(table, assignment)
    try:
        study = parse(table, path.stem)
    except SerlabError as error:
        raise SerlabError(f"{path.name}: {error}") from None
    if not study.protocol.folds:
        return study
    folds = str(path.parent.resolve() / study.protocol.folds)
    return replace(study, protocol=replace(study.protocol, folds=folds))


def find_study(name_or_path: str) -> Path:
    """The study's file."""
    known = shipped()
    path = Path(name_or_path)
    if name_or_path in known:
        return known[name_or_path]
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise BadFile(path, "is no study file (a TOML file was expected)")
        return path
    raise UnknownName("shipped study (nor is it a .toml file)", name_or_path, known)


def _override(table: dict[str, Any], assignment: str) -> None:
    """Puts ``protocol.max_folds=2`` into the table."""
    key, sign, text = assignment.partition("=")
    if not sign or not key.strip():
        raise SerlabError(f'--set "{assignment}": expected key=value, such as base.set.epochs=5')
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise BadValue(f"--set {key}", text, f"a key inside a table, and {parent} is none")
    table[last] = value


def parse(table: Table, name: str) -> Study:
    """A study from its TOML table."""
    simple = {"name", "question", "seeds", "metric", "margin", "level", "max_epochs", "groups",
              "keep_models"}  # fmt: skip
    tables = {"base", "arms", "baselines", "corpora", "outside", "protocol", "resources", "meters",
              "robustness", "insight"}  # fmt: skip
    for key in table:
        if key not in simple | tables | set(DESIGNS):
            raise UnknownName("key of a study", key, simple | tables | set(DESIGNS))
    for key in ("question", "base", "corpora"):
        if key not in table:
            raise SerlabError(f"{key} is missing; a study needs question, base and corpora")
    designs = [design for design in DESIGNS if design in table] or ["ablate"]
    if len(designs) > 1:
        raise SerlabError(f"{' and '.join(designs)}: a study has one of them")
    design: Design = designs[0]
    base, difference = _variant(table["base"], "base")
    chosen = {key: table[key] for key in simple - {"name"} if key in table}
    study: Study = build(
        Study,
        {
            **chosen,
            "name": str(table.get("name", name)),
            "design": design,
            "base": base,
            "arms": _arms(table, design, base, table["base"], difference),
            **{
                key: tuple(
                    build(CorpusSpec, entry, f"{key}[{i}]")
                    for i, entry in enumerate(_tables(table, key))
                )
                for key in ("corpora", "outside")
            },
            "protocol": build(ProtocolSpec, table.get("protocol", {}), "protocol"),
            "conditions": _conditions(table.get("robustness", {})),
            "insight": build(Insight, table["insight"], "insight") if "insight" in table else None,
            "resources": build(Resources, table.get("resources", {}), "resources"),
            "meters": build(
                Meters, listed(table.get("meters", {}), "seconds", (int, float)), "meters"
            ),
            "search": parse_search(table["search"], base) if design == "search" else None,
        },
        "",
    )
    return study


def _tables(table: Table, key: str) -> list[Table]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BadValue(key, found, f"tables, each under [[{key}]]")
    if key == "corpora" and not found:
        raise BadValue(key, found, "at least one [[corpora]]")
    return found


def _variant(table: object, where: str) -> tuple[Variant, dict[str, Scalar]]:
    """The variant of a table {system, preset, set} and what its set says."""
    if not isinstance(table, dict):
        raise BadValue(where, table, "a table with system, preset and set")
    for key in table:
        if key not in ("system", "preset", "set", "name"):
            raise UnknownName("key", key, ("system", "preset", "set", "name"), where=where)
    if "system" not in table:
        raise SerlabError(f"{where}.system is missing; known: {', '.join(SYSTEMS.entries())}")
    changes = dict(table.get("set", {}))
    variant = resolve(table["system"], table.get("preset", ""), changes, where=where)
    return variant, changes


def _arms(
    table: Table, design: Design, base: Variant, origin: Table, changes: Mapping[str, Scalar]
) -> tuple[Arm, ...]:
    """The base, the arms that the design makes of it, and those written out."""
    arms = [Arm(name="base", variant=base, kind="base")]

    def add(differences: Mapping[str, Scalar], where: str) -> None:
        merged = {**changes, **differences}
        variant = resolve(base.system, origin.get("preset", ""), merged, where=where)
        name = variant.difference(base)
        if name != "base":
            arms.append(Arm(name=name, variant=variant))

    if design == "ablate":
        for slot, options in _choices(table.get("ablate", {}), "ablate").items():
            for option in options:
                add({slot: option}, "ablate")
    if design == "grid":
        for differences in _product(_choices(table["grid"], "grid")):
            add(differences, "grid")
    for key, kind in (("arms", "arm"), ("baselines", "baseline")):
        for i, entry in enumerate(_tables(table, key)):
            arms.append(_written(entry, f"{key}[{i}]", kind, base, origin))
    seen: set[str] = set()
    for arm in arms:
        if arm.name in seen:
            raise SerlabError(f'two arms are both "{arm.name}"; give one a name of its own')
        seen.add(arm.name)
    return tuple(arms)


def _written(entry: Table, where: str, kind: str, base: Variant, origin: Table) -> Arm:
    """An arm that is written out; without a system of its own it starts from the base."""
    if "system" not in entry:
        merged = {**origin.get("set", {}), **entry.get("set", {})}
        entry = {**entry, "system": base.system, "preset": base.preset, "set": merged}
    variant, changes = _variant(entry, where)
    name = variant.difference(base)
    if variant.system != base.system:
        parts = [f"{key}={value}" for key, value in changes.items()]
        name = " ".join([variant.system, ", ".join(parts)]).strip()
    return Arm(name=str(entry.get("name", name)), variant=variant, kind=kind)  # type: ignore[arg-type]


def _conditions(table: object) -> tuple[str, ...]:
    """The audio conditions of the table [robustness], each known."""
    where = "robustness.conditions"
    if not isinstance(table, dict):
        raise BadValue("robustness", table, "a table with conditions")
    for key in table:
        if key != "conditions":
            raise UnknownName("key", key, ("conditions",), where="robustness")
    asked = table.get("conditions", [])
    if asked == "all":
        return tuple(CONDITIONS.entries())
    if not isinstance(asked, list) or len(set(map(str, asked))) < len(asked):
        raise BadValue(where, asked, 'a list of different conditions, or "all"')
    return tuple(sorted(condition(str(name), where=where).name for name in asked))


def _choices(table: object, where: str) -> dict[str, list[Scalar]]:
    if not isinstance(table, dict):
        raise BadValue(where, table, "a table of slots, each with a list of options")
    for name, options in table.items():
        if not isinstance(options, list) or not options:
            raise BadValue(f"{where}.{name}", options, "a list of options")
    return table


def _product(choices: Mapping[str, Sequence[Scalar]]) -> list[dict[str, Scalar]]:
    found: list[dict[str, Scalar]] = [{}]
    for name, options in choices.items():
        found = [{**known, name: option} for known in found for option in options]
    return found
