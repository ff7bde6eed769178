"""What of a study can run on its corpora, found before anything does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models

from serlab.bench.cache import Cache
from serlab.bench.contracts import Status
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.trial import run_fold
from serlab.models.variant import make
from serlab.studies.benches import bench_for
from serlab.studies.facts import arm_facts, resolved
from serlab.studies.plan import Plan, make_plan, refuse_leaks
from serlab.studies.specification import load_study

STUDY = """
question = "What runs?"
seeds = [0]
[base]
system = "{system}"
set = {{ {set} }}
{arms}
[[corpora]]
name = "synth"
options = {{ utterances = 48, speakers = 4{options} }}
{more}
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
{protocol}
"""

OUTSIDE = '[[outside]]\nname = "synth"\noptions = { utterances = 12, speakers = 2, seed = 5 }'


def plan(folder: Path, system: str, roots: dict[str, Path] | None = None, **parts: str) -> Plan:
    """The plan of a study with some parts filled in."""
    empty = dict.fromkeys(("set", "arms", "options", "more", "protocol"), "")
    path = folder / "study.toml"
    path.write_text(STUDY.format(**{**empty, **parts, "system": system}), encoding="utf-8")
    return make_plan(load_study(str(path)), roots or {})


def test_outside_corpora_stand_beside_the_tested_one(tmp_path: Path) -> None:
    """They are named apart, wanted by the arms that train on them, and part of their keys only."""
    held = plan(tmp_path, "gao2021", more=OUTSIDE, arms='[ablate]\npretraining = ["none"]')
    (ground,) = held.grounds
    (outside,) = ground.outside
    assert outside.corpus.name == "synth-outside-1"
    assert len(outside.corpus.utterances) == 12
    keys = {job.arm: job.trial for job in held.jobs()}
    assert keys["base"].outside == (outside.data,)
    assert keys["pretraining=none"].outside == ()
    (spec, utterances), *_ = held.features(ground)
    assert spec.name == "spectrogram"
    assert len(utterances) == 48 + 12
    (facts,) = resolved(held, command="", created="")["corpora"]
    assert facts["outside"][0]["n_utterances"] == 12


def test_an_arm_may_take_some_of_the_outside_corpora(tmp_path: Path) -> None:
    """By name; an unknown one is told with the arm and the nearest."""
    two = OUTSIDE + "\n" + OUTSIDE.replace("seed = 5", "seed = 6")
    arms = '[ablate]\ncorpora = ["synth-outside-2"]'
    held = plan(tmp_path, "gao2021", more=two, arms=arms)
    keys = {job.arm: job.trial.outside for job in held.jobs()}
    assert keys["corpora=synth-outside-2"] == keys["base"][1:]
    with pytest.raises(SerlabError, match='did you mean "synth-outside-1"'):
        plan(tmp_path, "gao2021", more=OUTSIDE, arms='[ablate]\ncorpora = ["synth-outside"]')


def test_an_outside_corpus_that_is_the_tested_one_is_a_leak(tmp_path: Path) -> None:
    """The same recordings under other names are found by their samples, and stop the study."""
    same = '[[outside]]\nname = "synth"\noptions = { utterances = 48, speakers = 4 }'
    held = plan(tmp_path, "gao2021", more=same)
    with pytest.raises(SerlabError, match="also in the outside corpus synth-outside-1"):
        refuse_leaks(held, lambda text: None)


def test_arms_that_cannot_run_are_told_and_the_others_run(tmp_path: Path) -> None:
    """No outside corpus, no video: a reason an arm; a base that cannot run stops the study."""
    arms = '[[baselines]]\nsystem = "gao2021"'
    held = plan(tmp_path, "li2018", arms=arms)
    assert "the study names none ([[outside]])" in held.skipped["gao2021"]
    assert {job.arm for job in held.jobs()} == {"base"}
    with pytest.raises(SerlabError, match="the base cannot run here: it trains on outside"):
        plan(tmp_path, "gao2021")


def test_what_a_corpus_lacks_skips_an_arm(tmp_path: Path) -> None:
    """A manifest without text cannot serve a system that reads text."""
    rows = "\n".join(f"u{i}.wav,s{i // 4},{('anger', 'neutral')[i % 2]}" for i in range(16))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "manifest.csv").write_text(f"path,speaker,emotion\n{rows}\n", encoding="utf-8")
    import numpy as np
    import soundfile

    for i in range(16):
        soundfile.write(corpus / f"u{i}.wav", np.random.default_rng(i).normal(0, 0.1, 8000), 16000)
    path = tmp_path / "study.toml"
    path.write_text(
        'question = "?"\nseeds = [0]\n[base]\nsystem = "li2018"\n[[baselines]]\n'
        'system = "lian2019"\n[[corpora]]\nname = "manifest"\n[protocol]\nvalidation = 1\n',
        encoding="utf-8",
    )
    held = make_plan(load_study(str(path)), {"manifest": corpus})
    assert held.skipped == {
        "lian2019": "manifest: the input text needs words or a text, and u0 has none"
    }
    assert "dialogue" in held.grounds[0].notes[0]


@pytest.mark.parametrize(
    ("system", "protocol", "message"),
    [
        ("li2018", 'target = "traces"', "metric = 'ua': expected one for the target traces"),
        ("tzirakis2021", 'labels = ["anger"]\ntarget = "traces"', "metric = 'ua'"),
    ],
)
def test_metric_and_target_must_agree(
    tmp_path: Path, system: str, protocol: str, message: str
) -> None:
    """Before a corpus is read."""
    with pytest.raises(BadValue, match=message):
        plan(tmp_path, system, protocol=protocol)


def test_systems_of_classes_refuse_traces(tmp_path: Path) -> None:
    """Named with what they can do."""
    path = tmp_path / "study.toml"
    text = STUDY.format(system="li2018", set="", arms="", options="", more="",
                        protocol='target = "traces"')  # fmt: skip
    path.write_text('metric = "ccc"\n' + text, encoding="utf-8")
    with pytest.raises(SerlabError, match=r"li2018 recognises emotion, and protocol\.target"):
        make_plan(load_study(str(path)), {})


def test_traces_take_the_corpus_s_dimensions(tmp_path: Path) -> None:
    """All of them, or those that are named; an unknown one is told."""
    path = tmp_path / "study.toml"

    def split(labels: str) -> tuple[str, ...]:
        text = STUDY.format(system="tzirakis2021", set="", arms="", options="", more="",
                            protocol=f'target = "traces"\n{labels}')  # fmt: skip
        path.write_text('metric = "ccc"\n' + text, encoding="utf-8")
        return make_plan(load_study(str(path)), {}).grounds[0].split.labels

    assert split("") == ("arousal", "valence", "liking")
    assert split('labels = ["valence"]') == ("valence",)
    with pytest.raises(SerlabError, match=r'"arusal" is no dimension of synth.*"arousal"'):
        split('labels = ["arusal"]')


def test_unlabelled_utterances_are_wanted_by_who_takes_them(tmp_path: Path) -> None:
    """Those out of all classes have features only where an arm joins them."""
    labels = 'labels = ["anger", "sadness"]'
    arms = '[ablate]\nunlabelled = ["out_of_class", "test_speakers"]'
    alone = plan(tmp_path, "lian2019", protocol=labels)
    both = plan(tmp_path, "lian2019", protocol=labels, arms=arms)
    counts = [max(len(u) for _, u in p.features(p.grounds[0])) for p in (alone, both)]
    assert counts[0] < counts[1] == 48


def test_transductive_arms_are_marked(tmp_path: Path) -> None:
    """An arm that trains on test speakers' audio says so in what the report reads."""
    held = plan(tmp_path, "lian2019", arms='[ablate]\nunlabelled = ["test_speakers"]')
    base, other = (arm_facts(arm) for arm in held.study.arms)
    assert "transductive" not in base
    assert "without their labels" in other["transductive"]


