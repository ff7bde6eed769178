"""A search for score and cost together: its front, its memory, and what it refuses before work."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest

from serlab.bench.cache import Cache
from serlab.bench.contracts import Measurement, Status
from serlab.bench.errors import SerlabError
from serlab.bench.store import Store
from serlab.models.describe import describe
from serlab.studies import runner, worker
from serlab.studies.cost import cost_of, refuse_unknown_cost
from serlab.studies.memory import (
    _open_search,
    refuse_other_objectives,
    search_ended,
    search_name,
    search_queue,
)
from serlab.studies.plan import Plan, make_plan
from serlab.studies.searcher import searcher
from serlab.studies.specification import load_study, parse
from serlab.studies.worker import FoldTrainable, Order

STUDY = """
question = "What does a point of accuracy cost?"
seeds = [0]
max_epochs = 1
[base]
system = "li2018"
preset = "small"
set = { width = 0.25, segment_s = 1.0 }
[search]
cost = "macs"
trials = 4
[search.space]
width = [0.25, 0.5, 1.0]
pooling = ["mean", "attention_sum", "max"]
[[corpora]]
name = "synth"
options = { utterances = 36 }
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
[meters]
latency = false
[resources]
workers = 2
"""

WIDTHS, POOLINGS = (0.25, 0.5, 1.0), ("mean", "attention_sum", "max")


@cache
def plan(text: str = STUDY) -> Plan:
    """The study joined with its corpus."""
    return make_plan(parse(tomllib.loads(text), "search"), {})


def told(made: Plan, store: Store, points: list[tuple[float, str, float, float]]) -> None:
    """Puts finished trials into the storage; one whose score is NaN failed."""
    study, storage = _open_search(made, store)
    assert made.study.search is not None
    space = search_queue(made, made.study.search, store).space
    study = optuna.load_study(study_name=study.study_name, storage=storage)
    for width, pooling, score, cost in points:
        broke = math.isnan(score)
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if broke else optuna.trial.TrialState.COMPLETE,
                values=None if broke else [score, cost],
                params={"width": width, "pooling": pooling},
                distributions=dict(space),
            )
        )


POINTS = [
    (0.25, "attention_sum", 0.60, 50.0),
    (0.25, "mean", 0.55, 40.0),
    (0.25, "max", 0.50, 45.0),
    (0.5, "mean", 0.70, 90.0),
    (0.5, "max", math.nan, 10.0),
    (0.5, "attention_sum", 0.70, 95.0),
    (1.0, "mean", 0.80, 300.0),
    (1.0, "max", 0.80, 300.0),
    (1.0, "attention_sum", 0.65, 310.0),
    (0.5, "mean", 0.70, 90.0),
]


def finished(folder: Path) -> dict[str, Any]:
    """What a run with these trials writes down."""
    made, store = plan(), Store.create(folder / "run")
    told(made, store, POINTS)
    runner._add_searched(made, store, "", "", print)
    facts: dict[str, Any] = store.resolved()
    return facts


def test_the_front_is_what_no_other_beats(tmp_path: Path) -> None:
    """As a comparison of all pairs finds it; equals are both in it, the cheapest first."""
    facts = finished(tmp_path)
    done = {h["arm"]: (h["validation"], h["cost"]) for h in facts["history"] if h["validation"]}
    expected = {
        arm
        for arm, (score, cost) in done.items()
        if not any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in done.values())
    }
    assert set(facts["front"]) == expected
    assert len(facts["front"]) == len(expected) == 5
    costs = [done[arm][1] for arm in facts["front"]]
    assert costs == sorted(costs)
    assert facts["best"] == "width=1.0, pooling=mean"
    assert {"base", facts["best"]} <= set(facts["front"])


def test_the_history_has_every_trial_with_its_cost(tmp_path: Path) -> None:
    """In their order; one that failed has neither score nor cost, and is never the best."""
    facts = finished(tmp_path)
    held = [(h["validation"], h["cost"], h["state"]) for h in facts["history"]]
    assert held[:2] == [(0.60, 50.0, "complete"), (0.55, 40.0, "complete")]
    assert held[4] == (None, None, "fail")
    assert len(held) == len(POINTS)
    arms = [a["name"] for a in facts["arms"]]
    assert sorted(arms) == sorted({h["arm"] for h in facts["history"]})


def test_a_search_of_which_all_trials_failed_has_no_best(tmp_path: Path) -> None:
    """Nor a front."""
    made, store = plan(), Store.create(tmp_path / "run")
    told(made, store, [(0.5, "max", math.nan, 0.0)])
    runner._add_searched(made, store, "", "", print)
    facts = store.resolved()
    assert (facts["best"], facts["front"]) == (None, [])


def test_a_search_of_one_objective_has_no_front(tmp_path: Path) -> None:
    """And its history no costs."""
    made = plan(STUDY.replace('cost = "macs"\n', ""))
    store = Store.create(tmp_path / "run")
    study, _ = _open_search(made, store)
    study.add_trial(optuna.trial.create_trial(value=0.5))
    assert search_ended(made, store).front == frozenset()
    runner._add_searched(made, store, "", "", print)
    facts = store.resolved()
    assert "front" not in facts
    assert [sorted(h) for h in facts["history"]] == [["arm", "number", "state", "validation"]]


def test_a_point_whose_parts_clash_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """It is a failed trial in the history, and no arm."""
    text = STUDY.replace('system = "li2018"', 'system = "wei2022"')
    text = text.replace("{ width = 0.25, segment_s = 1.0 }", '{ branches = "avdal" }')
    space = '[search.space]\nadversary = ["none", "modality"]\n[[corpora]]'
    head, tail = text.split("[search.space]")
    made = plan(head + space + tail.split("[[corpora]]")[1])
    store = Store.create(tmp_path / "run")
    study, _ = _open_search(made, store)
    base = made.study.base.options["adversary"]
    assert base == "none"
    choices = optuna.distributions.CategoricalDistribution(["none", "modality"])
    study.add_trial(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL,
            params={"adversary": "modality"},
            distributions={"adversary": choices},
        )
    )
    said: list[str] = []
    runner._add_searched(made, store, "", "", said.append)
    facts = store.resolved()
    (skipped,) = facts["skipped"]
    assert skipped["arm"] == "adversary=modality"
    assert "one without modalities" in skipped["reason"]
    assert said == [f"skipped: adversary=modality: {skipped['reason']}"]
    assert [a["name"] for a in facts["arms"]] == ["base"]


def test_both_objectives_stand_in_the_storage(tmp_path: Path) -> None:
    """The score is to be large and the cost small, under names that a reader knows."""
    made, store = plan(), Store.create(tmp_path / "run")
    refuse_other_objectives(made, store)
    held = optuna.load_study(
        study_name=search_name(made), storage=f"sqlite:///{tmp_path / 'run' / 'optuna.db'}"
    )
    assert [d.name for d in held.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert held.user_attrs["objectives"] == ["ua", "macs of 3 s"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('cost = "macs"', 'cost = "parameters"'), "by ua and macs of 3 s, and.*ua and parameters"),
        (('cost = "macs"\n', ""), "judged by ua and macs of 3 s, and the study asks for ua;"),
        (("max_epochs = 1", 'max_epochs = 1\nmetric = "wa"'), "asks for wa and macs"),
        (("latency = false", "latency = false\nseconds = 1.0"), "asks for ua and macs of 1 s"),
    ],
)
def test_other_objectives_do_not_go_on_with_a_search(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    """Values of unlike objectives would be compared; it is said before anything is written."""
    assert change[0] in STUDY
    store = Store.create(tmp_path / "run")
    refuse_other_objectives(plan(), store)
    other = plan(STUDY.replace(*change))
    with pytest.raises(SerlabError, match=message):
        runner.run_study(other.study, tmp_path / "run", roots={}, say=lambda text: None)
    assert not (tmp_path / "run" / "resolved.json").exists()


def test_a_search_from_before_there_were_costs_goes_on(tmp_path: Path) -> None:
    """Its storage says nothing of objectives and has one; a cost is refused there."""
    made = plan(STUDY.replace('cost = "macs"\n', ""))
    store = Store.create(tmp_path / "run")
    optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'run' / 'optuna.db'}",
        study_name=search_name(made),
        direction="maximize",
    )
    with pytest.raises(SerlabError, match="judged by 1 objectives"):
        refuse_other_objectives(plan(), store)
    refuse_other_objectives(made, store)


@pytest.mark.parametrize("name", ["parameters", "macs"])
def test_the_cost_is_the_same_every_time(name: str) -> None:
    """It needs no training, and parameters are those that ``serlab describe`` tells."""
    made = plan(STUDY.replace('"macs"', f'"{name}"'))
    (corpus,) = (ground.corpus for ground in made.grounds)
    first, again = (cost_of(made, made.study.base) for _ in range(2))
    assert first == again
    size = describe(
        "li2018", "small", {"width": 0.25, "segment_s": 1.0}, n_classes=len(corpus.labels)
    )["size"]
    assert first.value is not None
    if name == "parameters":
        assert first.value == size["parameters"]
    else:
        assert size["macs_seconds"] == 1.0
        assert first.value % size["macs"] == 0, "all segments of the utterance, or some"
        assert first.value > size["macs"]


def test_a_base_without_the_cost_is_refused_before_work(tmp_path: Path) -> None:
    """An estimator has no multiply-accumulates; nothing is written."""
    head, tail = STUDY.split("[search.space]")
    text = head + "[search.space]\nc = [1.0, 2.0]\n[[corpora]]" + tail.split("[[corpora]]")[1]
    text = text.replace('system = "li2018"\npreset = "small"', 'system = "functionals_svm"')
    text = text.replace("set = { width = 0.25, segment_s = 1.0 }\n", "")
    made = plan(text)
    with pytest.raises(SerlabError, match=r"search\.cost = .macs.: the base has none: an estimat"):
        refuse_unknown_cost(made)
    with pytest.raises(SerlabError, match="the base has none"):
        runner.run_study(made.study, tmp_path / "run", roots={}, say=lambda text: None)
    assert not (tmp_path / "run").exists()


def test_what_breaks_while_it_is_counted_is_a_reason() -> None:
    """No exception leaves the count: the trial fails and the search goes on."""
    made = plan()
    bad = replace(made.study.base, options={})
    found = cost_of(made, bad)
    assert found.value is None
    assert found.unit == "MAC"
    assert found.reason


def test_a_variant_without_the_cost_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its folds has a failed record with the reason, and its objectives are NaN."""
    made = plan()
    order = Order(
        run=tmp_path / "run", study=made.study, roots={}, device="cpu", cache=Cache().root
    )
    none = Measurement(value=None, unit="MAC", reason="no formula for aten::odd")
    monkeypatch.setattr(worker, "cost_of", lambda plan, variant: none)
    monkeypatch.setattr(worker, "run_fold", lambda *_: pytest.fail("it was trained"))

    class Told(FoldTrainable):
        """A worker that has its order, as Tune gives it."""

        def setup(self, config: dict[str, Any], given: Order | None = None) -> None:
            """With the order."""
            super().setup(config, order=order)

    said = Told({"width": 0.5, "pooling": "max"}).train()
    assert said["status"] == "failed"
    assert math.isnan(said["validation"])
    assert math.isnan(said["macs"])
    (record,) = Store(tmp_path / "run").records()
    assert record.status is Status.FAILED
    assert record.reason.endswith("macs are unknown: no formula for aten::odd")
    assert record.measurements["train_wall"].value is None
    assert record.measurements["peak_memory"].reason == record.reason


