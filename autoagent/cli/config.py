"""``autoagent config``: what is set, where it comes from, and changing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.complete import settings as complete_settings
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.streams import json_line
from autoagent.configfile import set_value, unset_value
from autoagent.errors import UsageError
from autoagent.home import FILE, PROFILES, ensure_home, user_folder
from autoagent.settings import (
    FIELDS,
    PREFIX,
    Config,
    find_profile,
    known_setting,
    load_settings,
    masked,
    profiles,
    value_of,
)

app = typer.Typer(help="See and change the settings.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Like max_steps.", autocompletion=complete_settings)]
ForUser = Annotated[bool, typer.Option("--user", help="In your own file, for all projects.")]


@app.command()
def show(
    ctx: typer.Context,
    as_json: Json = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not at its default.")] = False,
) -> None:
    """Show every setting: value, where it comes from, what it means. Keys are not printed."""
    loaded = parts_of(ctx).loaded
    default = Config()
    found = {
        name: {
            "value": masked(name, value_of(loaded.config, name)),
            "source": loaded.sources.get(name, "default"),
            "default": value_of(default, name),
            "description": description,
        }
        for name, description in FIELDS.items()
        if not changed or value_of(loaded.config, name) != value_of(default, name)
    }
    if as_json:
        print(json_line(found))
        return
    screen = console.out()
    width = max(map(len, found), default=0)
    for name, each in found.items():
        screen.print(_line(name.ljust(width), each), soft_wrap=True)
    if not found:
        console.err().print("Everything is at its default.")


def _line(name: str, each: dict[str, Any]) -> Text:
    is_set = each["source"] != "default"
    line = Text(f"{name}  ", style="bold cyan" if is_set else "cyan")
    line.append(console.clean(_written(each["value"])), style="not bold default")
    if is_set:
        line.append(f"  ← {console.clean(each['source'])}", style="not bold green")
    return line.append(f"  {each['description']}", style="not bold dim default")


def _written(value: Any) -> str:
    """A value as TOML would have it."""
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


@app.command()
def path(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the project's home and the settings files, the strongest last."""
    parts = parts_of(ctx)
    places = {"home": parts.home, "user": user_folder() / FILE, "project": parts.home / FILE}
    try:
        places |= parts.loaded.files
        places |= {"prompts": parts.prompts}
    except UsageError as problem:  # all the more reason to say where the files are
        console.err().print(console.clean(f"note: {problem}"), soft_wrap=True)
    if as_json:
        found = {name: {"path": str(each), "exists": each.exists()} for name, each in places.items()}
        print(json_line(found))
        return
    screen = console.out()
    for name, each in places.items():
        line = Text(f"{name:<8} ", style="dim").append(str(each), style="not dim")
        screen.print(line.append("" if each.exists() else "  (not there)", style="dim"), soft_wrap=True)


@app.command()
def get(ctx: typer.Context, key: Key, as_json: Json = False) -> None:
    """Print one value; lists one entry a line, and nothing for what is not set."""
    known_setting(key)
    value = masked(key, value_of(parts_of(ctx).settings, key))
    if as_json:
        print(json_line(value))
    elif isinstance(value, tuple):
        for each in value:
            print(each)
    elif value is not None:
        print(value if isinstance(value, str) else json.dumps(value))


@app.command("set", context_settings={"ignore_unknown_options": True})  # -3 is a value
def set_(
    ctx: typer.Context,
    key: Key,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="Several for a list.")],
    user: ForUser = False,
) -> None:
    """Change one setting in the project's config.toml; comments in it stay."""
    parts = parts_of(ctx)
    file = _file(parts, user)
    if key == "profile":
        find_profile(parts.home, " ".join(values), asked_by="config set")
    if not user:
        ensure_home(parts.home)
    value = masked(key, set_value(file, key, values))
    print(f"{key} = {_written(value)} in {file}")
    _note_what_wins(parts, key, file)


@app.command()
def unset(ctx: typer.Context, key: Key, user: ForUser = False) -> None:
    """Remove one setting from the project's config.toml: what is weaker, or the default, counts again."""
    parts = parts_of(ctx)
    file = _file(parts, user)
    if not unset_value(file, key):
        raise UsageError(f"{key} is not set in {file}; `autoagent config show --changed` says where it is")
    now = load_settings(parts.home, parts.chosen_profile)
    value = masked(key, value_of(now.config, key))
    print(f"{key} is now {_written(value)} ({now.sources.get(key, 'default')})")


def _file(parts: Parts, user: bool) -> Path:
    return user_folder() / FILE if user else parts.home / FILE


def _note_what_wins(parts: Parts, key: str, file: Path) -> None:
    """Say so when what was just set has no effect."""
    source = load_settings(parts.home, parts.chosen_profile).sources.get(key, "")
    if not key.startswith("permissions.") and source != str(file):
        console.err().print(f"note: {source} sets {key}, too, and wins", soft_wrap=True)


@app.command("profiles")
def list_profiles(ctx: typer.Context, as_json: Json = False) -> None:
    """List the profiles; an arrow points to the one in use."""
    parts = parts_of(ctx)
    found, current = profiles(parts.home), parts.settings.profile
    if as_json:
        print(json_line({"current": current, "profiles": {name: str(file) for name, file in found.items()}}))
        return
    screen = console.out()
    for name, file in found.items():
        line = Text("→ " if name == current else "  ", style="green")
        line.append(f"{name:<16}", style="bold" if name == current else "not bold default")
        screen.print(line.append(console.clean(str(file)), style="not bold dim default"), soft_wrap=True)
    if not found:
        here = parts.home / PROFILES / "NAME.toml"
        advice = f"write {here}, with the keys of config.toml; then --profile NAME or {PREFIX}PROFILE=NAME"
        console.err().print(f"There are no profiles. To make one: {advice}", soft_wrap=True)
