"""Registries that know their names without importing what is named.

The modules of a registry's package are read as text: each ``@REGISTRY.register("name", ...)``
above a class or function is one entry, its arguments literals. So ``serlab list`` loads no
torch, and an entry's module is imported when the entry is asked for. Modules outside the
package (plugins) register when they are imported.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from serlab.bench.errors import DuplicateName, UnknownName

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered thing: its name, the literal facts beside it, and where it is defined."""

    name: str
    module: str
    attribute: str
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # literals of any type

    def load(self) -> Any:  # what a registry holds is known to the registry's user
        """The class or function itself; imports its module."""
        return getattr(importlib.import_module(self.module), self.attribute)


class Registry:
    """The named things of one kind, found in one package and in the plugins that add to it.

    Args:
        kind: what one entry is called in messages, such as ``"corpus"``.
        package: dotted name of the package whose modules are searched, or of one module.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._added: dict[str, Entry] = {}

    def register(self, name: str, /, **facts: object) -> Callable[[T], T]:
        """Decorator that puts a class or function under ``name``; arguments must be literals."""

        def keep(thing: T) -> T:
            module, attribute = thing.__module__, thing.__qualname__  # type: ignore[attr-defined]
            if not f"{module}.".startswith(self.package + "."):
                doc = (thing.__doc__ or "").strip().split("\n")[0]
                self.add(
                    Entry(name=name, module=module, attribute=attribute, summary=doc, facts=facts)
                )
            return thing

        return keep

    def add(self, entry: Entry) -> None:
        """Adds an entry from outside the package.

        Raises:
            DuplicateName: the name is taken by another module.
        """
        held = self._found.get(entry.name) or self._added.get(entry.name)
        if held and (held.module, held.attribute) != (entry.module, entry.attribute):
            raise DuplicateName(self.kind, entry.name, held.module, entry.module)
        self._added[entry.name] = entry

    @cached_property
    def _found(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in _scan(self.package):
            if entry.name in found:
                first = found[entry.name].module
                raise DuplicateName(self.kind, entry.name, first, entry.module)
            found[entry.name] = entry
        return found

    def entries(self) -> Mapping[str, Entry]:
        """All entries by name, in order of name."""
        return MappingProxyType(dict(sorted({**self._found, **self._added}.items())))

    def entry(self, name: str, *, where: str = "") -> Entry:
        """The entry of that name.

        Raises:
            UnknownName: with the nearest known name.
        """
        entries = self.entries()
        if name not in entries:
            raise UnknownName(self.kind, name, entries, where=where)
        return entries[name]

    def load(self, name: str, *, where: str = "") -> Any:  # see Entry.load
        """The class or function of that name; imports its module."""
        return self.entry(name, where=where).load()


def _scan(package: str) -> Iterator[Entry]:
    """Entries written in the modules of a package, none of which is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    found = pkgutil.iter_modules(spec.submodule_search_locations or [])
    names = sorted(f"{package}.{info.name}" for info in found) or [package]
    for name in names:
        module = importlib.util.find_spec(name)
        if module is None or not module.origin:
            continue
        text = Path(module.origin).read_text(encoding="utf-8")
        if ".register(" in text:
            yield from _entries(ast.parse(text), name)


def _entries(tree: ast.Module, module: str) -> Iterator[Entry]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "register":
                yield Entry(
                    name=ast.literal_eval(call.args[0]),
                    module=module,
                    attribute=node.name,
                    summary=(ast.get_docstring(node) or "").split("\n")[0],
                    facts={k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg},
                )
