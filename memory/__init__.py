"""Long-term memory: texts kept between runs, recalled by words and by characters, all on this machine.

    memory = open_memory(home)                 # kept in <home>/memory, one process at a time
    memory.add("the wifi password is 4411")
    memory.recall("wifi pasword")[0].text      # finds it in spite of the typo

``autoagent.memory.volatile.VolatileMemory`` has the same interface and ranking and keeps nothing;
``LazyMemory`` opens the one on disk at its first use.
Importing this package is cheap: numpy and Chroma are imported when a memory is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.memory.lazy import LazyMemory
from autoagent.memory.protocol import Memory, MemoryLocked, Recalled

if TYPE_CHECKING:
    from autoagent.memory.embedder import Embedder

__all__ = ["LazyMemory", "Memory", "MemoryLocked", "Recalled", "open_memory"]


def open_memory(home: Path | str, *, wait: float = 5.0, embedder: Embedder | None = None) -> Memory:
    """Open the memory in ``<home>/memory``, making it if it is not there; nothing is ever fetched.

    Waits up to ``wait`` seconds for another process to let go of it. What another ``embedder`` wrote is
    embedded again.

    Raises:
        MemoryLocked: another process still holds it.
        StoreError: it cannot be read or written.
    """
    from autoagent.memory.chroma import ChromaMemory

    return ChromaMemory(Path(home) / "memory", wait=wait, embedder=embedder)
