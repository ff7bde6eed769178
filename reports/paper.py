"""The tables of a report with the columns that a paper has room for; CSV has all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from serlab.reports.across import Over, Ranked, across_line
from serlab.reports.attribution import Attribution
from serlab.reports.factorial import Line, lines_of
from serlab.reports.latex import Column, Paper, latex, tex
from serlab.reports.meter_tables import headline_words, quantity
from serlab.reports.records import Arm, Block, Frame, Verdict
from serlab.reports.tables import columns_of
from serlab.reports.words import (
    clean,
    count,
    duration,
    interval,
    label,
    margin_words,
    number,
    p_is,
    p_value,
    plural,
    significant,
    title_of,
)

MOST_CORPORA = 4
"""More have no room for a column each."""
MOST_NOTES = 6
"""Arms that a caption explains."""

_SHOWN = {Verdict.BETTER, Verdict.WORSE}
_TRANSDUCTIVE, _INCOMPLETE, _SAME = r"\ensuremath{\dagger}", "*", r"\ensuremath{\approx}"


def tables_tex(frame: Frame, over: Over) -> str:
    """Every table of the report in one file."""
    return latex(_tables(frame, over))


def _tables(frame: Frame, over: Over) -> Iterator[Paper]:
    if over.rows:
        yield _across(frame, over)
    if over.ranked and over.ranked.ranking:
        yield _ranking(over.ranked, frame)
    for place, block in enumerate(frame.blocks):
        yield _ablation(block, f"{place}")
        if any(arm.meters.headline for arm in block.arms):
            yield _meters(block, f"{place}")
        if isinstance(block.attribution, Attribution):
            yield from _attribution(block.attribution, block, f"{place}")


def _sup(*marks: str) -> str:
    held = ",".join(mark for mark in marks if mark)
    return rf"\textsuperscript{{{held}}}" if held else ""


def _caption(block: Block, *sentences: str) -> str:
    """The marks first, then the sentences, which are LaTeX."""
    loud = (rf"\textbf{{{tex(mark)}.}}" for mark in block.corpus.marks)
    return " ".join((*loud, *filter(None, sentences)))


def _where(block: Block) -> str:
    return f"{tex(label(block.study.name))} on {tex(label(block.corpus.name))}"


# --- the ablation table --------------------------------------------------------------------


def _ablation(block: Block, place: str) -> Paper:
    study, arms = block.study, block.arms
    bold = tuple(bool(arm.effect and arm.effect.verdict in _SHOWN) for arm in arms)
    change = Column(
        heading=f"Δ {title_of(study.metric)}",
        cells=tuple("(base)" if arm.is_base else _difference(arm) for arm in arms),
        bold=bold,
    )
    p_values = tuple(p_value(arm.effect.p_holm if arm.effect else None) for arm in arms)
    return Paper(
        caption=_of_ablation(block),
        label=f"tab:serlab-ablation-{place}",
        names="Arm",
        rows=tuple(label(arm.name) for arm in arms),
        columns=(*_scores(block), change, Column(heading="p (Holm)", cells=p_values)),
        marks={i: _sup(*_marks(arm)) for i, arm in enumerate(arms) if any(_marks(arm))},
    )


def _difference(arm: Arm) -> str:
    return interval(arm.effect.estimate if arm.effect else None, sign=True)


def _scores(block: Block) -> Iterator[Column]:
    """The metric with its interval and one beside it; of traces the dimensions, without."""
    first, *others = columns_of(block)
    parts = [column for column in others if column.dimension]
    for column in (first, *(parts or others[:1])):
        held = [column.of(arm) for arm in block.arms]
        whole = column is first and not parts
        cells = (interval(v) if whole or v is None else number(v.mean) for v in held)
        title = column.dimension.capitalize() if column.dimension else column.title
        yield Column(heading=title, cells=tuple(cells))


def _marks(arm: Arm) -> tuple[str, ...]:
    same = arm.effect is not None and arm.effect.verdict is Verdict.SAME
    return (
        _TRANSDUCTIVE * bool(arm.transductive),
        _INCOMPLETE * (not arm.counts.whole),
        _SAME * same,
    )


def _of_ablation(block: Block) -> str:
    study, traces = block.study, block.corpus.target == "traces"
    title, level = title_of(study.metric), f"{study.level:.0%}"
    what = f"{title} pooled over all test utterances with its {level} interval"
    if traces:
        what = (
            f"{title} over the frames of all test utterances, the mean of the dimensions beside it"
        )
    text = (
        f"{what}. Δ {title}: difference from the base with its {level} interval over speakers "
        "crossed with seeds; bold where it is separable from 0 (p adjusted by Holm’s method). "
        f"Margin "
        f"{margin_words(study.margin, study.metric)}. Split {clean(block.corpus.split)}."
    )
    return _caption(block, f"{_where(block)}: {tex(text)}", *_notes(block))


def _notes(block: Block) -> Iterator[str]:
    """What the marks beside the names mean."""
    seen, held = [arm for arm in block.arms if arm.transductive], block.counts
    told = [f"{label(arm.name)}: {clean(arm.transductive)}" for arm in seen[:MOST_NOTES]]
    told += [plural(n, "more arm")] if (n := len(seen) - MOST_NOTES) > 0 else []
    if told:
        yield _note(_TRANSDUCTIVE, f"TRANSDUCTIVE: {'; '.join(told)}.")
    if any(not arm.counts.whole for arm in block.arms):
        text = f"INCOMPLETE: {held.completed} of {held.planned} trainings of the study completed."
        yield _note(_INCOMPLETE, text)
    if any(_marks(arm)[2] for arm in block.arms):
        margin = margin_words(block.study.margin, block.study.metric)
        yield _note(_SAME, f"No difference as large as {margin} (two one-sided tests, Holm).")


def _note(mark: str, text: str) -> str:
    return f"{_sup(mark)}{tex(text)}"


# --- speed and size ------------------------------------------------------------------------


def _meters(block: Block, place: str) -> Paper:
    arms = block.arms
    macs = [arm.meters.get("macs").value for arm in arms]
    training = [arm.measured.get("train_cpu") for arm in arms]
    columns = (
        ("Parameters", [count(arm.n_parameters) for arm in arms]),
        ("MACs, M", ["–" if v is None else significant(v / 1e6) for v in macs]),
        ("Latency, ms", [quantity(arm.meters.get("latency_p50")) for arm in arms]),
        ("RTF", [significant(arm.meters.get("rtf").value, 2) for arm in arms]),
        ("Training", [duration(held.median) if held else "–" for held in training]),
    )
    text = (
        f"Latency is that of a median call, as the geometric mean over processes with its "
        f"{block.study.level:.0%} interval; RTF the seconds of computing for a second of audio; "
        f"training the CPU time of one, median. Measured on {headline_words(block)}."
    )
    return Paper(
        caption=_caption(block, f"{_where(block)}, size and speed. {tex(text)}"),
        label=f"tab:serlab-speed-{place}",
        names="Arm",
        rows=tuple(label(arm.name) for arm in arms),
        columns=tuple(Column(heading=name, cells=tuple(cells)) for name, cells in columns),
    )


# --- a grid's attribution ------------------------------------------------------------------


def _attribution(found: Attribution, block: Block, place: str) -> Iterator[Paper]:
    told, title = lines_of(found, block), title_of(block.study.metric)
    lines = (*told.shapley, *told.effects)
    yield Paper(
        caption=_caption(
            block,
            f"{_where(block)}: {tex(told.sentence)} Bold: separable from 0 (Holm within each "
            "kind of effect).",
        ),
        label=f"tab:serlab-attribution-{place}",
        names="Change",
        rows=tuple(line.name for line in lines),
        columns=_columns((f"Δ {title}", "p (Holm)"), lines),
        titles={0: "Shapley values", len(told.shapley): "Main effects and interactions"},
    )
    if told.ladder:
        validation = f"Validation {title}"
        yield Paper(
            caption=_caption(
                block,
                f"{_where(block)}: greedy ladder, which depends on its order. At each step the "
                "change with the largest gain on validation speakers is made.",
            ),
            label=f"tab:serlab-ladder-{place}",
            names="Step",
            rows=tuple(line.name for line in told.ladder),
            columns=_columns((validation, "Gain", f"Test Δ {title}", "p (Holm)"), told.ladder),
        )


def _columns(headings: Sequence[str], lines: Sequence[Line]) -> tuple[Column, ...]:
    """The lines' cells; what is strong is bold in the last column but that of p."""
    return tuple(
        Column(
            heading=heading,
            cells=tuple(line.cells[i] or "–" for line in lines),
            bold=tuple(line.strong and i == len(headings) - 2 for line in lines),
        )
        for i, heading in enumerate(headings)
    )


