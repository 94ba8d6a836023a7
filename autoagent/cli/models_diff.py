"""``autoagent models diff``: what became of a version: its line, data, settings, numbers and weights."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.parts import parts_of
from autoagent.cli.recipe import typed
from autoagent.cli.runs_args import Json
from autoagent.cli.screen import Screen
from autoagent.cli.streams import json_line
from autoagent.errors import ModelError, UsageError
from autoagent.models.adapter import hub_folder
from autoagent.models.difference import Difference, difference
from autoagent.models.lineage import lineage
from autoagent.models.versions import Versions

if TYPE_CHECKING:
    from autoagent.models.change import Change

_SHOWN = 8  # runs
_BAR = 24  # columns of the largest change


def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="VERSION", autocompletion=complete.versions)],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="[OTHER]",
            help="Compared with the first; without it, the first is compared with its parent.",
            autocompletion=complete.versions,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two versions: lineage, data, settings, the gate's numbers, and how far the weights moved."""
    versions = Versions(parts_of(ctx).home)
    a, b = versions.full(a), b and versions.full(b)
    old, new = (_parent(versions, a), a) if b is None else (a, b)
    with Screen(console.err()) as screen:
        screen.busy("comparing the weights")
        try:
            weights: tuple[Change, ...] | str = _weights(versions, old, new)
        except ModelError as problem:
            weights = str(problem)
    told = difference(versions, old, new)
    if as_json:
        shown = weights if isinstance(weights, str) else [asdict(each) for each in weights]
        print(json_line({"from": old, "to": new, **asdict(told), "weights": shown}))
        return
    out = console.out()
    for line in _lines(old, new, told, weights):
        out.print(Text(console.clean(line)), soft_wrap=True)


def _parent(versions: Versions, name: str) -> str:
    line = lineage(versions, name)
    if len(line) < 2:
        raise UsageError(f"{name} has no parent: name a second version to compare it with")
    if versions.removed(line[1]) is not None and line[1] not in [each.name for each in versions.list()]:
        raise UsageError(f"the parent of {name}, {line[1]}, was removed: name a version to compare it with")
    return line[1]


def _weights(versions: Versions, old: str, new: str) -> tuple[Change, ...]:
    from autoagent.models.change import weight_change

    return weight_change(_folder(versions, old), _folder(versions, new))


def _folder(versions: Versions, name: str) -> Path:
    place = versions.resolve(name)
    folder = place if isinstance(place, Path) else hub_folder(place)
    if folder is None:
        raise ModelError(f"{name} is not on this machine")
    return folder


def _lines(old: str, new: str, told: Difference, weights: tuple[Change, ...] | str) -> Iterator[str]:
    yield f"from {old} to {new}"
    yield f"lineage   {' ← '.join(told.new)}"
    if old not in told.new:
        yield f"          {' ← '.join(told.old)}"
        yield f"          in common: {told.common or 'nothing'}"
    yield f"data      {_counted(told.runs_added, '+')}, {_counted(told.runs_removed, '−')} runs"
    yield from (f"          + {run}" for run in _some(told.runs_added))
    yield from (f"          − {run}" for run in _some(told.runs_removed))
    yield from _settings(old, new, told)
    for name, (before, after) in told.gate.items():
        yield f"gate      {name}: {_value(before)} → {_value(after)}"
    if isinstance(weights, str):
        yield f"weights   cannot be compared: {weights}"
        return
    most = max((each.share for each in weights), default=0.0)
    if most == 0:
        yield "weights   the same"
    for each in weights if most else ():
        bar = "▇" * round(_BAR * each.share / most)
        yield f"weights   {each.group:<11} {each.share:>9.4%}  norm {each.norm:<9.4g} {bar}".rstrip()


def _settings(old: str, new: str, told: Difference) -> Iterator[str]:
    """Those that differ; where only one of the two was trained here, its own in a line."""
    for side, name in enumerate((new, old)):
        if told.settings.get("epochs", (0, 0))[side] is None:  # every training has some
            options = typed({key: pair[1 - side] for key, pair in told.settings.items()})
            yield f"settings  of {name}: {shlex.join(options) or 'as they are by default'}"
            return
    for key, (before, after) in told.settings.items():
        yield f"setting   {key}: {_value(before)} → {_value(after)}"


def _counted(runs: tuple[str, ...], sign: str) -> str:
    return f"{sign}{len(runs)}"


def _some(runs: tuple[str, ...]) -> Iterator[str]:
    yield from runs[:_SHOWN]
    if len(runs) > _SHOWN:
        yield f"… and {len(runs) - _SHOWN} more (--json names all)"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
