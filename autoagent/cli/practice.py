"""``autoagent practice``: failed runs are tried in other ways, and what is verified is kept to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite
from autoagent.cli.names import by_comma
from autoagent.cli.options import AgentOptions, Contact, Option, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, seconds
from autoagent.cli.streams import json_line, only_results
from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.training.practice import PracticeConfig, PracticeProgress, PracticeReport

_SHOWN = 10  # runs that were found


@dataclass(frozen=True, kw_only=True)
class PracticeOptions:
    """What ``autoagent practice`` is told. None: the default of the practice."""

    suite: Annotated[
        str | None,
        Option(metavar="builtin|smoke|FILE.toml|env:NAME", help="Practise on failed runs of this suite."),
    ] = None
    runs: Annotated[
        list[str], Option("--runs", metavar="RUN[,RUN]", help="Practise on these runs. Repeatable.")
    ] = field(default_factory=list)
    minutes: Annotated[float | None, Option(help="Nothing is tried after so many minutes.")] = None
    alternatives: Annotated[int | None, Option(min=1, help="Other ways tried at a step.")] = None
    temperature: Annotated[float | None, Option(help="At which they are sampled.")] = None
    seed: Annotated[int | None, Option(min=0, help="Another seed tries other ways.")] = None
    model: Annotated[str | None, Option("--model", "-m", metavar="MODEL", help="Who practises.")] = None
    tools: Annotated[
        list[Path], Option("--tools", metavar="FILE.py", help="Python file with your own tools. Repeatable.")
    ] = field(default_factory=list)
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False

    def config(self, check_timeout: float) -> PracticeConfig:
        """The settings of the practice.

        Raises:
            UsageError: one of them is impossible.
        """
        from autoagent.training.practice import PracticeConfig

        for flag, value in (("--minutes", self.minutes), ("--temperature", self.temperature)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{flag} {value:g}: give a number above 0")
        given: dict[str, Any] = {
            "minutes": self.minutes,
            "alternatives": self.alternatives,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        chosen = {key: value for key, value in given.items() if value is not None}
        return PracticeConfig.model_validate({**chosen, "check_timeout": check_timeout})


@takes(PracticeOptions)
def practice(ctx: typer.Context, options: PracticeOptions) -> None:
    """Try failed runs in other ways, in copies of their workspaces, and keep what is verified."""
    from autoagent.training.practice import Practice

    parts = parts_of(ctx)
    suite = None if options.suite is None else find_suite(options.suite)
    config = options.config(parts.config["check_timeout"])
    with only_results(options.as_json) as put, Screen(console.err()) as screen:
        screen.busy("loading the model")
        with AgentOptions(model=options.model, tools=options.tools).agent(parts, Contact()) as agent:
            work = Practice(
                agent,
                suite=suite,
                runs=by_comma(options.runs),
                config=config,
                on_progress=lambda progress: screen.busy(progress_line(progress)),
            )
            try:
                work.go()
            finally:  # what was found until Ctrl-C is not lost
                screen.pause()
                report = work.report()
                if report.found or report.runs:
                    _print(report, as_json=options.as_json, put=put)
        if not report.runs and not report.found:
            _nothing(report, options)


def progress_line(progress: PracticeProgress) -> str:
    """``r5… step 3 · 41 tried · 3 of 12 runs found a way · 81.0 s left``."""
    return " · ".join(
        [
            f"{progress.run} step {progress.step}",
            f"{progress.tried} tried",
            f"{progress.found} of {progress.runs} runs found a way",
            f"{seconds(progress.seconds_left)} left",
        ]
    )


def _nothing(report: PracticeReport, options: PracticeOptions) -> None:
    """Say why there was nothing to practise on.

    Raises:
        UsageError: always.
    """
    if report.skipped:
        left = ", ".join(f"{count} {reason}" for reason, count in report.skipped.items())
        hint = "" if options.suite else "; runs of a suite need its name, with --suite"
        raise UsageError(f"no failed run can be practised on: {left}{hint}")
    if options.suite:
        raise UsageError(
            f"no failed runs of suite {options.suite} are on record: `autoagent eval {options.suite} --keep`"
        )
    raise UsageError(
        "no failed runs to practise on: run goals with --check or --expect, or name a suite with --suite"
    )


def _print(report: PracticeReport, *, as_json: bool, put: Any) -> None:
    if as_json:
        put(json_line(report.model_dump(mode="json")))
        return
    screen = console.out()
    screen.print(Text(report.sentence), soft_wrap=True)
    for line in _lines(report):
        screen.print(line, soft_wrap=True)


def _lines(report: PracticeReport) -> Iterator[Text]:
    for found in report.found[:_SHOWN]:
        line = Text("✓ ", style="green")
        line.append(f"{found.run} instead of {found.parent} from step {found.step}  ", style="default")
        yield line.append(console.clean(console.cut(" ".join(found.goal.split()), 80)), style="dim")
    if len(report.found) > _SHOWN:
        yield Text(f"  … and {len(report.found) - _SHOWN} more: autoagent runs list --verdict verified")
    if report.found:
        yield Text("learn from them: autoagent finetune", style="dim")
