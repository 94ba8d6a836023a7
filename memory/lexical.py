"""Words of a text in any script, and BM25 over them, in memory and on file."""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """A BM25 index, exact and incremental: texts are rows, numbered as they are added.

    What was loaded from a file stays in flat arrays; what was added since is kept by word.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}  # word -> place in _starts, of what was loaded
        self._starts = np.zeros(1, dtype=np.int64)  # the postings of place p are [_starts[p]:_starts[p + 1]]
        self._rows = np.zeros(0, dtype=np.uint32)
        self._times = np.zeros(0, dtype=np.uint32)
        self._fresh: dict[str, tuple[array[int], array[int]]] = {}  # word -> rows, times
        self._lengths = array("I")  # row -> words
        self._alive = bytearray()  # row -> 1, or 0 once removed
        self._count = self._total = 0  # rows and words alive

    def add(self, text: str) -> int:
        """Index ``text``; return its row."""
        row = len(self._alive)
        counts = Counter(words(text))
        for word, times in counts.items():
            fresh = self._fresh.get(word)
            if fresh is None:
                fresh = self._fresh[word] = (array("I"), array("I"))
            fresh[0].append(row)
            fresh[1].append(times)
        self._lengths.append(counts.total())
        self._alive.append(1)
        self._count += 1
        self._total += counts.total()
        return row

    def remove(self, row: int) -> None:
        """Take a row out; its number is not used again."""
        self._alive[row] = 0
        self._count -= 1
        self._total -= self._lengths[row]

    def alive(self) -> npt.NDArray[np.bool_]:
        """Return which rows are not removed, shape (rows,)."""
        return np.array(self._alive, dtype=np.bool_)

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """Return the BM25 score of every row, (rows,): above 0 where it shares a word with ``query``."""
        scores = np.zeros(len(self._alive))
        alive, lengths = self.alive(), np.array(self._lengths, dtype=np.uint32)
        mean = self._total / self._count if self._count else 1.0
        for word in dict.fromkeys(words(query)):
            for rows, times, rarity in self._postings(word, alive):
                longness = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * lengths[rows] / mean
                scores[rows] += rarity * times * (SATURATION + 1) / (times + SATURATION * longness)
        return scores

    def rarity(self, word: str) -> float:
        """Return the weight of a word: the logarithm of how few texts have it, above 0."""
        return self._rarity(sum(len(rows) for rows, _ in self._living(word, self.alive())))

    def _rarity(self, texts: int) -> float:
        return math.log(1 + (self._count - texts + 0.5) / (texts + 0.5))

    def _postings(
        self, word: str, alive: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], float]]:
        """Yield rows, times and the word's weight, for what was loaded and for what was added."""
        parts = list(self._living(word, alive))
        rarity = self._rarity(sum(len(rows) for rows, _ in parts))
        for rows, times in parts:
            yield rows, times, rarity

    def _living(
        self, word: str, alive: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]]:
        place = self._places.get(word)
        if place is not None:
            part = slice(self._starts[place], self._starts[place + 1])
            keep = alive[self._rows[part]]
            yield self._rows[part][keep], self._times[part][keep]
        if word in self._fresh:
            # Copies: an array that is looked into cannot grow.
            rows, times = (np.array(each, dtype=np.uint32) for each in self._fresh[word])
            yield rows[alive[rows]], times[alive[rows]]

    def packed(self) -> dict[str, npt.NDArray[Any]]:
        """Return the index as arrays for ``unpacked``; removed rows are left out, so rows are renumbered."""
        alive = self.alive()
        number = np.cumsum(alive, dtype=np.uint32) - alive.astype(np.uint32)  # old row -> new row
        known, rows, times, sizes = [], [], [], []
        for word in {**self._places, **self._fresh}:
            parts = list(self._living(word, alive))
            size = sum(len(part) for part, _ in parts)
            if size:
                known.append(word)
                sizes.append(size)
                rows += [part for part, _ in parts]
                times += [part for _, part in parts]
        nothing = [np.zeros(0, dtype=np.uint32)]
        return {
            "words": np.frombuffer("\n".join(known).encode("utf-8"), dtype=np.uint8),
            "starts": np.cumsum([0, *sizes], dtype=np.int64),
            "rows": number[np.concatenate(rows or nothing)],
            "times": np.concatenate(times or nothing),
            "lengths": np.array(self._lengths, dtype=np.uint32)[alive],
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, npt.NDArray[Any]]) -> Lexical:
        """Return the index that ``packed`` was made from."""
        index = cls()
        known = packed["words"].tobytes().decode("utf-8")
        index._places = {word: place for place, word in enumerate(known.split("\n") if known else ())}
        index._starts, index._rows, index._times = packed["starts"], packed["rows"], packed["times"]
        index._lengths = array("I", packed["lengths"].astype(np.uint32).tobytes())
        index._alive = bytearray(b"\1" * len(index._lengths))
        index._count, index._total = len(index._lengths), sum(index._lengths)
        return index
