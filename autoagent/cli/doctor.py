"""``autoagent doctor``: does everything work on this machine, and if not, what is to be done."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.exits import Exit
from autoagent.cli.parts import parts_of
from autoagent.cli.streams import json_line

if TYPE_CHECKING:
    from autoagent.cli.checkup import Finding

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """See whether everything works, and what to do where it does not.

    It takes a few seconds and changes nothing. The exit code is 1 if something does not work.
    """
    from autoagent.cli.checkup import look

    screen = console.out()
    seen: list[Finding] = []
    for finding in look(parts_of(ctx)):
        seen.append(finding)
        if not as_json:
            _print(screen, finding)
    failed = sum(finding.status == "fail" for finding in seen)
    if as_json:
        print(json_line({"ok": not failed, "findings": [dataclasses.asdict(finding) for finding in seen]}))
    raise typer.Exit(Exit.ERROR if failed else Exit.OK)


def _print(screen: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.status]
    line = Text(f"{mark} ", style=style).append(f"{finding.name:<12}", style="not bold dim default")
    screen.print(line.append(console.clean(finding.text), style="not dim default"), soft_wrap=True)
    if finding.advice:
        advice = Text(f"{'':<14}→ {console.clean(finding.advice)}", style="cyan")
        screen.print(advice, soft_wrap=True)
