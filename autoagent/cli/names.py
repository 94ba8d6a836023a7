"""What is typed as names: of files and folders, of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer


def named(name: str | Path) -> Path:
    """A path as it was typed; an empty one (``-w "$UNSET"``) must not mean the current folder."""
    if not str(name):
        raise typer.BadParameter("the name is empty")
    return Path(name)


def by_comma(said: Sequence[str]) -> list[str]:
    """The names in options that may be repeated and may each hold several, parted by commas."""
    return [name.strip() for each in said for name in each.split(",") if name.strip()]
