"""CSV tables: look at one, and work out a figure of a column."""

from __future__ import annotations

import csv
import io
import json
from typing import Literal

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.calculator import number_text
from autoagent.tools.files import read_text

_SHOWN_ROWS = 5


@tool(hints="csv columns view print preview look at header prices.csv")
def show_table(path: str, *, ctx: Context) -> str:
    """Show the first rows of a table."""
    header, rows = read_table(ctx, path)
    lines = [", ".join(header), *(", ".join(row) for row in rows[:_SHOWN_ROWS])]
    if len(rows) > _SHOWN_ROWS:
        lines.append(f"… {len(rows)} rows in all")
    return "\n".join(lines)


@tool(
    hints=(
        "csv sum mean count min max add up total average largest smallest highest lowest biggest "
        "maximum minimum how many entries rows values find compute prices.csv"
    )
)
def column_figure(
    path: str, column: str, figure: Literal["count", "sum", "mean", "min", "max"], *, ctx: Context
) -> str:
    """Work out a figure of a table column."""
    header, rows = read_table(ctx, path)
    names = [name.casefold() for name in header]
    if column.strip().casefold() not in names:
        raise ToolError(f"{path} has no column {column}; its columns are {', '.join(header)}")
    place = names.index(column.strip().casefold())
    cells = [row[place].strip() for row in rows if place < len(row) and row[place].strip()]
    if figure == "count":
        return str(len(cells))
    if not cells:
        raise ToolError(f"column {column} of {path} is empty")
    try:
        values = [float(cell.replace(" ", "")) for cell in cells]
    except ValueError as error:
        raise ToolError(f"column {column} of {path} is not all numbers: {error}") from None
    figures = {"sum": sum(values), "mean": sum(values) / len(values), "min": min(values), "max": max(values)}
    return number_text(round(figures[figure], 6))


def read_table(ctx: Context, name: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file, its delimiter found out from ``,``, ``;`` and tab, or of a JSON list.

    Raises:
        ToolError: no such file, not text, or no header.
    """
    text = read_text(ctx, name)
    if name.lower().endswith((".json", ".jsonl")):
        return _read_records(name, text)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ToolError(f"{name} is not a table: {error}") from None
    if not rows:
        raise ToolError(f"{name} is empty")
    return [cell.strip() for cell in rows[0]], rows[1:]


def _read_records(name: str, text: str) -> tuple[list[str], list[list[str]]]:
    """A JSON list of objects, or one object a line, as a table: a column for every key, in order of sight."""
    try:
        found = (
            json.loads(text)
            if name.lower().endswith(".json")
            else [json.loads(line) for line in text.split("\n") if line.strip()]
        )
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{name} is not JSON: {error}") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ToolError(f"{name} is not a table: it has to be a list of objects")
    header = list(dict.fromkeys(key for each in found for key in each))
    if not header:
        raise ToolError(f"{name} is empty")
    return header, [[_cell(each.get(key)) for key in header] for each in found]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


TOOLS = [show_table, column_figure]