def test_options_that_do_not_go_together_are_told_with_their_arm(tmp_path: Path) -> None:
    """Before anything runs."""
    with pytest.raises(SerlabError, match="adversary=speaker_and_corpus: adversary = "):
        plan(tmp_path, "li2018", arms='[ablate]\nadversary = ["speaker_and_corpus"]')


def test_networks_that_cannot_be_built_are_told_before_anything_runs(tmp_path: Path) -> None:
    """Heads that do not divide a width, found without training."""
    with pytest.raises(SerlabError, match=r"heads=5: heads = 5: expected a divisor of"):
        plan(tmp_path, "lian2019", arms="[ablate]\nheads = [5]")


def test_relabelling_is_read_from_the_study(tmp_path: Path) -> None:
    """A scheme, and classes that are left out."""
    held = plan(tmp_path, "li2018", options=' }\nrelabel = "quadrants"\nclasses = { neutral = ""')
    assert held.grounds[0].split.labels == ("anger", "happiness", "sadness")


def test_an_encoder_that_is_not_named_skips_its_arm(tmp_path: Path) -> None:
    """With what to name; another arm that has one runs, at the width of its model."""
    pytest.importorskip("transformers")
    folder = tiny_models.shared("wav2vec2")
    named = f'[[arms]]\nset = {{ functionals = "encoder", encoder = "{folder}" }}\n'
    ablation = '[ablate]\nfunctionals = ["encoder", "supplied"]\n'
    held = plan(tmp_path, "functionals_svm", arms=named + ablation)
    assert "needs a model: a folder, or a name" in held.skipped["functionals=encoder"]
    assert 'needs a supplied vector "features"' in held.skipped["functionals=supplied"]
    runs = {job.arm: job.trial for job in held.jobs()}
    assert len(runs) == 2
    (encoder,) = runs.keys() - {"base"}
    assert len(runs[encoder].outside) == 3, "weights, configuration and front end"
    with pytest.raises(SerlabError, match="the base cannot run here: speech_encoder needs a model"):
        plan(tmp_path, "functionals_svm", set='functionals = "encoder"')


