"""Lines of files: show, replace and sort them, and find those that fit a pattern."""

from __future__ import annotations

import regex

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.files import raw_text, read_text, store_text, walk
from autoagent.tools.tables import Order, counted, in_order

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
    except (regex.error, RecursionError, ValueError, OverflowError) as error:
        raise ToolError(f"{pattern} is not a regular expression: {error}") from None
    root = ctx.workspace.path(folder)
    if not root.is_dir():
        raise ToolError(f"no such folder: {folder}")
    hits: list[str] = []
    for path in walk(ctx, "search_pattern", root):
        name = ctx.workspace.name(path)
        try:
            lines = read_text(ctx, name).splitlines()
        except ToolError:
            continue  # not text, or a link out of the workspace: nothing to search
        try:
            found = [number for number, line in enumerate(lines, 1) if wanted.search(line, timeout=_SECONDS)]
        except TimeoutError:
            raise ToolError(f"{pattern} takes too long on {name}; make it simpler") from None
        except MemoryError:  # a pattern that calls itself
            raise ToolError(f"{pattern} takes too much memory on {name}; make it simpler") from None
        hits += [f"{name}:{number}: {lines[number - 1]}" for number in found]
        if len(hits) >= _MOST_LINES:
            break
    return "\n".join(hits[:_MOST_LINES]) or f"Nothing fits {pattern}."


@tool(effects=("write",), hints="change set update rewrite line 3 third to notes.txt")
def replace_line(path: str, number: int, text: str, *, ctx: Context) -> str:
    """Replace a line of a file by number.

    Args:
        number: Number of the line, from 1.
    """
    lines = raw_text(ctx, path).splitlines(keepends=True)
    if not lines:
        raise ToolError(f"{path} is empty")
    if not 1 <= number <= len(lines):
        raise ToolError(f"{path} has no line {number}; its lines are 1 to {len(lines)}")
    line = lines[number - 1]
    end = line[len(_body(line)) :]
    mark = "\ufeff" * (number == 1 and line.startswith("\ufeff"))
    lines[number - 1] = mark + (end or "\n").join(text.splitlines()) + end
    store_text(ctx, path, "".join(lines))
    return f"Replaced line {number} of {path}."


@tool(effects=("write",), hints="order alphabetically reverse arrange list small large names.txt")
def sort_lines(path: str, order: Order = "ascending", *, ctx: Context) -> str:
    """Sort the lines of a file."""
    text = raw_text(ctx, path)
    mark = "\ufeff" * text.startswith("\ufeff")
    lines = text.removeprefix(mark).splitlines(keepends=True)
    bodies = [_body(line) for line in lines]
    ends = [line[len(body) :] for line, body in zip(lines, bodies, strict=True)]
    places = in_order(bodies, order)
    ordered = "".join(bodies[place] + end for place, end in zip(places, ends, strict=True))
    store_text(ctx, path, mark + ordered)
    return f"Sorted {counted(sum(bool(body.strip()) for body in bodies), 'line')} of {path}."


def _body(line: str) -> str:
    """A line without what ends it."""
    return "".join(line.splitlines())


TOOLS = [show_lines, replace_line, sort_lines, search_pattern]
