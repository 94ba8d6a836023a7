"""``autoagent runs``: list, show and rate what was recorded."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen, replay, seconds
from autoagent.cli.streams import json_line
from autoagent.store import RunSummary, Store

app = typer.Typer(help="See and rate recorded runs.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run id, the beginning of one, or: last.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_MARKS = {"verified": ("✓", "green"), "refuted": ("✗", "red"), "unverified": ("·", "dim")}


class Rating(StrEnum):
    """What a user may say of a run."""

    GOOD = "good"
    BAD = "bad"


@app.command("list")
def list_runs(
    ctx: typer.Context,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    found = Store(parts_of(ctx).home).runs(limit=number)
    if as_json:
        print(json_line([run.model_dump() for run in found]))
        return
    if not found:
        console.err().print('No runs yet. Start one: autoagent run --goal "…"', soft_wrap=True)
    screen = console.out()
    for run in found:
        line = _line(run)
        if screen.is_terminal:
            line.truncate(screen.width, overflow="ellipsis")
        screen.print(line, soft_wrap=True)


def _line(run: RunSummary) -> Text:
    mark, style = _MARKS[run.verdict.status]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    line = Text(f"{run.run_id}  ")
    line.append(f"{when}  {seconds(run.seconds):>10}  ", style="dim")
    line.append(f"{mark} ", style=style)
    line.append(f"{run.state:<13} ", style="" if run.ending == "finished" else "yellow")
    return line.append(console.clean(" ".join(run.goal.split())))


@app.command()
def show(ctx: typer.Context, run: Run = "last", as_json: Json = False) -> None:
    """Show a run: goal, plan, steps, answer, verdict."""
    trajectory = Store(parts_of(ctx).home).load(run)
    if as_json:
        print(json_line(trajectory.model_dump(mode="json")))
        return
    out = console.out()
    screen = Screen(out)
    for event in replay(trajectory):
        screen.show(event)
        screen.pause()
    if trajectory.error:
        out.print()
        out.print(console.clean(trajectory.error.rstrip()), style="red", soft_wrap=True)


@app.command()
def rate(
    ctx: typer.Context,
    run: Run,
    rating: Annotated[Rating, typer.Argument(help="Whether the outcome is right.")],
    note: Annotated[str, typer.Option("--note", help="Why, in your words.")] = "",
) -> None:
    """Say whether a run's outcome is right: good runs are learned from."""
    store = Store(parts_of(ctx).home)
    found = store.find(run)
    store.rate(found.run_id, rating is Rating.GOOD, note)
    print(f"{found.run_id} is rated {rating.value}")
