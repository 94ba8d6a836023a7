"""``autoagent backup``: everything a project keeps, in one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoagent.cli import console
from autoagent.cli.exits import Exit
from autoagent.cli.names import named
from autoagent.cli.parts import parts_of


def backup(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", parser=named, help="What to write: *.tar, *.tar.gz or *.tgz.")
    ],
) -> None:
    """Write everything a project keeps into one archive, also while runs go on.

    In it are the record, snapshots, long-term memory, model versions, settings, profiles and prompts; not the
    workspaces. It holds what the runs saw, and keys that stand in config.toml: only you can read it.
    """
    from autoagent.store.backup import backup as written

    parts = parts_of(ctx)
    done = written(parts.home, file)
    size = f"{done.path.stat().st_size / 1e6:.1f} MB"
    print(f"{done.path}: {done.runs} run{'' if done.runs == 1 else 's'}, {done.files} files, {size}")
    if parts.settings.memory_url:
        note = f"note: long-term memory is on {parts.settings.memory_url} and not in the archive"
        console.err().print(note, soft_wrap=True)
    if done.problem:
        note = f"warning: the record is damaged ({done.problem}): autoagent runs check"
        console.err().print(console.clean(note), style="yellow", soft_wrap=True)
        raise typer.Exit(Exit.ERROR)
