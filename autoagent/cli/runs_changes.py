"""``autoagent runs diff``, ``undo`` and ``redo``: what a run changed in its workspace, and taking it back."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.parts import parts_of
from autoagent.cli.runs_args import Json, Run, Yes, agreed
from autoagent.cli.streams import json_line
from autoagent.store import Store
from autoagent.store.changes import FileChange, changes, run_span
from autoagent.store.undo import Reversal, plan_redo, plan_undo

_STYLES = {"+": "green", "-": "red", "@": "cyan", "\\": "dim"}
_WIDEST = 40  # columns of the bars of --stat
Force = Annotated[bool, typer.Option("--force", help="Overwrite what was changed since the run.")]


def diff(
    ctx: typer.Context,
    run: Run = "last",
    span: Annotated[
        str, typer.Argument(metavar="[STEP|STEP:STEP]", help="What one step changed, or several.")
    ] = "",
    stat: Annotated[
        bool, typer.Option("--stat", help="Only the files, with lines added and removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a run changed in its workspace."""
    store = Store(parts_of(ctx).home)
    found = changes(store.snapshots, *run_span(store, run, span))
    if as_json:
        print(json_line([vars(change) for change in found]))
    elif not found:
        console.err().print("Nothing was changed.")
    elif stat:
        _print_stat(found)
    else:
        for change in found:
            _print_change(change)


def _print_change(change: FileChange) -> None:
    out = console.out()
    head = f"{change.kind} {change.path}" + (f" ({change.note})" if change.note else "")
    if not out.is_terminal:  # as it is, so that `patch` takes it
        print("\n".join([f"# {head}", *change.lines]))
        return
    out.print(Text(console.clean(head), style="bold"), soft_wrap=True)
    for line in change.lines[2:]:
        out.print(Text(console.clean(line), style=_STYLES.get(line[:1], "")), soft_wrap=True)
    out.print()


def _print_stat(found: list[FileChange]) -> None:
    out = console.out()
    width = max(len(console.clean(change.path)) for change in found)
    most = max([change.added + change.removed for change in found] + [_WIDEST])
    for change in found:
        line = Text(f"{console.clean(change.path):<{width}}  ")
        line.append(f"{change.kind:<8}", style="dim")
        if change.lines:
            line.append(f"{change.added + change.removed:>5} ")
            line.append("+" * -(-change.added * _WIDEST // most), style="green")
            line.append("-" * -(-change.removed * _WIDEST // most), style="red")
        line.append(f"  {change.note}" if change.note else "", style="dim")
        line.rstrip()
        out.print(line, soft_wrap=True)
    added, removed = (sum(getattr(change, each) for change in found) for each in ("added", "removed"))
    files = f"{len(found)} file{'' if len(found) == 1 else 's'}"
    out.print(
        Text(f"{files}, {added} line{'' if added == 1 else 's'} added, {removed} removed", style="dim"),
        soft_wrap=True,
    )


def undo(
    ctx: typer.Context,
    run: Run = "last",
    to: Annotated[
        int, typer.Option("--to", metavar="STEP", min=0, help="Keep what was done up to this step.")
    ] = 0,
    force: Force = False,
    yes: Yes = False,
) -> None:
    """Bring the workspace back to before a run; `runs redo` takes that back.

    Only files that the run changed are touched. Without --force, nothing happens when one of them was changed
    since.
    """
    _carry_out(plan_undo(Store(parts_of(ctx).home), run, to_step=to), force=force, yes=yes, word="undone")


def redo(ctx: typer.Context, run: Run = "last", force: Force = False, yes: Yes = False) -> None:
    """Take the latest undo of a run back."""
    _carry_out(plan_redo(Store(parts_of(ctx).home), run), force=force, yes=yes, word="done again")


def _carry_out(plan: Reversal, *, force: bool, yes: bool, word: str) -> None:
    if plan.nothing:
        print(f"{plan.workspace} is like that already")
        return
    if plan.conflicts and not force:
        plan.carry_out()  # says which, and raises
    screen = console.err()
    screen.print(Text(f"In {console.clean(str(plan.workspace))}:"), soft_wrap=True)
    for path in plan.restored:
        screen.print(Text(f"  restore {console.clean(path)}{_lost(plan, path)}"), soft_wrap=True)
    for path in plan.removed:
        screen.print(Text(f"  remove  {console.clean(path)}{_lost(plan, path)}", style="red"), soft_wrap=True)
    agreed("Go on?", yes=yes)
    before = plan.carry_out(force=force)
    back = "redo" if word == "undone" else "undo"
    print(f"run {plan.run_id} is {word}; back with: autoagent runs {back} {plan.run_id}")
    screen.print(Text(f"the workspace as it was is snapshot {before[:12]}", style="dim"), soft_wrap=True)


def _lost(plan: Reversal, path: str) -> str:
    return "  (changed since)" if path in plan.conflicts else ""
