"""Study files: what they mean, and one clear line for every mistake in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from serlab.bench.errors import SerlabError
from serlab.studies.catalogue import shipped, shipped_questions
from serlab.studies.space import Range
from serlab.studies.specification import load_study, parse

GOOD = """
question = "What is it worth?"
seeds = [0, 1]
[base]
system = "li2018"
preset = "small"
set = { epochs = 3 }
[ablate]
pooling = ["mean", "attention_sum", "max"]
[[arms]]
set = { pooling = "max", filters = "time" }
[[baselines]]
system = "functionals_svm"
set = { functionals = "egemaps" }
[[corpora]]
name = "synth"
options = { utterances = 60 }
[protocol]
split = "speaker-groups"
"""


def study_file(folder: Path, text: str) -> str:
    """A study file with that text."""
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_a_study_is_read_with_its_defaults(tmp_path: Path) -> None:
    """Arms are named by their difference; the base's own option is no arm."""
    study = load_study(study_file(tmp_path, GOOD))
    assert study.name == "mine"
    assert [arm.name for arm in study.arms] == [
        "base",
        "pooling=mean",
        "pooling=max",
        "filters=time, pooling=max",
        "functionals_svm functionals=egemaps",
    ]
    assert study.arms[0].variant.settings["epochs"] == 3
    assert study.arms[1].variant.settings["epochs"] == 3
    assert study.protocol.validation == 2
    assert study.corpora[0].options == {"utterances": 60}


def test_overrides_change_one_thing(tmp_path: Path) -> None:
    """`--set` reaches into tables and takes TOML values."""
    sets = ["protocol.groups=3", "seeds=[7]", "base.set.epochs=9", "metric=wa"]
    study = load_study(study_file(tmp_path, GOOD), sets)
    assert (study.protocol.groups, study.seeds, study.metric) == (3, (7,), "wa")
    assert study.base.settings["epochs"] == 9


def test_grid_is_the_product(tmp_path: Path) -> None:
    """Every combination but the base itself."""
    text = GOOD.replace("[ablate]", "[grid]\nfilters = ['both', 'time']").split("[[arms]]")[0]
    text += '[[corpora]]\nname = "synth"\n'
    names = [arm.name for arm in load_study(study_file(tmp_path, text)).arms]
    assert len(names) == 6
    assert "pooling=mean, filters=time" in names or "filters=time, pooling=mean" in names


def test_search_space_is_checked_against_the_system(tmp_path: Path) -> None:
    """Ranges for hyperparameters, lists for slots."""
    text = (
        GOOD.split("[ablate]")[0]
        + """
[search]
trials = 5
[search.space]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
pooling = ["mean", "max"]
[[corpora]]
name = "synth"
"""
    )
    study = load_study(study_file(tmp_path, text))
    assert study.search is not None
    assert study.search.space["learning_rate"] == Range(low=1e-4, high=1e-2, log=True)
    assert study.search.space["pooling"] == ("mean", "max")


