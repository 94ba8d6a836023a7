"""Cut off a call that takes too long, as Ctrl-C would."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_AGAIN = 5.0  # seconds; for code that caught the first one and went on
_LONGEST = 1e8  # seconds, three years: what every system's timer can hold


class TimeUp(BaseException):
    """The time was up. No ``Exception``: code that catches everything must not go on."""


@dataclass
class Deadline:
    """When a run has to be over; shared by all that look at it. Waiting for a person does not count."""

    at: float = math.inf  # seconds of time.monotonic()

    @property
    def left(self) -> float:
        """Seconds; below 0 when it has passed."""
        return self.at - time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Move it by what the block takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.at += time.monotonic() - began


@contextmanager
def cut_off(seconds: float) -> Iterator[None]:
    """Raise TimeUp inside the block once it has taken so long.

    It works in the main thread of a process that does not use SIGALRM itself; elsewhere the block takes the
    time it takes. C code that never returns to Python is not interrupted.
    """
    usable = (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, None)
    )
    if not usable:
        yield
        return
    over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not over:
            raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 1e-3), _LONGEST), _AGAIN)
        try:
            yield
        finally:
            over = True
    finally:
        over = True  # also where it rang between the two
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
