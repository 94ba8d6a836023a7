"""Words of a text in any script, and BM25 over them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import groupby, pairwise

_ASCII_WORD = re.compile(r"[a-z0-9]+")
# Accents of Latin, Greek and Cyrillic, and emoji variants; the vowel signs of other scripts must stay.
_ACCENTS = re.compile("[\u0300-\u036f\ufe00-\ufe0f]")
_NO_SPACES_SCRIPTS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

SATURATION = 1.2  # BM25 k1: how soon a repeated word stops counting
LENGTH_WEIGHT = 0.75  # BM25 b: how much long texts are held back


def words(text: str) -> list[str]:
    """Return the words of ``text``, folded: case, accents and compatibility forms do not matter.

    Chinese and Japanese, written without spaces, give every character and every pair of neighbours; an emoji
    is a word. A text without any word is split at its spaces, so that it can still be found.
    """
    folded = text.casefold()
    if folded.isascii():
        return _ASCII_WORD.findall(folded) or folded.split()
    folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", folded))
    folded = unicodedata.normalize("NFC", folded).casefold()
    found: list[str] = []
    for sort, letters in groupby(folded, key=_sort_of):
        run = "".join(letters)
        if sort == "word":
            found.append(run)
        elif sort == "dense":
            found += [*run, *(a + b for a, b in pairwise(run))]
        elif sort == "sign":
            found += run
    return found or folded.split()


@lru_cache(maxsize=8192)
def _sort_of(letter: str) -> str:
    """Sort a character: part of a ``word``, of a ``dense`` script, a ``sign`` of its own, or ``gap``."""
    if _NO_SPACES_SCRIPTS.match(letter):
        return "dense"
    category = unicodedata.category(letter)
    if letter.isalnum() or category.startswith("M"):
        return "word"
    return "sign" if category.startswith("S") and not letter.isascii() else "gap"


class Lexical:
    """An in-memory BM25 index, exact and incremental."""

    def __init__(self) -> None:
        self._postings: dict[str, dict[str, int]] = {}  # word -> id -> times
        self._lengths: dict[str, int] = {}  # id -> words
        self._total = 0

    def add(self, id: str, text: str) -> None:
        """Index ``text`` under a new ``id``."""
        counts = Counter(words(text))
        for word, times in counts.items():
            self._postings.setdefault(word, {})[id] = times
        self._lengths[id] = counts.total()
        self._total += counts.total()

    def remove(self, id: str, text: str) -> None:
        """Undo ``add(id, text)``."""
        for word in set(words(text)):
            posting = self._postings[word]
            del posting[id]
            if not posting:
                del self._postings[word]
        self._total -= self._lengths.pop(id)

    def scores(self, query: str) -> dict[str, float]:
        """Return the BM25 score, above 0, of every text that shares a word with ``query``."""
        scores: dict[str, float] = {}
        n = len(self._lengths)
        mean = self._total / n if n else 1.0
        for word in set(words(query)):
            posting = self._postings.get(word, {})
            rarity = math.log(1 + (n - len(posting) + 0.5) / (len(posting) + 0.5))
            for id, times in posting.items():
                longness = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * self._lengths[id] / mean
                gain = rarity * times * (SATURATION + 1) / (times + SATURATION * longness)
                scores[id] = scores.get(id, 0.0) + gain
        return scores
