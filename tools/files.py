"""Files of the workspace: list, read, write, append, edit, move, delete, find, search."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool

_HIDDEN = {".autoagent", ".git", "__pycache__", ".venv", "node_modules"}
_SEARCH_LIMIT = 50  # lines or names a search returns at most


@tool(
    hints=(
        "which what are in this folder directory workspace here contain have how many count names "
        "show dir ls docs/"
    )
)
def list_files(folder: str = ".", *, ctx: Context) -> str:
    """List the files in a folder."""
    path = ctx.workspace.path(folder)
    if not path.is_dir():
        raise ToolError(f"no such folder: {folder}")
    entries = sorted(entry for entry in path.iterdir() if entry.name not in _HIDDEN)
    return (
        "\n".join(entry.name + ("/" if entry.is_dir() else "") for entry in entries) or "The folder is empty."
    )


@tool(
    hints=(
        "tell me give find get which what is its it open show display print say says stand stands "
        "written contents content text what is in according look into take get notes.txt"
    )
)
def read_file(path: str, *, ctx: Context) -> str:
    """Read a text file."""
    return read_text(ctx, path).rstrip("\n") or "The file is empty."


@tool(
    effects=("write",),
    hints=(
        "text new replace create make put save store note called with that says containing it "
        "result answer to into notes.txt"
    ),
)
def write_file(path: str, content: str, *, ctx: Context) -> str:
    """Write a file."""
    _store(ctx, path, content if content.endswith("\n") or not content else content + "\n")
    return f"Wrote {path}."


@tool(
    effects=("write",), hints="append end text put write note item at end add it result answer to notes.txt"
)
def append_file(path: str, content: str, *, ctx: Context) -> str:
    """Add a line to a file."""
    before = read_text(ctx, path) if ctx.workspace.path(path).exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    _store(ctx, path, before + content.rstrip("\n") + "\n")
    return f"Added to {path}."


@tool(effects=("write",), hints="change swap substitute correct for with notes.txt")
def edit_file(path: str, old: str, new: str, *, ctx: Context) -> str:
    """Replace text in a file."""
    text = read_text(ctx, path)
    found = text.count(old) if old else 0
    if found != 1:
        raise ToolError(f"{old!r} stands {found} times in {path}; name a piece that stands there once")
    _store(ctx, path, text.replace(old, new))
    return f"Changed {path}."


@tool(effects=("write",), hints="change give new name old.txt new.txt")
def move_file(source: str, target: str, *, ctx: Context) -> str:
    """Move or rename a file."""
    origin, goal = ctx.workspace.path(source), ctx.workspace.path(target)
    if not origin.exists():
        raise ToolError(f"no such file: {source}")
    if goal.is_dir():
        goal = goal / origin.name
    if goal.exists():
        raise ToolError(f"{ctx.workspace.name(goal)} exists already")
    goal.parent.mkdir(parents=True, exist_ok=True)
    origin.rename(goal)
    return f"Moved {source} to {ctx.workspace.name(goal)}."


@tool(effects=("write",), hints="remove erase get rid of throw away notes.txt")
def delete_file(path: str, *, ctx: Context) -> str:
    """Delete a file."""
    target = ctx.workspace.path(path)
    if target.is_dir():
        raise ToolError(f"{path} is a folder; only files can be deleted")
    if not target.exists():
        raise ToolError(f"no such file: {path}")
    target.unlink()
    return f"Deleted {path}."


@tool(hints="find search for where is locate did I put stored path folder which notes.txt")
def find_file(name: str, *, ctx: Context) -> str:
    """Find a file by name."""
    pattern = name if any(sign in name for sign in "*?[") else f"*{name}*"
    hits = [
        ctx.workspace.name(path)
        for path in _walk(ctx.workspace.root)
        if fnmatch.fnmatch(path.name.lower(), pattern.lower())
    ]
    return "\n".join(hits[:_SEARCH_LIMIT]) or f"No file matches {name}."


@tool(hints=("which contains mentions has find look for the file that mentioned stand where grep"))
def search_files(text: str, *, ctx: Context) -> str:
    """Search all files for a text."""
    hits = []
    for path in _walk(ctx.workspace.root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (UnicodeDecodeError, OSError):
            continue  # not text, or not ours to read: nothing to search
        name = ctx.workspace.name(path)
        hits += [
            f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if text.lower() in line.lower()
        ]
        if len(hits) >= _SEARCH_LIMIT:
            break
    return "\n".join(hits[:_SEARCH_LIMIT]) or f"No file contains {text}."


def read_text(ctx: Context, name: str) -> str:
    """The text of a workspace file.

    Raises:
        ToolError: there is no such file, or it is not UTF-8 text.
    """
    path = ctx.workspace.path(name)
    if path.is_dir():
        raise ToolError(f"{name} is a folder, not a file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ToolError(f"no such file: {name}") from None
    except UnicodeDecodeError:
        raise ToolError(f"{name} is not UTF-8 text") from None
    except OSError as error:
        raise ToolError(f"{name} cannot be read: {error.strerror}") from None


def _store(ctx: Context, name: str, text: str) -> None:
    path = ctx.workspace.path(name)
    if path.is_dir():
        raise ToolError(f"{name} is a folder, not a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolError(f"{name} cannot be written: {error.strerror}") from None


def _walk(root: Path) -> Iterator[Path]:
    """All files below ``root`` in a fixed order; links to folders are not followed."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _HIDDEN)
        yield from (Path(folder) / name for name in sorted(files))


TOOLS = [
    list_files,
    read_file,
    write_file,
    append_file,
    edit_file,
    move_file,
    delete_file,
    find_file,
    search_files,
]
