"""``autoagent prompts``: what a run says to the model, and putting words of one's own in place of it."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.complete import prompts as complete_prompts
from autoagent.cli.parts import parts_of
from autoagent.cli.streams import json_line
from autoagent.configfile import write_whole
from autoagent.errors import UsageError
from autoagent.home import ensure_home
from autoagent.prompts import NAMES, Prompts, warnings_of
from autoagent.prompts.samples import SAMPLES

app = typer.Typer(help="See what is said to the model, and put it in your own words.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As listed.", autocompletion=complete_prompts)]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="As listed.", autocompletion=complete_prompts)
]
ForModel = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="The set of another model than yours.")
]
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@app.command("list")
def list_prompts(
    ctx: typer.Context,
    model: ForModel = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the prompts and who provides each: the project, the model, or autoagent (default)."""
    found = parts_of(ctx).prompt_set(model)
    _note(found)
    if as_json:
        each = [{"name": name, "layer": found.layer(name), "file": found.where(name)} for name in NAMES]
        print(json_line(each))
        return
    width = max(map(len, NAMES))
    for name in NAMES:
        layer = found.layer(name)
        line = Text(f"{name:<{width}}  ", style="bold cyan")
        line.append(f"{layer:<9}", style="not bold green" if layer == "project" else "not bold default")
        text = " ".join(found.text(name).split())
        line.append(console.clean(console.cut(text, 70)), style="not bold dim default")
        console.out().print(line, soft_wrap=True)


@app.command()
def show(ctx: typer.Context, name: Name, model: ForModel = None) -> None:
    """Print one prompt as it stands: the template."""
    found = parts_of(ctx).prompt_set(model)
    text = found.text(name)
    console.err().print(Text(f"{found.layer(name)}: {found.where(name)}", style="dim"), soft_wrap=True)
    print(text.rstrip("\n"))


@app.command()
def render(ctx: typer.Context, names: Names = None, model: ForModel = None) -> None:
    """Print prompts as the model would read them, with example values; without a name, all of them."""
    found = parts_of(ctx).prompt_set(model)
    for name in _known(names):
        if len(names or ()) != 1:
            console.out().print(Text(f"--- {name}", style="dim"))
        print(found.render(name, **SAMPLES[name]))


@app.command()
def diff(ctx: typer.Context, names: Names = None, model: ForModel = None) -> None:
    """Compare the project's prompts with what they stand in for; without a name, all of them."""
    parts = parts_of(ctx)
    found = parts.prompt_set(model)
    wanted = [name for name in _known(names) if found.layer(name) == "project"]
    for name in wanted:
        for line in _difference(found, name):
            console.out().print(
                Text(console.clean(line), style=_STYLES.get(line[:1], "not bold default")), soft_wrap=True
            )
    if not wanted:
        what = f"none of these: {', '.join(names)}" if names else "no prompt"
        console.err().print(f"The project overrides {what}.", soft_wrap=True)
    _note(found)


@app.command()
def eject(
    ctx: typer.Context,
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every prompt.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    model: ForModel = None,
) -> None:
    """Copy prompts into the project, to change them there; delete a file to go back."""
    if bool(names) == everything:
        raise UsageError("name the prompts to copy, or use --all: `autoagent prompts list` shows them")
    parts = parts_of(ctx)
    found = parts.prompt_set(model)
    wanted = _known(None if everything else names)
    there = [name for name in wanted if found.layer(name) == "project"]
    if there and not force:
        raise UsageError(f"{found.where(there[0])} is there already: --force replaces it")
    if parts.settings.prompts is None:
        ensure_home(parts.home)
    for name in wanted:
        file = parts.prompts / f"{name}.j2"
        write_whole(file, found.beneath().text(name).rstrip("\n") + "\n")
        print(file)
    if trained := [name for name in wanted if name in found.own]:
        note = f"note: the model was trained with {', '.join(trained)} as they are: changed, it may do worse"
        console.err().print(note, soft_wrap=True)


def _note(found: Prompts) -> None:
    for line in warnings_of(found):
        console.err().print(console.clean(f"note: {line}"), soft_wrap=True)


def _known(names: list[str] | None) -> list[str]:
    for name in names or ():
        if name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)
            raise UsageError(f"there is no prompt {name!r}: did you mean {close[0]}?")
    return [*dict.fromkeys(names)] if names else [*NAMES]


def _difference(found: Prompts, name: str) -> list[str]:
    before = found.beneath()
    was = f"{name} ({before.layer(name)})"
    lines = difflib.unified_diff(
        before.text(name).rstrip("\n").splitlines(),
        found.text(name).rstrip("\n").splitlines(),
        was,
        found.where(name),
        lineterm="",
    )
    return [*lines] or [f"{found.where(name)} says the same as {was}"]
