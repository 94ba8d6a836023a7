"""The bottom line of a chat: model, window in use, speed, and what the run at work has used of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable

from autoagent import events
from autoagent.cli.console import clean, cut
from autoagent.config import Limits
from autoagent.events import Event
from autoagent.models.fingerprint import short_version

_LONGEST_MODEL = 24  # characters
_YOLO = "yes to all"


class Gauge:
    """Reads the events of runs. ``used`` is what the latest reply left in the window, in tokens."""

    def __init__(self, model: str, window: int, named: Callable[[str], str] = short_version) -> None:
        self.named = named
        self.limits = Limits()
        self.yolo = False
        self.rate = 0.0  # tokens a second of the latest reply
        self.take(model, window)

    def take(self, model: str, window: int) -> None:
        """Another model is in use."""
        self.model, self.window = model, window
        self.forget()

    def forget(self) -> None:
        """Nothing is in the window any more."""
        self.used = self.steps = self.tokens = 0
        self._began: float | None = None

    def watch(self, event: Event) -> None:
        match event:
            case events.Started():
                self.forget()
                self.model, self.window = event.model, event.window
                self._began = time.monotonic()
            case events.ModelChanged():
                self.model, self.window = event.model, event.window or self.window
            case events.Compacted():
                self.used = event.after
            case events.Stepped(step=step) if step.kind != "compaction":
                reply = step.reply
                self.used = reply.counts.cached + reply.counts.spent
                self.tokens += reply.counts.spent
                self.steps += step.kind == "act"
                made = reply.counts.forced + reply.counts.sampled
                self.rate = made / reply.seconds if reply.seconds > 0 else 0.0
            case events.Closed():
                self._began = None

    def line(self, width: int) -> str:
        """All that fits into so many columns, the least important left out first."""
        parts = self._parts()
        for least in sorted({rank for rank, _ in parts}, reverse=True):
            line = " · ".join(text for _, text in parts)
            if len(line) <= width:
                return line
            parts = [part for part in parts if part[0] != least] or parts[:1]
        return cut(" · ".join(text for _, text in parts), max(1, width))

    def _parts(self) -> list[tuple[int, str]]:
        """What is said, each with its rank: 0 is the most important."""
        if not self.model:  # it is being loaded
            return [(0, "")]
        window = f"{self.used:,}/{self.window:,}" if self.window else f"{self.used:,}"
        parts = [
            (3, cut(clean(self.named(self.model)), _LONGEST_MODEL)),
            (1, f"window {window}"),
        ]
        if self.rate:
            parts.append((4, f"{self.rate:.0f} tokens/s"))
        if self._began is not None:
            limits = self.limits
            parts += [
                (2, f"step {self.steps}/{limits.max_steps}"),
                (5, f"{self.tokens:,}/{limits.max_tokens:,} tokens"),
                (6, f"{time.monotonic() - self._began:.0f}/{limits.timeout:.0f} s"),
            ]
        return parts + ([(0, _YOLO)] if self.yolo else [])
