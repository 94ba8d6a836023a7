"""``autoagent evolve``: a suite's goals are practised on, learned from and measured, round after round.

With ``--after`` or ``--every`` it waits for the user's own runs instead (``evolve_watch``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite
from autoagent.cli.evals import need_report
from autoagent.cli.exits import Exit
from autoagent.cli.finetune import near, show_progress
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.names import named
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, seconds
from autoagent.cli.streams import json_line, only_results
from autoagent.cli.training_options import TrainingOptions, checked, given, to_find
from autoagent.errors import AutoagentError, UsageError

if TYPE_CHECKING:
    from autoagent.config import Limits
    from autoagent.training.evolve import Evolution, EvolveConfig, Round
    from autoagent.training.sampling import SampleProgress
    from autoagent.training.selection import Selection
    from autoagent.training.sft import FinetuneProgress
    from autoagent.training.watch import WatchConfig

_PRACTICE: dict[str, Any] = {"rich_help_panel": "Practice"}
_WATCH: dict[str, Any] = {"rich_help_panel": "On your own runs, instead of practice"}
_ONLY_PRACTICE = ("rounds", "minutes", "samples", "enough", "temperature", "sampling_minutes")
_ONLY_WATCH = ("once", "from_suite", "tag")


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
    rounds: Annotated[int | None, Option(min=1, help="Rounds at most; by default 3.", **_PRACTICE)] = None
    minutes: Annotated[
        float | None, Option(min=0.01, help="No round is begun after so many minutes.", **_PRACTICE)
    ] = None
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
    after: Annotated[
        int | None, Option(min=1, help="Train again after so many new verified runs.", **_WATCH)
    ] = None
    every: Annotated[
        str | None,
        Option(metavar="TIME", help="Train again after 90m, 12h, 7d, if there is a new one.", **_WATCH),
    ] = None
    once: Annotated[bool, Option("--once", help="Look once and end, for cron.", **_WATCH)] = False
    from_suite: Annotated[
        str | None, Option("--from-suite", metavar="NAME", help="Runs recorded under this suite.", **_WATCH)
    ] = None
    tag: Annotated[
        list[str], Option("--tag", metavar="NAME", help="Only runs with this tag. Repeatable.", **_WATCH)
    ] = field(default_factory=list)
    jobs: Annotated[int | None, Option("--jobs", "-j", min=1, max=256, help="Runs at a time.")] = None
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
        rounds = given(rounds=self.rounds, minutes=self.minutes, jobs=self.jobs)
        tuning = {**self.training(limits), "named_suite": to_find(self.suite)}
        return checked(EvolveConfig, {**rounds, "sampling": sampling, "tuning": tuning})

    @property
    def watches(self) -> bool:
        """Whether it is the user's own runs that are learned from."""
        return self.after is not None or self.every is not None

    def watching(self, limits: Limits) -> WatchConfig:
        """The settings of the watch; ``limits`` are the budgets of each run of the gate.

        Raises:
            UsageError: one of them cannot be.
        """
        from autoagent.training.watch import WatchConfig

        tuning = {**self.training(limits), "selection": self.selection(), "jobs": self.jobs}
        tuning["named_suite"] = to_find(self.suite)
        return checked(WatchConfig, {"after": self.after, "every": self.every, "tuning": tuning})

    def selection(self) -> Selection:
        """Which of the user's runs are learned from."""
        from autoagent.training.selection import Selection

        return Selection(tags=tuple(self.tag), suite=self.from_suite or "")

    def need_one_way(self) -> None:
        """Refuse options of practice together with those of the user's own runs."""
        wrong = _ONLY_PRACTICE if self.watches else _ONLY_WATCH
        for name in wrong:
            if getattr(self, name) not in (None, False, []):
                flag = f"--{name.replace('_', '-')}"
                if self.watches:
                    raise UsageError(
                        f"{flag} is of practice on a suite: leave it out with --after and --every"
                    )
                raise UsageError(f"{flag} is of training on your own runs: give --after or --every, too")


@takes(EvolveOptions)
def evolve(ctx: typer.Context, options: EvolveOptions) -> None:
    """Practise, learn and measure, round after round, unattended.

    With --after or --every, wait for your own runs to be verified and learn from those, until Ctrl-C.

    What was done stays on record: ended at any moment, the same command goes on with it.
    """
    from autoagent.nano import earlier
    from autoagent.training.evolve import History
    from autoagent.training.evolve import evolve as go

    parts = parts_of(ctx)
    options.need_one_way()
    need_report(options.report)
    if options.watches:
        from autoagent.cli.evolve_watch import keep_watch

        return keep_watch(parts, options)
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
                on_progress=lambda number, at: show(number, at, screen),
            )
    finally:
        if options.report is not None and history.rounds():
            write(options.report, suite.name, history.rounds())
    if as_text:
        _print(made)
        console.out().print(Text(f"all rounds: {near(history.page)}", style="dim"), soft_wrap=True)
        note_a_fixed_model(parts)
    else:
        print(json_line(made.model_dump(mode="json")))
    raise typer.Exit(Exit.OK if made.promoted else Exit.REFUTED)


def show(number: int, at: SampleProgress | FinetuneProgress, screen: Screen) -> None:
    """``round 2: practising · 120 of at most 400 runs · 61 of 200 goals solved · 81.0 s left``."""
    from autoagent.training.sampling import SampleProgress

    if not isinstance(at, SampleProgress):
        return show_progress(at, screen, f"round {number}: ")
    parts = [f"{at.made} of at most {at.planned} runs", f"{at.solved} of {at.goals} goals solved"]
    screen.busy(" · ".join([f"round {number}: practising", *parts, f"{seconds(at.seconds_left)} left"]))


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
    why = "" if made.reason == made.rounds[-1].reason else f"{made.reason}; "
    screen.print(Text(f"{why}{made.promoted} promoted", style="bold"), soft_wrap=True)


def _cells(each: Round) -> tuple[str, ...]:
    version = f"{each.version} {'promoted' if each.promoted else 'refused'}" if each.version else "–"
    held = f"{each.before[0]} → {each.after[0]} of {each.after[1]}" if each.before and each.after else "–"
    interval = f"{each.interval[0]:+.1%} to {each.interval[1]:+.1%}" if each.interval else "–"
    practised = [f"{share:.0%}" if share is not None else "–" for share in (each.pass_at_1, each.pass_at_k)]
    shares = (*practised, f"{each.runs:,}")
    return (str(each.number), each.model, *shares, version, held, interval)


def write(file: Path, suite: str, rounds: Sequence[Round]) -> None:
    """Write the page or the JSON of all rounds.

    Raises:
        AutoagentError: it cannot be written.
    """
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
