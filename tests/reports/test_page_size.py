"""The page of a large study: small enough to mail, and with all its numbers as JSON."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from serlab.reports.figure import FIGURES
from serlab.reports.frame import load_frame
from serlab.reports.page_data import DIGITS, finite
from serlab.reports.report import write_report
from serlab.reports.svg import inline_svg

LARGEST = 2_000_000
"""Bytes of a page of fifty variants."""


@pytest.fixture(scope="module")
def fifty(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a base, 49 variants of long names and a baseline, on ten speakers."""
    pairs = product(range(7), range(7))
    names = [f"learning_rate=0.00{i}, normalisation=kind_{j}" for i, j in pairs]
    rng = np.random.default_rng(1)
    skill = {"base": 0.75, **{n: float(rng.uniform(0.6, 0.8)) for n in names}, "svm": 0.7}
    study = fake.FakeStudy(
        skill=skill,
        speakers=tuple(f"s{i:02d}" for i in range(10)),
        epochs=30,
        probes=dict.fromkeys(skill, 0.5),
    )
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("fifty") / "run", study)
    return path


@pytest.fixture(scope="module")
def page(fifty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fifty, tmp_path_factory.mktemp("report"))


class Data(HTMLParser):
    """Takes the JSON out of a page with nothing but the standard library."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag == "script" and ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        self.text += data * self._within


def data_of(page: Path) -> Any:  # JSON values of any shape
    reader = Data()
    reader.feed(page.read_text(encoding="utf-8"))
    return json.loads(reader.text)


def test_a_page_of_fifty_variants_is_small(page: Path) -> None:
    """All arms are on it, with their details, within two million bytes."""
    text = page.read_text(encoding="utf-8")
    assert text.count('<div class="detail"') == 51
    assert len(text.encode()) < LARGEST


def test_the_data_hold_what_the_table_shows(page: Path, fifty: Path) -> None:
    """Scores, effects, p values, counts, meters, environments and the command, as in the frame."""
    frame = load_frame(fifty)
    held, block = data_of(page), frame.blocks[0]
    assert held["schema"] == 1
    assert held["study"]["command"] == frame.study.command
    assert held["environments"].keys() == frame.environments.keys()
    (corpus,) = held["corpora"]
    assert corpus["marks"] == ["SYNTHETIC SPEECH"]
    assert corpus["counts"]["completed"] == block.counts.completed == 51 * 30
    assert [arm["name"] for arm in corpus["arms"]] == [arm.name for arm in block.arms]
    for told, arm in zip(corpus["arms"], block.arms, strict=True):
        assert told["counts"]["planned"] == arm.counts.planned
        for name, score in arm.scores.items():
            pooled = told["scores"][name]["pooled"]
            assert [pooled[k] for k in ("mean", "low", "high")] == pytest.approx(
                [score.pooled.mean, score.pooled.low, score.pooled.high], rel=10.0**-DIGITS * 5
            )
        if arm.effect:
            assert told["effect"]["p_holm"] == pytest.approx(arm.effect.p_holm)
            assert told["effect"]["verdict"] == arm.effect.verdict.value
        meters, latency = told["meters"], arm.meters.get("latency_p50").value
        found = meters["cells"][meters["headline"]]["values"]["latency_p50"]["value"]
        assert found == pytest.approx(latency)
        assert told["measured"]["speaker_probe"]["median"] > 0


def test_nothing_that_is_no_number_gets_into_the_data() -> None:
    """JSON has no nan and no infinity."""
    assert finite({"a": [float("nan"), float("inf"), 0.5, None]}) == {"a": [None, None, 0.5, None]}


def test_a_small_svg_keeps_its_words() -> None:
    """Coordinates lose digits; text, and what only looks like a coordinate, does not."""
    svg = (
        '<?xml version="1.0"?><svg width="10pt" height="5pt"><g id="unused">\n <path id="used" '
        'd="M 1.23456 2.0 \nL 3.999 -0.001 " style="fill: #222222; stroke-width: 0.6"/>\n</g>'
        '<use xlink:href="#used" x="12.3456"/><text style="font-family: \'A\', b; fill: #222222" '
        'transform="rotate(-0 1.234 2.345)">0.00031 x="1.23456" ; id="unused"</text></svg>'
    )
    assert inline_svg(svg, "f", themed={"#222222": "--ink"}, px_per_pt=2.0) == (
        '<svg aria-hidden="true" style="max-width:20px"><g><path id="f-used" '
        'd="M 1.23 2 L 4 -0" style="fill:var(--ink);stroke-width:0.6"/></g>'
        '<use href="#f-used" x="12.35"/><text style="fill:var(--ink)">'
        '0.00031 x="1.23456" ; id="unused"</text></svg>'
    )


def test_the_documented_lines_read_the_data(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the reference prints works as it stands, beside a folder `report`."""
    (page.parent.parent / "report").symlink_to(page.parent, target_is_directory=True)
    monkeypatch.chdir(page.parent.parent)
    text = (Path(__file__).parents[2] / "docs/reference/report.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "report.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 50
    assert all(re.fullmatch(r".+ -?0\.\d+ [\d.e-]+ (better|worse|same|unclear)", t) for t in lines)


def test_the_front_names_no_more_arms_than_a_reader_can_tell_apart(fifty: Path) -> None:
    """The base, the fronts and the best have looks of their own; the CSV has all."""
    held = FIGURES.load("tradeoff")().info(load_frame(fifty).blocks[0])
    named = {p.arm for p in held.told}
    assert len(named) == 16
    assert {p.arm for cost in held.costs for p in held.front(cost)} | {"base"} <= named
    best = sorted(held.points, key=lambda p: -p.score.mean)
    assert {p.arm for p in best[:8]} <= named
    assert "Small grey dots, without a name: the 35 others" in held.caption()
    assert "and 35 others" in held.alt()
    assert len(held.rows()) == 51
