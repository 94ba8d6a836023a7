"""More of tables and JSON: the rows that fit, one value of a document."""

from __future__ import annotations

import json
import re
from typing import Any

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.files import read_text
from autoagent.tools.tables import read_table

_SHOWN_ROWS = 50
_STEP = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")


@tool(hints="csv json filter where equal prices.csv")
def select_rows(path: str, column: str, value: str, *, ctx: Context) -> str:
    """Show the rows of a table that have a value in a column."""
    header, rows = read_table(ctx, path)
    names = [name.casefold() for name in header]
    if column.strip().casefold() not in names:
        raise ToolError(f"{path} has no column {column}; its columns are {', '.join(header)}")
    place = names.index(column.strip().casefold())
    wanted = value.strip().casefold()
    found = [row for row in rows if place < len(row) and row[place].strip().casefold() == wanted]
    if not found:
        return f"No row has {value} in {column}."
    lines = [", ".join(header), *(", ".join(row) for row in found[:_SHOWN_ROWS])]
    return "\n".join([*lines, *([f"… {len(found)} rows in all"] if len(found) > _SHOWN_ROWS else [])])


@tool(hints="json key field setting configuration value of")
def json_value(path: str, key: str = "", *, ctx: Context) -> str:
    """Look up a value in JSON.

    Args:
        key: Where it is, like servers[0].name; empty for all of it.
    """
    try:
        value = json.loads(read_text(ctx, path))
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{path} is not JSON: {error}") from None
    for step in _steps(key):
        value = _inside(value, step, key)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _steps(key: str) -> list[str | int]:
    """``servers[0].name`` as its steps."""
    found: list[str | int] = []
    place = 0
    while place < len(key):
        if key[place] == "." and found:
            place += 1
        step = _STEP.match(key, place)
        if step is None:
            raise ToolError(f"{key} cannot be a key; write it like servers[0].name")
        found.append(step[1] if step[1] is not None else int(step[2]))
        place = step.end()
    return found


def _inside(value: Any, step: str | int, key: str) -> Any:
    if isinstance(value, list):
        try:
            return value[int(step)]
        except (ValueError, IndexError):
            raise ToolError(f"{key}: there is no {step} in a list of {len(value)}") from None
    if isinstance(value, dict) and str(step) in value:
        return value[str(step)]
    known = f"; there are {', '.join(map(str, list(value)[:20]))}" if isinstance(value, dict) else ""
    raise ToolError(f"{key}: there is no {step}{known}")


TOOLS = [select_rows, json_value]
