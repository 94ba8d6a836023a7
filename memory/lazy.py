"""A memory that is open only while it is used, so that several processes may share one.

It is opened at the first use and closed when another process asks for it, or after a second without use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.memory import pending
from autoagent.memory.lock import MemoryLock
from autoagent.memory.protocol import Chunk, Entry, Memory, MemoryLocked, Recalled

if TYPE_CHECKING:
    from autoagent.memory.chroma import ChromaMemory
    from autoagent.memory.embedder import Embedder

IDLE = 1.0  # seconds without use after which it is closed
TURN = 0.25  # seconds one process may go on using it while another waits
_LOOK = 0.05  # seconds between two looks whether another process waits
_AGAIN = 0.1  # of the wait, after one that was in vain


class LazyMemory:
    """The memory of ``home``, opened when it is used. Implements ``Memory``.

    Looking into a memory that was never written to makes nothing. A use waits ``wait`` seconds for another
    process, a tenth of that after a wait that was in vain. What cannot be added even then is put aside, and
    is in the memory as soon as anybody opens it; every other method but ``close`` raises what ``open_memory``
    raises.
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
        self._wait, self._in_vain, self._gave_way = wait, False, False
        self._opened: ChromaMemory | None = None
        self._users = 0
        self._since = self._left = 0.0  # when it was opened, and last used
        self._guard = threading.Lock()
        self._closed = threading.Event()

    def add(self, text: str, kind: str = "semantic", source: str = "", *, key: str = "") -> str:
        """Remember ``text``; see ``Memory.add``. While others hold the memory, it is put aside for it."""
        try:
            with self._memory() as memory:
                return memory.add(text, kind, source, key=key)
        except MemoryLocked:
            return pending.put_aside(self._home / "memory", text, kind, source, key)

    def replace(self, source: str, chunks: Sequence[Chunk]) -> tuple[int, int]:
        """Make ``chunks`` all that is kept of a document; see ``Memory.replace``."""
        with self._memory() as memory:
            return memory.replace(source, chunks)

    def recall(self, query: str, k: int = 3, kind: str = "") -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        with self._for_reading() as memory:
            return memory.recall(query, k, kind)

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        with self._for_reading() as memory:
            return memory.forget(*ids, source=source)

    def entries(self, kind: str = "", source: str = "", most: int | None = None) -> list[Entry]:
        """Return what is kept, newest first; see ``Memory.entries``."""
        with self._for_reading() as memory:
            return memory.entries(kind, source, most)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many texts are kept by (kind, source)."""
        with self._for_reading() as memory:
            return memory.counts()

    def count(self) -> int:
        """Return the number of texts kept."""
        with self._for_reading() as memory:
            return memory.count()

    def close(self) -> None:
        """Close the memory if it is open; the next use opens it again."""
        with self._guard:
            self._close()

    @contextmanager
    def _for_reading(self) -> Iterator[Memory]:
        """The memory, or an empty one where nothing was ever written."""
        from autoagent.memory import exists

        if self._opened is None and not self._url and not exists(self._home):
            from autoagent.memory.volatile import VolatileMemory

            yield VolatileMemory()
            return
        with self._memory() as memory:
            yield memory

    @contextmanager
    def _memory(self) -> Iterator[ChromaMemory]:
        """The memory, open for as long as the block lasts, and no longer than the others can wait."""
        with self._guard:
            memory = self._opened or self._open()
            self._users += 1
        try:
            yield memory
        finally:
            with self._guard:
                self._users -= 1
                self._left = time.monotonic()
                mine = self._opened is memory and not self._users
                if mine and memory.wanted and self._left - self._since > TURN:
                    self._close()

    def _open(self) -> ChromaMemory:
        from autoagent.memory import open_memory

        if self._gave_way:
            self._after_others()
        wait = self._wait * (_AGAIN if self._in_vain else 1)
        try:
            self._opened = open_memory(self._home, url=self._url, embedder=self._embedder, wait=wait)
        except MemoryLocked:
            self._in_vain = True
            raise
        self._in_vain = False
        self._since = self._left = time.monotonic()
        if not self._url:
            self._closed = threading.Event()
            threading.Thread(target=self._let_go, args=(self._opened, self._closed), name="memory").start()
        return self._opened

    def _after_others(self) -> None:
        """Let one who waits go first; their mark is gone when they have it, or waits no longer."""
        others, until = MemoryLock(self._home / "memory"), time.monotonic() + TURN
        while others.wanted and time.monotonic() < until:
            time.sleep(_LOOK / 10)
        self._gave_way = False

    def _let_go(self, memory: ChromaMemory, closed: threading.Event) -> None:
        """Close it when it is not used and somebody waits, nobody has used it for a while, or all is over."""
        while not closed.wait(_LOOK):
            over = not threading.main_thread().is_alive()  # the program ends, and waits for this thread
            with self._guard:
                idle = time.monotonic() - self._left
                enough = over or idle > IDLE or (memory.wanted and idle > _LOOK)
                if self._opened is memory and not self._users and enough:
                    with suppress(Exception):  # nobody is there to be told; the next use opens it anew
                        self._close()

    def _close(self) -> None:
        """Let others in."""
        if self._opened is not None:
            memory, self._opened = self._opened, None
            self._gave_way = memory.wanted
            self._closed.set()
            memory.close()
