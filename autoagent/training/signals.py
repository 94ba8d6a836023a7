"""Ending a long computation cleanly when the system or the user asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signal(*, enabled: bool) -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, to be looked at between steps; a second signal acts as ever.

    Outside the main thread, where Python allows no handlers, and when not enabled, nothing sets it.
    """
    stopped = threading.Event()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in signals}

    def stop(*_: object) -> None:
        stopped.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in signals:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
