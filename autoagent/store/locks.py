"""Who works on a run: one live process, told by a lock that dies with it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autoagent.errors import StoreError

_PATIENCE = 1.0  # seconds; somebody who only looks holds a lock for a moment


class RunLock:
    """The lock of one run, ``locks/RUN`` in the home; free when its holder lets go, is forgotten, or dies.

    Not covered: a home on a network file system whose locks do not reach other machines.
    """

    def __init__(self, home: Path, run_id: str) -> None:
        self.path = home / "locks" / run_id
        # Not per thread: whoever closes a run may be another thread than the one that began it.
        self._lock = FileLock(self.path, thread_local=False, fallback_to_soft=False)

    def acquire(self, patience: float = _PATIENCE) -> bool:
        """Whether it is ours now, after at most so many seconds.

        Raises:
            StoreError: the file of the lock cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=patience, poll_interval=0.02)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or str(error)
            advice = "choose another place with AUTOAGENT_HOME"
            raise StoreError(f"{self.path} cannot be locked ({why}): {advice}") from None
        return True

    def release(self) -> None:
        """Let go. The file goes first, while the lock is held: whoever waits then sees that it is gone."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._lock.release()

    @property
    def taken(self) -> bool:
        """Whether anybody holds it. Creates nothing; the file of a process that died is taken away."""
        if not self.path.exists():
            return False
        try:
            if not self.acquire(patience=0):
                return True
        except StoreError:  # not ours to write: somebody else's, or a home that can only be read
            return False
        self.release()
        return False


@contextmanager
def kept_from_sweeping(home: Path) -> Iterator[None]:
    """While this lasts, no snapshot is swept away: some are being read, or written and not referred to yet.

    Raises:
        StoreError: the file of the lock cannot be made.
    """
    lock = RunLock(home, f"r-{secrets.token_hex(6)}")  # taken like a run that is being worked on
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def at_work(home: Path) -> list[str]:
    """The runs that live processes work on now, and others that need the snapshots to stay."""
    return [path.name for path in sorted((home / "locks").glob("r*")) if RunLock(home, path.name).taken]
