"""``autoagent init``: make a folder a project, with every setting at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.names import named
from autoagent.cli.parts import parts_of
from autoagent.configfile import commented, write_whole
from autoagent.errors import UsageError
from autoagent.home import FILE, FOLDER, PROFILES, PROMPTS, ensure_home, expanded, project_home


def init(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", parser=named, help="By default the current one.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write config.toml anew; the one that is there is kept beside it.")
    ] = False,
) -> None:
    """Make a folder a project, with a config.toml to fill in.

    In .autoagent/config.toml every setting stands with its meaning and default, commented out.
    """
    home = _home(ctx, folder)
    file = ensure_home(home) / FILE
    before = project_home(home.parent.parent)
    if file.exists() and not force:
        _say("kept", file, "it was there; --force writes it anew and keeps a copy")
    else:
        if file.exists():
            _say("kept", _set_aside(file), "as it was")
        write_whole(file, commented())
        _say("made", file, "every setting, commented out")
    if home.name == FOLDER and before != home and before.is_dir():
        note = f"note: the settings and records of {before} do not count here any more"
        console.err().print(note, soft_wrap=True)
    err = console.err()
    err.print("\nWhat next:", style="dim")
    for command, about in (
        ('autoagent run -g "…"', "work on a goal here"),
        ("autoagent config set max_steps 30", f"change a setting, or edit {FILE}"),
        ("autoagent prompts eject system", f"put a prompt in your own words, in {PROMPTS}/"),
        (
            'autoagent --profile NAME run -g "…"',
            f"with the settings of {PROFILES}/NAME.toml, once there is one",
        ),
        ("autoagent doctor", "see whether everything works on this machine"),
    ):
        err.print(Text(f"  {command:<36}", style="cyan").append(f" {about}", style="dim"), soft_wrap=True)


def _home(ctx: typer.Context, folder: Path | None) -> Path:
    """DIR/.autoagent; without DIR that of --home, or else of the current folder, whatever is above it."""
    if folder is not None:
        if expanded(folder).exists() and not expanded(folder).is_dir():
            raise UsageError(f"{folder} is a file: name a folder")
        return expanded(folder).absolute() / FOLDER
    parts = parts_of(ctx)
    return parts.home if parts.chosen_home else Path.cwd() / FOLDER


def _say(what: str, file: Path, about: str) -> None:
    line = Text(f"{what}  ", style="green").append(str(file), style="not green")
    console.out().print(line.append(f"  ({about})", style="dim"), soft_wrap=True)


def _set_aside(file: Path) -> Path:
    """Rename the file to one that is free."""
    number = 1
    while (copy := file.with_name(f"{file.name}.{number}.bak")).exists():
        number += 1
    return file.rename(copy)
