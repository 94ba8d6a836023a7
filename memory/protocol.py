"""What a long-term memory promises, whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from autoagent.errors import StoreError


class MemoryLocked(StoreError):
    """Another process holds this memory; the run may go on without it and should say so."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """One remembered text that fits a query.

    ``score`` is the fused rank, 0..1: 1 means first both by characters and by words. It orders the texts of
    one recall; it is not a probability and does not compare across queries.
    """

    text: str
    kind: str
    source: str
    score: float
    id: str


class Memory(Protocol):
    """Texts that outlive a run, found again by what they say. Safe to share between threads."""

    def add(self, text: str, kind: str = "semantic", source: str = "") -> str:
        """Remember ``text`` and return its id; the same text, kind and source are stored once.

        ``kind`` is ``semantic`` (facts, documents), ``episodic`` (runs) or ``procedural`` (verified plans).

        Raises:
            ValueError: the text is empty.
        """
        ...

    def recall(self, query: str, k: int = 3) -> list[Recalled]:
        """Return up to ``k`` texts that share a word or three letters with ``query``, best first.

        Raises:
            ValueError: ``k`` is below 1.
        """
        ...

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove these entries, and all from ``source`` if one is given; return how many there were."""
        ...

    def count(self) -> int:
        """Return the number of texts kept."""
        ...

    def close(self) -> None:
        """Release files and locks; closing twice is harmless."""
        ...
