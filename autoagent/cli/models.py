"""``autoagent models``: the versions of a project's model, which one is in use, and the way back."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import complete, console, models_diff, models_files, models_info
from autoagent.cli.exits import Exit
from autoagent.cli.models_marks import marked_line, marks_in, remedies
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.runs_args import Json
from autoagent.cli.streams import json_line
from autoagent.errors import ModelError
from autoagent.models.manifest import NAME
from autoagent.models.versions import EMBEDDED, Version, Versions

if TYPE_CHECKING:
    from autoagent.training.forget import Mark

app = typer.Typer(help="See model versions, choose one, go back.", no_args_is_help=True)

NOTHING = "?"  # is in use: the pointer is damaged


@app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List the versions, oldest first; an arrow points to the one in use."""
    home = parts_of(ctx).home
    versions = Versions(home)
    current, found, damaged = _in_use(versions), versions.list(), versions.damaged()
    marks = marks_in(home)
    if as_json:
        in_use = None if current == NOTHING else current
        shown = [_as_data(versions, version, marks) for version in found]
        print(json_line({"current": in_use, "versions": shown, "damaged": damaged}))
        return
    screen = console.out()
    screen.print(_line(EMBEDDED, current, "shipped with autoagent"), soft_wrap=True)
    known = {version.name for version in found}
    for version in found:
        marked = version.name in marks
        line = _line(version.name, current, _about(version, known | damaged.keys()), marked=marked)
        screen.print(line, soft_wrap=True)
    for name, problem in damaged.items():
        screen.print(_line(name, current, f"damaged: {problem}"), soft_wrap=True)
    if current not in (EMBEDDED, *damaged, *known):
        advice = "choose one with `autoagent models use`"
        console.err().print(f"No version is in use that is there ({current}): {advice}", soft_wrap=True)
    for mark in marks.values():
        tell_mark(mark, in_use=mark.version == current)


def tell_mark(mark: Mark, *, in_use: bool) -> None:
    """Say that a version has learned from forgotten runs, and what to do about it."""
    screen = console.err()
    screen.print(Text(f"note: {marked_line(mark)}", style="yellow"), soft_wrap=True)
    for line in remedies(mark, in_use=in_use):
        screen.print(Text(f"  {line}"), soft_wrap=True)


def _as_data(versions: Versions, version: Version, marks: Mapping[str, Mark]) -> dict[str, Any]:
    mark = marks.get(version.name)
    told = {"forgotten": list(mark.runs) if mark else [], "removed_parent": False}
    if version.parent and NAME.fullmatch(version.parent):
        told["removed_parent"] = not (versions.folder / version.parent).is_dir()
    return version.model_dump() | told


def _in_use(versions: Versions) -> str:
    """What the pointer names; a question mark where it names nothing."""
    return versions.pointer() or NOTHING


def _line(name: str, current: str, about: str, *, marked: bool = False) -> Text:
    line = Text("→ " if name == current else "  ", style="green")
    line.append(f"{name:<16}", style="bold" if name == current else "not bold default")
    line.append(console.clean(about), style="not bold dim default")
    return line.append(" · learned from a forgotten run", style="not dim yellow") if marked else line


def _about(version: Version, known: Container[str]) -> str:
    parts = [time.strftime("%Y-%m-%d %H:%M", time.localtime(version.created)), version.method]
    gone = version.parent and NAME.fullmatch(version.parent) and version.parent not in known
    parts.append(f"from {version.parent}{' (removed)' if gone else ''}" if version.parent else "")
    parts.append(f"adapter for {version.base.name}" if version.base else "")
    refused = "passed the gate, but overtaken" if _overtaken(version) else "refused by the gate"
    refused = refused if version.gate else "not promoted"
    parts += ["promoted" if version.promoted else refused, _gain(version), version.note]
    return " · ".join(part for part in parts if part)


def _overtaken(version: Version) -> bool:
    """Whether another version was chosen while this one was measured, and found better."""
    return not version.promoted and bool((version.gate or {}).get("promoted"))


def _gain(version: Version) -> str:
    """What the gate measured: ``+12.0 points``."""
    comparison = (version.gate or {}).get("comparison")
    found = comparison.get("difference") if isinstance(comparison, Mapping) else None
    return f"{100 * found:+.1f} points" if isinstance(found, (int, float)) else ""


app.command()(models_info.info)


@app.command()
def use(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="VERSION", help="Or: embedded.", autocompletion=complete.versions)
    ],
) -> None:
    """Use this version from now on."""
    versions = Versions(parts_of(ctx).home)
    before, name = _in_use(versions), versions.full(name)
    versions.use(name)
    print(f"now in use: {versions.current()} (before: {before})")
    _note(parts_of(ctx), name)


@app.command()
def rollback(ctx: typer.Context) -> None:
    """Go back to the version that was in use before."""
    versions = Versions(parts_of(ctx).home)
    before = _in_use(versions)
    now = versions.rollback()
    print(f"now in use: {now} (before: {before})")
    _note(parts_of(ctx), now)


def _note(parts: Parts, name: str) -> None:
    """What should be known of the version that is in use from now on."""
    note_a_fixed_model(parts)
    chosen = None if name == EMBEDDED else Versions(parts.home).get(name)
    if chosen and not chosen.promoted and not _overtaken(chosen):
        console.err().print(f"note: {name} did not come through the gate", soft_wrap=True)
    if mark := marks_in(parts.home).get(name):
        tell_mark(mark, in_use=True)


def note_a_fixed_model(parts: Parts) -> None:
    """Settings that name a model win over the version in use: say so, or the swap seems to do nothing."""
    fixed = parts.config["model"]
    if fixed != "current":
        console.err().print(f"note: your settings name the model {fixed}; runs use that one", soft_wrap=True)


app.command()(models_diff.diff)
app.command()(models_files.export)
app.command()(models_files.merge)
app.command()(models_files.rm)


@app.command()
def verify(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="By default all of them.", autocompletion=complete.versions),
    ] = None,
) -> None:
    """Check that the files of the versions are what they were when they were made."""
    versions = Versions(parts_of(ctx).home)
    if name is not None:
        found = versions.verify(versions.full(name))
        print(f"{found.name}: unchanged, {found.hash}")
        return
    damaged = versions.damaged()
    for version in versions.list():
        try:
            print(f"{version.name}: unchanged, {versions.verify(version.name).hash}", flush=True)
        except ModelError as problem:
            damaged[version.name] = str(problem)
    for what in damaged.values():
        console.err().print(Text(f"✗ {console.clean(what)}", style="red"), soft_wrap=True)
    if damaged:
        raise typer.Exit(Exit.ERROR)
    if not versions.list():
        console.err().print("There are no versions besides the embedded model.")
