"""The terminal while a run works: what Ctrl-C means then, and keys that are pressed meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_MARK, _PLAIN_MARK = "› ", "> "  # noqa: RUF001 - not a greater-than sign
_Handler = Callable[[int, FrameType | None], Any] | int | None
_React = Callable[[int, FrameType | None], None]


def mark(before: str = "") -> str:
    """What stands before what is typed, as far as the terminal's encoding has it."""
    try:
        _MARK.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return before + _PLAIN_MARK
    return before + _MARK


class Interrupts:
    """Ctrl-C during a run: the first time a wish to stop after the step, the second time an order.

    Attributes:
        wanted: Ctrl-C was pressed once, and nobody has answered yet.
        leaving: The terminal was closed or the process is to end: no more prompts.
        aloud: Say so at the first Ctrl-C, where nothing else on the screen does.
    """

    def __init__(self) -> None:
        self.wanted = self.leaving = self.aloud = False
        self._patient = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice, in the block, that the process is to end; what was to happen then still happens."""
        with _handlers((signal.SIGTERM, signal.SIGHUP), self._leaver):
            yield

    @contextmanager
    def stepwise(self) -> Iterator[None]:
        """Let the first Ctrl-C in the block be a wish."""
        self.wanted = False
        with _handlers((signal.SIGINT,), lambda before: self._stop), self._set(patient=True):
            yield
        self.wanted = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside :meth:`stepwise`: while something is asked, Ctrl-C is an order."""
        with self._set(patient=False):
            yield

    @contextmanager
    def _set(self, *, patient: bool) -> Iterator[None]:
        before, self._patient = self._patient, patient
        try:
            yield
        finally:
            self._patient = before

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._patient and not self.wanted:
            self.wanted = True
            if self.aloud:  # print() may be at work already
                os.write(sys.stdout.fileno(), b"\nstopping after this step; Ctrl-C again: now\n")
        else:
            raise KeyboardInterrupt

    def _leaver(self, before: _Handler) -> _React:
        def leave(number: int, frame: FrameType | None) -> None:
            self.leaving = True
            if callable(before):
                before(number, frame)
            else:
                raise KeyboardInterrupt

        return leave


@contextmanager
def _handlers(numbers: tuple[signal.Signals, ...], react: Callable[[_Handler], _React]) -> Iterator[None]:
    """Handle signals in the block; an ignored one (``nohup``) stays ignored."""
    kept: dict[signal.Signals, _Handler] = {}
    with suppress(ValueError):  # not in the main thread
        for number in numbers:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                kept[number] = before
                signal.signal(number, react(before))
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


@contextmanager
def silent_keys() -> Iterator[Callable[[], Any]]:
    """Keep keys pressed in the block from showing up between the lines of a run; the next prompt gets them.

    Yields a context manager, for a question inside the block: what is typed shows, and what was typed before
    is no answer to it.
    """
    kept = _modes()
    if kept is None:
        yield _nothing
        return
    silent = [*kept[:3], kept[3] & ~termios.ECHO, *kept[4:]]

    @contextmanager
    def heard() -> Iterator[None]:
        _set_modes(kept, drop=True)
        try:
            yield
        finally:
            _set_modes(silent)

    _set_modes(silent)
    try:
        yield heard
    finally:
        _set_modes(kept)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _modes() -> list[Any] | None:
    try:
        return termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):
        return None


def _set_modes(modes: list[Any], *, drop: bool = False) -> None:
    with suppress(termios.error, OSError, ValueError):  # the terminal is gone
        if drop:
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)
