"""The command that compares two variants' speed by pairs."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serlab.bench.errors import BadFile
from serlab.bench_commands import VARIANT, add_conditions, at_least, conditions_of, variant_of
from serlab.commands import say

if TYPE_CHECKING:
    from serlab.bench.statistics.ratios import Ratio
    from serlab.studies.comparison import Comparison, Pair

WHAT = {
    "call": "a prediction, from features in memory to scores",
    "train": "a training step, of every stage in turn",
    "features": "features of the batch",
}


def add_parser(commands: Any, parents: Sequence[ArgumentParser]) -> None:  # see __main__
    """Adds ``serlab bench compare`` to the commands."""
    compare = commands.add_parser(
        "bench compare", parents=parents, help="tell which of two variants is faster, if any",
        description="Tells whether B is faster or slower than A. Both are built with random "
        "weights in each of several fresh processes and called in turns there, beside a second "
        "copy of A, which tells what noise does. A and B may be the same. Exits with 0 whatever "
        "is found, 1 where a process failed, 2 on wrong usage.",
    )  # fmt: skip
    compare.add_argument("a", metavar="A", help=VARIANT)
    compare.add_argument("b", metavar="B", help="another, or the same")
    compare.add_argument(
        "--what", choices=tuple(WHAT), default="call",
        help="; ".join(f"{name}: {about}" for name, about in WHAT.items()) + " (call)",
    )  # fmt: skip
    add_conditions(compare)
    compare.add_argument("--dtype", default="fp32", metavar="TYPE", help="fp32, bf16 or fp16")
    compare.add_argument("--batch", type=int, default=1, metavar="N", help="utterances a call (1)")
    compare.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each (3)")
    compare.add_argument(
        "--processes", type=int, default=5, metavar="N",
        help="fresh processes (5); from 3 on there is a verdict",
    )  # fmt: skip
    compare.add_argument(
        "--rounds", type=int, default=300, metavar="N",
        help="most rounds of a process, of two calls each of A, B and A's copy (300)",
    )  # fmt: skip
    compare.add_argument(
        "--limit", type=float, default=10.0, metavar="S",
        help="seconds after which a process begins no round (10)",
    )  # fmt: skip
    compare.add_argument("--out", metavar="FILE", help="write everything, every time too, as JSON")


def bench_compare_command(chosen: Namespace, typed: str) -> int:
    """Compares two variants and prints what that shows; 1 when a process failed, else 0."""
    from serlab.studies.comparison import compare_variants

    pair = _pair(chosen)
    out = _writable(chosen.out)
    try:
        found = compare_variants(
            pair,
            (chosen.a, chosen.b),
            processes=at_least("--processes", chosen.processes, 1),
            plugins=tuple(chosen.plugin),
            say=say,
        )
    except KeyboardInterrupt:
        say("stopped; nothing is kept of a comparison that is not at its end")
        return 130
    print(json.dumps(_table(found), indent=1) if chosen.json else "\n".join(comparison_text(found)))
    if out is not None:
        out.write_text(json.dumps(_table(found, times=True)) + "\n", encoding="utf-8")
    return int(bool(found.failures))


def _pair(chosen: Namespace) -> Pair:
    """What is asked, checked. Raises SerlabError."""
    from serlab.bench.meters.records import Cell
    from serlab.studies.comparison import Pair

    conditions = {
        **conditions_of(chosen),
        "dtype": chosen.dtype,
        "batch": chosen.batch,
        "seconds": chosen.seconds,
    }
    a, b = (Cell(variant=variant_of(text), **conditions) for text in (chosen.a, chosen.b))
    return Pair(a=a, b=b, what=chosen.what, rounds=chosen.rounds, limit_s=chosen.limit)


def _writable(name: str | None) -> Path | None:
    """The file that is written at the end, in a folder that is there."""
    if not name:
        return None
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise BadFile(path, f"cannot be written: {error.strerror}") from None
    return path


def _table(found: Comparison, *, times: bool = False) -> dict[str, Any]:  # JSON values
    """Everything as JSON, with or without the times themselves."""
    from serlab.bench.contracts import plain

    table: dict[str, Any] = plain(found)
    for process in [] if times else table["processes"]:
        for name in ("a", "b", "again"):
            del process[name]
    return table


# --- for people ----------------------------------------------------------------------------------


def comparison_text(found: Comparison) -> Iterator[str]:
    """What was found, line by line, the verdict first."""
    from serlab.studies.meter import conditions

    (a, b), pair = found.labels, found.pair
    yield from (f"A  {a}", f"B  {b}")
    yield f"{WHAT[pair.what]}; {conditions(pair.a)}"
    if pair.same:
        yield "A and B are the same: what is found is noise"
    failed = "".join(f"\nprocess {one.process + 1} failed: {one.reason}" for one in found.failures)
    if found.ratio is None or found.again is None or found.judged is None:
        yield f"nothing was compared{failed}"
        return
    judged = found.judged
    yield f"\n{_verdict(found)}"
    yield f"B takes {_times(found.ratio)} the time of A{_interval(found.ratio)}"
    yield f"median     A {found.a_ms:.4g} ms, B {found.b_ms:.4g} ms"
    floor = "" if judged.floor is None else f"{judged.floor:.1%}: "
    again = f"a copy of A takes {_times(found.again)} its time{_interval(found.again)}"
    yield f"A/A floor  {floor}{again}"
    yield f"spread     {_spread(found.ratio)}"
    if judged.smallest is not None:
        yield f"shown with a probability of 80 %: a difference of {judged.smallest:.1%} or more"
    yield _environment(found) + failed


def _verdict(found: Comparison) -> str:
    assert found.judged is not None
    verdict, note = found.judged.verdict, found.judged.note
    sentence = f"B is {verdict} than A" if verdict in ("faster", "slower") else verdict
    return sentence + (f": {note}" if note else "")


def _times(ratio: Ratio) -> str:
    return f"{ratio.ratio:.3f} times"


def _interval(ratio: Ratio) -> str:
    if ratio.interval is None:
        return ""
    return f" [{ratio.interval[0]:.3f}, {ratio.interval[1]:.3f}]"


def _spread(ratio: Ratio) -> str:
    between = "" if ratio.between is None else f", {ratio.between:.1%} from process to process"
    plural = "es" if ratio.n_processes > 1 else ""
    counts = f"{ratio.n_processes} process{plural}, {ratio.n_rounds} rounds"
    return f"{ratio.within:.1%} from pair to pair{between} (sd of the log ratio; {counts})"


def _environment(found: Comparison) -> str:
    """The machine, and how busy it was before the first process and after the last."""
    good = [one for one in found.processes if not one.reason]
    facts = good[0].environment
    before, after = good[0].load_before["load_1m"], good[-1].load_after["load_1m"]
    load = (
        "unknown" if before is None or after is None else f"{before:.1f} before, {after:.1f} after"
    )
    where = f"{facts['cpu'] or 'unknown processor'}, {facts['cores']} cores"
    gpu = f", {facts['gpu']}" if facts.get("gpu") else ""
    return f"{where}{gpu}, torch {facts['packages']['torch']}; load {load}"
