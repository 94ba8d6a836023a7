"""``autoagent evolve SUITE --after N`` and ``--every TIME``: train again as the user's own runs come in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite
from autoagent.cli.evolve import EvolveOptions, show, write
from autoagent.cli.exits import Exit
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.options import ReportFormat
from autoagent.cli.parts import Parts
from autoagent.cli.screen import Screen
from autoagent.cli.streams import Put, json_line, only_results
from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.training.evolve import Round
    from autoagent.training.watch import Look


def keep_watch(parts: Parts, options: EvolveOptions) -> None:
    """Look, train where that is due, say so, and wait; until Ctrl-C, or with ``--once`` a single time.

    Raises:
        typer.Exit: with ``--once``; refused by the gate is 3, all else that was done is 0.
        UsageError: something cannot be as it is wanted; with ``--once`` also that nothing could be trained.
    """
    from autoagent.nano import earlier
    from autoagent.training.watch import watch

    config, found = options.watching(parts.limits), find_suite(options.suite)
    suite = found(config.tuning.gate.seed) if callable(found) else found
    as_text = options.output_format is ReportFormat.TEXT
    with only_results(not as_text) as put, Screen(console.err()) as screen:
        told = _Told(parts, options, suite.name, screen, put)
        looks = watch(
            parts.home,
            suite,
            config,
            earlier=earlier,
            on_progress=lambda number, at: show(number, at, screen),
        )
        try:
            if not options.once:
                line = f"waiting for {config.sentence()}; Ctrl-C ends it"
                console.err().print(line, style="dim", soft_wrap=True)
            for look in looks:
                told.take(look)
                if options.once:
                    raise typer.Exit(told.code(look))
        except KeyboardInterrupt:
            screen.pause()
            console.err().print("stopped; the same command goes on with what was done", style="yellow")
            raise


class _Told:
    """What is said of each look; the same thing is said once."""

    def __init__(self, parts: Parts, options: EvolveOptions, suite: str, screen: Screen, put: Put) -> None:
        self.parts, self.options, self.suite, self.screen, self.put = parts, options, suite, screen, put
        self._last = ""

    def take(self, look: Look) -> None:
        """Say what a look came to: on a line that goes away while there is nothing to do."""
        if look.round is None and not self.options.once and (not look.due or look.reason == self._last):
            self._last = look.reason if look.due else ""
            self.screen.busy(look.reason)
            return
        self.screen.pause()
        self._last = look.reason
        if self.options.output_format is ReportFormat.JSON:
            self.put(json_line({"suite": self.suite, **look.model_dump(mode="json"), **self._drift(look)}))
        elif not (look.due and look.round is None and self.options.once):  # that is an error's line
            self._print(look)
        if look.round is not None:
            self._write()

    def _drift(self, look: Look) -> dict[str, Any]:
        """What has changed, where nothing was trained; a round says it by itself."""
        from autoagent.training.drift import drift

        found = None if look.round else drift(self.parts.home, self.options.selection())
        return {} if look.round else {"drift": found and found.model_dump(mode="json")}

    def _print(self, look: Look) -> None:
        screen, made = console.out(), look.round
        if made is None:
            when = "" if self.options.once else f"{_clock(time.time())}  "
            screen.print(Text(when, style="dim").append(console.clean(look.reason)), soft_wrap=True)
            return
        style = "green" if made.promoted else "yellow"
        line = Text(f"{_clock(made.ended)}  {_runs(made)}: ", style="dim")
        screen.print(line.append(console.clean(f"{made.version} {made.reason}"), style=style), soft_wrap=True)
        drifted = made.drift.sentence() if made.drift else "drift: nothing to compare with yet"
        screen.print(Text(console.clean(f"{' ' * 18}{drifted}"), style="dim"), soft_wrap=True)
        if made.promoted:
            note_a_fixed_model(self.parts)

    def _write(self) -> None:
        from autoagent.training.evolve import History

        if self.options.report is not None:
            write(self.options.report, self.suite, History(self.parts.home, self.suite).rounds())

    def code(self, look: Look) -> Exit:
        """The exit code of ``--once``.

        Raises:
            UsageError: nothing could be trained.
        """
        if look.due and look.round is None:
            raise UsageError(look.reason)
        return Exit.OK if look.round is None or look.round.promoted else Exit.REFUTED


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _runs(made: Round) -> str:
    return f"{made.new_runs} new run{'' if made.new_runs == 1 else 's'}"
