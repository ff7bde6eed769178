"""What the commands do, each by a call into the package that knows how."""

from __future__ import annotations

import importlib
import json
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.registry import Registry


def say(text: str) -> None:
    """A line for people, on standard error, so that standard output stays data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def load_plugins(names: Iterable[str]) -> None:
    """Imports the modules that ``--plugin`` names, each of which registers more.

    They may lie in the working directory, which comes last on the path.
    """
    for name in names:
        sys.path.append(str(Path.cwd()))
        try:
            importlib.import_module(name)
        except SerlabError:
            raise
        except Exception as error:  # whatever the module does when it is imported
            raise BadValue("--plugin", name, f"an importable module ({_why(error)})") from None


def _why(error: Exception) -> str:
    """An error in the code of others, with the last line that it went through."""
    if isinstance(error, ImportError | SyntaxError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, {Path(last.filename).name}, line {last.lineno}"


def roots_of(pairs: Iterable[str]) -> dict[str, Path]:
    """``NAME=DIR`` pairs as a mapping."""
    found = {}
    for pair in pairs:
        name, sign, folder = pair.partition("=")
        if not sign or not name or not folder:
            raise BadValue("--root", pair, "NAME=DIR, such as emodb=/data/emodb")
        if not Path(folder).exists():
            raise BadFile(folder, f"there is no such folder (--root {name})")
        found[name] = Path(folder)
    return found


def _registry(what: str) -> Registry:
    homes = {
        "systems": ("serlab.models.variant", "SYSTEMS"),
        "corpora": ("serlab.bench.corpora.base", "CORPORA"),
        "features": ("serlab.bench.features.base", "FEATURES"),
        "conditions": ("serlab.bench.conditions", "CONDITIONS"),
        "splits": ("serlab.bench.protocols", "SPLITS"),
        "metrics": ("serlab.bench.metrics.base", "METRICS"),
    }
    module, name = homes[what]
    registry: Registry = getattr(importlib.import_module(module), name)
    return registry


def list_command(chosen: Namespace, typed: str) -> int:
    """Names with what they are, one a line."""
    rows = _rows(chosen.what)
    if chosen.json:
        print(json.dumps(rows, indent=1, default=list))
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        tail = f" [{row['tag']}]" if "tag" in row else ""
        print(f"{row['name']:<{width}}  {row['summary']}{tail}")
    return 0


def _rows(what: str) -> list[dict[str, Any]]:  # the literals of the registries
    if what == "studies":
        from serlab.studies.catalogue import shipped_questions

        return [{"name": n, "summary": q} for n, q in shipped_questions().items()]
    if what == "slots":
        from serlab.models.variant import OPTIONS

        return [
            {"name": entry.name.replace(".", " = ", 1), "summary": entry.summary, **entry.facts}
            for entry in OPTIONS.entries().values()
        ]
    entries = _registry(what).entries().values()
    return [{"name": e.name, "summary": e.summary, **e.facts} for e in entries]


def describe_command(chosen: Namespace, typed: str) -> int:
    """Everything about a system at its preset and the changes made to it."""
    from serlab.models.describe import describe, describe_text
    from serlab.models.variant import parse_assignment

    changes = dict(parse_assignment(text) for text in chosen.set)
    facts = describe(chosen.system, chosen.preset, changes, n_classes=chosen.classes)
    print(json.dumps(facts, indent=1) if chosen.json else describe_text(facts))
    return 0


def run_command(chosen: Namespace, typed: str) -> int:
    """Runs a study and writes its report; 0 when every fold and figure is there, else 1."""
    from serlab.studies.specification import load_study

    study = load_study(chosen.study, chosen.set)
    roots = roots_of(chosen.root)
    out = Path(chosen.out or Path("runs") / study.name)
    if chosen.plan:
        return _show_plan(study, roots)
    from serlab.studies.meter_arms import meter_arms
    from serlab.studies.runner import run_study

    device = device_of(chosen.device)
    outcome = run_study(
        study,
        out,
        roots=roots,
        device=device,
        address=chosen.address,
        command=typed,
        plugins=tuple(chosen.plugin),
        say=say,
    )
    if study.meters.latency:
        from serlab.bench.store import Store

        meter_arms(Store.open(out), say, chosen.plugin)
    troubles = ", ".join(f"{n} {status}" for status, n in outcome.problems.items())
    say(f"{outcome.n_completed} of {outcome.n_planned} folds completed" +
        (f"; {troubles}" if troubles else ""))  # fmt: skip
    failed = 0
    if not chosen.no_report and outcome.n_completed:
        from serlab.report_commands import report_of_run

        failed = report_of_run(out, roots)
    return 0 if not outcome.problems and not failed else 1


def device_of(name: str) -> str:
    """A device that torch has here. Raises SerlabError."""
    if name == "cpu":
        return name
    import torch

    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise BadValue("--device", name, "cpu or cuda, such as cuda:1 for the second GPU")
    if not torch.cuda.is_available():
        raise SerlabError(f"--device {name}: torch {torch.__version__} sees no GPU here")
    if int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        n = torch.cuda.device_count()
        raise SerlabError(f"--device {name}: torch sees {n} GPUs here, from cuda:0 on")
    return name


def _show_plan(study: Any, roots: Mapping[str, Path]) -> int:  # a studies.specification.Study
    from serlab.studies.cost import objectives, refuse_unknown_cost
    from serlab.studies.meter_arms import meters_text
    from serlab.studies.plan import make_plan, refuse_leaks

    plan = make_plan(study, roots, say)
    refuse_leaks(plan, say)
    refuse_unknown_cost(plan)
    jobs = plan.jobs()
    cells = sum(len(job.cells()) for job in jobs)
    print(f"{study.name}: {study.question}")
    print(f"{len(study.arms)} arms x {len(study.seeds)} seeds = {len(jobs)} jobs, {cells} folds")
    for arm in study.arms:
        print(f"  {arm.name}" + (f" (skipped: {plan.skipped[arm.name]})" if arm.name in
              plan.skipped else ""))  # fmt: skip
    if study.search:
        print(f"search: {study.search.trials} trials, judged by {' and '.join(objectives(plan))}")
    print("\n".join(meters_text(plan)))
    return 0


def data_check_command(chosen: Namespace, typed: str) -> int:
    """Reads every file of some corpora; 0 clean, 1 problems, 2 one is unusable."""
    from serlab.bench.check import check_corpora
    from serlab.bench.contracts import plain
    from serlab.bench.corpora.base import load_corpus
    from serlab.studies.progress import telling

    names = list(dict.fromkeys(chosen.corpus))
    options, roots = _reader_options(names, chosen.option), roots_of(chosen.root)
    corpora = [load_corpus(name, roots=roots, options=options[name]) for name in names]
    reports = check_corpora(corpora, telling=lambda name: telling(f"reading {name}", say))
    if chosen.json:
        found = [plain(report) for report in reports]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=1))
    else:
        print("\n\n".join(report.text() for report in reports))
    return max(report.exit_code for report in reports)


def _reader_options(names: list[str], typed: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Options of the readers by corpus, from ``KEY=VALUE`` or ``CORPUS.KEY=VALUE``."""
    from serlab.models.variant import parse_assignment

    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for text in typed:
        key, value = parse_assignment(text)
        name, dot, rest = key.partition(".")
        if not dot and len(names) > 1:
            raise BadValue("--option", text, f"CORPUS.KEY=VALUE, such as {names[0]}.{text}")
        if dot and name not in found:
            raise UnknownName("corpus that is checked", name, found, where="--option")
        found[name if dot else names[0]][rest if dot else key] = value
    return found


