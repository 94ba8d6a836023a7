"""Showing how training goes: a line for people, curves for TensorBoard. The loss is in log.jsonl anyway."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import TextIO

from autoagent.training.boards import Board
from autoagent.training.trainer import Progress


class Display:
    """What a run shows by default: a :class:`ProgressLine` on stderr, and a :class:`Board` where it can."""

    def __init__(self, run: Path) -> None:
        self._line = ProgressLine(sys.stderr)
        self._board = Board(run / "tensorboard") if importlib.util.find_spec("tensorboard") else None
        if self._board is None:
            print("no curves for TensorBoard: pip install 'autoagent[train]'", file=sys.stderr)

    def __call__(self, progress: Progress) -> None:
        self._line(progress)
        if self._board is not None:
            self._board(progress)

    def close(self) -> None:
        self._line.close()
        if self._board is not None:
            self._board.close()


class ProgressLine:
    """One line on a terminal, rewritten twice a second; elsewhere a line every 20 seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._every = 0.5 if self._live else 20.0  # seconds
        self._shown = -self._every
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        if progress.note:
            self._stream.write(f"\r\x1b[K{progress.note}\n" if self._live else progress.note + "\n")
        if time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            self._write(progress)

    def close(self) -> None:
        """Show where it ended."""
        if self._last is not None:
            self._write(self._last)
            self._stream.write("\n" if self._live else "")

    def _write(self, progress: Progress) -> None:
        text = (
            f"step {progress.step:,}  {progress.tokens / 1e6:.2f}M tokens  loss {progress.loss:.3f}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  rate {progress.learning_rate:.2f}  "
            f"{progress.fraction:.0%}  {_clock(progress.seconds_left)} left"
        )
        self._stream.write(f"\r\x1b[K{text}" if self._live else text + "\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
