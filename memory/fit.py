"""How much a query and a text have in common, comparable between queries and between stores.

A recall always finds its best; only this tells whether the best is any good. It looks at words alone, not at
how rare they are in a store: in a store of five facts rarity says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from functools import lru_cache

from autoagent.memory.lexical import words

ALIKE = 0.5  # two words that share this much of their trigrams count in part: "invoice", "invoices"
EVERYDAY = 0.1  # weight of a word that everybody uses; of others 1
_EVERYDAY = frozenset(
    "a about am an and any are as at be been but by can could did do does for from get give had has have"
    " how i if im in into is it its ive just know let me my need no not of on one or our out please s"
    " shall should show so some t tell than that the their them then there these they this to up us want"
    " was we were what when where which who why will with would you your".split()
)
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_MOST_PARTS = 40  # sentences of a text that are looked at


def shares(query: str, text: str) -> bool:
    """Tell whether ``text`` has three letters in a row from a word of ``query``."""
    trigrams = {word[i : i + 3] for word in words(query) for i in range(len(word) - 2)}
    folded = " ".join(words(text))
    return any(trigram in folded for trigram in trigrams)


def fit(query: str, text: str) -> float:
    """Return how well ``text`` fits, 0..1: of the best pair of sentences, the share of words in common."""
    best = 0.0
    asked = [frozenset(words(part)) for part in _parts(query)]
    for part in _parts(text):
        said = frozenset(words(part))
        best = max([best, *(_common(each, said) for each in asked)])
    return round(best, 3)


def sameness(one: str, other: str) -> float:
    """Return how much two whole texts have in common, 0..1; 1 for the same words."""
    return _common(frozenset(words(one)), frozenset(words(other)))


def _parts(text: str) -> list[str]:
    """The whole and, where there are several, its sentences."""
    parts = [part for part in _ENDS.split(text.strip()) if part.strip()]
    return [text, *parts[:_MOST_PARTS]] if len(parts) > 1 else [text]


def _common(one: Collection[str], other: Collection[str]) -> float:
    """The geometric mean of how much of each is in the other."""
    return math.sqrt(_covered(one, other) * _covered(other, one))


def _covered(wanted: Collection[str], given: Collection[str]) -> float:
    total = sum(map(_weight, wanted))
    return sum(_weight(word) * _closest(word, given) for word in wanted) / total if total else 0.0


def _weight(word: str) -> float:
    return EVERYDAY if word in _EVERYDAY else 1.0


def _closest(word: str, given: Collection[str]) -> float:
    """1 for a word that is there, less for the most alike one, 0 below ``ALIKE``."""
    if word in given:
        return 1.0
    mine = _trigrams(word)
    best = max((_dice(mine, _trigrams(other)) for other in given), default=0.0)
    return best if best >= ALIKE else 0.0


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


@lru_cache(maxsize=16_384)
def _trigrams(word: str) -> frozenset[str]:
    """Of words of four letters and more; a shorter one is itself or nothing."""
    return frozenset(word[i : i + 3] for i in range(len(word) - 2)) if len(word) > 3 else frozenset()
