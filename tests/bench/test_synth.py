"""The synthetic corpus."""

from __future__ import annotations

import math
import pickle
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.corpora.synth_voice import EMOTIONS, score_of, style_of
from serlab.bench.corpora.synth_words import COMMON, LEANING, PHONES
from serlab.bench.errors import BadValue, UnknownName


def corpus(**options: Scalar) -> Corpus:
    """The synthetic corpus with those options."""
    return load_corpus("synth", roots={}, options=options)


@pytest.fixture(scope="module")
def full() -> Corpus:
    """The default corpus."""
    return corpus()


@pytest.fixture(scope="module")
def waves(full: Corpus) -> Mapping[str, np.ndarray]:
    """Its sounds by id."""
    return {u.id: u.audio.read().samples for u in full.utterances}


def level_db(wave: np.ndarray) -> float:
    """Level in dB of full scale."""
    return 20 * math.log10(float(np.sqrt(np.mean(wave**2))))


def high_share_db(wave: np.ndarray) -> float:
    """Energy above 1 kHz over that below, in dB."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    bins = np.fft.rfftfreq(len(wave), 1 / 16000)
    return 10 * math.log10(power[bins > 1000].sum() / power[(bins > 50) & (bins < 1000)].sum())


def pitch_hz(wave: np.ndarray) -> float:
    """Median over voiced frames of the autocorrelation's peak between 70 and 500 Hz."""
    found = []
    for start in range(0, len(wave) - 800, 400):
        frame = wave[start : start + 800] * np.hanning(800)
        power = np.abs(np.fft.rfft(frame, 2048)) ** 2
        lags = np.fft.irfft(power)[32:229]
        total = float(np.mean(power))
        best = int(np.argmax(lags))
        if total > 1e-3 and lags[best] > 0.5 * np.sum(frame**2):
            found.append(16000 / (best + 32))
    return float(np.median(found))


def test_default_corpus(full: Corpus) -> None:
    """300 utterances, 6 speakers in 3 sessions of a woman and a man, 4 even classes."""
    assert len(full.utterances) == 300
    assert full.synthetic
    assert full.labels == ("anger", "happiness", "neutral", "sadness")
    assert Counter(u.emotion for u in full.utterances) == dict.fromkeys(full.labels, 75)
    speakers = Counter(u.speaker for u in full.utterances)
    assert speakers == dict.fromkeys(("01M", "01F", "02M", "02F", "03M", "03F"), 50)
    assert {u.session for u in full.utterances} == {"01", "02", "03"}
    assert all(u.speaker[:2] == u.session for u in full.utterances)
    assert {(u.speaker[-1], u.facts["sex"]) for u in full.utterances} == {
        ("F", "female"),
        ("M", "male"),
    }
    assert len(full.by_id()) == 300


def test_sound_is_of_the_length_and_level_asked(
    full: Corpus, waves: Mapping[str, np.ndarray]
) -> None:
    """Every sound is finite float32 of 1.2 to 2.2 s, neither silent nor clipped."""
    for wave in waves.values():
        assert wave.dtype == np.float32
        assert 1.2 <= len(wave) / 16000 <= 2.2001
        assert np.isfinite(wave).all()
        assert 0.01 < np.abs(wave).max() <= 0.9801
    durations = [len(wave) for wave in waves.values()]
    assert np.std(durations) / 16000 > 0.15


def test_no_two_sounds_are_alike(waves: Mapping[str, np.ndarray]) -> None:
    """There is no duplicate in the corpus."""
    assert len({wave.tobytes() for wave in waves.values()}) == len(waves)