def data_describe_command(chosen: Namespace, typed: str) -> int:
    """Everything about a corpus that serlab can read."""
    from serlab.bench.corpora.describe import describe_corpus, describe_corpus_text

    facts = describe_corpus(chosen.corpus)
    print(json.dumps(facts, indent=1) if chosen.json else describe_corpus_text(facts))
    return 0


def data_audit_command(chosen: Namespace, typed: str) -> int:
    """Looks for leaks in a study's folds; 0 none, 1 some."""
    from serlab.bench.contracts import plain
    from serlab.studies.plan import make_plan
    from serlab.studies.specification import load_study

    study = load_study(chosen.study, chosen.set)
    rows = [
        {"corpus": ground.corpus.name, **plain(finding)}
        for ground in make_plan(study, roots_of(chosen.root)).grounds
        for finding in ground.audit
    ]
    if chosen.json:
        print(json.dumps(rows, indent=1))
    for row in [] if chosen.json else rows:
        print(f"{row['severity']:<8} {row['corpus']}: {row['text']}")
    if not rows and not chosen.json:
        print("nothing found")
    return 1 if any(row["severity"] == "leak" for row in rows) else 0


def cache_info_command(chosen: Namespace, typed: str) -> int:
    """What the cache holds."""
    from serlab.bench.cache import Cache
    from serlab.bench.contracts import plain

    info = Cache(chosen.dir or None).info()
    if chosen.json:
        print(json.dumps(plain(info), indent=1))
        return 0
    print(f"{info.path}: {_size(info.n_bytes)}")
    print(f"{info.n_arrays} arrays of features, {info.n_hashes} hashes of files")
    if info.n_temporary:
        print(f"{info.n_temporary} files that are being written, or were left by a kill")
    return 0


def cache_prune_command(chosen: Namespace, typed: str) -> int:
    """Shrinks the cache to a size."""
    from serlab.bench.cache import Cache
    from serlab.bench.contracts import plain

    pruned = Cache(chosen.dir or None).prune(_bytes(chosen.to))
    if chosen.json:
        print(json.dumps(plain(pruned), indent=1))
    else:
        print(f"{pruned.n_removed} files removed, {_size(pruned.bytes_removed)}; "
              f"{_size(pruned.bytes_left)} left")  # fmt: skip
    return 0


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(text: str) -> int:
    """A size such as ``"20GB"`` in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?B?)", text.strip().upper())
    if not match or match[2] not in _UNITS:
        raise BadValue("--to", text, "a size such as 20GB, 500MB or 0")
    return round(float(match[1]) * _UNITS[match[2]])


def _size(n_bytes: int) -> str:
    unit = max((u for u in ("B", "KB", "MB", "GB", "TB") if _UNITS[u] <= max(n_bytes, 1)),
               key=_UNITS.__getitem__)  # fmt: skip
    return f"{n_bytes / _UNITS[unit]:.{0 if unit == 'B' else 1}f} {unit}"