# --- several corpora -----------------------------------------------------------------------


def _across(frame: Frame, over: Over) -> Paper:
    lines = [across_line(row, frame) for row in over.rows]
    held = [row.summary for row in over.rows]
    names = [label(block.corpus.name) for block in frame.blocks]
    apart = len(names) <= MOST_CORPORA
    each = [
        Column(heading=name, cells=tuple(line.cells[i].partition(" [")[0] for line in lines))
        for i, name in enumerate(names)
    ]
    title = title_of(frame.study.metric)
    text = (
        f"Differences in {title} from the base on each of {len(names)} corpora, and their "
        f"random-effects mean over corpora like these (Paule and Mandel; Hartung and Knapp) with "
        f"{frame.study.level:.0%} intervals; bold where it is separable from 0 (Holm). SD: of the "
        "true difference between corpora."
    )
    return Paper(
        caption=" ".join((*_all_marks(frame.blocks), tex(f"{label(frame.study.name)}: {text}"))),
        label="tab:serlab-corpora",
        names="Arm",
        rows=tuple(label(line.arm.name) for line in lines),
        columns=(
            *(each if apart else ()),
            Column(
                heading="Over corpora",
                cells=tuple(line.mean for line in lines),
                bold=tuple(line.kind in {"better", "worse"} for line in lines),
            ),
            Column(heading="p (Holm)", cells=tuple(line.p or "–" for line in lines)),
            Column(heading="SD", cells=tuple(number(s.spread if s else None) for s in held)),
        ),
    )


def _all_marks(blocks: Sequence[Block]) -> list[str]:
    found = dict.fromkeys(mark for block in blocks for mark in block.corpus.marks)
    return [rf"\textbf{{{tex(mark)}.}}" for mark in found]


def _ranking(ranked: Ranked, frame: Frame) -> Paper:
    held = ranked.ranking
    assert held is not None
    groups: Mapping[str, str] = ranked.groups
    text = (
        f"Mean ranks over {held.n_blocks} corpora, 1 being the best. Friedman’s test that all rank "
        f"alike, as Iman and Davenport correct it: p {p_is(held.p)}. Arms of one group are not "
        f"separable (Nemenyi, critical difference {number(held.critical_difference, 2)})."
    )
    return Paper(
        caption=" ".join((*_all_marks(frame.blocks), tex(text))),
        label="tab:serlab-ranks",
        names="Arm",
        rows=tuple(label(arm) for arm in held.arms),
        columns=(
            Column(heading="Mean rank", cells=tuple(number(r, 2) for r in held.mean_ranks)),
            Column(heading="Groups", cells=tuple(groups[arm] or "–" for arm in held.arms)),
        ),
    )
