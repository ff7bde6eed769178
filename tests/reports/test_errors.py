"""The error browser: what the base errs on, with pictures, and with sound where it is asked for."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from serlab.bench.contracts import Audio, FloatArray, Utterance
from serlab.bench.errors import BadFile
from serlab.bench.metrics.base import evaluate
from serlab.bench.store import Store
from serlab.reports.details import detail_of
from serlab.reports.error_cards import MOST_AUDIO_BYTES, N_CARDS, Errors, errors_of
from serlab.reports.errors import ClassError, TraceError, errors_csv, missed
from serlab.reports.frame import load_frame
from serlab.reports.page_errors import errors_data, errors_html
from serlab.reports.recordings import Listening, Recordings, flac_uri
from serlab.reports.records import Block

RATE = 16000
SCRIPT = "<script>alert('x')</script>"
LABELS = ("anger", "joy", "neutral", "sadness")


class Noise:
    """A source of a second of noise, its own for each name."""

    def __init__(self, name: str, seconds: float = 1.0) -> None:
        self.of, self.seconds = name, seconds

    def read(self) -> Audio:
        """The noise, in steps of 16 bits."""
        rng = np.random.default_rng(list(self.of.encode()))
        steps = rng.integers(-20000, 20000, round(RATE * self.seconds))
        return Audio(samples=(steps / 32768).astype(np.float32), rate_hz=RATE)

    def name(self) -> str:
        """What it is of."""
        return self.of


class Broken(Noise):
    """A source that cannot be read."""

    def read(self) -> Audio:
        """Raises BadFile."""
        raise BadFile("gone.wav", "is truncated")


def at_hand(block: Block, **changed: Any) -> Recordings:  # of an Utterance
    """Every tested utterance of a block, with noise."""
    base = block.base
    assert base is not None
    assert base.pooled is not None
    held = base.pooled
    labels = block.corpus.labels if block.corpus.target == "emotion" else None
    rows = {name: i for i, name in reversed(list(enumerate(held.ids)))}
    return Recordings(
        utterances={
            name: replace(
                Utterance(
                    id=name,
                    speaker=held.speakers[i],
                    audio=Noise(name),
                    emotion=labels[held.truth[i]] if labels else None,
                    sentence=f"prompt {name[-1]}",
                    facts={"sex": "female"},
                ),
                **changed,
            )
            for name, i in rows.items()
        }
    )


def browser(block: Block, *, most: int = MOST_AUDIO_BYTES, **told: Any) -> Errors:
    """The error browser of a block; ``told`` is of a Listening, recordings among it."""
    held = told.pop("recordings", None) or at_hand(block)
    return errors_of(block, Listening(source=lambda corpus: held, **told), most)


@pytest.fixture(scope="module")
def classes(run: Path) -> Block:
    """A block of classes."""
    return load_frame(run).blocks[0]


@pytest.fixture(scope="module")
def traces(traced: Path) -> Block:
    """A block of traces."""
    return load_frame(traced).blocks[0]


def rows_of(block: Block) -> list[dict[str, str]]:
    """The whole list as a spreadsheet reads it."""
    assert block.base is not None
    return list(csv.DictReader(io.StringIO(errors_csv(block, block.base))))


# --- numbers -------------------------------------------------------------------------------


def predicted(run: Path) -> dict[str, dict[str, tuple[Any, list[FloatArray]]]]:
    """By arm and utterance: the truth, and the scores of each seed, out of the store."""
    store = Store.open(run)
    found: dict[str, dict[str, tuple[Any, list[FloatArray]]]] = {}
    for record in sorted(store.records(), key=lambda r: r.seed):
        held = store.predictions(record.cell)
        ids = [
            name if part == "test" else "" for name, part in zip(held.ids, held.parts, strict=True)
        ]
        mine = found.setdefault(record.arm, {})
        for name in dict.fromkeys(filter(None, ids)):
            rows = [i for i, other in enumerate(ids) if other == name]
            truth, scores = held.truth[rows], held.scores[rows]
            mine.setdefault(name, (truth, []))[1].append(scores)
    return found


def test_every_class_error_is_told(run: Path, classes: Block) -> None:
    """Probability, prediction, seeds and other arms of every utterance, the surest miss first."""
    arms = predicted(run)
    rows = rows_of(classes)
    assert len(rows) == len(arms["base"]) == 240
    for row in rows:
        (truth,), scores = arms["base"][row["utterance"]]
        seeds = np.concatenate(scores)
        mean = seeds.mean(axis=0)
        assert float(row["p_true"]) == pytest.approx(mean[truth], abs=1e-6)
        assert [float(row[f"p_{name}"]) for name in LABELS] == pytest.approx(list(mean), abs=1e-6)
        assert (row["true"], row["predicted"]) == (LABELS[truth], LABELS[mean.argmax()])
        assert row["wrong"] == str(mean.argmax() != truth).lower()
        assert (int(row["seeds_wrong"]), row["seeds"]) == (sum(seeds.argmax(axis=1) != truth), "3")
        others = [np.concatenate(arms[arm][row["utterance"]][1]).mean(axis=0) for arm in arms
                  if arm != "base"]  # fmt: skip
        assert int(row["other_arms_wrong"]) == sum(m.argmax() != truth for m in others)
        assert row["other_arms"] == "5"
    keys = [(row["wrong"] != "true", float(row["p_true"])) for row in rows]
    assert keys == sorted(keys)


def test_every_trace_error_is_told(traced: Path, traces: Block) -> None:
    """RMSE and CCC of every utterance, the largest error first, and who has it among its worst."""
    arms = predicted(traced)
    rows = rows_of(traces)
    assert len(rows) == len(arms["base"]) == 30

    def error(arm: str, name: str, metric: str = "rmse") -> float:
        truth, scores = arms[arm][name]
        return float(np.mean([evaluate(metric, truth, one) for one in scores]))

    def worst_of(arm: str) -> list[str]:
        return sorted(arms[arm], key=lambda name: -error(arm, name))[:3]

    worst = {arm: worst_of(arm) for arm in arms}
    for row in rows:
        name = row["utterance"]
        assert float(row["rmse"]) == pytest.approx(error("base", name), abs=1e-6)
        assert float(row["ccc_within"]) == pytest.approx(error("base", name, "ccc"), abs=1e-5)
        also = sum(name in held for arm, held in worst.items() if arm != "base")
        assert (int(row["other_arms_worst_tenth"]), row["frames"]) == (also, "40")
    sizes = [float(row["rmse"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    truth, scores = arms["base"][rows[0]["utterance"]]
    valence = np.mean([evaluate("rmse", truth[:, 1], one[:, 1]) for one in scores])
    assert float(rows[0]["rmse_valence"]) == pytest.approx(valence, abs=1e-6)


@pytest.mark.parametrize("which", ["classes", "traces"])
def test_cards_are_the_head_of_the_list(which: str, request: pytest.FixtureRequest) -> None:
    """The cards, the arm's own table and the data are of the same utterances, in one order."""
    block: Block = request.getfixturevalue(which)
    rows, found = rows_of(block), browser(block)
    names = [row["utterance"] for row in rows[:N_CARDS]]
    assert [card.id for card in found.cards] == names
    assert [one["id"] for one in errors_data(found)] == names
    assert block.base is not None
    assert [one[0] for one in detail_of(block.base, block, ()).worst] == names[:8]
    also = "other_arms_wrong" if which == "classes" else "other_arms_worst_tenth"
    assert [card.n_also for card in found.cards] == [int(row[also]) for row in rows[:N_CARDS]]
    json.dumps(errors_data(found), allow_nan=False)


