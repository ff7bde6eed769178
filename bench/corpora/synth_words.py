"""The phones and words of the synthetic corpus.

Formants of vowels are those of men in Peterson and Barney (1952, "Control methods used in a study
of the vowels", JASA 24, table II); the other phones are rough likenesses.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Phone:
    """Voicing and noise amplitude, formants, length, and the band of the noise."""

    voice: float
    noise: float
    formants_hz: tuple[float, float, float]
    length_s: float
    centre_hz: float = 1500.0
    width_hz: float = 2000.0


def _vowel(first: float, second: float, third: float) -> Phone:
    return Phone(voice=1.0, noise=0.0, formants_hz=(first, second, third), length_s=0.10)


def _murmur(voice: float, first: float, second: float, third: float) -> Phone:
    return Phone(voice=voice, noise=0.0, formants_hz=(first, second, third), length_s=0.06)


def _hiss(voice: float, noise: float, centre: float, width: float, length: float = 0.09) -> Phone:
    return Phone(
        voice=voice,
        noise=noise,
        formants_hz=(400.0, 1500.0, 2500.0),
        length_s=length,
        centre_hz=centre,
        width_hz=width,
    )


PHONES = {
    "iy": _vowel(270, 2290, 3010),
    "ih": _vowel(390, 1990, 2550),
    "eh": _vowel(530, 1840, 2480),
    "ae": _vowel(660, 1720, 2410),
    "aa": _vowel(730, 1090, 2440),
    "ao": _vowel(570, 840, 2410),
    "uw": _vowel(300, 870, 2240),
    "ah": _vowel(640, 1190, 2390),
    "er": _vowel(490, 1350, 1690),
    "m": _murmur(0.35, 250, 1000, 2200),
    "n": _murmur(0.35, 250, 1600, 2500),
    "l": _murmur(0.5, 350, 1100, 2700),
    "r": _murmur(0.5, 400, 1200, 1600),
    "w": _murmur(0.45, 300, 700, 2200),
    "y": _murmur(0.45, 270, 2200, 3000),
    "s": _hiss(0.0, 0.30, 6000, 1500),
    "z": _hiss(0.3, 0.18, 6000, 1500),
    "sh": _hiss(0.0, 0.32, 3300, 1000),
    "f": _hiss(0.0, 0.10, 4500, 3000),
    "v": _hiss(0.35, 0.05, 4500, 3000, 0.06),
    "h": _hiss(0.0, 0.12, 1500, 1500, 0.06),
    "_": _hiss(0.0, 0.0, 1500, 2000, 0.045),  # closure of a voiceless stop
    "=": _hiss(0.12, 0.0, 1500, 2000, 0.04),  # closure of a voiced stop
    "t": _hiss(0.0, 0.35, 4500, 1800, 0.025),
    "k": _hiss(0.0, 0.30, 2000, 900, 0.03),
    "p": _hiss(0.0, 0.22, 900, 900, 0.02),
    "d": _hiss(0.3, 0.2, 4000, 1800, 0.015),
    "g": _hiss(0.3, 0.2, 2000, 900, 0.015),
    "b": _hiss(0.3, 0.15, 800, 900, 0.015),
}
PAUSE = Phone(voice=0.0, noise=0.0, formants_hz=(500.0, 1500.0, 2500.0), length_s=0.07)

COMMON = {
    "and": "ae n = d",
    "with": "w ih f",
    "we": "w iy",
    "you": "y uw",
    "see": "s iy",
    "home": "h ao m",
    "today": "_ t uw = d eh",
    "people": "_ p iy _ p ah l",
    "water": "w ao _ t er",
    "about": "ah = b aa uw _ t",
    "morning": "m ao r n ih n",
    "really": "r iy l iy",
    "after": "ae f _ t er",
    "window": "w ih n = d ao",
    "again": "ah = g eh n",
    "other": "ah v er",
    "back": "= b ae _ k",
}
LEANING = {
    "anger": {
        "stop": "s _ t aa _ p",
        "never": "n eh v er",
        "enough": "ih n ah f",
        "wrong": "r ao n",
        "liar": "l aa y er",
        "shut": "sh ah _ t",
    },
    "happiness": {
        "lovely": "l ah v l iy",
        "great": "= g r eh _ t",
        "winner": "w ih n er",
        "yes": "y eh s",
        "party": "_ p aa r _ t iy",
        "sunny": "s ah n iy",
    },
    "neutral": {
        "monday": "m ah n = d eh",
        "paper": "_ p eh _ p er",
        "seven": "s eh v ih n",
        "number": "n ah m = b er",
        "room": "r uw m",
        "list": "l ih s _ t",
    },
    "sadness": {
        "lost": "l ao s _ t",
        "alone": "ah l ao n",
        "miss": "m ih s",
        "gone": "= g ao n",
        "tears": "_ t iy r s",
        "sorry": "s ao r iy",
    },
    "fear": {
        "help": "h eh l _ p",
        "hide": "h aa y = d",
        "danger": "= d eh n z er",
        "afraid": "ah f r eh = d",
        "run": "r ah n",
        "please": "_ p l iy z",
    },
}
OWN_SHARE, OTHER_SHARE = 0.30, 0.20
"""How often a word leans to the emotion that is said, and to one drawn at random."""
