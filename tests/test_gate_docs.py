"""What docs/GATE.md shows can be typed: commands, options, CI files."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import yaml

from serlab.__main__ import parser
from serlab.bench.conditions import CONDITIONS
from serlab.reports.gate.records import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "GATE.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
TASKS = ("record", "check", "selfcheck")


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for name, code in BLOCKS if name == language]


def commands() -> list[str]:
    """Every serlab command of the page, on one line each."""
    scripts = [*blocks("sh"), *blocks("ini"), *blocks("make")]
    for code in blocks("yaml"):
        steps = yaml.safe_load(code)
        steps = [steps["jobs"]["gate"]["steps"], []] if "jobs" in steps else [[], steps["accuracy"]]
        scripts += [step.get("run", "") for step in steps[0]]
        scripts += steps[1]["script"] if steps[1] else []
    found = re.findall(r"\bserlab (?:run|gate) [^#\n]*", "\n".join(scripts))
    return [command.replace("{posargs}", "").strip() for command in found]


def parsed(command: str) -> Namespace:
    """What the command line makes of a command."""
    return parser().parse_args(shlex.split(command)[1:])


def parser_of(task: str) -> ArgumentParser:
    """The parser of a task of the gate."""
    top = parser()._subparsers._group_actions[0].choices["gate"]
    made: ArgumentParser = top._subparsers._group_actions[0].choices[task]
    return made


@pytest.mark.parametrize("command", commands())
def test_commands_can_be_typed(command: str) -> None:
    """None has an option that is not there."""
    assert parsed(command).command in ("run", "gate")


def test_commands_of_every_kind_are_shown() -> None:
    """The page shows each task, both CI servers, tox and make."""
    assert {getattr(parsed(c), "task", "") for c in commands()} == {"", *TASKS}
    assert len([c for c in commands() if " --junit " in c]) == 2
    assert len(commands()) == 9


def test_options_are_those_of_the_commands() -> None:
    """Every option that the text names exists; every one that matters is named."""
    known = {o for task in TASKS for a in parser_of(task)._actions for o in a.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z]+", TEXT))
    assert named <= known, named - known
    assert known - named <= {"--help", "-h", "--plugin", "--device", "--address"}, known - named


def test_workflow_uses_known_actions() -> None:
    """GitHub's own, each at a major version, and the gate's files are kept when it fails."""
    (code,) = [code for code in blocks("yaml") if "jobs:" in code]
    steps = yaml.safe_load(code)["jobs"]["gate"]["steps"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [re.sub(r"@v\d+$", "", name) for name in used] == [
        "actions/checkout", "actions/setup-python", "actions/upload-artifact",
    ]  # fmt: skip
    assert steps[-1]["if"] == "always()"
    assert '--summary "$GITHUB_STEP_SUMMARY"' in steps[-2]["run"]


def test_gitlab_reads_the_file_that_is_written() -> None:
    """The report that GitLab is told of is the one that the command writes."""
    (code,) = [code for code in blocks("yaml") if "artifacts:" in code]
    job = yaml.safe_load(code)["accuracy"]
    asked = parsed(next(line for line in job["script"] if line.startswith("serlab")))
    assert job["artifacts"]["reports"]["junit"] == asked.junit
    assert job["artifacts"]["when"] == "always"


def test_exit_codes_are_told() -> None:
    """The table has every code of the gate."""
    table = dict(re.findall(r"^\| (\d) \| (\S+)", TEXT, re.MULTILINE))
    assert set(table) == {"0", "2", *(str(code) for code in EXIT_CODES.values())}


def test_conditions_are_known() -> None:
    """Audio conditions in the page's examples exist."""
    (listed,) = re.findall(r"`conditions = \[(.*?)\]`", TEXT)
    assert set(re.findall(r'"(\w+)"', listed)) <= set(CONDITIONS.entries())


@pytest.mark.parametrize("code", blocks("python"))
def test_python_compiles(code: str) -> None:
    """Tests that the page shows are Python."""
    compile(code, "GATE.md", "exec")