def test_summary_counts(classes: Block) -> None:
    """How many are missed, and by whom else."""
    rows = [row for row in rows_of(classes) if row["wrong"] == "true"]
    every = sum(row["other_arms_wrong"] == "5" for row in rows)
    alone = sum(row["other_arms_wrong"] == "0" for row in rows)
    assert browser(classes).summary == (
        f"The base takes {len(rows)} of 240 utterances for another class; {every} of them every "
        f"other arm misses too, {alone} no other arm does. The 12 that it misses most surely are "
        "shown (probabilities are means over 3 seeds)."
    )


def test_words_of_a_card(classes: Block) -> None:
    """What it is, what it is taken for, and how many others do so."""
    card = browser(classes).cards[0]
    assert isinstance(card.error, ClassError)
    assert card.told == f"{card.error.truth}, taken for {card.error.said}"
    assert card.more == f"wrong in {card.error.n_seeds_wrong} of 3 seeds"
    told = {0: "no other arm misses it", 1: "1 of 5 other arms misses it", 5: "every other arm"}
    assert card.also.startswith(told.get(card.n_also, f"{card.n_also} of 5 other arms miss it"))
    assert [bar.label for bar in card.bars] == list(LABELS)
    kinds = {bar.kind: bar.label for bar in card.bars if bar.kind}
    assert kinds == {"true": card.error.truth, "taken": card.error.said}
    assert card.groups == (("sentence", f"prompt {card.id[-1]}"), ("sex", "female"))


