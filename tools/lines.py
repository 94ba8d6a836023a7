"""Parts of files: a range of lines, and the lines that fit a pattern."""

from __future__ import annotations

import regex

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.files import read_text, walk

_MOST_LINES = 50
_SECONDS = 2.0  # for a pattern on all files; some patterns take years on some lines


@tool(hints="part range first last between line 10 to 20 notes.txt")
def show_lines(path: str, first: int, last: int, *, ctx: Context) -> str:
    """Show lines of a file by number.

    Args:
        first: Number of the first line, from 1.
        last: Number of the last line.
    """
    lines = read_text(ctx, path).splitlines()
    if first < 1 or last < first:
        raise ToolError(f"{first} to {last} is no range of lines; count from 1")
    if first > len(lines):
        raise ToolError(f"{path} has only {len(lines)} lines")
    return "\n".join(f"{number}: {line}" for number, line in enumerate(lines[first - 1 : last], first))


@tool(hints="regex regexp grep expression")
def search_pattern(pattern: str, folder: str = ".", *, ctx: Context) -> str:
    """Search files with a regular expression."""
    try:
        wanted = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ToolError(f"{pattern} is not a regular expression: {error}") from None
    root = ctx.workspace.path(folder)
    if not root.is_dir():
        raise ToolError(f"no such folder: {folder}")
    hits: list[str] = []
    for path in walk(root):
        name = ctx.workspace.name(path)
        try:
            lines = read_text(ctx, name).splitlines()
        except ToolError:
            continue  # not text, or a link out of the workspace: nothing to search
        try:
            found = [number for number, line in enumerate(lines, 1) if wanted.search(line, timeout=_SECONDS)]
        except TimeoutError:
            raise ToolError(f"{pattern} takes too long on {name}; make it simpler") from None
        hits += [f"{name}:{number}: {lines[number - 1]}" for number in found]
        if len(hits) >= _MOST_LINES:
            break
    return "\n".join(hits[:_MOST_LINES]) or f"Nothing fits {pattern}."


TOOLS = [show_lines, search_pattern]
