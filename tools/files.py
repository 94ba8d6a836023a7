"""Files of the workspace: list, read, write, append, edit, move, delete, find, search."""

from __future__ import annotations

import errno
import fnmatch
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.workspace import ATTACHED, SKIPPED

_SEARCH_LIMIT = 50  # lines or names a search returns at most
_LARGEST = 100 * 2**20  # bytes of a file that is read


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
    try:
        entries = sorted(entry for entry in path.iterdir() if entry.name not in SKIPPED)
        entries = [entry for entry in entries if not _hidden(ctx, entry, "list_files")]
    except OSError as error:
        raise ToolError(f"{folder} cannot be listed: {error.strerror}") from None
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
        "result answer to into jot leave drop dump record hold keep out of notes.txt"
    ),
)
def write_file(path: str, content: str, *, ctx: Context) -> str:
    """Write a file."""
    store_text(ctx, path, content if content.endswith("\n") or not content else content + "\n")
    return f"Wrote {path}."


@tool(
    effects=("write",),
    hints=(
        "append end text put write note item at end add it result answer to tack stick attach extend below "
        "last line notes.txt"
    ),
)
def append_file(path: str, content: str, *, ctx: Context) -> str:
    """Add a line to a file."""
    before = raw_text(ctx, path) if ctx.workspace.path(path).exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    store_text(ctx, path, before + content.rstrip("\n") + "\n")
    return f"Added to {path}."


@tool(effects=("write",), hints="change swap substitute correct for with notes.txt")
def edit_file(path: str, old: str, new: str, *, ctx: Context) -> str:
    """Replace text in a file."""
    text = raw_text(ctx, path)
    if "\r\n" in text:  # the model was shown the text without the \r
        old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
    found = text.count(old) if old else 0
    if found != 1:
        raise ToolError(f"{old!r} stands {found} times in {path}; name a piece that stands there once")
    store_text(ctx, path, text.replace(old, new))
    return f"Changed {path}."


@tool(effects=("write",), hints="change give new name old.txt new.txt")
def move_file(source: str, target: str, *, ctx: Context) -> str:
    """Move or rename a file."""
    _refuse_kept(source, target)
    origin, goal = ctx.workspace.entry(source), ctx.workspace.path(target)
    if not os.path.lexists(origin):
        raise ToolError(f"no such file: {source}")
    if goal.is_dir():
        goal = goal / origin.name
    if goal.exists():
        raise ToolError(f"{ctx.workspace.name(goal)} exists already")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        origin.rename(goal)
    except OSError as error:
        raise ToolError(f"{source} cannot be moved to {target}: {error.strerror}") from None
    return f"Moved {source} to {ctx.workspace.name(goal)}."


@tool(effects=("write",), hints="remove erase get rid of throw away notes.txt")
def delete_file(path: str, *, ctx: Context) -> str:
    """Delete a file."""
    _refuse_kept(path)
    target = ctx.workspace.entry(path)
    if target.is_dir() and not target.is_symlink():
        raise ToolError(f"{path} is a folder; only files can be deleted")
    try:
        target.unlink()
    except (FileNotFoundError, NotADirectoryError):
        raise ToolError(f"no such file: {path}") from None
    except OSError as error:
        raise ToolError(f"{path} cannot be deleted: {error.strerror}") from None
    return f"Deleted {path}."


@tool(
    hints=(
        "find search for where is locate did I put stored path folder which hunt track down lost somewhere "
        "look for notes.txt"
    )
)
def find_file(name: str, *, ctx: Context) -> str:
    """Find a file by name."""
    pattern = name if any(sign in name for sign in "*?[") else f"*{name}*"
    hits = [
        ctx.workspace.name(path)
        for path in walk(ctx, "find_file")
        if fnmatch.fnmatch(path.name.lower(), pattern.lower())
    ]
    return "\n".join(hits[:_SEARCH_LIMIT]) or f"No file matches {name}."


@tool(hints=("which contains mentions has find look for the file that mentioned stand where grep"))
def search_files(text: str, *, ctx: Context) -> str:
    """Search all files for a text."""
    hits = []
    for path in walk(ctx, "search_files"):
        name = ctx.workspace.name(path)
        try:
            lines = read_text(ctx, name).splitlines()
        except ToolError:
            continue  # not text, or a link out of the workspace: nothing to search
        hits += [
            f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if text.lower() in line.lower()
        ]
        if len(hits) >= _SEARCH_LIMIT:
            break
    return "\n".join(hits[:_SEARCH_LIMIT]) or f"No file contains {text}."


def read_text(ctx: Context, name: str) -> str:
    """The text of a workspace file, its lines ended by ``\\n``, without byte order mark.

    Raises:
        ToolError: there is no such file, or it is not UTF-8 text.
    """
    text = raw_text(ctx, name).removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def raw_text(ctx: Context, name: str) -> str:
    path = ctx.workspace.path(name)
    if path.is_dir():
        raise ToolError(f"{name} is a folder, not a file")
    if path.exists() and not path.is_file():
        raise ToolError(f"{name} is no ordinary file")  # reading a pipe would wait for ever
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ToolError(f"{name} is too large to read: {size:,} bytes")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ToolError(f"no such file: {name}") from None
    except UnicodeDecodeError:
        raise ToolError(f"{name} is not UTF-8 text") from None
    except OSError as error:
        raise ToolError(f"{name} cannot be read: {error.strerror}") from None


def _refuse_kept(*names: str) -> None:
    """What the run itself has put aside is part of its record."""
    for name in names:
        if name.startswith(ATTACHED):
            raise ToolError(f"{name} can only be read")


def store_text(ctx: Context, name: str, text: str) -> None:
    _refuse_kept(name)
    path = ctx.workspace.path(name)
    if path.is_dir():
        raise ToolError(f"{name} is a folder, not a file")
    if path.exists() and not path.is_file():
        raise ToolError(f"{name} is no ordinary file")
    try:
        data = text.encode("utf-8")  # before the file is opened, which empties it
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data)
    except UnicodeEncodeError:
        raise ToolError("the text holds half a character (a lone surrogate); write it anew") from None
    except OSError as error:
        raise ToolError(f"{name} cannot be written: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a full disk must not cost the text that was there."""
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if not path.exists():
        handle, draft = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), str(path)
    else:
        handle, draft = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
        if draft != str(path):
            os.chmod(draft, path.stat().st_mode)
            os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def walk(ctx: Context, tool: str, root: Path | None = None) -> Iterator[Path]:
    """All files below ``root`` (the workspace) in a fixed order; links to folders are not followed.

    What ``tool``, which asks, may not come upon is left out.
    """
    for folder, folders, files in os.walk(root or ctx.workspace.root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            if not _hidden(ctx, path := Path(folder) / name, tool):
                yield path


def _hidden(ctx: Context, path: Path, tool: str) -> bool:
    """Whether a tool may not come upon a file; what was put aside for the run is none of the workspace."""
    inside = path.is_relative_to(ctx.workspace.root)
    return inside and ctx.hides(tool, ctx.workspace.name(path))


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
