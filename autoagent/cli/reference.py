"""The reference in docs/cli.md: ``python -m autoagent.cli.reference docs/cli.md`` brings it up to date.

What stands between two marks, ``<!-- autoagent runs -->`` and ``<!-- end -->``, is made from the commands
themselves; what stands outside of them is written by hand and stays.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.core import TyperGroup

from autoagent.cli import app
from autoagent.cli.commands import COMMANDS, load

_MARKED = re.compile(r"(<!-- autoagent ?(\w*) -->\n).*?(<!-- end -->)", re.DOTALL)
_VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


def brought_up_to_date(page: str) -> str:
    """The page with all that is between marks made anew.

    Raises:
        KeyError: a mark names a command that is not there.
    """
    return _MARKED.sub(lambda found: f"{found[1]}\n{reference(found[2])}\n{found[3]}", page)


def marked(page: str) -> list[str]:
    """The commands that the page has a place for; "" stands for the options of all of them."""
    return [found[2] for found in _MARKED.finditer(page)]


def reference(name: str) -> str:
    """What a command, or each command of a group, does and takes; for "" the commands there are."""
    if not name:
        return "\n".join(_overview())
    command = load(name)
    known = {} if name == "run" else _panels(load("run"))
    return "\n".join(_of_command(command, f"autoagent {name}", known))


def _overview() -> Iterator[str]:
    yield from ["| command | |", "|---|---|"]
    for name, place in COMMANDS.items():
        yield f"| [`{name}`](#{name}) | {_in_a_cell(place.summary)} |"
    yield ""
    yield from _table(typer.main.get_command(app).params)


def _of_command(command: Any, words: str, known: dict[str, list[str]]) -> Iterator[str]:
    """Its help, its usage and its options; those that ``run`` has, too, are named there only."""
    context = typer.Context(command, info_name=words)
    yield from _paragraphs(command.help)
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            yield from [f"### {words.removeprefix('autoagent ')} {name}", ""]
            yield from _of_command(command.commands[name], f"{words} {name}", known)
        return
    yield from [f"    {words}{_usage(command)}", ""]
    shared = []
    for panel, table in _panels(command).items():
        if panel and table == known.get(panel):
            shared.append(panel)
        else:
            yield from [f"**{panel}**", "", *table] if panel else table
    if shared:
        yield from [f"The options under {'; '.join(shared)} are those of [run](#run).", ""]


def _usage(command: Any) -> str:
    """What may follow the command's name."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " [OPTIONS]" if len(arguments) < len(command.params) else ""
    for each in arguments:
        name = _spelling(each) if each.required else f"[{_spelling(each)}]"
        usage += f" {name}{'…' if each.nargs < 0 else ''}"
    return usage


def _panels(command: Any) -> dict[str, list[str]]:
    """Tables of arguments and options by their panel in ``--help``; those of no panel first, under ""."""
    found: dict[str, list[Any]] = {"": []}
    for each in command.params:
        panel = getattr(each, "rich_help_panel", None)
        found.setdefault(panel if isinstance(panel, str) else "", []).append(each)
    return {panel: list(_table(parameters)) for panel, parameters in found.items()}


def _table(parameters: list[Any]) -> Iterator[str]:
    rows = [_row(each) for each in parameters if not getattr(each, "hidden", False)]
    if rows:
        yield from ["| option | meaning |", "|---|---|", *rows, ""]


def _row(parameter: Any) -> str:
    meaning = _in_a_cell(parameter.help or "")
    if default := _default(parameter):
        meaning = f"{meaning} By default `{default}`."
    if parameter.envvar:
        meaning = f"{meaning} Or `{parameter.envvar}`."
    return f"| `{_in_a_cell(_spelling(parameter))}` | {meaning} |"


def _spelling(parameter: Any) -> str:
    """``-w, --workspace DIR``, ``--files / --no-files``, or what stands for an argument."""
    if parameter.param_type_name == "argument":
        named = parameter.metavar or _value(parameter)
        return str(parameter.name.upper() if named in _VALUES.values() else named).strip("[].…")
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        names = f"{names} / {', '.join(parameter.secondary_opts)}"
    return names if parameter.is_flag else f"{names} {_value(parameter)}"


def _value(parameter: Any) -> str:
    """What stands for the value of an option."""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return "|".join(str(each.value) for each in kind)
    return _VALUES.get(kind, "VALUE")


def _default(parameter: Any) -> str:
    """A default that says something by itself."""
    value = parameter.default
    if isinstance(value, Enum):
        return str(value.value)
    return str(value) if isinstance(value, (str, int, float, Path)) and not isinstance(value, bool) else ""


def _paragraphs(text: str | None) -> Iterator[str]:
    """The docstring, each paragraph on one line, without what is for developers (``Raises:``)."""
    told = re.split(r"\n\s*(?:Args|Raises|Returns):\n", inspect.cleandoc(text or ""))[0]
    for paragraph in told.split("\n\n"):
        if paragraph.strip():
            yield from [" ".join(paragraph.split()), ""]


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(file: str = "docs/cli.md") -> None:
    """Bring a page up to date, in place."""
    page = Path(file)
    page.write_text(brought_up_to_date(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
