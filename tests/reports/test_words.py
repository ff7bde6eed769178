"""Numbers and results in words."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench.statistics.crossed import crossed_interval
from serlab.bench.statistics.records import Need
from serlab.reports import sentences, words
from serlab.reports.csvtext import csv_text
from serlab.reports.effects import with_effects
from serlab.reports.figure import spread
from serlab.reports.frame import load_frame
from serlab.reports.inline import forest_row
from serlab.reports.tables import table_of

ESTIMATE = crossed_interval(np.array([[0.61, 0.62], [0.60, 0.63], [0.58, 0.64]]))


def test_interval_is_printed_with_its_value() -> None:
    """The form is value [low, high], with a true minus sign and signs on demand."""
    text = words.interval(ESTIMATE)
    assert text.startswith("0.613 [0.")
    assert words.interval(ESTIMATE, sign=True).startswith("+0.613 [+0.")
    assert words.interval(None) == "–"


def test_value_without_interval_stands_alone() -> None:
    """One speaker gives no interval, and none is made up."""
    assert words.interval(crossed_interval(np.array([[0.5, 0.6]]))) == "0.550"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0421, "−0.042"), (-0.0001, "0.000"), (None, "–"), (math.nan, "–"), (1.0, "1.000")],
)
def test_numbers(value: float | None, text: str) -> None:
    """Nothing is printed as a negative zero, and nothing unknown as a number."""
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.82, "820 ms"), (12.34, "12.3 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (None, "–")],
)
def test_durations(seconds: float | None, text: str) -> None:
    """Units follow the size."""
    assert words.duration(seconds) == text


def test_other_small_words() -> None:
    """Lists, plurals, p values, amounts."""
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.plural(1, "seed") == "1 seed"
    assert [words.p_value(p) for p in (0.0001, 0.0123, None)] == ["< 0.001", "0.012", "–"]
    assert words.amount(3 * 2**20, "bytes") == "3 MiB"
    assert words.amount(0.5, "J") == "0.5 J"
    assert words.title_of("no such metric") == "no such metric"


@pytest.mark.parametrize(
    ("metric", "sign", "text"),
    [
        ("ua", False, "4.3 points"),
        ("ua", True, "−4.3 points"),
        ("ccc", False, "0.043"),
        ("ccc", True, "−0.043"),
        ("rmse", True, "−0.043"),
    ],
)
def test_differences_of_traces_are_no_points(metric: str, sign: bool, text: str) -> None:
    """Shares of classes are told in points, what continuous labels have as it is."""
    assert words.difference_in(-0.0432, metric, sign=sign) == text


def test_one_point_is_no_points() -> None:
    """Units agree with their number."""
    assert words.difference_in(0.01, "ua") == "1.0 point"
    assert words.difference_in(0.01, "ua", sign=True) == "+1.0 point"
    assert [words.margin_words(0.01, m) for m in ("ua", "ccc")] == ["1 point", "0.01"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("learning_rate=0.00031622776601683794, epochs=20", "learning_rate=0.000316228, epochs=20"),
        ("weight=0.30000000000000004", "weight=0.3"),
        ("decay=1.2345678901e-05", "decay=1.23457e-05"),
        ("weight=-0.30000000000000004", "weight=-0.3"),
        ("n=1234567890123", "n=1234567890123"),
        ("wav2vec2.0000000001=x1.5000000000001", "wav2vec2.0000000001=x1.5000000000001"),
        ("weight=0.02", "weight=0.02"),
        ("rate=1.10", "rate=1.10"),
    ],
)
def test_labels_have_no_more_digits_than_a_reader_needs(name: str, text: str) -> None:
    """Six digits of a fraction; counts, versions and what is short already stay."""
    assert words.label(name) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_label_keeps_the_value_to_six_digits(value: float) -> None:
    """What is shown reads as the value, and is never longer."""
    shown = words.label(f"x={value}")
    assert len(shown) <= len(f"x={value}")
    assert float(shown[2:]) == pytest.approx(value, rel=1e-5)


@given(st.text())
def test_cleaned_text_is_one_line_of_valid_xml(text: str) -> None:
    """No control or direction character is left, whatever came in."""
    held = words.clean(text)
    assert "\n" not in held
    assert not any(ord(c) < 32 or 0x202A <= ord(c) <= 0x202E for c in held)
    held.encode("utf-8")


@given(st.text(), st.integers(8, 60))
def test_short_text_fits(text: str, length: int) -> None:
    """A label is never longer than asked."""
    assert len(words.short(text, length)) <= length


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.text())
def test_csv_round_trips_numbers_and_defuses_formulas(values: list[float], text: str) -> None:
    """Numbers come back; no cell of text begins with what a spreadsheet would run."""
    rows = [{"value": v, "text": text} for v in values]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(r["value"]) for r in read] == pytest.approx(values, rel=1e-9)
    cell = read[0]["text"]
    assert cell[:1] not in {"=", "@", "|", "%", "\t"}
    if cell[:1] in {"+", "-"}:
        float(cell)


def test_csv_empties_and_booleans() -> None:
    """None is an empty cell, and a hostile heading is defused too."""
    assert csv_text([{"=a": None, "b": True}]) == "'=a,b\n,true\n"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.2))
def test_spread_keeps_labels_apart_and_in_order(values: list[float], gap: float) -> None:
    """No two labels are closer than the gap, and none changes places."""
    placed = spread(values, gap)
    ranks = sorted(range(len(values)), key=lambda i: values[i])
    gaps = [placed[b] - placed[a] for a, b in pairwise(ranks)]
    assert all(g >= gap - 1e-9 for g in gaps)


def test_verdict_sentences_carry_interval_and_margin(run: Path) -> None:
    """Each sentence says the size, the interval and how it lies to the margin."""
    block = load_frame(run).blocks[0]
    said = {a.name: sentences.verdict_sentence(a, block) for a in block.others}
    assert "pooling=mean: worse by" in said["pooling=mean"]
    assert "by more than the margin of 2 points" in said["pooling=mean"]
    assert "filters=square: better by" in said["filters=square"]
    assert "no difference shown" in said["pooling=max"]
    assert "a difference of 2 points is not ruled out" in said["pooling=max"]
    assert all("[" in text and "p (Holm)" in text for text in said.values())


def test_an_equivalent_arm_is_called_so(run: Path) -> None:
    """With the p of the equivalence; a small difference that is shown lies below the margin."""
    block = load_frame(run).blocks[0]
    wide = with_effects(replace(block, study=replace(block.study, margin=0.5)))
    said = {a.name: sentences.verdict_sentence(a, wide) for a in wide.others}
    assert "pooling=max: does nothing as large as 50 points" in said["pooling=max"]
    assert "no difference as large as the margin: equivalent (p < 0.001)" in said["pooling=max"]
    assert "by less than the margin of 50 points" in said["pooling=mean"]
    rows = {row.arm: row.cells for row in table_of(wide).rows}
    assert "equivalent (p < 0.001)" in rows["pooling=max"]["note"]


def test_an_unclear_comparison_says_what_it_lacks(run: Path) -> None:
    """Seeds and speakers, or which of them would never do; nothing where it could be found."""
    block = load_frame(run).blocks[0]
    (arm,) = [a for a in block.others if a.name == "pooling=max"]
    assert arm.effect is not None

    def told(seeds: Need, speakers: Need) -> str:
        assert arm.effect is not None
        effect = replace(arm.effect, more_seeds=seeds, more_speakers=speakers)
        return sentences.verdict_sentence(replace(arm, effect=effect), block)

    some, one, never = Need(more=7, total=10), Need(more=1, total=6), Need(more=None, total=None)
    enough = Need(more=0, total=3)
    assert "about 7 more seeds or 1 more speaker would find one of 2 points" in told(some, one)
    assert "1 more speaker would find" in told(never, one)
    assert "(no number of seeds alone would)" in told(never, one)
    assert "takes both more seeds and more speakers" in told(never, never)
    assert "would find" not in told(enough, some)
    assert "more seed" not in told(enough, enough)


def test_inline_forest_marks_what_is_separable(run: Path) -> None:
    """The small picture carries the verdict as a class and nothing for the base."""
    block = load_frame(run).blocks[0]
    pictures = {a.name: forest_row(a, block) for a in block.arms}
    assert 'class="dot far worse"' in pictures["pooling=mean"]
    assert 'class="dot near unclear"' in pictures["pooling=max"]
    assert "circle" not in pictures["base"]