@pytest.mark.parametrize("cost", ["macs", ""])
def test_a_trial_without_a_value_has_failed(tmp_path: Path, cost: str) -> None:
    """Optuna hears of it as a failure, of one objective or of two; it is not left running."""
    made = plan(STUDY.replace('cost = "macs"', f'cost = "{cost}"'))
    store = Store.create(tmp_path / "run")
    assert made.study.search is not None
    asked = searcher(search_queue(made, made.study.search, store), seed=1)
    good, bad = {"validation": 0.5, "macs": 3.0}, {"validation": math.nan, "macs": 3.0}
    for name, result in (("a", good), ("b", bad)):
        assert asked.suggest(name)
        asked.on_trial_complete(name, {**result, "training_iteration": 1})
    first, second = search_ended(made, store).trials
    assert first.values == ([0.5, 3.0] if cost else [0.5])
    assert second.state.name == "FAIL"
    assert not second.user_attrs.get("interrupted")


def test_an_unknown_cost_is_named() -> None:
    """With what there is; latency is measured afterwards."""
    with pytest.raises(SerlabError, match=r'search\.cost: "latency" is no value'):
        plan(STUDY.replace('"macs"', '"latency"'))
    with pytest.raises(SerlabError, match=r"search\.cost"):
        plan(STUDY.replace('"macs"', '["macs", "parameters"]'))


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    """Kill -9 in mid-search; the same command keeps what was found and ends the search."""
    path = tmp_path / "search.toml"
    path.write_text(STUDY)
    command = [sys.executable, "-m", "serlab", "run", str(path), "--out", str(tmp_path / "run")]
    command.append("--no-report")
    victim = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    made, deadline = make_plan(load_study(str(path)), {}), time.monotonic() + 240
    url = f"sqlite:///{tmp_path / 'run' / 'optuna.db'}"
    done: list[Any] = []
    while not done:
        assert time.monotonic() < deadline
        assert victim.poll() is None
        time.sleep(0.1)
        if search_name(made) in _names(url, tmp_path / "run" / "optuna.db"):
            held = optuna.load_study(study_name=search_name(made), storage=url)
            done = held.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    facts = Store(tmp_path / "run").resolved()
    assert len(facts["history"]) == 4
    assert all(h["cost"] > 0 for h in facts["history"])
    kept = {h["number"]: (h["validation"], h["cost"]) for h in facts["history"]}
    for trial in done:
        assert kept[trial.number] == tuple(trial.values)
    assert set(facts["front"]) <= {a["name"] for a in facts["arms"]}


def _names(url: str, path: Path) -> list[str]:
    """The studies in a database that may not be there yet."""
    if not path.exists():
        return []
    try:
        return optuna.get_all_study_names(url)
    except Exception:  # it is being made
        return []
