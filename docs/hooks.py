"""What the build of the site adds: pages made from the code, and a check of what was built.

``mkdocs build`` needs nothing of serlab installed: the packages are laid out as pyproject.toml
maps them, and read as text; only the parser of the command line is imported, which loads no
library.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from links import problems_of  # beside this file, which mkdocs puts on the path
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

REGISTRIES = {
    "Systems": ("serlab.models.systems", "what `system` of a study takes"),
    "Corpora": ("serlab.bench.corpora", "what `name` of `[[corpora]]` takes"),
    "Features": ("serlab.bench.features", "what systems read"),
    "Metrics": ("serlab.bench.metrics", "what `metric` takes"),
    "Splits": ("serlab.bench.protocols", "what `split` of `[protocol]` takes"),
    "Audio conditions": ("serlab.bench.conditions", "what `conditions` of `[robustness]` takes"),
    "Figures": ("serlab.reports.figures", "what a report draws, where a study has the data"),
}
OPTIONS = "serlab.models.components"
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the repository's root that the site has too."""


def on_startup(**_: object) -> None:
    """Lays the packages out in one tree, for the reference and for what is imported here."""
    tree = Path(tempfile.mkdtemp(prefix="serlab-docs-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package, folder in table["tool"]["setuptools"]["package-dir"].items():
        shutil.copytree(
            ROOT / folder,
            tree.joinpath(*package.split(".")),
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    sys.path.insert(0, str(tree))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made from the code, and those that lie beside the docs."""
    made = {"reference/commands.md": commands_page(), "reference/names.md": names_page()}
    for name in BESIDE:
        made[name] = (ROOT / name).read_text(encoding="utf-8")
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to pages beside the docs lead to their copies within the site."""
    if "/" in page.file.src_uri:
        return markdown
    for name in BESIDE:
        markdown = markdown.replace(f"](../{name}", f"]({name}")
    return markdown.replace("](docs/", "](")


def on_post_build(config: MkDocsConfig) -> None:
    """Refuses a site with a link to nothing, or with a page that asks another host for a part."""
    problems = sorted(problems_of(Path(config.site_dir)))
    if problems:
        raise PluginError("the built site is wrong:\n" + "\n".join(problems))


# --- pages from the code -------------------------------------------------------------------------


def commands_page() -> str:
    """Every command with its help, as the command line itself prints it."""
    from serlab.__main__ import parser

    top = parser()
    lines = ["# Commands", "", "What `--help` of each command prints.", ""]
    lines += ["## serlab", "", *_console(top)]
    for made in _commands(top):
        lines += [f"## {made.prog}", "", *_console(made)]
    return "\n".join(lines) + "\n"


def _console(made: ArgumentParser) -> list[str]:
    made.formatter_class = _formatter(made)
    return ["```text", made.format_help().rstrip(), "```", ""]


def _formatter(made: ArgumentParser) -> Any:  # argparse takes any callable
    """The parser's own layout at a fixed width, whatever the terminal is."""
    kind = made.formatter_class
    return lambda prog: kind(prog, width=76)


def _commands(top: ArgumentParser) -> Iterator[ArgumentParser]:
    """The commands at the ends of the tree, each once."""
    for action in top._actions:
        if isinstance(action, _SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                below = list(_commands(child))
                yield from below or [child]


def names_page() -> str:
    """Every registered name, with what it is."""
    from serlab.bench.registry import Registry

    lines = ["# Every name", "", "What the registries hold. `serlab list` prints the same.", ""]
    for title, (package, about) in REGISTRIES.items():
        entries = Registry(title, package).entries().values()
        lines += [f"## {title}", "", f"{len(entries)} of them: {about}.", ""]
        lines += _table(("name", "what it is", "source"), [
            (f"`{e.name}`", e.summary, e.facts.get("source", "")) for e in entries
        ])  # fmt: skip
    lines += ["## Slots and their options", "", "What `[ablate]`, `[grid]` and `set` take.", ""]
    slots: dict[str, list[tuple[str, str, str]]] = {}
    for entry in Registry("option", OPTIONS).entries().values():
        slot, option = entry.name.split(".", 1)
        row = (f"`{option}`", entry.summary, f"{entry.facts['source']} [{entry.facts['tag']}]")
        slots.setdefault(slot, []).append(row)
    for slot, rows in slots.items():
        lines += [f"### {slot}", "", *_table(("option", "what it is", "source [support]"), rows)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, rows), ""]
