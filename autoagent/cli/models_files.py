"""``autoagent models export``, ``merge`` and ``rm``: versions as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoagent.cli import complete, console
from autoagent.cli.names import named
from autoagent.cli.parts import parts_of
from autoagent.cli.runs_args import Yes, agreed
from autoagent.cli.screen import Screen
from autoagent.errors import UsageError
from autoagent.home import expanded
from autoagent.models.gguf_file import Kind
from autoagent.models.manifest import number
from autoagent.models.needs import gigabytes
from autoagent.models.versions import EMBEDDED, Versions

Name = Annotated[
    str, typer.Argument(metavar="VERSION", help="Or: embedded.", autocompletion=complete.versions)
]
Made = Annotated[str, typer.Argument(metavar="VERSION", autocompletion=complete.versions)]


def export(
    ctx: typer.Context,
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; new or empty.", parser=named)],
    gguf: Annotated[bool, typer.Option("--gguf", help="Also a GGUF file in it, for llama.cpp.")] = False,
    gguf_type: Annotated[
        Kind | None,
        typer.Option("--gguf-type", help="Numbers of that file's matrices; f16 where you do not say."),
    ] = None,
) -> None:
    """Write a version, whole and merged, to a folder that plain transformers loads."""
    from autoagent.models import export as out

    versions, target = Versions(parts_of(ctx).home), expanded(folder).absolute()
    wanted = versions.current() if name == "current" else versions.full(name)
    kind: Kind | None = (gguf_type or "f16") if gguf or gguf_type else None
    with Screen(console.err()) as screen:
        screen.busy(f"writing {wanted}")
        made = out.export(versions, wanted, target, gguf=kind)
    print(f"{wanted} is in {target}: {gigabytes(made.bytes)}")
    if kind:
        file = made.gguf or target / f"{wanted}.gguf"
        if made.gguf is None:
            with Screen(console.err()) as screen:
                screen.busy("converting")
                out.convert(target, file, why=made.why_not, kind=gguf_type)
        print(f"{file}: {gigabytes(file.stat().st_size)}")


def merge(
    ctx: typer.Context,
    name: Made,
    note: Annotated[str, typer.Option("--note", help="Kept with the new version.")] = "",
) -> None:
    """Make a whole version of an adapter, which then needs no base."""
    from autoagent.models import export as out

    versions = Versions(parts_of(ctx).home)
    name = versions.full(name)
    with Screen(console.err()) as screen:
        screen.busy(f"merging {name}")
        made = out.merge(versions, name, note=note)
    print(f"{made.name} is {name} merged into its base")
    console.err().print(f"It is not in use yet: autoagent models use {made.name}", soft_wrap=True)


def rm(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="VERSION...", autocompletion=complete.versions)],
    force: Annotated[bool, typer.Option("--force", help="Also if others descend from it.")] = False,
    yes: Yes = False,
) -> None:
    """Remove versions for good; not the one in use, and a parent of others with --force only."""
    versions = Versions(parts_of(ctx).home)
    if EMBEDDED in names:
        raise UsageError("the embedded model is part of autoagent: it cannot be removed")
    names = sorted(
        {versions.full(name) for name in names}, key=number, reverse=True
    )  # children before their parents
    for name in names:
        versions.removable(name, force=force, going=names)
    agreed(f"Remove {' and '.join(names) if len(names) < 3 else f'{len(names)} versions'} for good?", yes=yes)
    for name in names:
        print(f"removed {name}: {gigabytes(versions.remove(name, force=force))} are free again")
