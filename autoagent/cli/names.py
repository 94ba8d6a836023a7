"""What is typed as a name of a file or folder."""

from __future__ import annotations

from pathlib import Path

import typer


def named(name: str | Path) -> Path:
    """A path as it was typed; an empty one (``-w "$UNSET"``) must not mean the current folder."""
    if not str(name):
        raise typer.BadParameter("the name is empty")
    return Path(name)
