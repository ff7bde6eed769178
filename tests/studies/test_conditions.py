"""Audio conditions and groups in a study: asked for, planned, run and kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.cache import Cache
from serlab.bench.conditions import CONDITIONS, condition
from serlab.bench.contracts import Part, Predictions, Utterance
from serlab.bench.errors import SerlabError, UnknownName
from serlab.bench.store import Store
from serlab.bench.trial import fold_items, run_fold
from serlab.models.variant import make
from serlab.studies import runner
from serlab.studies.benches import bench_for
from serlab.studies.facts import resolved
from serlab.studies.plan import Plan, make_plan
from serlab.studies.specification import Study, load_study

STUDY = """
question = "Does it hold under noise?"
seeds = [0]
{top}
[base]
system = "{system}"
set = {{ {set} }}
[[baselines]]
system = "majority"
{robustness}
[[corpora]]
name = "synth"
options = {{ utterances = 24, speakers = 4{options} }}
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
{protocol}
[meters]
latency = false
[resources]
workers = 1
"""
GAIN = '[robustness]\nconditions = ["gain_up"]'


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, the same for all of them."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(folder: Path, system: str = "functionals_svm", **parts: str) -> Study:
    """A study with some parts filled in."""
    empty = dict.fromkeys(("top", "set", "robustness", "options", "protocol"), "")
    path = folder / "study.toml"
    path.write_text(STUDY.format(**{**empty, "system": system, **parts}), encoding="utf-8")
    return load_study(str(path))


def plan(folder: Path, system: str = "functionals_svm", **parts: str) -> Plan:
    """The plan of such a study."""
    return make_plan(study(folder, system, **parts), {})


def test_conditions_are_asked_for_by_name(tmp_path: Path) -> None:
    """A list in any order, or all."""
    asked = '[robustness]\nconditions = ["telephone", "clip"]'
    assert study(tmp_path, robustness=asked).conditions == ("clip", "telephone")
    all_of_them = '[robustness]\nconditions = "all"'
    assert study(tmp_path, robustness=all_of_them).conditions == tuple(CONDITIONS.entries())
    assert study(tmp_path).conditions == ()


@pytest.mark.parametrize(
    ("robustness", "message"),
    [
        ('[robustness]\nconditions = ["telefone"]', 'did you mean "telephone"'),
        ('[robustness]\nconditions = "some"', "a list of different conditions"),
        ('[robustness]\nconditions = ["clip", "clip"]', "a list of different conditions"),
        ("[robustness]\nconditions = [3]", '"3" is no condition'),
        ('[robustness]\ncondition = ["clip"]', 'did you mean "conditions"'),
        ('[[robustness]]\nconditions = ["clip"]', "a table with conditions"),
    ],
)
def test_what_is_no_condition_is_told(tmp_path: Path, robustness: str, message: str) -> None:
    """With the key and what was expected."""
    with pytest.raises(SerlabError, match=message) as found:
        study(tmp_path, robustness=robustness)
    assert "robustness" in str(found.value)


def test_groups_are_names_that_the_corpus_knows(tmp_path: Path) -> None:
    """The sex without being asked; others by name; a wrong name with the known ones."""
    held = plan(tmp_path)
    assert held.groups(held.grounds[0]) == ("sex",)
    held = plan(tmp_path, top='groups = ["pitch"]')
    assert held.groups(held.grounds[0]) == ("pitch",)
    with pytest.raises(UnknownName, match=r'groups: "gender" is no group.*Known: pitch, sex'):
        plan(tmp_path, top='groups = ["gender"]')
    with pytest.raises(SerlabError, match="expected different names"):
        study(tmp_path, top='groups = ["sex", "sex"]')


def test_conditions_are_part_of_the_keys_of_those_who_hear(tmp_path: Path) -> None:
    """Whatever the order; an arm without ears keeps its key, and the plan says so."""
    before = {job.arm: job.trial.key for job in plan(tmp_path).jobs()}
    said: list[str] = []
    held = make_plan(study(tmp_path, robustness=GAIN), {}, said.append)
    after = {job.arm: job.trial.key for job in held.jobs()}
    assert after["majority"] == before["majority"]
    assert after["base"] != before["base"]
    assert "under no audio condition, as they hear nothing: majority" in said
    trial = held.trial(held.study.base, held.grounds[0], 0)
    assert trial.conditions == (condition("gain_up").mark,)


def test_no_ears_at_all_is_an_error(tmp_path: Path) -> None:
    """A study of words alone has nothing to hear."""
    with pytest.raises(SerlabError, match="no arm has an input that is made from sound"):
        plan(tmp_path, "text_svm", robustness=GAIN)


def test_cropping_goes_with_no_timed_frames(tmp_path: Path) -> None:
    """Traces and words follow the recording's own times; other conditions go with them."""
    crop = '[robustness]\nconditions = ["clip", "crop_start"]'
    with pytest.raises(SerlabError, match="with the arm base: the frames of its input words"):
        plan(tmp_path, "tzirakis2021", robustness=crop)
    rated = {
        "top": 'metric = "ccc"',
        "protocol": 'target = "traces"\nlabels = ["arousal"]',
        "options": ", traces = true",
    }
    text = STUDY.replace('[[baselines]]\nsystem = "majority"\n', "")
    path = tmp_path / "traces.toml"
    path.write_text(
        text.format(system="tzirakis2021", set="", robustness=crop, **rated), encoding="utf-8"
    )
    with pytest.raises(SerlabError, match=r'does not go with protocol\.target = "traces"'):
        make_plan(load_study(str(path)), {})


