"""A memory that is opened when it is first needed, so that a run without memory neither waits nor locks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.memory.protocol import Chunk, Entry, Memory, MemoryLocked, Recalled

if TYPE_CHECKING:
    from autoagent.memory.embedder import Embedder


class LazyMemory:
    """The memory of ``home``, opened at the first use. Implements ``Memory``.

    Looking into a memory that was never written to makes nothing. Every method but ``close`` raises what
    ``open_memory`` raises. The first use waits ``wait`` seconds for another process; once that was in vain,
    later uses try again without waiting.
    """

    def __init__(
        self,
        home: Path | str,
        *,
        url: str | None = None,
        embedder: Embedder | Path | str | None = None,
        wait: float = 5.0,
    ) -> None:
        """See ``open_memory`` for the arguments."""
        self._home, self._url, self._embedder = Path(home), url, embedder
        self._wait = wait
        self._opened: Memory | None = None
        self._guard = threading.Lock()

    def add(self, text: str, kind: str = "semantic", source: str = "") -> str:
        """Remember ``text``; see ``Memory.add``."""
        return self._memory().add(text, kind, source)

    def replace(self, source: str, chunks: Sequence[Chunk]) -> tuple[int, int]:
        """Make ``chunks`` all that is kept of a document; see ``Memory.replace``."""
        return self._memory().replace(source, chunks)

    def recall(self, query: str, k: int = 3, kind: str = "") -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        return self._for_reading().recall(query, k, kind)

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        return self._for_reading().forget(*ids, source=source)

    def entries(self, kind: str = "", source: str = "", most: int | None = None) -> list[Entry]:
        """Return what is kept, newest first; see ``Memory.entries``."""
        return self._for_reading().entries(kind, source, most)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many texts are kept by (kind, source)."""
        return self._for_reading().counts()

    def count(self) -> int:
        """Return the number of texts kept."""
        return self._for_reading().count()

    def close(self) -> None:
        """Close the memory if it was opened; the next use opens it again."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _for_reading(self) -> Memory:
        """The memory, or an empty one where nothing was ever written."""
        from autoagent.memory import exists

        if self._opened is None and not self._url and not exists(self._home):
            from autoagent.memory.volatile import VolatileMemory

            return VolatileMemory()
        return self._memory()

    def _memory(self) -> Memory:
        from autoagent.memory import open_memory

        with self._guard:
            if self._opened is None:
                try:
                    self._opened = open_memory(
                        self._home, url=self._url, embedder=self._embedder, wait=self._wait
                    )
                except MemoryLocked:
                    self._wait = 0.0
                    raise
            return self._opened
