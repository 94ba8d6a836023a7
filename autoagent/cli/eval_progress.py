"""How far an evaluation is: a bar on a terminal, elsewhere a line now and then, on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from autoagent.cli import console
from autoagent.cli.screen import seconds

if TYPE_CHECKING:
    from autoagent.evals import TaskResult

_EVERY = 15.0  # seconds between two lines


class EvalProgress:
    """Counts runs as they end.

    Args:
        label: Whose runs they are.
        total: How many there will be.
        bar: Where it is shown; none where there is no terminal.
    """

    def __init__(self, label: str, total: int, bar: Progress | None) -> None:
        self._label, self._total, self._bar = console.clean(label), total, bar
        self._done = self._passed = 0
        self._began = self._told = time.monotonic()
        self._first: float | None = None  # when the first run ended: what is before it is loading
        self._row: TaskID | None = None
        if bar is not None:
            self._row = bar.add_task(self._label, total=total, state=f"0/{total} · starting")

    def tell(self, result: TaskResult) -> None:
        """Take note of a run."""
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        self._done, self._passed = self._done + 1, self._passed + result.success
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=self._done, state=self._state(now))
        elif now - self._told >= _EVERY:
            self._told = now
            console.err().print(f"{self._label}: {self._state(now)}", soft_wrap=True)

    def _state(self, now: float) -> str:
        """``34/288 · 91 % passed · 6.1 a second · 42 s left``."""
        parts = [f"{self._done}/{self._total}", f"{self._passed / self._done:.0%} passed"]
        if self._first is not None and self._done > 1 and now > self._first:
            rate = (self._done - 1) / (now - self._first)
            parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{seconds(1 / rate)} each")
            if left := self._total - self._done:
                parts.append(f"{seconds(left / rate)} left")
        return " · ".join(parts)


@contextmanager
def shown(label: str, total: int) -> Iterator[EvalProgress]:
    """Show progress; on a terminal nothing of it is left afterwards."""
    screen = console.err()
    if not screen.is_terminal or screen.is_dumb_terminal:
        yield EvalProgress(label, total, None)
        return
    columns = (
        SpinnerColumn("line" if screen.options.ascii_only else "dots", style="dim"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}", style="dim", markup=False),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        yield EvalProgress(label, total, bar)
