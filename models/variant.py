"""Systems, slots and options by name, and variants spelled out from a few differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from serlab.bench.contracts import Scalar, System, Variant
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.registry import Entry, Registry

SYSTEMS = Registry("system", "serlab.models.systems")
OPTIONS = Registry("option", "serlab.models.components")
"""Options of all slots, each under ``"<slot>.<option>"``."""


def options_of(slot: str) -> dict[str, Entry]:
    """The options that a slot takes, by name."""
    found = {}
    for name, entry in OPTIONS.entries().items():
        owner, option = name.split(".", 1)
        if owner == slot:
            found[option] = entry
    return found


def load_option(slot: str, option: str) -> Any:  # a class or function, as its slot says
    """What implements an option."""
    return OPTIONS.load(f"{slot}.{option}")


def settings_class(system: str) -> type[Any]:  # each system has a dataclass of its own
    """The dataclass of a system's hyperparameters."""
    found: type[Any] = SYSTEMS.load(system).Settings
    return found


def resolve(
    system: str,
    preset: str = "",
    differences: Mapping[str, Scalar] | None = None,
    *,
    where: str = "variant",
) -> Variant:
    """A variant with every option and hyperparameter spelled out.

    Args:
        system: registered name.
        preset: one of the system's presets; empty means its default one.
        differences: slots and hyperparameters that differ from the preset.
        where: the place in the study, for messages.

    Raises:
        UnknownName: a name that the system does not have.
        BadValue: a value of the wrong type or out of range.
    """
    facts = SYSTEMS.entry(system, where=f"{where}.system").facts
    presets = facts["presets"]
    preset = preset or facts["default_preset"]
    if preset not in presets:
        raise UnknownName(f"preset of {system}", preset, presets, where=f"{where}.preset")
    slots: Mapping[str, str] = facts["slots"]
    known = {f.name: f for f in fields(settings_class(system))}
    options = dict(slots)
    settings: dict[str, Scalar] = {name: f.default for name, f in known.items()}  # type: ignore[misc]  # all have one
    for name, value in {**presets[preset], **(differences or {})}.items():
        if name in slots:
            options[name] = check_option(name, value, where=f"{where}.{name}")
        elif name in known:
            settings[name] = check_setting(known[name], value, where=f"{where}.{name}")
        else:
            kind = f"slot or setting of {system}"
            raise UnknownName(kind, name, (*slots, *known), where=where)
    return Variant(system=system, preset=preset, options=options, settings=settings)


def check_option(slot: str, option: object, *, where: str) -> str:
    """The option's name, if the slot has it."""
    known = options_of(slot)
    if not isinstance(option, str) or option not in known:
        raise UnknownName(f"option of the slot {slot}", option, known, where=where)
    return option


def check_setting(field: Any, value: object, *, where: str) -> Scalar:  # a dataclasses.Field
    """The value, if the setting's type and range allow it."""
    facts, wanted = field.metadata, type(field.default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    low, high, choices = facts["low"], facts["high"], facts["choices"]
    names = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
    expected = names[wanted]
    if choices:
        expected = f"one of {', '.join(choices)}"
    elif low is not None:
        expected += f" of at least {low}" if high is None else f" from {low} to {high}"
    right = type(value) is wanted and value == value  # NaN is unequal to itself
    if right and choices:
        right = value in choices
    if right and wanted in (int, float):
        assert isinstance(value, int | float)
        right = (low is None or value >= low) and (high is None or value <= high)
    if not right:
        raise BadValue(where, value, expected)
    assert isinstance(value, str | int | float | bool)
    return value


def make(variant: Variant) -> System:
    """The system of a variant, ready to build networks.

    Raises:
        BadValue: options or settings that do not go together.
    """
    system: System = SYSTEMS.load(variant.system)(variant)
    system.check()
    return system


def parse_assignment(text: str) -> tuple[str, Scalar]:
    """``"pooling=max"`` as a name and a value: true, false, a number, or a text."""
    import tomllib

    name, sign, value = text.partition("=")
    if not sign or not name:
        raise SerlabError(f'"{text}" sets nothing: expected name=value')
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    if not isinstance(parsed, str | int | float | bool):
        raise BadValue(name, value, "a number, true, false or a text")
    return name.strip(), parsed
