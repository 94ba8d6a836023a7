"""``autoagent finetune``: learn from verified runs; what was learned is used if the gate finds it better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.evals import find_suite
from autoagent.cli.exits import Exit
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.names import named
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, bar, seconds
from autoagent.cli.streams import json_line, only_results
from autoagent.config import Settings
from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.config import Limits
    from autoagent.training.finetune import FinetuneConfig, FinetuneResult
    from autoagent.training.sft import FinetuneProgress

Config = TypeVar("Config", bound=Settings)
RUNS: dict[str, Any] = {"rich_help_panel": "Which runs"}
TRAINING: dict[str, Any] = {"rich_help_panel": "Training"}
GATE: dict[str, Any] = {"rich_help_panel": "Gate"}


class Method(StrEnum):
    """How it is learned."""

    SFT = "sft"
    DPO = "dpo"
    KTO = "kto"


class Trainer(StrEnum):
    """Who trains."""

    OWN = "own"
    TRL = "trl"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What the commands that train share: how it is learned, and how it is measured."""

    method: Annotated[
        Method, Option(help="sft: do like verified runs; dpo, kto: and unlike refuted ones.", **TRAINING)
    ] = Method.SFT
    weights: Annotated[
        str | None, Option(metavar="full|last:N|lora|qlora", help="Which weights are trained.", **TRAINING)
    ] = None
    rank: Annotated[int | None, Option(min=1, help="Rank of the adapters of lora.", **TRAINING)] = None
    epochs: Annotated[int | None, Option(min=1, help="Passes over the verified runs.", **TRAINING)] = None
    lr: Annotated[float | None, Option(min=1e-9, help="Peak learning rate.", **TRAINING)] = None
    weight_decay: Annotated[float | None, Option(min=0, help="Pull of the weights to 0.", **TRAINING)] = None
    dropout: Annotated[float | None, Option(min=0, max=0.9, help="Share dropped.", **TRAINING)] = None
    patience: Annotated[
        int | None,
        Option(min=0, help="Stop after so many measurements without a better loss.", **TRAINING),
    ] = None
    replay: Annotated[
        float | None, Option(min=0, max=0.95, help="Share of tokens from earlier training.", **TRAINING)
    ] = None
    seed: Annotated[int | None, Option(min=0, help="Seed of all that is drawn.", **TRAINING)] = None
    gate_tasks: Annotated[int | None, Option(min=1, help="At most so many goals are compared.", **GATE)] = (
        None
    )

    def training(self, limits: Limits) -> dict[str, Any]:
        """The settings of a training by name; ``limits`` are the budgets of each run of the gate."""
        adapter = given(what=self.weights, rank=self.rank, dropout=self.dropout)
        learning = given(weight_decay=self.weight_decay, patience=self.patience)
        own = given(epochs=self.epochs, learning_rate=self.lr, seed=self.seed, replay=self.replay)
        return {
            **own,
            "learning": {"method": self.method.value, "adapter": adapter, **learning},
            "gate": {"limits": limits, **given(tasks=self.gate_tasks)},
        }


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions):
    """What ``autoagent finetune`` is told. None: the default of the training."""

    suite: Annotated[
        str,
        Option(metavar="builtin|smoke|FILE.toml", help="Held-out goals to compare old and new on.", **GATE),
    ] = "builtin"
    base: Annotated[
        str | None, Option(metavar="MODEL", help="What to start from; by default the version in use.")
    ] = None
    runs: Annotated[
        list[str], Option("--runs", metavar="RUN", help="Only these runs. Repeatable.", **RUNS)
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
    output_format: Annotated[ReportFormat, Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    )

    def config(self, limits: Limits) -> FinetuneConfig:
        """The settings of the training; ``limits`` are the budgets of each run of the gate.

        Raises:
            UsageError: one of them cannot be.
        """
        from autoagent.training.finetune import FinetuneConfig

        selection = given(since=self.since, until=self.until)
        selection |= {"runs": self.runs, "tags": self.tag, "models": self.made_by, "suite": self.from_suite}
        own = {"note": self.note, "launch": self.launch, "outside": self.data, "selection": selection}
        training = self.training(limits)
        training["learning"]["trainer"] = self.trainer.value
        return checked(FinetuneConfig, {**training, **own})


def given(**values: Any) -> dict[str, Any]:
    """Those that were given."""
    return {key: value for key, value in values.items() if value is not None}


def checked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Settings made of what was given.

    Raises:
        UsageError: a value cannot be; one line says which.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as problem:
        wrong = problem.errors()[0]
        raise UsageError(f"{wrong['input']}: {wrong['msg'].removeprefix('Value error, ')}") from None


@takes(FinetuneOptions)
def finetune(ctx: typer.Context, options: FinetuneOptions) -> None:
    """Learn from the verified runs, and use what was learned if it is measurably better.

    Ended while it trains, by Ctrl-C or kill -9, the same command goes on with it.
    """
    from autoagent.nano import earlier
    from autoagent.training.finetune import finetune as learn

    parts = parts_of(ctx)
    suite, config = find_suite(options.suite), options.config(parts.limits)
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
        _print(result, console.out())
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
        screen.busy(before + progress_line(progress))


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
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    return " · ".join([*parts, f"{seconds(progress.seconds_left)} left"])


def _print(result: FinetuneResult, screen: Console) -> None:
    from autoagent.training.gate_report import tables

    losses, held = result.trained.train_loss, result.trained.validation_loss
    screen.print(f"{result.version} learned from {result.sheet.summary()}", soft_wrap=True)
    solved = result.sheet.solved
    for warning in [*result.sheet.warnings, *([solved.sentence()] if solved.teaches is False else [])]:
        screen.print(Text(console.clean(f"note: {warning}"), style="yellow"), soft_wrap=True)
    line = f"loss {losses.before:.3f} → {losses.after:.3f}"
    line += f", on goals held out {held.before:.3f} → {held.after:.3f}" if held else ""
    steps = f"{result.trained.steps} steps in {seconds(result.trained.seconds)}"
    if result.trained.stopped_early:
        steps += f", stopped early, best at step {result.trained.best_step}"
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
