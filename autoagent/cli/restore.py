"""``autoagent restore``: a project back from an archive."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.exits import Exit
from autoagent.cli.names import named
from autoagent.cli.parts import parts_of


def restore(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", parser=named, help="What `autoagent backup` has written.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also over a project that is not empty; that is moved aside.")
    ] = False,
) -> None:
    """Bring a project back from an archive of `autoagent backup`.

    Each file is compared with its hash before anything is replaced, and the record is looked through
    afterwards. Runs must not be at work on the project meanwhile.
    """
    from autoagent.store.restore import restore as brought_back

    done = brought_back(parts_of(ctx).home, file, force=force)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(done.made))
    print(f"{done.runs} run{'' if done.runs == 1 else 's'}, {done.files} files, as of {when}")
    screen = console.err()
    if done.aside is not None:
        screen.print(Text(f"what was there before: {done.aside}"), soft_wrap=True)
    for problem in done.problems[:5]:
        screen.print(Text(f"✗ {console.clean(problem.what)}", style="red"), soft_wrap=True)
    if done.problems:
        screen.print("The archive holds a damaged record: autoagent runs check", soft_wrap=True)
        raise typer.Exit(Exit.ERROR)
