"""A search as a record: what is searched, and what it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from serlab.bench.contracts import Scalar, Variant
from serlab.bench.errors import BadValue, UnknownName
from serlab.bench.typed import build
from serlab.models.variant import check_option, check_setting, settings_class

Cost = Literal["", "parameters", "macs"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A numeric hyperparameter's search range."""

    low: float
    high: float
    log: bool = False
    step: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Search:
    """An Optuna search over slots and hyperparameters, judged on validation speakers."""

    cost: Cost = ""
    """What is made small beside the score, known without training; that of one utterance of
    the first of ``meters.seconds``."""
    trials: int = 20
    seed: int = 0
    storage: str = ""
    """Database URL; empty means an SQLite file in the run's folder."""
    space: Mapping[str, Range | tuple[Scalar, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the count."""
        if self.trials < 1:
            raise BadValue("search.trials", self.trials, "an integer of at least 1")


def parse_search(table: object, base: Variant) -> Search:
    """The search with its space checked against the base's slots and hyperparameters."""
    if not isinstance(table, dict):
        raise BadValue("search", table, "a table with trials and space")
    space: dict[str, Range | tuple[Scalar, ...]] = {}
    settings = {f.name: f for f in fields(settings_class(base.system))}
    for name, values in dict(table.get("space", {})).items():
        where = f"search.space.{name}"
        if isinstance(values, list) and values:
            check = _checker(name, base, settings, where)
            space[name] = tuple(check(value) for value in values)
        elif isinstance(values, dict) and name in settings:
            space[name] = _range(values, settings[name], where)
        else:
            _checker(name, base, settings, where)
            raise BadValue(where, values, "a list of values, or a table with low and high")
    if not space:
        raise BadValue("search.space", {}, "at least one slot or hyperparameter")
    found: Search = build(Search, {**table, "space": space}, "search")
    return found


def _checker(name: str, base: Variant, settings: Mapping[str, Field[Any]], where: str) -> Any:
    """What checks one value of a slot or hyperparameter of the space."""
    if name in base.options:
        return lambda value: check_option(name, value, where=where)
    if name in settings:
        return lambda value: check_setting(settings[name], value, where=where)
    raise UnknownName(f"slot or setting of {base.system}", name, (*base.options, *settings),
                      where="search.space")  # fmt: skip


def _range(values: Mapping[str, object], setting: Field[Any], where: str) -> Range:
    found: Range = build(Range, values, where)
    kind = type(setting.default)
    if kind not in (int, float):
        raise BadValue(where, dict(values), "a list of values")
    for end in ("low", "high"):
        check_setting(setting, kind(getattr(found, end)), where=f"{where}.{end}")
    if found.low >= found.high or (found.log and found.low <= 0):
        raise BadValue(where, dict(values), "low below high, and above 0 where log is true")
    return found