def test_test_parts_and_nothing_else_have_copies(tmp_path: Path) -> None:
    """Of each condition one of every tested utterance, for the inputs made from sound."""
    asked = '[robustness]\nconditions = ["clip", "gain_up"]'
    held = plan(tmp_path, robustness=asked, protocol="max_folds = 1")
    (ground,) = held.grounds
    tested = set(ground.split.folds[0].test)
    marks = [condition(name).mark for name in ("clip", "gain_up")]
    wanted = {spec.name: {u.id for u in who} for spec, who in held.features(ground)}
    copies = {f"{i}~c-{mark}" for i in tested for mark in marks}
    assert wanted["functionals"] == {u.id for u in ground.utterances()} | copies
    assert not any("~c-" in i for name, ids in wanted.items() if name != "functionals" for i in ids)


@pytest.mark.parametrize("unlabelled", ["none", "out_of_class"])
def test_context_is_heard_as_what_is_scored_is(tmp_path: Path, unlabelled: str) -> None:
    """What is prepared is what test parts hold, context out of all classes among it."""
    held = plan(
        tmp_path,
        "lian2019",
        set=f'unlabelled = "{unlabelled}"',
        robustness=GAIN,
        protocol='labels = ["anger", "sadness"]',
    )
    (ground,) = held.grounds
    system = make(held.study.base)
    bench = bench_for(ground, system, Cache())
    items = [fold_items(f, system, bench)[0][Part.TEST] for f in ground.split.folds]
    shown = {u.id for held_items in items for u in held_items.utterances}
    prepared = [who for _, who in ground.conditioned(system, held.study.conditions)]
    assert prepared
    for who in prepared:
        assert {u.id for u in who} == {f"{i}~c-{condition('gain_up').mark}" for i in shown}
    assert (len(shown) > len(ground.tested())) == (unlabelled == "out_of_class")


def test_a_bench_opens_conditions_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the utterances' own ids; a synthetic voice is heard once a process."""
    held = plan(tmp_path, robustness=GAIN)
    (ground,) = held.grounds
    system = make(held.study.base)
    bench = bench_for(ground, system, Cache(), held.conditions(system))
    tested = ground.tested()[:2]
    first = bench.conditioned["gain_up"](tested)
    assert {name: list(found) for name, found in first.items()} == {
        "vector": [u.id for u in tested]
    }
    for u in tested:
        assert not np.array_equal(first["vector"][u.id], bench.arrays["vector"][u.id])
    monkeypatch.setattr(Utterance, "heard", lambda self: pytest.fail("heard again"))
    again = bench.conditioned["gain_up"](tested)
    for u in tested:
        np.testing.assert_array_equal(again["vector"][u.id], first["vector"][u.id])


