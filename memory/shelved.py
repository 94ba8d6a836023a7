"""What all memories have in common: checks, ids, replacement and ranking. Where texts lie is up to each."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from autoagent.memory.embedder import Embedder, GramEmbedder, Vectors
from autoagent.memory.fit import shares
from autoagent.memory.protocol import Chunk, Entry, Recalled
from autoagent.memory.ranking import Shelf, clean, depth, identify, known, named

ROOM = 1_000  # removed entries that are always put up with; more of them than there are others are not


class ShelvedMemory(ABC):
    """A ``Memory`` around a ``Shelf``; a subclass says where texts and vectors lie."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder: Embedder = embedder or GramEmbedder()
        self._guard = threading.RLock()
        self._shelf = Shelf()

    @abstractmethod
    def _using(self) -> AbstractContextManager[None]:
        """Surround every use: bring the shelf up to date, turn faults of the place into one line."""

    @abstractmethod
    def _write(self, entries: Sequence[Entry]) -> None:
        """Keep texts and vectors."""

    @abstractmethod
    def _erase(self, ids: Sequence[str]) -> None:
        """Remove texts and vectors."""

    @abstractmethod
    def _read(self, ids: Sequence[str]) -> Mapping[str, Entry]:
        """Return the entries by id; what is not there is left out."""

    @abstractmethod
    def _nearest(self, vectors: Vectors, most: int, kind: str) -> Mapping[str, float]:
        """Return the cosines of at least the ``most`` nearest to ``vectors`` (1, D), by id."""

    def add(self, text: str, kind: str = "semantic", source: str = "", *, key: str = "") -> str:
        """Remember ``text``, kept for good when this returns; see ``Memory.add``."""
        text, source = clean(text), _valid(source)
        id = named(text, known(kind), source, key)
        with self._guard, self._using():
            if key or id not in self._shelf:
                self._keep([Entry(id, text, kind, source, "", self._next_age())])
        return id

    def take_in(self, texts: Sequence[tuple[str, str, str, str]]) -> None:
        """Remember what was put aside, oldest first, as ``add`` takes it: text, kind, source, key."""
        with self._guard, self._using():
            age, new = self._next_age(), dict[str, Entry]()
            for number, (text, kind, source, key) in enumerate(texts):
                id = named(text, kind, source, key)
                if key or (id not in self._shelf and id not in new):
                    new.pop(id, None)
                    new[id] = Entry(id, text, kind, source, "", age + number)
            self._keep(list(new.values()))

    def replace(self, source: str, chunks: Sequence[Chunk]) -> tuple[int, int]:
        """Make ``chunks`` all that is kept of a document; see ``Memory.replace``."""
        source = _valid(source)
        wanted: dict[str, tuple[str, str]] = {}  # id -> text, lines
        for chunk in chunks:
            text, lines = clean(chunk.text), f"{chunk.first}-{chunk.last}"
            wanted[identify(text, "semantic", source, lines)] = (text, lines)
        with self._guard, self._using():
            had = {id for id, each in self._read(self._shelf.chosen(source=source)).items() if each.lines}
            age = self._next_age()
            new = [id for id in wanted if id not in had]
            self._keep(
                [
                    Entry(id, wanted[id][0], "semantic", source, wanted[id][1], age + n)
                    for n, id in enumerate(new)
                ]
            )
            stale = [id for id in had if id not in wanted]
            self._let_go(stale)  # last: an interruption leaves too much, not too little
        return len(new), len(stale)

    def recall(self, query: str, k: int = 3, kind: str = "") -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        wanted = depth(k)
        if kind:
            known(kind)
        with self._guard, self._using():
            if not len(self._shelf) or not query.strip():
                return []
            similar = self._nearest(self._embedder.embed([query]), wanted, kind)
            return list(self._best(query, similar, k, kind))

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        with self._guard, self._using():
            named = [id for id in dict.fromkeys(ids) if id in self._shelf]
            theirs = self._shelf.chosen(source=source) if source else []
            chosen = list(dict.fromkeys([*named, *theirs]))
            self._let_go(chosen)
        return len(chosen)

    def entries(self, kind: str = "", source: str = "", most: int | None = None) -> list[Entry]:
        """Return what is kept, newest first; see ``Memory.entries``."""
        if kind:
            known(kind)
        with self._guard, self._using():
            ids = self._shelf.chosen(kind, source)[::-1][:most]
            kept = self._read(ids)
            return [kept[id] for id in ids if id in kept]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many texts are kept by (kind, source)."""
        with self._guard, self._using():
            return self._shelf.counts()

    def count(self) -> int:
        """Return the number of texts kept."""
        return sum(self.counts().values())

    def _keep(self, entries: list[Entry]) -> None:
        if entries:
            self._write(entries)
        for entry in entries:
            if entry.id in self._shelf:
                self._shelf.drop(entry.id)
            self._shelf.put(entry)
        self._tidy()

    def _let_go(self, ids: list[str]) -> None:
        if ids:
            self._erase(ids)
        for id in ids:
            self._shelf.drop(id)
        self._tidy()

    def _tidy(self) -> None:
        if self._shelf.dropped >= max(ROOM, len(self._shelf)):
            self._shelf = Shelf.unpacked(self._shelf.packed())

    def _next_age(self) -> int:
        return max(self._shelf.last_age + 1, time.time_ns() // 1_000)

    def _best(self, query: str, similar: Mapping[str, float], k: int, kind: str) -> Iterator[Recalled]:
        """Yield the first ``k`` that share a word or three letters, or are sure to be meant."""
        order = self._shelf.fused(query, similar, k, kind)
        for start in range(0, len(order), 2 * k):
            part = order[start : start + 2 * k]
            kept = self._read([id for id, _, _ in part])
            for id, score, in_words in part:
                entry = kept.get(id)
                alike = similar.get(id, 0.0) >= self._embedder.sure
                # Hashed vectors look a little alike even where nothing is shared.
                if entry is not None and (in_words or alike or shares(query, entry.text)):
                    yield Recalled(entry.text, entry.kind, entry.source, score, id, entry.citation, alike)
                    k -= 1
                    if not k:
                        return


def _valid(source: str) -> str:
    """The source in valid Unicode: a file name may hold bytes that are none."""
    return source.encode("utf-8", "replace").decode("utf-8")