SEARCH = '[search]\ntrials = 2\n[search.space]\n%s\n[[corpora]]\nname = "synth"\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[ablate]\npooling", "[ablate]\npoling"), 'did you mean "pooling"'),
        (('"mean"', '"meen"'), 'ablate.pooling: "meen" is no option.*did you mean "mean"'),
        (("seeds = [0, 1]", "seeds = []"), "seeds = .*one or more different integers"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), "seeds = .*different"),
        (("seeds = [0, 1]", 'seeds = "0"'), "seeds = '0': expected a list"),
        (("seeds = [0, 1]", "seeds = [0.5]"), r"seeds\[0\] = 0.5: expected an integer"),
        (("seeds = [0, 1]", "sedes = [0]"), 'did you mean "seeds"'),
        (('system = "li2018"', 'system = "li208"'), 'did you mean "li2018"'),
        (('preset = "small"', 'preset = "smal"'), 'did you mean "small"'),
        (("epochs = 3", 'epochs = "three"'), "base.epochs = 'three': expected an integer"),
        (("epochs = 3", "epochs = 0"), "base.epochs = 0: expected an integer of at least 1"),
        (('question = "What is it worth?"', ""), "question is missing"),
        (('split = "speaker-groups"', "groups = 1"), "protocol.groups = 1"),
        (('split = "speaker-groups"', 'normalisation = "all"'), "protocol.normalisation"),
        (('split = "speaker-groups"', "validaton = 1"), 'did you mean "validation"'),
        (('[[corpora]]\nname = "synth"', '[[corpora]]\nnam = "synth"'), 'did you mean "name"'),
        (("[[corpora]]", "[corpora]"), r"each under \[\[corpora\]\]"),
        (("[ablate]", "[grid]\nfilters=['time']\n[ablate]"), "ablate and grid"),
        (('pooling = ["mean", "attention_sum", "max"]', 'pooling = "mean"'), "a list of options"),
        (('set = { pooling = "max", filters = "time" }', 'set = { pooling = "max" }'), "two arms"),
        (("seeds = [0, 1]", "margin = 2.0"), "margin = 2.0"),
        (("seeds = [0, 1]", "level = 95.0"), "level = 95.0"),
        (("seeds = [0, 1]", "max_epochs = -1"), "max_epochs = -1"),
        (("[protocol]", "[meters]\nseconds = 0\n[protocol]"), "meters.seconds"),
        (("[protocol]", "[meters]\ncalls = 0\n[protocol]"), "meters.calls"),
        (("[protocol]", "[insight]\nutterances = -1\n[protocol]"), "insight.utterances = -1"),
        (("[protocol]", "[insight]\nutterances = 1.5\n[protocol]"), "utterances = 1.5.*an integer"),
        (("[protocol]", "[insight]\nembeddings = 1\n[protocol]"), "embeddings = 1.*true or false"),
        (("[protocol]", "[insight]\nembedings = true\n[protocol]"), 'mean "embeddings"'),
        (("[protocol]", "[insigth]\n[protocol]"), 'did you mean "insight"'),
        (('question = "What', 'insight = true\nquestion = "What'), "insight = True.*a table"),
        (("[protocol]", "[meters]\nseconds = [1, 0]\n[protocol]"), "meters.seconds = 0.0"),
        (("[protocol]", "[meters]\nseconds = []\n[protocol]"), "meters.seconds.*one or more"),
        (("[protocol]", "[meters]\nseconds = true\n[protocol]"), "meters.seconds.*a number"),
        (("[protocol]", "[meters]\nbatches = [1, 1]\n[protocol]"), "meters.batches.*different"),
        (("[protocol]", "[meters]\nbatches = 8\n[protocol]"), "meters.batches = 8.*a list"),
        (("[protocol]", "[meters]\nbatches = [0]\n[protocol]"), "meters.batches = 0"),
        (("[protocol]", '[meters]\ndtypes = ["bf6"]\n[protocol]'), 'did you mean "bf16"'),
        (("[protocol]", '[meters]\ndevices = ["gpu"]\n[protocol]'), "meters.devices = 'gpu'"),
        (("[protocol]", "[meters]\nprocesses = 0\n[protocol]"), "meters.processes = 0"),
        (("[protocol]", "[meters]\nthreads = -1\n[protocol]"), "meters.threads = -1"),
        (("[protocol]", "[meters]\nlimit_s = inf\n[protocol]"), "meters.limit_s = inf"),
        (("[protocol]", "[resources]\nthreads = 0\n[protocol]"), "resources"),
        (("[base]", "[[base]]"), "base = .*a table"),
        (('system = "li2018"', ""), "base.system is missing"),
        (('preset = "small"', 'prest = "small"'), 'did you mean "preset"'),
    ],
)
def test_every_mistake_is_one_clear_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    """The file, the key, the value, what was expected, the nearest name."""
    assert change[0] in GOOD
    with pytest.raises(SerlabError, match=message) as caught:
        load_study(study_file(tmp_path, GOOD.replace(*change)))
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("learning_rat = { low = 1e-4, high = 1e-2 }", 'did you mean "learning_rate"'),
        ("learning_rate = { low = 1e-2, high = 1e-4 }", "low below high"),
        ("learning_rate = { low = -1, high = 1e-4 }", "space.learning_rate.low"),
        ("learning_rate = { low = 0, high = 1e-4, log = true }", "above 0 where log"),
        ("learning_rate = { lo = 0, high = 1e-4 }", 'did you mean "low"'),
        ("learning_rate = 3", "a list of values, or a table"),
        ("optimiser = { low = 1, high = 2 }", "a list of values"),
        ('pooling = ["mean", "mx"]', 'did you mean "max"'),
        ("", "at least one slot"),
    ],
)
def test_every_mistake_in_a_space_is_one_clear_line(
    tmp_path: Path, space: str, message: str
) -> None:
    """Search spaces are checked value by value before anything runs."""
    with pytest.raises(SerlabError, match=message):
        load_study(study_file(tmp_path, GOOD.split("[ablate]")[0] + SEARCH % space))


def test_meters_are_read_with_their_defaults(tmp_path: Path) -> None:
    """A number of seconds stands for a list of one; all else is as before."""
    meters = load_study(study_file(tmp_path, GOOD + "[meters]\nseconds = 1\n")).meters
    assert meters.seconds == (1.0,)
    assert (meters.latency, meters.devices, meters.dtypes) == (True, ("",), ("fp32",))
    assert (meters.batches, meters.threads, meters.processes) == ((1,), 0, 3)
    many = load_study(study_file(tmp_path, GOOD + "[meters]\nseconds = [3, 10.0]\n")).meters
    assert many.seconds == (3.0, 10.0)


def test_search_needs_trials(tmp_path: Path) -> None:
    """A search of none is refused."""
    text = GOOD.split("[ablate]")[0] + SEARCH % "pooling = ['mean']"
    with pytest.raises(SerlabError, match=r"search\.trials = 0"):
        load_study(study_file(tmp_path, text.replace("trials = 2", "trials = 0")))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """No such study, no such file, no TOML, no text."""
    with pytest.raises(SerlabError, match='did you mean "quick"'):
        load_study("quik")
    with pytest.raises(SerlabError, match="is no study file"):
        load_study(str(tmp_path / "none.toml"))
    with pytest.raises(SerlabError, match="is not readable as TOML"):
        load_study(study_file(tmp_path, "question = "))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SerlabError, match="is not readable as TOML"):
        load_study(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("bad", ["seeds", "=3", "seeds.a.b=1"])
def test_wrong_overrides_are_refused(tmp_path: Path, bad: str) -> None:
    """`--set` without a value, without a key, or into something that is no table."""
    with pytest.raises(SerlabError, match="--set"):
        load_study(study_file(tmp_path, GOOD), [bad])


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_studies_resolve(name: str) -> None:
    """Every name in a shipped study is known; it asks a question and has a base."""
    study = load_study(name)
    assert study.name == name
    assert study.question == shipped_questions()[name]
    assert study.question.rstrip(")").endswith((".", "?"))
    assert study.arms[0].kind == "base"


def test_table_keys_are_checked_first() -> None:
    """An unknown table is refused whatever else is wrong."""
    with pytest.raises(SerlabError, match='did you mean "protocol"'):
        parse(tomllib.loads('[protocl]\nsplit = "x"\n'), "x")
