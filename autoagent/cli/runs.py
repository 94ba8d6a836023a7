"""``autoagent runs``: see, compare, undo, export, remove and rate what was recorded."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console, runs_changes, runs_files, runs_forget, runs_upkeep
from autoagent.cli.commands import PartlyLoaded, Place
from autoagent.cli.model_names import ModelNames
from autoagent.cli.parts import parts_of
from autoagent.cli.runs_args import EndedWith, Json, Model, Run, Suite, Tags, Verdict, known_ending
from autoagent.cli.screen import Screen, replay, seconds
from autoagent.cli.streams import json_line
from autoagent.errors import UsageError
from autoagent.store import RunSummary, Store
from autoagent.store.conversation import before
from autoagent.trajectory import Message, Trajectory


class Runs(PartlyLoaded):
    """The group; ``correct`` brings tools, memory and the sandbox in."""

    heavy = (
        "correct",
        Place(
            "runs_correct",
            "correct",
            "Put the right action in place of a wrong one, and keep how the run goes on to learn from.",
        ),
    )
    after = "rate"


app = typer.Typer(cls=Runs, help="See, compare, undo, export and rate recorded runs.", no_args_is_help=True)

_MARKS = {"verified": ("✓", "green"), "refuted": ("✗", "red"), "unverified": ("·", "dim")}
_STATES = {"finished": "", "running": "cyan"}
_ROLES = {"system": "magenta", "user": "blue", "assistant": "green", "tool": "yellow"}


class Rating(StrEnum):
    """What a user may say of a run."""

    GOOD = "good"
    BAD = "bad"


@app.command("list")
def list_runs(
    ctx: typer.Context,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, newest first.")] = 20,
    ending: EndedWith = None,
    verdict: Verdict = None,
    suite: Suite = None,
    model: Model = None,
    tag: Tags = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    wanted = {"ending": known_ending(ending), "verdict": verdict, "suite": suite, "model": model}
    found = Store(parts_of(ctx).home).runs(limit=number, tags=tag, **wanted)
    if as_json:
        print(json_line([run.model_dump() | {"state": run.state} for run in found]))
        return
    if not found:
        filtered = bool(tag) or any(value is not None for value in wanted.values())
        none = "No run fits." if filtered else 'No runs yet. Start one: autoagent run "…"'
        console.err().print(none, soft_wrap=True)
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
    line.append(f"{run.state:<13} ", style=_STATES.get(run.state, "yellow"))
    return line.append(console.clean(" ".join(run.goal.split())))


@app.command()
def show(
    ctx: typer.Context,
    run: Run = "last",
    messages: Annotated[
        bool, typer.Option("--messages", help="Show the conversation, word for word.")
    ] = False,
    prompt: Annotated[
        int | None, typer.Option("--prompt", metavar="STEP", min=0, help="Show what the model saw in a step.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a run: goal, plan, steps, answer, verdict."""
    store = Store(parts_of(ctx).home)
    trajectory = store.load(run)
    if prompt is not None:
        _print_messages(_prompt(store, trajectory, prompt), as_json)
    elif messages:
        _print_messages(store.messages(trajectory.run_id, whole=True), as_json)
    elif as_json:
        print(json_line(trajectory.model_dump(mode="json")))
    else:
        _print_run(trajectory, store.find(trajectory.run_id), ModelNames(parts_of(ctx).home))


def _prompt(store: Store, run: Trajectory, step: int) -> list[Message]:
    if step >= len(run.steps):
        last = f"its last is step {len(run.steps) - 1}" if run.steps else "it has none"
        raise UsageError(f"run {run.run_id} has no step {step}: {last}")
    return before(store.said(run.run_id), run.steps, step)


def _print_run(run: Trajectory, summary: RunSummary, names: ModelNames) -> None:
    out = console.out()
    screen = Screen(out, named=names)
    for event in replay(run):
        screen.show(event)
        screen.pause()
    if summary.running:
        screen.note("a process is working on it now")
    elif run.ending is None and not run.parent:
        screen.note(f"its process died; go on with it: autoagent run --resume {run.run_id}")
    if summary.forgotten:
        screen.note("forgotten: it is not learned from")
    if run.parent:
        what = "branched from" if "branched_at" in run.settings else "part of a larger run"
        screen.note(f"{what}: autoagent runs show {run.parent}")
    if run.error:
        out.print()
        out.print(console.clean(run.error.rstrip()), style="red", soft_wrap=True)


def _print_messages(messages: list[Message], as_json: bool) -> None:
    if as_json:
        print(json_line([message.for_template() for message in messages]))
        return
    out = console.out()
    for number, message in enumerate(messages):
        if number:
            out.print()
        name = f" {message.name}" if message.name else ""
        out.print(Text(f"── {message.role}{console.clean(name)}", style=f"bold {_ROLES[message.role]}"))
        if message.content:
            out.print(Text(console.clean(message.content)), soft_wrap=True)
        for call in message.calls:
            out.print(Text("→ ", style="dim").append_text(console.call_text(call.name, call.arguments)))


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


app.command()(runs_changes.diff)
app.command()(runs_changes.undo)
app.command()(runs_changes.redo)
app.command()(runs_files.export)
app.command("import")(runs_files.import_)
app.command()(runs_forget.forget)
app.command()(runs_upkeep.rm)
app.command()(runs_upkeep.check)