def test_nothing_is_missed(classes: Block) -> None:
    """A base without errors has no cards, and the summary says so."""
    assert classes.base is not None
    assert classes.base.pooled is not None
    held = classes.base.pooled
    right = np.eye(len(LABELS), dtype=np.float32)[held.truth][None]
    arm = replace(classes.base, pooled=replace(held, scores=right, seeds=(0,)))
    found = browser(replace(classes, arms=(arm,)))
    assert found.summary == "The base takes none of 240 utterances for another class."
    assert found.cards == ()
    assert not missed(arm.pooled).errs.any() if arm.pooled else False


def test_no_base_is_told(classes: Block) -> None:
    """Without a whole seed of the base there is nothing to show."""
    assert classes.base is not None
    block = replace(classes, arms=(replace(classes.base, pooled=None),))
    assert browser(replace(block), recordings=Recordings()).summary.startswith("There is no base")


# --- pictures and sound --------------------------------------------------------------------


def test_sound_is_the_utterance(classes: Block) -> None:
    """Where it is asked for; then the page says whose voices it holds."""
    said: list[str] = []
    found = browser(classes, with_audio=True, say=said.append)
    for card in found.cards:
        assert card.sound == flac_uri(Noise(card.id).read())
    n_bytes = sum(len(card.sound) for card in found.cards)
    assert found.sound == (
        f"This page holds synthetic speech: 12 recordings of synth, {n_bytes / 1e6:.2f} MB. "
        "Licence of the corpus: Apache-2.0."
    )
    assert said == [found.sound]
    real = replace(classes, corpus=replace(classes.corpus, synthetic=False))
    assert "holds recordings of speakers: 12" in browser(real, with_audio=True).sound


def test_no_sound_unasked(classes: Block) -> None:
    """Pictures are there, sound is not."""
    found = browser(classes)
    assert all(card.picture and not card.sound for card in found.cards)
    assert found.sound == ""
    assert "<audio" not in errors_html(found, classes)


def test_what_is_too_large_is_named(classes: Block) -> None:
    """The sound stays below the limit; what does not fit is named in the page and to the user."""
    whole = browser(classes, with_audio=True)
    most = sum(len(card.sound) for card in whole.cards[:5])
    said: list[str] = []
    found = browser(classes, most=most, with_audio=True, say=said.append)
    left = [card.id for card in found.cards if not card.sound]
    assert list(found.too_large) == left
    assert len(left) >= 6
    assert sum(len(card.sound) for card in found.cards) <= most
    assert "20 MB" in said[1]
    assert all(name in said[1] for name in left)
    assert f"at most 20 MB of sound: {', '.join(left)}" in errors_html(found, classes)


def test_section_is_small(classes: Block, traces: Block) -> None:
    """Twelve pictures of noise, which nothing compresses, stay below 150 kB."""
    for block in (classes, traces):
        loud = {
            name: replace(u, audio=Noise(name, 4.0))
            for name, u in at_hand(block).utterances.items()
        }
        html = errors_html(browser(block, recordings=Recordings(utterances=loud)), block)
        assert html.count("data:image/png") == N_CARDS
        assert len(html.encode()) < 150_000


