"""A call that may take minutes works in a thread of its own; what it reports is passed on at once."""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
from collections.abc import Callable, Generator

from autoagent.deadline import TimeUp
from autoagent.events import Progress

_OFTEN = 0.5  # seconds between two reports of one stage; the first and the last are always passed on
_PATIENCE = 70.0  # seconds to clean up when it is ended: a training writes a checkpoint

Heard = Callable[[Progress], None]


class LongCall:
    """One such call. ``work`` is given what to report to; that raises KeyboardInterrupt once it has to end.

    What is not covered: work that never reports is not ended, only no longer waited for.
    """

    def __init__(self, work: Callable[[Heard], str]) -> None:
        self._work = work
        self._said: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()  # None: it is done
        self._ended = threading.Event()
        self._result: str | BaseException = ""
        self._stage, self._passed_on = "", -math.inf

    def events(self, seconds: float = math.inf) -> Generator[Progress, None, str]:
        """What it reports, as it works; returns its result, and raises what it raises.

        Ctrl-C, and closing this generator, end it, too.

        Raises:
            TimeUp: it took longer than ``seconds``.
        """
        until = time.monotonic() + seconds
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._carry_out,), daemon=True)
        thread.start()
        try:
            while (progress := self._next(until)) is not None:
                yield progress
        except BaseException:
            self._ended.set()
            thread.join(_PATIENCE)
            raise
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def _carry_out(self) -> None:
        try:
            self._result = self._work(self._hear)
        except BaseException as problem:  # it is raised again where the call was made
            self._result = problem
        finally:
            self._said.put(None)

    def _hear(self, progress: Progress) -> None:
        if self._ended.is_set():
            raise KeyboardInterrupt
        now, last = time.monotonic(), 0 < progress.total <= progress.done
        if progress.stage == self._stage and not last and now - self._passed_on < _OFTEN:
            return
        self._stage, self._passed_on = progress.stage, now
        self._said.put(progress)

    def _next(self, until: float) -> Progress | None:
        if until == math.inf:
            return self._said.get()
        try:
            return self._said.get(timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX))
        except queue.Empty:
            raise TimeUp from None
