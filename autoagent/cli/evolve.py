"""``autoagent evolve``: a suite's goals are practised on, learned from and measured, round after round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite
from autoagent.cli.evals import need_report
from autoagent.cli.exits import Exit
from autoagent.cli.finetune import TrainingOptions, checked, given, progress_line
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.names import named
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, seconds
from autoagent.cli.streams import json_line, only_results
from autoagent.errors import AutoagentError

if TYPE_CHECKING:
    from autoagent.config import Limits
    from autoagent.training.evolve import Evolution, EvolveConfig, Round
    from autoagent.training.sampling import SampleProgress
    from autoagent.training.sft import FinetuneProgress

_PRACTICE: dict[str, Any] = {"rich_help_panel": "Runs"}


@dataclass(frozen=True, kw_only=True)
class EvolveOptions(TrainingOptions):
    """What ``autoagent evolve`` is told. None: the default."""

    suite: Annotated[
        str,
        typer.Argument(
            metavar="FILE.toml|builtin|env:NAME",
            help='Goals to practise on (split = "train") and goals to measure on (any other split).',
        ),
    ]
    rounds: Annotated[int, Option(min=1, help="Rounds at most.")] = 3
    minutes: Annotated[float | None, Option(min=0.01, help="No round is begun after so many minutes.")] = None
    samples: Annotated[
        int | None, Option(min=1, max=1024, help="Runs of a goal at most, in a round.", **_PRACTICE)
    ] = None
    enough: Annotated[
        int | None, Option(min=1, help="Verified runs after which a goal is left alone.", **_PRACTICE)
    ] = None
    temperature: Annotated[
        float | None, Option(min=0.01, help="Of the runs after a goal's first, greedy one.", **_PRACTICE)
    ] = None
    sampling_minutes: Annotated[
        float | None, Option(min=0.01, help="No run of a round is begun after so many.", **_PRACTICE)
    ] = None
    jobs: Annotated[
        int | None, Option("--jobs", "-j", min=1, max=256, help="Runs at a time.", **_PRACTICE)
    ] = None
    report: Annotated[
        Path | None,
        Option("--report", metavar="FILE.html|FILE.json", parser=named, help="Write all rounds here."),
    ] = None
    output_format: Annotated[ReportFormat, Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    )

    def config(self, limits: Limits) -> EvolveConfig:
        """The settings of the rounds; ``limits`` are the budgets of each run.

        Raises:
            UsageError: one of them cannot be.
        """
        from autoagent.training.evolve import EvolveConfig

        sampling = given(samples=self.samples, enough=self.enough, temperature=self.temperature)
        sampling |= given(minutes=self.sampling_minutes, seed=self.seed, limits=limits)
        rounds = {"rounds": self.rounds, "minutes": self.minutes, "jobs": self.jobs}
        return checked(EvolveConfig, {**rounds, "sampling": sampling, "tuning": self.training(limits)})


@takes(EvolveOptions)
def evolve(ctx: typer.Context, options: EvolveOptions) -> None:
    """Practise, learn and measure, round after round, unattended.

    What was done stays on record: ended at any moment, the same command goes on with it.
    """
    from autoagent.nano import earlier
    from autoagent.training.evolve import History
    from autoagent.training.evolve import evolve as go

    parts = parts_of(ctx)
    need_report(options.report)
    found, config = find_suite(options.suite), options.config(parts.limits)
    suite = found(config.tuning.gate.seed) if callable(found) else found
    as_text = options.output_format is ReportFormat.TEXT
    history = History(parts.home, suite.name)
    try:
        with only_results(not as_text), Screen(console.err()) as screen:
            screen.busy("loading the model")
            made = go(
                parts.home,
                suite,
                config,
                earlier=earlier,
                on_progress=lambda n, at: screen.busy(_line(n, at)),
            )
    finally:
        if options.report is not None and history.rounds():
            _write(options.report, suite.name, history.rounds())
    if as_text:
        _print(made)
        note_a_fixed_model(parts)
    else:
        print(json_line(made.model_dump(mode="json")))
    raise typer.Exit(Exit.OK if made.promoted else Exit.REFUTED)


def _line(number: int, at: SampleProgress | FinetuneProgress) -> str:
    """``round 2: practising · 120 of at most 400 runs · 61 of 200 goals solved · 81.0 s left``."""
    from autoagent.training.sampling import SampleProgress

    if not isinstance(at, SampleProgress):
        return f"round {number}: {progress_line(at)}"
    parts = [f"{at.made} of at most {at.planned} runs", f"{at.solved} of {at.goals} goals solved"]
    return " · ".join([f"round {number}: practising", *parts, f"{seconds(at.seconds_left)} left"])


def _print(made: Evolution) -> None:
    screen = console.out()
    table = Table(title=Text(f"evolution on {made.suite}"), title_justify="left")
    table.add_column("round", justify="right")
    table.add_column("model")
    for name in ("pass@1", "pass@k", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("version")
    for name in ("held out", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in made.rounds:
        table.add_row(*_cells(each))
    screen.print(table)
    for each in made.rounds:
        style = "green" if each.promoted else "yellow"
        line = Text(f"round {each.number}: ", style="dim").append(console.clean(each.reason), style=style)
        screen.print(line, soft_wrap=True)
    screen.print(Text(f"{made.reason}; {made.promoted} promoted", style="bold"), soft_wrap=True)


def _cells(each: Round) -> tuple[str, ...]:
    version = f"{each.version} {'promoted' if each.promoted else 'refused'}" if each.version else "–"
    held = f"{each.before[0]} → {each.after[0]} of {each.after[1]}" if each.before and each.after else "–"
    interval = f"{each.interval[0]:+.1%} to {each.interval[1]:+.1%}" if each.interval else "–"
    shares = (f"{each.pass_at_1:.0%}", f"{each.pass_at_k:.0%}", f"{each.runs:,}")
    return (str(each.number), each.model, *shares, version, held, interval)


def _write(file: Path, suite: str, rounds: Sequence[Round]) -> None:
    from autoagent.training.evolve_page import page

    if file.suffix.lower() == ".html":
        text = page(suite, rounds)
    else:
        text = json_line({"suite": suite, "rounds": [each.model_dump(mode="json") for each in rounds]}) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise AutoagentError(f"--report {file} cannot be written: {problem.strerror}") from None
    console.err().print(console.clean(f"all rounds: {file}"), soft_wrap=True)