def test_the_plan_is_written_with_conditions_and_groups(tmp_path: Path) -> None:
    """For reports and gates: what each is, how strong, from where."""
    held = plan(tmp_path, robustness=GAIN, top='groups = ["sex", "pitch"]')
    facts = json.loads(json.dumps(resolved(held, command="", created="")))
    (gain,) = facts["conditions"]
    assert (gain["name"], gain["strength"], gain["unit"]) == ("gain_up", 2.0, "dB")
    assert gain["about"]
    assert gain["source"]
    assert (gain["least_unchanged"], gain["largest_loss"]) == (0.95, None)
    assert [g["name"] for g in facts["groups"]] == ["sex", "pitch"]
    assert "thirds" in facts["groups"][1]["about"]
    assert facts["corpora"][0]["groups"] == ["sex", "pitch"]
    assert {arm["name"]: arm["hears"] for arm in facts["arms"]} == {"base": True, "majority": False}


@pytest.mark.slow
def test_a_run_holds_conditions_and_groups(tmp_path: Path) -> None:
    """Through Ray: rows of every condition beside those of before, and who is in which group."""
    both = '[robustness]\nconditions = ["gain_up", "white_noise"]'
    study(tmp_path, robustness=both, top='groups = ["sex", "pitch"]')
    words = ["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), "--no-report"]
    done = subprocess.run(
        [sys.executable, "-m", "serlab", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 folds completed" in done.stderr
    store = Store.open(tmp_path / "run")
    before = without_conditions(plan(tmp_path))
    for record in store.records():
        found, clean = store.predictions(record.cell), before[record.arm, record.fold]
        extra = {"test:gain_up": 12, "test:white_noise": 12} if record.arm == "base" else {}
        assert Counter(found.parts) == Counter(clean.parts) | Counter(extra)
        n = len(clean.parts)
        assert (found.ids[:n], found.parts[:n]) == (clean.ids, clean.parts)
        np.testing.assert_array_equal(found.scores[:n], clean.scores)
    groups = store.groups(0)
    assert len(set(groups.ids)) == len(groups.ids) == 24
    assert set(groups.values["sex"]) == {"female", "male"}
    assert set(groups.values["pitch"]) == {"low", "middle", "high"}


def without_conditions(held: Plan) -> dict[tuple[str, str], Predictions]:
    """What every arm predicts of every fold, trained in this process."""
    found = {}
    for job in held.jobs():
        system = make(job.trial.variant)
        bench = bench_for(job.ground, system, Cache())
        for fold in job.ground.split.folds:
            result = run_fold(job.trial, job.arm, fold, system, bench)
            assert result.predictions is not None, result.reason
            found[job.arm, fold.name] = result.predictions
    return found


def test_unseen_corpora_have_groups_of_their_own(tmp_path: Path) -> None:
    """Of each left-out corpus its tested utterances, thirds among its own speakers."""
    head = STUDY.split("[[baselines]]")[0]
    head = head.format(top='groups = ["sex", "pitch"]', system="majority", set="")
    corpus = (
        '[[corpora]]\nname = "synth"\noptions = {{ utterances = 12, speakers = 3, seed = {} }}\n'
    )
    path = tmp_path / "unseen.toml"
    split = '[protocol]\nsplit = "leave-one-corpus-out"\nvalidation = 1\n'
    path.write_text(head + corpus.format(4) + corpus.format(5) + split, encoding="utf-8")
    held = make_plan(load_study(str(path)), {})
    store = Store.create(tmp_path / "run")
    runner._write_groups(held, store, lambda line: None)
    assert len(held.grounds) == 2
    for number, ground in enumerate(held.grounds):
        groups = store.groups(number)
        assert set(groups.ids) == set(ground.split.folds[0].test)
        assert len(groups.ids) == 12
        assert Counter(groups.values["pitch"]) == {"low": 4, "middle": 4, "high": 4}
        assert all(groups.values["sex"])
