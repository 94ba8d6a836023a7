"""``autoagent finetune``: learn from verified runs; what was learned is used if the gate finds it better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.evals import find_suite
from autoagent.cli.exits import Exit
from autoagent.cli.models import note_a_fixed_model
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, seconds
from autoagent.cli.streams import json_line, only_results

if TYPE_CHECKING:
    from autoagent.config import Limits
    from autoagent.evals import FamilyReport
    from autoagent.training.finetune import FinetuneConfig, FinetuneResult
    from autoagent.training.gate import GateReport
    from autoagent.training.sft import FinetuneProgress

_STAGES = {"train": "training", "gate old": "measuring the old model", "gate new": "measuring the new model"}
_BAR = 20  # columns


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """What ``autoagent finetune`` is told. None: the default of the training."""

    suite: Annotated[
        str,
        Option(metavar="builtin|smoke|FILE.toml", help="Held-out goals to compare old and new on."),
    ] = "builtin"
    base: Annotated[
        str | None, Option(metavar="MODEL", help="What to start from; by default the version in use.")
    ] = None
    epochs: Annotated[int | None, Option(min=1, help="Passes over the verified runs.")] = None
    lr: Annotated[float | None, Option(min=1e-9, help="Peak learning rate.")] = None
    gate_tasks: Annotated[int | None, Option(min=1, help="At most so many goals are compared.")] = None
    seed: Annotated[int | None, Option(min=0, help="Seed of the order of the examples.")] = None
    note: Annotated[str, Option(help="Kept with the new version.")] = ""
    output_format: Annotated[ReportFormat, Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    )

    def config(self, limits: Limits) -> FinetuneConfig:
        """The settings of the training; ``limits`` are the budgets of each run of the gate."""
        from autoagent.training.finetune import FinetuneConfig
        from autoagent.training.gate import GateConfig

        given = {"epochs": self.epochs, "learning_rate": self.lr, "seed": self.seed, "note": self.note}
        chosen = {key: value for key, value in given.items() if value is not None}
        gate = GateConfig(limits=limits)
        if self.gate_tasks is not None:
            gate = GateConfig(limits=limits, tasks=self.gate_tasks)
        return FinetuneConfig.model_validate({**chosen, "gate": gate})


@takes(FinetuneOptions)
def finetune(ctx: typer.Context, options: FinetuneOptions) -> None:
    """Learn from the verified runs, and use what was learned if it is measurably better."""
    from autoagent.training.finetune import finetune as learn

    parts = parts_of(ctx)
    suite, config = find_suite(options.suite), options.config(parts.limits)
    as_text = options.output_format is ReportFormat.TEXT
    with only_results(not as_text), Screen(console.err()) as screen:
        screen.busy("reading the verified runs")
        result = learn(
            parts.home,
            base=options.base,
            suite=suite,
            config=config,
            on_progress=lambda progress: screen.busy(progress_line(progress)),
        )
    if as_text:
        _print(result, console.out())
        note_a_fixed_model(parts)
    else:
        print(json_line(result.model_dump(mode="json")))
    raise typer.Exit(Exit.OK if result.promoted else Exit.REFUTED)


def progress_line(progress: FinetuneProgress) -> str:
    """``training ━━━━──── 120/400 · loss 0.412 · 3,200 tokens/s · 41.0 s left``."""
    full = round(_BAR * progress.step / max(1, progress.total))
    parts = [f"{_STAGES[progress.stage]} {'━' * full}{'─' * (_BAR - full)} {progress.step}/{progress.total}"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    return " · ".join([*parts, f"{seconds(progress.seconds_left)} left"])


def _print(result: FinetuneResult, screen: Console) -> None:
    losses, held = result.trained.train_loss, result.trained.validation_loss
    screen.print(f"{result.version} learned from {result.sheet.summary()}", soft_wrap=True)
    line = f"loss {losses.before:.3f} → {losses.after:.3f}"
    line += f", on goals held out {held.before:.3f} → {held.after:.3f}" if held else ""
    screen.print(f"{line}; {result.trained.steps} steps in {seconds(result.trained.seconds)}", soft_wrap=True)
    if result.gate is not None:
        screen.print()
        screen.print(_gate_table(result.gate))
    screen.print()
    style = "green" if result.promoted else "yellow"
    screen.print(Text(console.clean(result.reason), style=style), soft_wrap=True)
    use = f"now in use: {result.version}, back with: autoagent models rollback"
    screen.print(use if result.promoted else "the model in use stays as it was", soft_wrap=True)


def _gate_table(report: GateReport) -> Table:
    table = Table(title=f"gate: {report.suite}, {report.comparison.n} held-out goals", title_justify="left")
    table.add_column("family")
    for name in ("old", "new", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, new in report.new.families.items():
        old = report.old.families[name]
        table.add_row(name, _share(old), _share(new), f"{new.success - old.success:+.0%}")
    table.add_section()
    change = f"{report.comparison.difference:+.1%}"
    table.add_row("all", _share(report.old), _share(report.new), change, style="bold")
    return table


def _share(family: FamilyReport) -> str:
    return f"{family.passed}/{family.n}"
