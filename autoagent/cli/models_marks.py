"""What is said of versions that learned from forgotten runs: which, how to go back, how to make them anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.cli import console
from autoagent.cli.commands import load
from autoagent.errors import StoreError
from autoagent.models.difference import flat

if TYPE_CHECKING:
    from autoagent.training.forget import Mark

_ELSEWHERE = {"lr": "learning_rate"}  # options whose setting has another name
_TOLD_ANEW = (
    "base",
    "suite",
    "note",
    "runs",
    "device",
    "threads",
)  # of the place and time, not of the recipe


def marks_in(home: Path) -> dict[str, Mark]:
    """The marked versions of a project, by name; nothing is imported where no run is on record."""
    if not (home / "runs.db").exists():
        return {}
    from autoagent.training.forget import marks

    try:
        return marks(home)
    except StoreError as problem:  # versions can be listed and chosen all the same
        screen = console.err()
        screen.print(f"note: who learned from forgotten runs cannot be told: {problem}", soft_wrap=True)
        return {}


def marked_line(mark: Mark) -> str:
    """``v2-… descends from v1-…, which learned from the forgotten run r…``."""
    runs = mark.runs[0] if len(mark.runs) == 1 else f"{mark.runs[0]} and {len(mark.runs) - 1} more"
    which = "run" if len(mark.runs) == 1 else "runs"
    learned = f"learned from the forgotten {which} {runs}"
    if mark.inherited:
        return f"{mark.version} descends from {mark.through}, which {learned}"
    return f"{mark.version} {learned}"


def remedies(mark: Mark, *, in_use: bool) -> Iterator[str]:
    """What to do about a marked version, a line each."""
    if in_use:
        yield f"{mark.version} is in use; back to one without: autoagent models use {shlex.quote(mark.back)}"
    yield f"make it anew, without: {rebuild(mark)}"


def rebuild(mark: Mark) -> str:
    """The command that trains the version anew: from where its line was clean, with the settings it had."""
    kept = {name.rpartition(".")[2]: value for name, value in flat(mark.config)}
    words = ["autoagent", "finetune", "--base", mark.back]
    for option in load("finetune").params:
        value = kept.get(_ELSEWHERE.get(option.name, option.name))
        if option.name not in _TOLD_ANEW and _plain(value):
            words += [option.opts[0], str(value)]
    return shlex.join(words)


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool) and value != ""
