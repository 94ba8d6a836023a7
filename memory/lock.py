"""Who may open a memory in a folder: one at a time, for two that write to one embedded Chroma corrupt it.

Nobody keeps it for long: who waits leaves a mark, and who has it lets go soon (see ``lazy.LazyMemory``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autoagent.memory.protocol import MemoryLocked

_ASK = 0.1  # seconds after which who waits asks again
_LOOK = 0.01  # seconds between two looks at the lock


class MemoryLock:
    """The lock of a folder, which dies with the process that holds it."""

    FILES = ("lock", "wanted")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Not thread-local: the thread that closes need not be the one that opened. No soft lock: that is a
        # mere file and would outlive a killed process.
        self._lock = FileLock(folder / "lock", thread_local=False, fallback_to_soft=False)
        self._mark = folder / "wanted"

    def acquire(self, wait: float) -> None:
        """Wait up to ``wait`` seconds for whoever holds it.

        Raises:
            MemoryLocked: another process holds it still.
            OSError: the folder cannot be made.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + wait
        asked = False
        while True:
            left = max(0.0, until - time.monotonic())
            try:
                self._lock.acquire(timeout=min(_ASK, left) if asked else 0, poll_interval=_LOOK)
                break
            except Timeout:
                if asked and not left:
                    raise MemoryLocked(
                        f"Long-term memory in {self._folder} is in use by another process; "
                        "end that one first."
                    ) from None
            with suppress(OSError):
                self._mark.touch()
            asked = True
        with suppress(OSError):
            self._mark.unlink(missing_ok=True)  # others who wait leave it again

    def release(self) -> None:
        """Let others in; harmless where it is not held."""
        self._lock.release()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self._mark.exists()


@contextmanager
def held(home: Path, wait: float = 60.0) -> Iterator[None]:
    """Keep everybody out of the memory of ``home``, to copy or replace its files.

    Raises:
        MemoryLocked: another process held it all the time.
    """
    if not (home / "memory").is_dir():
        yield
        return
    lock = MemoryLock(home / "memory")
    lock.acquire(wait)
    try:
        yield
    finally:
        lock.release()
