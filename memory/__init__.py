"""Long-term memory: texts kept between runs, recalled by words and by characters, all on this machine.

    memory = open_memory(home)                 # kept in <home>/memory, one process at a time
    memory.add("the wifi password is 4411")
    memory.recall("wifi pasword")[0].text      # finds it in spite of the typo

``autoagent.memory.volatile.VolatileMemory`` has the same interface and ranking and keeps nothing;
``LazyMemory`` opens the one on disk at its first use. ``recall_block`` is what a run recalls unasked,
``remember_run`` what it leaves behind, ``autoagent.memory.documents`` reads files and folders.
Importing this package is cheap: numpy and Chroma are imported when a memory is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.memory.lazy import LazyMemory
from autoagent.memory.protocol import KINDS, OUTSIDE, Chunk, Entry, Memory, MemoryLocked, Recalled
from autoagent.memory.runs import remember_run

if TYPE_CHECKING:
    from autoagent.memory.chroma import ChromaMemory
    from autoagent.memory.embedder import Embedder

__all__ = [
    "KINDS",
    "OUTSIDE",
    "Chunk",
    "Entry",
    "LazyMemory",
    "Memory",
    "MemoryLocked",
    "Recalled",
    "exists",
    "open_memory",
    "recall_block",
    "reindex",
    "remember_run",
]


def exists(home: Path | str) -> bool:
    """Tell whether anything was ever written to the memory of ``home`` on this machine."""
    from autoagent.memory import pending

    folder = Path(home) / "memory"
    return (folder / "chroma.sqlite3").exists() or pending.count(folder) > 0


def open_memory(
    home: Path | str,
    *,
    url: str | None = None,
    embedder: Embedder | Path | str | None = None,
    wait: float = 5.0,
) -> ChromaMemory:
    """Open the memory in ``<home>/memory``, making it if it is not there; nothing is ever fetched.

    Args:
        home: The project's folder of records, memory and versions.
        url: A Chroma server (``http://host:8000``) that keeps the memory instead; several processes may use
            it at once.
        embedder: Makes the vectors: a folder of sentence-transformers, or an object; by default
            ``GramEmbedder``.
        wait: Seconds to wait for another process to let go of it, or for the server to answer.

    Raises:
        MemoryLocked: another process still holds it.
        StoreError: it cannot be read or written, the server cannot be reached, or what is kept was embedded
            by another embedder.
        UsageError: the URL or the embedder's folder cannot be used.
    """
    return _opened(home, url, embedder, wait)


def reindex(
    home: Path | str,
    *,
    url: str | None = None,
    embedder: Embedder | Path | str | None = None,
    wait: float = 5.0,
) -> tuple[int, str]:
    """Embed everything that another embedder wrote with this one.

    Returns:
        How many texts are kept, and the embedder's name.

    Raises:
        StoreError, UsageError: as ``open_memory``.
    """
    memory = _opened(home, url, embedder, wait, take_over=True)
    try:
        return memory.count(), memory.about()["embedder"]
    finally:
        memory.close()


def recall_block(memory: Memory, query: str, k: int = 3, max_chars: int = 1_600) -> list[Recalled]:
    """Return what fits ``query`` well enough to be shown unasked; see ``autoagent.memory.block``."""
    from autoagent.memory import block

    return block.recall_block(memory, query, k, max_chars)


def _opened(
    home: Path | str,
    url: str | None,
    embedder: Embedder | Path | str | None,
    wait: float,
    take_over: bool = False,
) -> ChromaMemory:
    from autoagent.memory.chroma import ChromaMemory
    from autoagent.memory.places import Folder, Server

    if isinstance(embedder, (str, Path)):
        from autoagent.memory.sentences import SentenceEmbedder

        chosen: Embedder | None = SentenceEmbedder(Path(embedder))
    else:
        chosen = embedder
    if url:
        return ChromaMemory(Server(url, wait), chosen, take_over=take_over)
    from autoagent.memory import pending

    folder = Path(home) / "memory"
    memory = ChromaMemory(Folder(folder, wait), chosen, take_over=take_over)
    try:
        pending.take_in(folder, memory)
    except BaseException:
        memory.close()
        raise
    return memory
