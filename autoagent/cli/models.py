"""``autoagent models``: the versions of a project's model, which one is in use, and the way back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.streams import json_line
from autoagent.errors import ModelError
from autoagent.models.fingerprint import fingerprint
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.prompts import prompt_hash

app = typer.Typer(help="See model versions, choose one, go back.", no_args_is_help=True)

NOTHING = "?"  # is in use: the pointer is damaged
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List the versions, oldest first; an arrow points to the one in use."""
    versions = Versions(parts_of(ctx).home)
    current, found, damaged = _in_use(versions), versions.list(), versions.damaged()
    if as_json:
        in_use = None if current == NOTHING else current
        shown = {"current": in_use, "versions": [each.model_dump() for each in found], "damaged": damaged}
        print(json_line(shown))
        return
    screen = console.out()
    screen.print(_line(EMBEDDED, current, "shipped with autoagent"), soft_wrap=True)
    for version in found:
        screen.print(_line(version.name, current, _about(version)), soft_wrap=True)
    for name, problem in damaged.items():
        screen.print(_line(name, current, f"damaged: {problem}"), soft_wrap=True)
    if current not in (EMBEDDED, *damaged, *(version.name for version in found)):
        advice = "choose one with `autoagent models use`"
        console.err().print(f"No version is in use that is there ({current}): {advice}", soft_wrap=True)


def _in_use(versions: Versions) -> str:
    """What the pointer names; a question mark where it names nothing."""
    try:
        return versions.current()
    except ModelError:
        return NOTHING


def _line(name: str, current: str, about: str) -> Text:
    line = Text("→ " if name == current else "  ", style="green")
    line.append(f"{name:<16}", style="bold" if name == current else "not bold default")
    return line.append(console.clean(about), style="not bold dim default")


def _about(version: Version) -> str:
    parts = [time.strftime("%Y-%m-%d %H:%M", time.localtime(version.created)), version.method]
    parts.append(f"from {version.parent}" if version.parent else "")
    parts += ["promoted" if version.promoted else "not promoted", version.note]
    return " · ".join(part for part in parts if part)


@app.command()
def info(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[MODEL]", help="A version or a model folder.")] = "current",
    as_json: Json = False,
) -> None:
    """Show what is known about a model: its files, lineage, data and gate."""
    facts = _facts(parts_of(ctx), name)
    if as_json:
        print(json_line(facts))
        return
    screen = console.out()
    width = max(map(len, facts))
    for key, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        line = Text(f"{key:<{width}}  ", style="dim").append(console.clean(text), style="not dim")
        screen.print(line, soft_wrap=True)


def _facts(parts: Parts, name: str) -> dict[str, Any]:
    versions = Versions(parts.home)
    wanted = versions.current() if name == "current" else name
    source = versions.resolve(wanted)
    if not isinstance(source, Path) or not (source / "config.json").is_file():
        raise ModelError(f"there is no model version or model folder {wanted!r}; see `autoagent models list`")
    facts: dict[str, Any] = {"name": wanted, "in use": wanted == _in_use(versions), "source": str(source)}
    if source.parent == versions.folder:
        facts |= versions.get(wanted).model_dump()
        facts["prompts"] += (
            "" if facts["prompts"] in ("", prompt_hash()) else f" (now in use: {prompt_hash()})"
        )
    else:
        facts["hash"] = fingerprint(source, prompts=prompt_hash())
    facts["bytes"] = sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    card = source / "README.md"
    return facts | ({"card": str(card)} if card.is_file() else {})


@app.command()
def use(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="VERSION", help="Or: embedded.")],
) -> None:
    """Use this version from now on."""
    versions = Versions(parts_of(ctx).home)
    before = _in_use(versions)
    versions.use(name)
    print(f"now in use: {versions.current()} (before: {before})")
    note_a_fixed_model(parts_of(ctx))


@app.command()
def rollback(ctx: typer.Context) -> None:
    """Go back to the version that was in use before."""
    versions = Versions(parts_of(ctx).home)
    before = _in_use(versions)
    print(f"now in use: {versions.rollback()} (before: {before})")
    note_a_fixed_model(parts_of(ctx))


def note_a_fixed_model(parts: Parts) -> None:
    """Settings that name a model win over the version in use: say so, or the swap seems to do nothing."""
    fixed = parts.config["model"]
    if fixed != "current":
        console.err().print(f"note: your settings name the model {fixed}; runs use that one", soft_wrap=True)


@app.command()
def verify(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="By default all of them.")] = None,
) -> None:
    """Check that the files of the versions are what they were when they were made."""
    versions = Versions(parts_of(ctx).home)
    names = [name] if name else [version.name for version in versions.list()]
    for each in names:
        print(f"{each}: unchanged, {versions.verify(each).hash}", flush=True)
    if not names:
        console.err().print("There are no versions besides the embedded model.")