def test_reading_order_changes_nothing(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """An utterance is the same whatever was read before it, and after a pickle round trip."""
    for u in reversed(full.utterances[::50]):
        copy: Utterance = pickle.loads(pickle.dumps(u))
        assert np.array_equal(copy.audio.read().samples, waves[u.id])
        assert u.video is not None
        assert u.traces is not None
        assert np.array_equal(copy.video.read(), u.video.read())  # type: ignore[union-attr]
        assert np.array_equal(copy.traces.read(), u.traces.read())  # type: ignore[union-attr]


def test_seed_changes_all() -> None:
    """Another seed gives other sounds under the same ids; the same seed gives the same."""
    one, again, other = corpus(utterances=12), corpus(utterances=12), corpus(utterances=12, seed=1)
    assert corpus_digest(one) == corpus_digest(again) != corpus_digest(other)
    assert [u.id for u in one.utterances] == [u.id for u in other.utterances]
    sounds = [c.utterances[0].audio.read().samples[:16000] for c in (one, again, other)]
    assert np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_emotions_move_the_voice_as_described(
    full: Corpus, waves: Mapping[str, np.ndarray]
) -> None:
    """Anger is loud and bright, sadness soft and dull, happiness high, against neutral speech."""
    levels, slopes, pitches = (defaultdict(list) for _ in range(3))
    for u in full.utterances:
        levels[u.emotion].append(level_db(waves[u.id]))
        slopes[u.emotion].append(high_share_db(waves[u.id]))
        if u.speaker[-1] == "M":
            pitches[u.emotion].append(12 * math.log2(pitch_hz(waves[u.id])))
    level, slope, pitch = (
        {emotion: float(np.mean(values)) for emotion, values in found.items()}
        for found in (levels, slopes, pitches)
    )
    assert level["anger"] - level["neutral"] > 2.5
    assert level["neutral"] - level["sadness"] > 1.5
    assert slope["anger"] > slope["neutral"] + 1 > slope["sadness"] + 2
    assert pitch["happiness"] - pitch["neutral"] > 1.5
    assert pitch["anger"] - pitch["neutral"] > 0.8


def test_classes_overlap(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """No class stands apart in level: some neutral sounds are louder than some angry ones."""
    levels = defaultdict(list)
    for u in full.utterances:
        levels[u.emotion].append(level_db(waves[u.id]))
    assert np.percentile(levels["neutral"], 90) > np.percentile(levels["anger"], 10) + 1


def test_women_speak_higher(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """The pitch heard in neutral speech is that of the speaker's sex."""
    heard = defaultdict(list)
    for u in full.utterances:
        if u.emotion == "neutral":
            heard[u.speaker[-1]].append(pitch_hz(waves[u.id]))
    assert 90 < np.median(heard["M"]) < 150
    assert 165 < np.median(heard["F"]) < 270


def test_emotion_can_be_learnt_across_speakers(
    full: Corpus, waves: Mapping[str, np.ndarray]
) -> None:
    """A nearest-mean rule on a handful of values beats chance on unheard speakers, not by all."""
    values = {}
    for u in full.utterances:
        tempo = len(score_of(u.audio.take).phones) / len(waves[u.id])  # type: ignore[attr-defined]
        wave = waves[u.id]
        values[u.id] = [level_db(wave), high_share_db(wave), 1e4 * tempo]
    right = 0
    for speaker in {u.speaker for u in full.utterances}:
        train = [u for u in full.utterances if u.speaker != speaker]
        held = np.array([values[u.id] for u in train])
        mean, spread = held.mean(0), held.std(0)
        labels = np.array([u.emotion for u in train])
        centres = {c: ((held[labels == c] - mean) / spread).mean(0) for c in full.labels}
        for u in full.utterances:
            if u.speaker == speaker:
                z = (np.array(values[u.id]) - mean) / spread
                best = min(centres, key=lambda c: float(np.sum((z - centres[c]) ** 2)))
                right += best == u.emotion
    assert 0.40 < right / 300 < 0.90


def test_words_lean_to_the_emotion(full: Corpus) -> None:
    """Words of the utterance's own emotion are more frequent than those of any other."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for u in full.utterances:
        for word in u.words:
            for emotion, words in LEANING.items():
                counts[u.emotion or ""][emotion] += word.text in words
    for emotion, found in counts.items():
        assert found.most_common(1)[0][0] == emotion
        others = [n for name, n in found.items() if name != emotion]
        assert min(others) > 0


def test_words_have_times(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """Words follow each other within the utterance, and the text is these words."""
    for u in full.utterances:
        assert u.text == " ".join(word.text for word in u.words)
        times = [t for word in u.words for t in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] > 0
        assert times[-1] < len(waves[u.id]) / 16000


def test_pauses_are_quiet(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """There is sound in words, and next to none before the first."""
    for u in full.utterances[::10]:
        wave, first = waves[u.id], u.words[0]
        before = wave[: int((first.start_s - 0.02) * 16000)]
        assert level_db(before) < level_db(wave) - 15


def test_every_word_can_be_said() -> None:
    """Every phone of every word is known, and no word leans to two emotions."""
    words = [*COMMON.items(), *(item for group in LEANING.values() for item in group.items())]
    assert len({text for text, _ in words}) == len(words)
    assert {name for _, spoken in words for name in spoken.split()} == set(PHONES)


def test_dialogues(full: Corpus) -> None:
    """Two speakers of a session take turns, numbered from 1; moods last over turns."""
    dialogues = defaultdict(list)
    for u in full.utterances:
        dialogues[u.dialogue].append(u)
    assert len(dialogues) == 30
    for turns in dialogues.values():
        assert [u.turn for u in turns] == list(range(1, 11))
        assert len({u.session for u in turns}) == 1
        assert all(a.speaker != b.speaker for a, b in pairwise(turns))
    same = [
        a.emotion == b.emotion
        for turns in dialogues.values()
        for a, b in zip(turns, turns[2:], strict=False)
    ]
    assert np.mean(same) > 0.4


def test_face(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """Five grey frames a second; the mouth is darker when there is voice than in pauses."""
    for u in full.utterances[::25]:
        assert u.video is not None
        frames = u.video.read()
        assert frames.shape[1:] == (32, 32)
        assert -0.01 < len(frames) - len(waves[u.id]) / 16000 * 5 < 1.01
        assert frames.dtype == np.uint8
        assert frames.std() > 20
    open_, shut = [], []
    for u in full.utterances[:60]:
        assert u.video is not None
        frames, score = u.video.read(), score_of(u.audio.take)  # type: ignore[attr-defined]
        at = score.at(np.arange(len(frames)) / 5.0)
        for frame, phone in zip(frames, at, strict=True):
            side = open_ if score.phones[phone].voice > 0.9 else shut
            if score.phones[phone].voice in (0.0, 1.0):
                side.append(frame[19:29, 11:21].mean())
    assert np.mean(open_) < np.mean(shut) - 5


def test_faces_tell_emotions(full: Corpus) -> None:
    """The mean faces of happiness and sadness differ where the mouth's corners are."""
    means = {}
    for emotion in ("happiness", "sadness"):
        chosen = [
            u.video.read().mean(0) for u in full.utterances if u.emotion == emotion and u.video
        ]
        means[emotion] = np.mean(chosen, axis=0)
    assert np.abs(means["happiness"] - means["sadness"])[18:30, 10:22].max() > 8


def test_traces(full: Corpus, waves: Mapping[str, np.ndarray]) -> None:
    """Ten frames a second of three values in [-1, 1]; valence is high in joy, low in sadness."""
    assert full.dimensions == ("arousal", "valence", "liking")
    ends = defaultdict(list)
    for u in full.utterances:
        assert u.traces is not None
        values = u.traces.read()
        assert values.shape[1:] == (3,)
        assert -0.01 < len(values) - len(waves[u.id]) / 1600 < 1.01
        assert values.dtype == np.float32
        assert np.abs(values).max() <= 1
        ends[u.emotion].append(values[-1])
    mean = {emotion: np.mean(rows, axis=0) for emotion, rows in ends.items()}
    assert mean["happiness"][1] > 0.4 > -0.3 > mean["sadness"][1]
    assert mean["anger"][0] > 0.4 > -0.3 > mean["sadness"][0]


def test_rater_delay() -> None:
    """Until the delay is over, a trace is that of the speaker's turn before, then of this one."""
    late, prompt = (
        corpus(utterances=60, rater_delay_s=0.5),
        corpus(utterances=60, rater_delay_s=0.0),
    )
    changed = 0
    for a, b in zip(late.utterances, prompt.utterances, strict=True):
        assert a.traces is not None
        assert b.traces is not None
        one, two = a.traces.read(), b.traces.read()
        assert np.array_equal(one[5:], two[5:])
        before = a.traces.before  # type: ignore[attr-defined]
        if (a.turn or 0) > 2 and before != a.emotion:
            changed += 1
            assert np.abs(one[:5] - two[:5]).max() > 0.05
    assert changed > 5


@pytest.mark.parametrize(("confound", "low", "high"), [(0.0, 0.25, 0.27), (1.0, 0.8, 0.9)])
def test_confound(confound: float, low: float, high: float) -> None:
    """The commonest emotion's share of a speaker's utterances goes from even to most of them."""
    held = corpus(confound=confound)
    by_speaker = defaultdict(Counter)
    for u in held.utterances:
        by_speaker[u.speaker][u.emotion] += 1
    shares = [max(c.values()) / c.total() for c in by_speaker.values()]
    assert low <= min(shares)
    assert max(shares) <= high
    assert {u.emotion for u in held.utterances} == set(held.labels)


def test_confound_grows() -> None:
    """In between, the dependence of emotions on speakers rises with the confound."""

    def dependence(confound: float) -> float:
        table = Counter((u.speaker, u.emotion) for u in corpus(confound=confound).utterances)
        return float(np.var(list(table.values())))

    rising = [dependence(c) for c in (0.0, 0.3, 0.6, 1.0)]
    assert rising == sorted(rising)
    assert len(set(rising)) == 4


def test_other_sizes() -> None:
    """Five emotions, an odd number of speakers and another rate and length work."""
    held = corpus(
        utterances=23, speakers=3, emotions=5, rate_hz=8000, shortest_s=0.5, longest_s=0.7
    )
    assert len(held.utterances) == 23
    assert held.labels == tuple(sorted(EMOTIONS))
    assert len({u.speaker for u in held.utterances}) == 3
    for u in held.utterances:
        audio = u.audio.read()
        assert audio.rate_hz == 8000
        assert 0.499 <= audio.duration_s <= 0.701
        assert u.audio.name() == f"synth:{u.id}"


def test_louder_styles_are_more_intense(full: Corpus) -> None:
    """Within a class, intensity varies, and in anger it goes with the level."""
    styles = [style_of(u.audio.take) for u in full.utterances if u.emotion == "anger"]  # type: ignore[attr-defined]
    intensity = [s.intensity for s in styles]
    assert np.std(intensity) > 0.2
    assert np.corrcoef(intensity, [s.level_db for s in styles])[0, 1] > 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"emotions": 1}, r"synth\.emotions = 1: expected between 2 and 5"),
        ({"confound": 1.5}, r"synth\.confound = 1\.5: expected between 0\.0 and 1\.0"),
        ({"confound": float("nan")}, "synth.confound"),
        ({"speakers": 0}, "synth.speakers"),
        ({"rate_hz": 100}, "synth.rate_hz"),
        ({"utterances": 5}, "at least one for each of 6 speakers"),
        ({"shortest_s": 3.0}, "at most longest_s, which is 2.2"),
        ({"utterances": "many"}, r"synth\.utterances = 'many': expected an integer, such as 300"),
        ({"utterances": True}, "expected an integer"),
        ({"confound": "all"}, "expected a number, such as 0.0"),
    ],
)
def test_bad_options(options: dict[str, Scalar], words: str) -> None:
    """Each wrong option is named with what was expected."""
    with pytest.raises(BadValue, match=words):
        corpus(**options)


def test_unknown_option() -> None:
    """A misspelt option is answered with the nearest one."""
    with pytest.raises(UnknownName, match='did you mean "utterances"'):
        corpus(utterences=10)


def test_synth_needs_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there without SERLAB_DATA; an integer serves where a number is asked."""
    monkeypatch.delenv("SERLAB_DATA", raising=False)
    assert len(corpus(utterances=6, confound=1).utterances) == 6
