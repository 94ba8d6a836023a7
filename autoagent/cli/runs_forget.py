"""``autoagent runs forget``: runs that are not learned from any more, and the versions that did."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.parts import parts_of


def forget(
    ctx: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Run ids, beginnings of them, or: last.", autocompletion=complete.runs
        ),
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Let them be learned from again.")] = False,
) -> None:
    """Never learn from runs again, and tell which versions did; the runs stay on record (rm removes them).

    Runs that were delegated by them, or branched from them, are forgotten with them. The mark stays when its
    run is removed.
    """
    from autoagent.cli.models_marks import marked_line, remedies  # late: `runs list` does without
    from autoagent.training.forget import forget_runs

    home = parts_of(ctx).home
    found = forget_runs(home, runs, undo=undo)
    what = "may be learned from again" if undo else "will not be learned from"
    for run in found.runs:
        print(f"{run} {what}")
    screen = console.err()
    for mark in found.marks:
        screen.print(Text(f"warning: {marked_line(mark)}", style="yellow"), soft_wrap=True)
        for line in remedies(mark, in_use=mark.version == found.in_use):
            screen.print(Text(f"  {line}"), soft_wrap=True)
    if not undo and (home / "memory").exists():
        source = f"run {found.runs[0]}" if len(found.runs) == 1 else "run ID"
        line = f"Long-term memory may still tell of it: autoagent memory forget --source '{source}'"
        screen.print(line, soft_wrap=True)
