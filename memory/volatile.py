"""A throw-away memory for tests, evaluations and generated training data: same ranking, nothing on disk."""

from __future__ import annotations

import threading

import numpy as np

from autoagent.memory.embedder import Embedder, GramEmbedder, Vectors
from autoagent.memory.protocol import Recalled
from autoagent.memory.ranking import Entry, Shelf, clean, depth, identify


class VolatileMemory:
    """Keeps its texts in this process until it is closed. Implements ``Memory``."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder: Embedder = embedder or GramEmbedder()
        self._shelf = Shelf()
        self._vectors: dict[str, Vectors] = {}  # id -> (D,)
        self._lock = threading.RLock()

    def add(self, text: str, kind: str = "semantic", source: str = "") -> str:
        """Remember ``text``; see ``Memory.add``."""
        text = clean(text)
        id = identify(text, kind, source)
        with self._lock:
            if id not in self._shelf.entries:
                self._vectors[id] = self._embedder.embed([text])[0]
                self._shelf.put(Entry(id, text, kind, source, self._shelf.next_age))
        return id

    def recall(self, query: str, k: int = 3) -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        depth(k)
        with self._lock:
            if not self._vectors or not query.strip():
                return []
            cosines = np.stack(list(self._vectors.values())) @ self._embedder.embed([query])[0]  # (N,)
            return self._shelf.rank(query, dict(zip(self._vectors, cosines.tolist(), strict=True)), k)

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        with self._lock:
            chosen = self._shelf.chosen(ids, source)
            for id in chosen:
                self._shelf.drop(id)
                del self._vectors[id]
        return len(chosen)

    def count(self) -> int:
        """Return the number of texts kept."""
        return len(self._shelf.entries)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._shelf, self._vectors = Shelf(), {}
