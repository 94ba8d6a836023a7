"""``autoagent finetune``: learn from verified runs; what was learned is used if the gate finds it better."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite, gate_suite
from autoagent.cli.exits import Exit
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.names import by_comma, named
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, bar, seconds
from autoagent.cli.streams import json_line, only_results
from autoagent.cli.training_options import (
    GATE,
    TRAINING,
    ReplayLoss,
    TrainingOptions,
    checked,
    given,
    to_find,
)
from autoagent.errors import UsageError
from autoagent.models.versions import Versions

if TYPE_CHECKING:
    from autoagent.config import Limits
    from autoagent.training.finetune import FinetuneConfig, FinetuneResult
    from autoagent.training.sft import FinetuneProgress

RUNS: dict[str, Any] = {"rich_help_panel": "Which runs"}


class Judge(StrEnum):
    """Who said that a run is right."""

    CHECK = "check"
    USER = "user"


class Trainer(StrEnum):
    """Who trains."""

    OWN = "own"
    TRL = "trl"


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions):
    """What ``autoagent finetune`` is told. None: the default of the training."""

    suite: Annotated[
        str | None,
        Option(
            metavar="builtin|smoke|FILE.toml|env:NAME",
            help="Held-out goals to compare old and new on. By default the setting gate_suite: builtin.",
            **GATE,
        ),
    ] = None
    base: Annotated[
        str | None, Option(metavar="MODEL", help="What to start from; by default the version in use.")
    ] = None
    runs: Annotated[
        list[str], Option("--runs", metavar="RUN[,RUN]", help="Only these runs. Repeatable.", **RUNS)
    ] = field(default_factory=list)
    tag: Annotated[
        list[str], Option("--tag", metavar="NAME", help="Only runs with this tag. Repeatable.", **RUNS)
    ] = field(default_factory=list)
    since: Annotated[
        str | None, Option(metavar="TIME", help="Only runs since: 7d, 12h, or a date.", **RUNS)
    ] = None
    until: Annotated[str | None, Option(metavar="TIME", help="Only runs before.", **RUNS)] = None
    made_by: Annotated[
        list[str], Option("--made-by", metavar="MODEL", help="Only runs of this version. Repeatable.", **RUNS)
    ] = field(default_factory=list)
    from_suite: Annotated[
        str, Option("--from-suite", metavar="NAME", help="Runs recorded under this suite.", **RUNS)
    ] = ""
    judged_by: Annotated[
        Judge | None, Option(help="Only runs judged by their check, or by you. By default either.", **RUNS)
    ] = None
    train_forced: Annotated[
        bool,
        Option("--train-forced", help="Also learn the tokens that the grammar forced.", **RUNS),
    ] = False
    data: Annotated[
        list[Path],
        Option(
            "--data",
            metavar="FILE",
            parser=named,
            help="Conversations that are no runs: JSON Lines with messages, or ReAct text. Repeatable.",
            **RUNS,
        ),
    ] = field(default_factory=list)
    keep_adapter: Annotated[
        bool, Option("--keep-adapter", help="Keep what lora trained apart from the weights.", **TRAINING)
    ] = False
    trainer: Annotated[
        Trainer, Option(help="Who trains: our own trainer, or TRL's SFTTrainer (method sft).", **TRAINING)
    ] = Trainer.OWN
    launch: Annotated[
        str,
        Option(
            metavar="COMMAND",
            help="Train in several processes that this starts: 'torchrun --nproc_per_node 2'.",
            **TRAINING,
        ),
    ] = ""
    note: Annotated[str, Option(help="Kept with the new version.")] = ""
    jobs: Annotated[
        int | None, Option("--jobs", "-j", min=1, max=256, help="Runs of the gate at a time.", **GATE)
    ] = None
    output_format: Annotated[ReportFormat, Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    )

    def config(self, limits: Limits, suite: str) -> FinetuneConfig:
        """The settings of the training; ``limits`` are the budgets of each run of the gate, on that suite.

        Raises:
            UsageError: one of them cannot be.
        """
        from autoagent.training.finetune import FinetuneConfig

        selection = given(since=self.since, until=self.until, by=self.judged_by and self.judged_by.value)
        selection |= {"runs": by_comma(self.runs), "tags": self.tag, "models": self.made_by}
        selection |= {"suite": self.from_suite}
        own: dict[str, Any] = {
            "note": self.note,
            "launch": self.launch,
            "selection": selection,
            "jobs": self.jobs,
        }
        own |= {"outside": [path.absolute() for path in self.data], "named_suite": to_find(suite)}
        training = self.training(limits)
        if self.keep_adapter:
            if self.weights not in ("lora", "qlora"):
                raise UsageError("--keep-adapter is of adapters: add --weights lora")
            training["learning"]["adapter"]["merge"] = False
        training["data"]["train_forced"] = self.train_forced
        training["learning"]["trainer"] = self.trainer.value
        if self.trainer is Trainer.TRL:
            if self.replay_loss is ReplayLoss.KL:
                raise UsageError("trl: it imitates what is replayed (tokens); our own trainer can do kl, too")
            training["replay_loss"] = ReplayLoss.TOKENS.value
        return checked(FinetuneConfig, {**training, **own})


@takes(FinetuneOptions)
def finetune(ctx: typer.Context, options: FinetuneOptions) -> None:
    """Learn from the verified runs, and use what was learned if it is measurably better.

    Ended while it trains, by Ctrl-C or kill -9, the same command goes on with it.
    """
    from autoagent.nano import earlier
    from autoagent.training.finetune import finetune as learn

    parts = parts_of(ctx)
    named = options.suite or parts.settings.gate_suite
    suite = find_suite(named) if options.suite else gate_suite(named)
    config = options.config(parts.limits, named)
    as_text = options.output_format is ReportFormat.TEXT
    try:
        with only_results(not as_text), Screen(console.err()) as screen:
            screen.busy("reading the verified runs")
            result = learn(
                parts.home,
                base=options.base,
                suite=suite,
                config=config,
                earlier=earlier,
                on_progress=lambda progress: show_progress(progress, screen),
            )
    except KeyboardInterrupt:
        again = "goes on with what was done" if options.trainer is Trainer.OWN else "begins anew"
        console.err().print(f"stopped; the same command {again}", style="yellow")
        raise
    if as_text:
        _print(result, console.out(), Versions(parts.home).folder / result.version)
        note_a_fixed_model(parts)
    else:
        print(json_line(result.model_dump(mode="json")))
    raise typer.Exit(Exit.OK if result.promoted else Exit.REFUTED)


def show_progress(progress: FinetuneProgress, screen: Screen, before: str = "") -> None:
    """Show where a training stands, on a line that goes away; what is to be noted stays."""
    if progress.note:
        screen.pause()
        console.err().print(console.clean(f"note: {progress.note}"), soft_wrap=True)
    if progress.total:
        screen.working_at(before + progress.stage, before + progress_line(progress))


def progress_line(progress: FinetuneProgress) -> str:
    """``training ━━━━──── 120/400 · loss 0.412 · 3,200 tokens/s · 41.0 s left``."""
    from autoagent.training.service import STAGES

    parts = [
        f"{STAGES[progress.stage]} {bar(progress.step, progress.total)} {progress.step}/{progress.total}"
    ]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.validation_loss is not None:
        parts.append(f"held out {progress.validation_loss:.3f}")
    for name in ("reward_margin", "reward_accuracy"):  # of preferences
        if name in progress.metrics:
            parts.append(f"{name.replace('_', ' ')} {progress.metrics[name]:.2f}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    return " · ".join([*parts, f"{seconds(progress.seconds_left)} left"])


def _print(result: FinetuneResult, screen: Console, folder: Path) -> None:
    """What came of it; the version is in ``folder``."""
    from autoagent.training.gate_report import tables

    trained, sheet = result.trained, result.sheet
    screen.print(f"{result.version} learned from {sheet.summary()}", soft_wrap=True)
    if sheet.replayed:
        of = f"{sheet.replayed:,} demonstrations of its earlier training, {sheet.replayed_tokens:,} tokens"
        screen.print(f"beside {of}", soft_wrap=True)
    line = f"loss {trained.train_loss.before:.3f} → {trained.train_loss.after:.3f}"
    for where, loss in (("held out", trained.validation_loss), ("kept for a test", trained.test_loss)):
        line += f", on goals {where} {loss.before:.3f} → {loss.after:.3f}" if loss else ""
    steps = f"{trained.steps} steps in {seconds(trained.seconds)}"
    if trained.stopped_early:
        steps += f", stopped early, best at step {trained.best_step}"
    screen.print(f"{line}; {steps}", soft_wrap=True)
    if result.gate is not None:
        screen.print()
        for table in tables(result.gate):
            screen.print(table)
    screen.print()
    style = "green" if result.promoted else "yellow"
    screen.print(Text(console.clean(result.reason), style=style), soft_wrap=True)
    use = f"now in use: {result.version}, back with: autoagent models rollback"
    screen.print(use if result.promoted else "the model in use stays as it was", soft_wrap=True)
    beside = [name for name in ("gate.html", "curves.png") if (folder / name).is_file()]
    if beside:
        screen.print(Text(f"more in {near(folder)}: {', '.join(beside)}", style="dim"), soft_wrap=True)


def near(path: Path) -> Path:
    """The path as it is seen from here, where it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
