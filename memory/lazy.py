"""A memory that is opened when it is first needed, so that a run without memory neither waits nor locks."""

from __future__ import annotations

import threading
from pathlib import Path

from autoagent.memory.protocol import Memory, MemoryLocked, Recalled


class LazyMemory:
    """The memory of ``home``, opened at the first use. Implements ``Memory``.

    Every method but ``close`` raises what ``open_memory`` raises. The first use waits ``wait`` seconds for
    another process; once that was in vain, later uses try again without waiting.
    """

    def __init__(self, home: Path | str, *, wait: float = 5.0) -> None:
        self._home = home
        self._wait = wait
        self._opened: Memory | None = None
        self._guard = threading.Lock()

    def add(self, text: str, kind: str = "semantic", source: str = "") -> str:
        """Remember ``text``; see ``Memory.add``."""
        return self._memory().add(text, kind, source)

    def recall(self, query: str, k: int = 3) -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        return self._memory().recall(query, k)

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        return self._memory().forget(*ids, source=source)

    def count(self) -> int:
        """Return the number of texts kept."""
        return self._memory().count()

    def close(self) -> None:
        """Close the memory if it was opened; the next use opens it again."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _memory(self) -> Memory:
        from autoagent.memory import open_memory

        with self._guard:
            if self._opened is None:
                try:
                    self._opened = open_memory(self._home, wait=self._wait)
                except MemoryLocked:
                    self._wait = 0.0
                    raise
            return self._opened
