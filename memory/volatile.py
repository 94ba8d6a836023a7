"""A throw-away memory for tests, evaluations and generated training data: same ranking, nothing on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from autoagent.memory.embedder import Embedder, Vectors
from autoagent.memory.protocol import Entry
from autoagent.memory.ranking import Shelf
from autoagent.memory.shelved import ShelvedMemory


class VolatileMemory(ShelvedMemory):
    """Keeps its texts in this process until it is closed. Implements ``Memory``."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        super().__init__(embedder)
        self._kept: dict[str, tuple[Entry, Vectors]] = {}  # id -> entry, its vector (D,)

    def close(self) -> None:
        """Forget everything."""
        with self._guard:
            self._shelf, self._kept = Shelf(), {}

    def hold(self, entries: Sequence[Entry]) -> None:
        """Keep entries of another memory as they are, ids and all."""
        with self._guard, self._using():
            self._keep([entry for entry in entries if entry.id not in self._shelf])

    def _using(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _write(self, entries: Sequence[Entry]) -> None:
        vectors = self._embedder.embed([entry.text for entry in entries])
        self._kept |= {entry.id: (entry, vector) for entry, vector in zip(entries, vectors, strict=True)}

    def _erase(self, ids: Sequence[str]) -> None:
        for id in ids:
            del self._kept[id]

    def _read(self, ids: Sequence[str]) -> Mapping[str, Entry]:
        return {id: self._kept[id][0] for id in ids}

    def _nearest(self, vectors: Vectors, most: int, kind: str) -> Mapping[str, float]:
        fitting = {id: vector for id, (entry, vector) in self._kept.items() if kind in ("", entry.kind)}
        if not fitting:
            return {}
        cosines = np.stack(list(fitting.values())) @ vectors[0]  # (N,)
        return dict(zip(fitting, cosines.tolist(), strict=True))
