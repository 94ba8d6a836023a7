"""The one ranking of every memory: nearest vectors and BM25, fused by reciprocal rank."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoagent.memory.lexical import Lexical, words
from autoagent.memory.protocol import Recalled

RANK_OFFSET = 60  # of reciprocal rank fusion: larger trusts the very first places less
MIN_DEPTH = 64  # places of each list that take part


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept text; ``age`` grows with every addition, so that the newer of two equals comes first."""

    id: str
    text: str
    kind: str
    source: str
    age: int


def clean(text: str) -> str:
    """Return ``text`` as it is kept: trimmed, and valid Unicode.

    Raises:
        ValueError: nothing is left.
    """
    kept = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not kept:
        raise ValueError("There is nothing to remember: the text is empty.")
    return kept


def identify(text: str, kind: str, source: str) -> str:
    """Return the id of an entry: a hash of what makes it one entry and not two, 16 hex digits."""
    return hashlib.sha256("\x1f".join((kind, source, text)).encode("utf-8", "replace")).hexdigest()[:16]


def depth(k: int) -> int:
    """Return how many nearest vectors a recall of ``k`` texts needs.

    Raises:
        ValueError: ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}.")
    return max(MIN_DEPTH, 2 * k)


class Shelf:
    """Entries by id with their word index; the vectors are the owner's."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: dict[str, Entry] = {}
        self._lexical = Lexical()
        for entry in sorted(entries, key=lambda entry: entry.age):
            self.put(entry)

    @property
    def next_age(self) -> int:
        """The age of the next entry; ``entries`` is ordered by age."""
        return next(reversed(self.entries.values())).age + 1 if self.entries else 0

    def put(self, entry: Entry) -> None:
        """Keep a new entry."""
        self.entries[entry.id] = entry
        self._lexical.add(entry.id, entry.text)

    def drop(self, id: str) -> None:
        """Remove an entry that is kept."""
        self._lexical.remove(id, self.entries.pop(id).text)

    def chosen(self, ids: Iterable[str], source: str) -> list[str]:
        """Return those of ``ids`` that are kept, and all ids from ``source`` unless it is empty."""
        wanted = set(ids)
        return [e.id for e in self.entries.values() if e.id in wanted or (source and e.source == source)]

    def rank(self, query: str, similar: Mapping[str, float], k: int) -> list[Recalled]:
        """Return the best ``k`` by BM25 and by ``similar``: cosines of at least the nearest ``depth(k)``."""
        lexical = self._lexical.scores(query)
        fused: dict[str, float] = {}
        for scores in (similar, lexical):
            for place, id in enumerate(self._ordered(scores)[: depth(k)], start=1):
                fused[id] = fused.get(id, 0.0) + (RANK_OFFSET + 1) / (RANK_OFFSET + place) / 2
        trigrams = {word[i : i + 3] for word in words(query) for i in range(len(word) - 2)}
        best: list[Recalled] = []
        for id in self._ordered(fused):
            entry = self.entries[id]
            if id in lexical or _shares(trigrams, entry.text):
                best.append(Recalled(entry.text, entry.kind, entry.source, round(fused[id], 6), id))
                if len(best) == k:
                    break
        return best

    def _ordered(self, scores: Mapping[str, float]) -> list[str]:
        """Return the ids, highest score first, newer first among equals; stores differ in the last bits."""
        return sorted(scores, key=lambda id: (-round(scores[id], 5), -self.entries[id].age))


def _shares(trigrams: set[str], text: str) -> bool:
    """Tell whether ``text`` has any of the trigrams; hashed vectors look a little alike even without."""
    folded = " ".join(words(text))
    return any(trigram in folded for trigram in trigrams)
