"""The result of a gate as JUnit XML, in the grammar of Jenkins' xunit plugin (junit-10.xsd).

GitLab and the test reporters of GitHub read the same. A test case has no properties in that
grammar, so that the numbers of all checks are properties of the suite, and part of what each
check prints.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from xml.etree import ElementTree as ET

from serlab.reports.gate.records import Check, Number, Outcome, Result
from serlab.reports.gate.words import real
from serlab.reports.words import clean


def junit_xml(result: Result) -> str:
    """One suite with a test case for every check.

    A regression is a failure, what is not comparable an error. What is inconclusive is a failure,
    or skipped where the policy lets it through; what could not be judged is skipped. Warnings
    pass, and say so in what they print.
    """
    elements = [_element_of(check, result) for check in result.checks]
    counts = Counter(elements)
    totals = {
        "tests": str(len(elements)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "time": f"{result.seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": f"serlab gate {result.command}", **totals})
    suite = ET.SubElement(root, "testsuite", {"name": _class(result), **totals})
    suite.set("skipped", str(counts["skipped"]))
    if result.created:
        suite.set("timestamp", clean(result.created))
    _add_properties(suite, result)
    for check, name, element in zip(result.checks, _names(result), elements, strict=True):
        _add_case(suite, check, name, element, _class(result))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _element_of(check: Check, result: Result) -> str:
    """The element that says how a check ended; empty for a pass."""
    if check.outcome is Outcome.INCONCLUSIVE:
        return "skipped" if result.inconclusive == "warn" else "failure"
    ends = {
        Outcome.FAIL: "failure",
        Outcome.NOT_COMPARABLE: "error",
        Outcome.NOT_JUDGED: "skipped",
        Outcome.UNCLEAR: "skipped",
    }
    return ends.get(check.outcome, "")


def _class(result: Result) -> str:
    """``serlab.gate.STUDY.ARM``; readers part packages at dots, so that names hold none."""
    parts = [re.sub(r"[.\s]+", "_", clean(part)) for part in (result.study, result.arm) if part]
    return ".".join(["serlab", "gate", *parts])


def _names(result: Result) -> list[str]:
    """The checks' names, each of them once: GitLab drops a second test of the same name."""
    seen: Counter[str] = Counter()
    names = []
    for check in result.checks:
        name = clean(check.name)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _add_properties(suite: ET.Element, result: Result) -> None:
    kept = ("serlab", "command", "study", "arm", "baseline", "candidate", "metric", "margin",
            "inconclusive", "outcome", "exit_code")  # fmt: skip
    facts: dict[str, Number] = {key: getattr(result, key) for key in kept}
    for name, check in zip(_names(result), result.checks, strict=True):
        facts |= {f"{name}: {key}": value for key, value in check.numbers.items()}
    held = ET.SubElement(suite, "properties")
    for key, value in facts.items():
        ET.SubElement(held, "property", name=clean(key), value=_value(value))
    for note in result.notes:
        ET.SubElement(held, "property", name="note", value=clean(note))


def _value(value: Number) -> str:
    """Numbers in full, as JSON writes them; text as it is."""
    return clean(value) if isinstance(value, str) else json.dumps(value)


def _add_case(suite: ET.Element, check: Check, name: str, element: str, classname: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=classname, name=name)
    seconds = real(check, "seconds")
    if seconds is not None:
        case.set("time", f"{seconds:.3f}")
    said = clean(f"{check.outcome.value.upper()}: {check.sentence}")
    if element:  # readers show either the message or the text
        ET.SubElement(case, element, type=check.outcome.value, message=said).text = said
    numbers = [f"{clean(key)} = {_value(value)}" for key, value in check.numbers.items()]
    ET.SubElement(case, "system-out").text = "\n".join([said, *numbers])
