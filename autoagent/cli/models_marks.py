"""What is said of versions that learned from forgotten runs: which, how to go back, how to make them anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.cli import console
from autoagent.cli.recipe import typed
from autoagent.errors import StoreError

if TYPE_CHECKING:
    from autoagent.training.forget import Mark


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
    """The command that trains the version anew: from where its line was clean, with the settings it had.

    It learns from the runs that the version could have learned from, but for the forgotten ones.
    """
    chosen: dict[str, Any] = dict(mark.config.get("selection") or {})
    if named := chosen.get("runs"):
        chosen["runs"] = [run for run in named if not any(gone.startswith(run) for gone in mark.runs)]
    elif chosen.get("until") is None:
        chosen["until"] = f"{datetime.fromtimestamp(mark.created):%Y-%m-%dT%H:%M:%S}"
    options = typed({**mark.config, "selection": chosen})
    return shlex.join(["autoagent", "finetune", "--base", mark.back, *options])
