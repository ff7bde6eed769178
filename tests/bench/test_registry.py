"""Registries read their package as text and import nothing until asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serlab.bench.errors import DuplicateName, UnknownName
from serlab.bench.protocols import SPLITS
from serlab.bench.registry import Entry, Registry, _entries
from serlab.models.variant import OPTIONS, SYSTEMS


def test_entries_are_known_before_import() -> None:
    """Listing systems and options imports neither torch nor the modules that hold them."""
    code = (
        "import sys; from serlab.models.variant import SYSTEMS, OPTIONS;"
        "assert 'li2018' in SYSTEMS.entries() and 'pooling.max' in OPTIONS.entries();"
        "assert not {'torch', 'ray', 'serlab.models.systems.li2018'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_entry_loads_and_has_a_summary() -> None:
    """What the text says is there is there, and says what it is and where it is from."""
    for registry in (SYSTEMS, OPTIONS, SPLITS):
        for name, entry in registry.entries().items():
            assert callable(entry.load()), name
            assert len(entry.summary) > 5, name
    for name, entry in OPTIONS.entries().items():
        assert entry.facts["tag"] in "ANCRXI", name
        assert entry.facts["source"], name


def test_unknown_name_suggests_the_nearest() -> None:
    """A misspelt name is answered with the right one and with where it stood."""
    with pytest.raises(UnknownName, match=r'base.system: .* did you mean "li2018"'):
        SYSTEMS.entry("li2081", where="base.system")


def test_name_given_twice_is_an_error() -> None:
    """A plugin cannot take a name that is in use, and may register its own thing twice."""
    registry = Registry("split", "serlab.bench.protocols")
    mine = Entry(name="mine", module="plugin", attribute="mine")
    registry.add(mine)
    registry.add(mine)
    assert "mine" in registry.entries()
    with pytest.raises(DuplicateName, match='"fixed" is registered twice'):
        registry.add(Entry(name="fixed", module="plugin", attribute="mine"))


def test_plugins_register_by_decorator() -> None:
    """A decorated class outside the package is added when it is defined."""
    registry = Registry("system", "serlab.models.systems")

    @registry.register("mine", title="My system")
    class Mine:
        """A system of a plugin."""

    entry = registry.entry("mine")
    assert entry.facts["title"] == "My system"
    assert entry.summary == "A system of a plugin."
    assert entry.attribute.endswith("Mine")


def test_name_given_twice_in_the_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules of one package cannot share a name either."""
    import ast

    text = '@R.register("a")\ndef one(): ...\n@R.register("a")\ndef two(): ...\n'
    found = list(_entries(ast.parse(text), "m"))
    monkeypatch.setattr("serlab.bench.registry._scan", lambda package: iter(found))
    with pytest.raises(DuplicateName):
        Registry("thing", "m").entries()
