"""The command line: words in, calls out; what it calls is imported when it is called."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any  # what argparse gives for subcommands has no public type

from serlab import __version__, bench_commands, bench_compare
from serlab.bench.errors import NotComparable, SerlabError

LISTS = ("systems", "slots", "corpora", "features", "conditions", "splits", "studies", "metrics")

HOMES = {
    "gate": "gate_commands",
    "bench": "bench_commands",
    "bench compare": "bench_compare",
    "compare": "run_compare",
    "report": "report_commands",
}
"""Modules of commands that are not in the module "commands"."""


@dataclass(frozen=True)
class _Shared:
    """Options that several commands have."""

    plugin: ArgumentParser
    json: ArgumentParser
    roots: ArgumentParser
    change: ArgumentParser


def parser() -> ArgumentParser:
    """All commands and their options."""
    top = ArgumentParser(
        prog="serlab",
        description="What each component of a speech emotion recogniser is worth, with intervals.",
        epilog="Start with: serlab run quick",
    )
    top.add_argument("--version", action="version", version=f"serlab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = _shared()
    _add_names(commands, shared)
    _add_run(commands, shared)
    _add_data(commands, shared)
    _add_cache(commands, shared)
    _add_gate(commands, shared)
    _add_bench(commands, shared)
    return top


def _shared() -> _Shared:
    plugin, json, roots, change = (ArgumentParser(add_help=False) for _ in range(4))
    plugin.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE",
        help="import a module that registers more",
    )  # fmt: skip
    json.add_argument("--json", action="store_true", help="print JSON")
    roots.add_argument(
        "--root", action="append", default=[], metavar="NAME=DIR",
        help="folder of a corpus; otherwise SERLAB_DATA/NAME",
    )  # fmt: skip
    change.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one thing"
    )
    return _Shared(plugin, json, roots, change)


def _command(commands: Any, name: str, about: str, *parents: ArgumentParser) -> ArgumentParser:
    """A command that tells in its help what it does in the list of all."""
    made: ArgumentParser = commands.add_parser(name, help=about, description=about, parents=parents)
    return made


def _add_names(commands: Any, shared: _Shared) -> None:
    about = "print the names that serlab knows"
    listing = _command(commands, "list", about, shared.plugin, shared.json)
    listing.add_argument("what", choices=LISTS)
    about = "tell all about a system: slots, options, sources, size"
    parents = (shared.plugin, shared.json, shared.change)
    describe = _command(commands, "describe", about, *parents)
    describe.add_argument("system")
    describe.add_argument("--preset", default="", help="one of the system's presets")
    describe.add_argument("--classes", type=int, default=4, help="number of emotions (4)")


def _add_run(commands: Any, shared: _Shared) -> None:
    about = "run a study, or go on with one, and write its report"
    run = _command(commands, "run", about, shared.plugin, shared.roots, shared.change)
    run.add_argument("study", help="a shipped study's name, or a TOML file")
    run.add_argument("--out", metavar="DIR", help="the run's folder (runs/NAME)")
    run.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    run.add_argument(
        "--address", default="", help="an existing Ray cluster instead of this machine"
    )
    run.add_argument("--plan", action="store_true", help="check and count everything, run nothing")
    run.add_argument("--no-report", action="store_true", help="leave out the report")
    about = "write the report of a run, or of several beside each other"
    report = _command(commands, "report", about, shared.plugin, shared.roots)
    report.add_argument(
        "run", nargs="+", help="the run's folder; of several, the first has the base"
    )
    report.add_argument(
        "--out", metavar="DIR", help="the report's folder (RUN/report; needed for several runs)"
    )
    report.add_argument(
        "--with-audio", action="store_true",
        help="put the recordings of the worst utterances into the page, to be played",
    )  # fmt: skip
    report.add_argument(
        "--width", choices=("single", "double", "slide"), default="double",
        help="of the figures: one column of a paper, two (the default), or a slide",
    )  # fmt: skip
    report.add_argument(
        "--template", metavar="DIR",
        help="a folder with the lab's own page.html, figures.mplstyle or both; figures come from "
        "--plugin",
    )  # fmt: skip
    about = "tell what changed between two runs of a study, and what it did to each arm"
    compare = _command(commands, "compare", about, shared.plugin, shared.json)
    compare.add_argument("a", metavar="RUN_A", help="the folder of the run that was first")
    compare.add_argument("b", metavar="RUN_B", help="the other's; differences are B - A")


def _add_data(commands: Any, shared: _Shared) -> None:
    data = commands.add_parser("data", help="a corpus described or checked, or a study's leaks")
    tasks = data.add_subparsers(dest="task", required=True, metavar="TASK")
    check = tasks.add_parser(
        "check", help="read every file of corpora and tell what is wrong",
        description="Reads every file of corpora and tells what is there and what is wrong, "
        "recordings that two of them share among it. Exits with 0 where all are clean, 1 where "
        "there are problems, 2 where a corpus is unusable. --json prints one report as an object, "
        "those of several corpora as a list.",
        parents=[shared.plugin, shared.json, shared.roots],
    )  # fmt: skip
    check.add_argument("corpus", nargs="+")
    check.add_argument(
        "--option", action="append", default=[], metavar="[CORPUS.]KEY=VALUE",
        help="an option of a reader; with CORPUS where several are checked",
    )  # fmt: skip
    about = "tell all about a corpus: layout, options, licence, published size"
    described = _command(tasks, "describe", about, shared.plugin, shared.json)
    described.add_argument("corpus")
    about = "look for leaks between the parts of a study's folds"
    parents = (shared.plugin, shared.json, shared.roots, shared.change)
    _command(tasks, "audit", about, *parents).add_argument("study")


def _add_gate(commands: Any, shared: _Shared) -> None:
    about = "hold a candidate against a recorded baseline: the accuracy check of CI"
    gate = commands.add_parser("gate", help=about, description=about)
    tasks = gate.add_subparsers(dest="task", required=True, metavar="TASK")
    record = _command(tasks, "record", "record a baseline from a finished run")
    record.add_argument("run", help="the run's folder")
    record.add_argument("--out", required=True, metavar="DIR", help="the baseline's folder")
    record.add_argument("--arm", default="base", help="an arm of the run (base)")
    record.add_argument(
        "--extension", default="", metavar="SEEDS",
        help="seeds of the run, such as 5,6,7, that a check adds once where the others are "
        "inconclusive",
    )  # fmt: skip
    record.add_argument(
        "--margin", type=float,
        help="the loss that is not tolerated (the larger of 0.02 and twice the seeds' deviation)",
    )  # fmt: skip
    record.add_argument("--replace", action="store_true", help="replace a baseline that is there")
    _add_check(tasks, shared)
    about = "hold a baseline against itself, and against candidates that must fail"
    _add_outputs(_command(tasks, "selfcheck", about))


def _add_check(tasks: Any, shared: _Shared) -> None:
    check = tasks.add_parser(
        "check", help="judge a candidate", parents=[shared.plugin, shared.roots, shared.change],
        description="Judges a candidate. Exits with 0 where all passed, 1 on a regression, 2 on "
        "wrong usage, 3 where it is inconclusive, 4 where the two cannot be compared.",
    )  # fmt: skip
    one = check.add_mutually_exclusive_group(required=True)
    one.add_argument("--run", help="the folder of a finished run")
    one.add_argument("--study", help="a study, whose arm is trained with the baseline's seeds")
    one.add_argument("--predictions", metavar="FILE", help="a table, Parquet or CSV")
    one.add_argument("--checkpoint", metavar="FILE", help="a kept model (keep_models = true)")
    check.add_argument("--arm", default="", help="of the run or study (the baseline's)")
    check.add_argument(
        "--inconclusive", choices=("fail", "warn"), default="fail",
        help="what an inconclusive check does (fail: exit code 3)",
    )  # fmt: skip
    check.add_argument(
        "--tolerance", type=float, default=0.0, metavar="X",
        help="largest difference of a checkpoint's scores that is none (0: the same bits)",
    )  # fmt: skip
    check.add_argument("--out", metavar="DIR", help="where a study's run is kept (runs/gate/...)")
    check.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    check.add_argument("--address", default="", help="an existing Ray cluster")
    _add_outputs(check)


def _add_outputs(task: ArgumentParser) -> None:
    task.add_argument("--baseline", required=True, metavar="DIR", help="the baseline's folder")
    for name, what in (
        ("json", "everything that was found, as JSON"),
        ("junit", "JUnit XML, which CI servers show"),
        ("markdown", "a Markdown report"),
        ("summary", "Markdown that is added to a job's summary"),
        ("figure", "intervals against the margin as a picture: .svg, .pdf or .png"),
    ):
        task.add_argument(f"--{name}", metavar="FILE", help=f"write {what}")
    task.add_argument("--annotations", action="store_true", help="print workflow annotations")


def _add_bench(commands: Any, shared: _Shared) -> None:
    bench_commands.add_parser(commands, [shared.plugin, shared.json])
    bench_compare.add_parser(commands, [shared.plugin, shared.json])


def _add_cache(commands: Any, shared: _Shared) -> None:
    parents = (shared.plugin, shared.json)
    cache = commands.add_parser("cache", help="tell of the cache of features, or shrink it")
    tasks = cache.add_subparsers(dest="task", required=True, metavar="TASK")
    folder = ArgumentParser(add_help=False)
    folder.add_argument(
        "--dir", default="", help="the cache's folder (SERLAB_CACHE, or the user's cache folder)"
    )
    tasks.add_parser("info", help="where it is and what it holds", parents=[*parents, folder])
    prune = tasks.add_parser(
        "prune", help="remove what was used longest ago", parents=[*parents, folder]
    )
    prune.add_argument(
        "--to", required=True, metavar="SIZE", help="what may stay, such as 20GB, 500MB or 0"
    )


def _joined(words: Sequence[str]) -> list[str]:
    """The words with "bench compare" as one: what follows "bench" may be any variant."""
    return ["bench compare", *words[2:]] if list(words[:2]) == ["bench", "compare"] else [*words]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code (2 for a mistake in what was asked)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser().parse_args(_joined(words))
    from serlab import commands

    command = f"{chosen.command}_{chosen.task}" if "task" in chosen else chosen.command
    command = command.replace(" ", "_")
    home = import_module(f"serlab.{HOMES.get(chosen.command, 'commands')}")
    try:
        commands.load_plugins(getattr(chosen, "plugin", ()))
        code: int = getattr(home, f"{command}_command")(chosen, " ".join(["serlab", *words]))
    except SerlabError as error:
        sys.stderr.write(f"serlab: {error}\n")
        return 4 if chosen.command == "gate" and isinstance(error, NotComparable) else 2
    except KeyboardInterrupt:
        sys.stderr.write("serlab: stopped; what is finished is kept, run the same command again\n")
        return 130
    except BrokenPipeError:
        code = 0
    return _flushed(code)


def _flushed(code: int) -> int:
    """The exit code, whether or not the reader of a pipe, such as head, is still there."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