def test_traces_are_drawn(traces: Block) -> None:
    """Each dimension of a card has truth and prediction as two lines of its frames."""
    card = browser(traces).cards[0]
    assert isinstance(card.error, TraceError)
    assert [one.label for one in card.traces] == ["arousal", "valence", "liking"]
    for one, rmse in zip(card.traces, card.error.by_dimension, strict=True):
        assert one.rmse == rmse
        lines = re.findall(r'<polyline class="(\w+)" points="([^"]+)"', one.picture)
        assert [kind for kind, _ in lines] == ["truth", "said"]
        assert all(len(points.split()) == 40 for _, points in lines)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"audio": None}, "the corpus has no audio of it"),
        ({"speaker": "other"}, "it is of speaker other"),
        ({"emotion": "boredom"}, "it is boredom"),
        ({"audio": Broken("x")}, "gone.wav: is truncated"),
    ],
)
def test_what_is_not_what_was_tested_is_not_shown(
    classes: Block, changed: Mapping[str, Any], told: str
) -> None:
    """An utterance that changed, or that cannot be read, has no picture and says why."""
    whole = at_hand(classes)
    first, second = (card.id for card in browser(classes).cards[:2])
    spoilt = {first: replace(whole.utterances[first], **changed)}
    held = replace(whole, utterances={**whole.utterances, **spoilt})
    found = browser(classes, recordings=held, with_audio=True)
    card = found.cards[0]
    assert (card.picture, card.sound) == ("", "")
    assert card.absent.endswith(told)
    assert found.cards[1].picture
    assert found.cards[1].id == second


def test_utterance_that_is_gone_is_told(classes: Block) -> None:
    """The card of an utterance that the corpus lacks says so."""
    first, second = (card.id for card in browser(classes).cards[:2])
    whole = at_hand(classes).utterances
    found = browser(classes, recordings=Recordings(utterances={second: whole[second]}))
    assert found.cards[0].id == first
    assert found.cards[0].absent == "the corpus at hand has no such utterance"
    assert found.cards[1].picture


def test_an_utterance_of_several_folds_is_found(classes: Block) -> None:
    """Its fold stands before its id in the results, not in the corpus."""
    assert classes.base is not None
    assert classes.base.pooled is not None
    held = classes.base.pooled
    named = tuple(f"{f}/{i}" for f, i in zip(held.folds, held.ids, strict=True))
    arm = replace(classes.base, pooled=replace(held, ids=named))
    found = browser(replace(classes, arms=(arm,)), recordings=at_hand(classes))
    assert all("/" in card.id and card.picture for card in found.cards)


def test_groups_of_the_run_come_first(classes: Block) -> None:
    """What the run tells of an utterance stands before what the corpus does; unknown is left."""
    name = browser(classes).cards[0].id
    told = {name: {"pitch": "low", "accent": "", "sex": "male"}}
    found = browser(classes, recordings=replace(at_hand(classes), groups=told))
    assert found.cards[0].groups[0] == ("pitch", "low")
    assert "accent" not in dict(found.cards[0].groups)


def test_without_recordings_the_section_stands(classes: Block) -> None:
    """The numbers are all there, and why there are no pictures."""
    found = browser(classes, recordings=Recordings(reason="it is elsewhere"))
    html = errors_html(found, classes)
    assert "No spectrograms: it is elsewhere." in html
    assert html.count('<ul class="bars"') == N_CARDS
    assert "<img" not in html


def test_hostile_names_are_text(fake: ModuleType, tmp_path: Path) -> None:
    """Ids, speakers, classes and groups are escaped in the page and harmless in the list."""
    names = (f"=1+{SCRIPT}", '"><img src=x onerror=alert(1)>', "s\u202e3")
    study = fake.FakeStudy(
        skill={"base": 0.3, "b": 0.3},
        speakers=names,
        labels=(SCRIPT, "b$_%\\", "怒り"),
        meters=False,
    )
    block = load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0]
    whole = at_hand(block, sentence=SCRIPT, facts={SCRIPT: SCRIPT})
    html = str(errors_html(browser(block, recordings=whole, with_audio=True), block))
    assert html.count("<img") == html.count("<audio") == N_CARDS
    assert not re.search(r"<(?!/?(p|strong|span|ol|li|h4|bdi|img|audio|ul|i|b|br|a)\b)", html)
    assert "onerror=alert(1)>" not in html
    assert "\u202e" not in html
    assert SCRIPT in unescape(html)
    assert block.base is not None
    listed = list(csv.reader(io.StringIO(errors_csv(block, block.base))))
    assert not [cell for row in listed for cell in row if cell[:1] in {"=", "@"}]
    assert any(cell.startswith("'=1+") for row in listed for cell in row)