def test_an_encoder_serves_a_fold(tmp_path: Path) -> None:
    """From the corpus through the cache to scores, as a worker does it."""
    pytest.importorskip("transformers")
    folder = tiny_models.shared("hubert")
    chosen = f'functionals = "encoder", encoder = "{folder}", encoder_pooling = "mean_std"'
    held = plan(tmp_path, "functionals_svm", set=chosen)
    (job,) = held.jobs()
    system = make(job.trial.variant)
    bench = bench_for(job.ground, system, Cache(tmp_path / "cache"))
    assert {x.shape for x in bench.arrays["vector"].values()} == {(1, 2 * tiny_models.WIDTH)}
    result = run_fold(job.trial, job.arm, job.ground.split.folds[0], system, bench)
    assert result.status is Status.COMPLETED, result.reason
    assert result.predictions is not None
    assert np.isfinite(result.predictions.scores).all()


def test_counts_of_words_reach_the_bench_unscaled(tmp_path: Path) -> None:
    """A worker's bench knows that no normalisation touches them, and what is said is counted."""
    held = plan(tmp_path, "text_svm", arms='[[baselines]]\nsystem = "functionals_svm"')
    found = {job.arm: job for job in held.jobs()}
    words = bench_for(held.grounds[0], make(found["base"].trial.variant), None)
    assert words.unscaled == {"text"}
    spoken = words.corpus.utterances[0]
    assert words.arrays["text"][spoken.id].sum() == len((spoken.text or "").split())


def test_unknown_words_are_a_note_of_the_corpus(tmp_path: Path) -> None:
    """Their share stands beside what else a reader must be told."""
    path = tmp_path / "few.vec"
    path.write_text("and 1 2\nwith 3 4\nwe 5 6\nyou 7 8\nsee 9 1\nhome 2 3\n", encoding="utf-8")
    held = plan(tmp_path, "lian2019", set=f'vectors = "{path}"')
    (note,) = [note for note in held.grounds[0].notes if "does not know" in note]
    assert note.startswith(f"the space {path} does not know ")
    assert note.endswith("in their place: zero")
