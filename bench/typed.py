"""A dataclass from a table of TOML or JSON: every key known, every type right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from serlab.bench.errors import BadValue, SerlabError, UnknownName


def build(cls: type[Any], table: object, where: str) -> Any:  # an instance of cls
    """A dataclass from a table: every key known, every type right.

    Raises:
        UnknownName: a key that the dataclass lacks.
        BadValue: a value of another type.
    """
    if not isinstance(table, Mapping):
        raise BadValue(where, table, "a table")
    known = {f.name: f for f in fields(cls)}
    hints = get_type_hints(cls)
    prefix = f"{where}." if where else ""
    values = {}
    for key, value in table.items():
        if key not in known:
            raise UnknownName("key", key, known, where=where)
        values[key] = _typed(hints[key], value, f"{prefix}{key}")
    for key, f in known.items():
        if key not in values and f.default is MISSING and f.default_factory is MISSING:
            raise SerlabError(f"{prefix}{key} is missing")
    return cls(**values)


def listed(table: Any, key: str, single: type | tuple[type, ...]) -> Any:  # what TOML holds
    """The table with a list of one where one value stands for it."""
    if not isinstance(table, Mapping) or not isinstance(table.get(key), single):
        return table
    return {**table, key: [table[key]]}


def _typed(hint: Any, value: Any, where: str) -> Any:  # any annotation and any value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise UnknownName("value", value, arguments, where=where)
        return value
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in tuple(hint):
            raise UnknownName("value", value, hint, where=where)
        return hint(value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, where)  # type: ignore[arg-type]  # a class, no instance
    if origin is Mapping and isinstance(value, Mapping) and is_dataclass(arguments[1]):
        return {str(k): _typed(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if hint in (int, float, str, bool):
        names = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
        if type(value) is not hint or value != value:
            raise BadValue(where, value, names[hint])
        return value
    if origin is tuple:
        raise BadValue(where, value, "a list")
    kind = origin if origin not in (None, UnionType) else hint
    if not isinstance(value, kind):
        raise BadValue(where, value, f"a {getattr(kind, '__name__', kind)}")
    return value
