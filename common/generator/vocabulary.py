"""The closed public vocabulary of the template encoder: words that mean the same are one concept.

Concepts stand in a fixed order, actions first; a word counts as itself or without its ending.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

ACTIONS: Final[dict[str, str]] = {
    "walk": "walk stroll stride amble march stagger wander tiptoe",
    "run": "run ran jog sprint dash race hurry hurries hurried",
    "jump": "jump hop leap bounce skip spring hopscotch",
    "squat": "squat crouch kneel knelt bend_the_knees bend_knees",
    "wave": "wave waving greet hello hi goodbye bye beckon",
    "kick": "kick boot",
    "sit down": "sit sat",
    "stand up": "rise rose get_up got_up stand_up stood_up",
    "seated": "seated sit_still",
    "turn": "turn spin twist rotate pivot swivel",
    "punch": "punch jab hit boxing strike",
    "reach": "reach stretch extend",
    "pick up": "pick_up pick grab lift fetch take_from",
    "bend": "bend bow lean stoop",
    "dance": "dance waltz",
    "throw": "throw threw toss pitch cast",
    "catch": "catch caught",
    "climb": "climb ascend stair ladder",
    "crawl": "crawl crept creep",
    "lie": "lie lay lying",
    "fall": "fall fell trip stumble",
    "carry": "carry carries carried hold held",
    "push": "push shove",
    "pull": "pull drag",
    "swim": "swim swam",
    "clap": "clap applaud",
}
QUALITIES: Final[dict[str, str]] = {
    "slow": "slow slowly slower leisurely jog amble stroll gentle gently calm calmly careful carefully creep",
    "fast": "fast faster quick quickly rapid rapidly brisk briskly sprint dash race hurry hurries hurried",
    "circle": "circle circular round around loop lap orbit clockwise anticlockwise counterclockwise",
    "left": "left leftward leftwards anticlockwise counterclockwise",
    "right": "right rightward rightwards clockwise",
    "forward": "forward forwards ahead straight front",
    "back": "back backward backwards behind reverse",
    "sideways": "side sideways sideward lateral sidestep shuffle",
    "up": "up upward upwards above overhead",
    "down": "down downward downwards floor ground below",
    "high": "high higher big far large tall",
    "low": "low lower small little slightly halfway",
    "deep": "deep deeply fully",
    "hand": "hand arm fist wrist finger elbow shoulder",
    "leg": "leg foot feet knee ankle toe hip",
    "both": "both two_hands",
    "twice": "twice two two_times double",
    "again": "again repeat repeatedly several many times",
    "once": "once single",
    "standing": "stand stood",
    "curve": "curve curved bend_to arc zigzag",
    "in place": "spot in_place on_the_spot treadmill",
    "head": "head neck nod look",
    "chair": "chair seat bench stool sofa",
    "happy": "happy happily cheerful joyful excited energetic lively",
    "sad": "sad sadly tired depressed weary weak",
    "angry": "angry angrily furious aggressive",
    "old": "old elderly frail limp limping",
}
CONCEPTS: Final = (*ACTIONS, *QUALITIES)
_PHRASES: Final = 3  # words in the longest phrase


def _words() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for concept, words in (*ACTIONS.items(), *QUALITIES.items()):
        for word in words.split():
            found[word.replace("_", " ")] = (*found.get(word.replace("_", " "), ()), concept)
    return found


WORDS: Final = _words()
"""Word or phrase -> the concepts that it stands for."""
SHA256: Final = hashlib.sha256(json.dumps([CONCEPTS, WORDS]).encode()).hexdigest()
"""Of the vocabulary: sites and coordinator must have the same."""


def concepts(words: list[str]) -> list[str]:
    """The concepts that `words` name, each once, in the order of `CONCEPTS`; the longest phrases first."""
    named: set[str] = set()
    place = 0
    while place < len(words):
        for length in range(_PHRASES, 0, -1):
            meaning = _meaning(" ".join(words[place : place + length]))
            if meaning:
                named.update(meaning)
                place += min(length, len(words) - place)
                break
        else:
            place += 1
    return [concept for concept in CONCEPTS if concept in named]


def _meaning(phrase: str) -> tuple[str, ...]:
    first, _, rest = phrase.partition(" ")
    for stem in _stems(first):
        meaning = WORDS.get(f"{stem} {rest}" if rest else stem)
        if meaning:
            return meaning
    return ()


def _stems(word: str) -> list[str]:
    """`word`, and what may be left of it without an English ending."""
    stems = [word]
    for ending in ("s", "es", "ed", "d", "ing", "er"):
        stem = word.removesuffix(ending)
        if len(word) > len(stem) >= 3:
            stems += [stem, f"{stem}e"]
            if stem[-1] == stem[-2]:
                stems.append(stem[:-1])
    return stems
