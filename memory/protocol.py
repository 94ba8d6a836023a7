"""What a long-term memory promises, whoever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from autoagent.errors import StoreError

# Facts and documents; runs and their lessons; plans that were verified.
KINDS = ("semantic", "episodic", "procedural")

OUTSIDE = "(outside)"  # ends the source of what was kept by a run that had read what came from outside


class MemoryLocked(StoreError):
    """Another process holds this memory; the run may go on without it and should say so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept text.

    Attributes:
        source: Where it comes from: the path of a document, a run, ``user``; empty when nobody said.
        lines: Which lines of the source it stands in, ``"12-30"``; empty for what is no document.
        age: When it was added, in microseconds since 1970; grows with every addition, so that the newer of
            two equals comes first.
    """

    id: str
    text: str
    kind: str
    source: str
    lines: str
    age: int

    @property
    def citation(self) -> str:
        """``path:12-30`` for a part of a document, else empty."""
        return f"{self.source}:{self.lines}" if self.lines else ""

    @property
    def outside(self) -> bool:
        """Whether it was kept by a run that had read what came from outside."""
        return self.source.endswith(OUTSIDE)


@dataclass(frozen=True, slots=True)
class Recalled:
    """One remembered text that fits a query.

    Attributes:
        score: The fused rank, 0..1: 1 means first both by characters and by words. It orders the texts of one
            recall; it is not a probability and does not compare across queries.
        citation: ``path:12-30`` for a part of a document, else empty.
        alike: Whether an embedder that knows meanings is sure that query and text belong together.
    """

    text: str
    kind: str
    source: str
    score: float
    id: str
    citation: str = ""
    alike: bool = False

    @property
    def outside(self) -> bool:
        """Whether it was kept by a run that had read what came from outside: so may this."""
        return self.source.endswith(OUTSIDE)

    def cut(self, longest: int) -> Recalled:
        """The same with at most so many characters of text."""
        if len(self.text) <= longest:
            return self
        return replace(self, text=self.text[: max(0, longest - 2)].rstrip() + " …")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document: lines ``first`` to ``last``, counted from 1."""

    text: str
    first: int
    last: int


class Memory(Protocol):
    """Texts that outlive a run, found again by what they say. Safe to share between threads."""

    def add(self, text: str, kind: str = "semantic", source: str = "", *, key: str = "") -> str:
        """Remember ``text`` and return its id; the same text, kind and source are stored once.

        With a ``key``, it takes the place of what was kept under that key and kind before.

        Raises:
            ValueError: the text is empty, or there is no such kind.
        """
        ...

    def replace(self, source: str, chunks: Sequence[Chunk]) -> tuple[int, int]:
        """Make ``chunks`` all that is kept of a document; return how many were new and how many went.

        What did not change is not written again.
        """
        ...

    def recall(self, query: str, k: int = 3, kind: str = "") -> list[Recalled]:
        """Return up to ``k`` texts that share a word or three letters with ``query``, best first.

        Args:
            query: What to look for.
            k: How many at most.
            kind: Only texts of this kind; empty for all.

        Raises:
            ValueError: ``k`` is below 1, or there is no such kind.
        """
        ...

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove these entries, and all from ``source`` if one is given; return how many there were."""
        ...

    def entries(self, kind: str = "", source: str = "", most: int | None = None) -> list[Entry]:
        """Return what is kept, newest first: all, or of this kind, from this source, at most so many."""
        ...

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many texts are kept by (kind, source)."""
        ...

    def count(self) -> int:
        """Return the number of texts kept."""
        ...

    def close(self) -> None:
        """Release files and locks; closing twice is harmless."""
        ...
