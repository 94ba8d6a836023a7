"""More of tables and JSON: the rows that fit, the largest, two tables joined, one value of a document."""

from __future__ import annotations

import datetime
import json
import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.files import read_text, store_text
from autoagent.tools.tables import column_place, counted, number_of, read_table, table_text

_SHOWN_ROWS = 50
_MOST_ROWS = 100_000  # of a joined table
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_STEP = re.compile(r"([^.\[\]]+)|\[(-?\d{1,18})\]")


@tool(
    hints=(
        "csv json filter where equal row for is greater larger more less fewer smaller higher lower than "
        "above below under over at least most only which who cost live prices.csv"
    )
)
def select_rows(
    path: str,
    column: str,
    value: str,
    comparison: Literal["=", "!=", ">", "<", ">=", "<="] = "=",
    *,
    ctx: Context,
) -> str:
    """Show the rows of a table that have a value in a column."""
    header, rows = read_table(ctx, path)
    place = column_place(path, header, column)
    if comparison in _COMPARISONS:
        fits = _beyond(comparison, value, f"column {column} of {path}")
    else:
        fits = _same(value)
    wanted = comparison != "!="
    found = [row for row in rows if fits(row[place].strip() if place < len(row) else "") == wanted]
    if not found:
        no = f"has {value} in {column}" if comparison == "=" else f"has {column} {comparison} {value}"
        return f"No row {no}."
    return _in_pairs(header, found)


@tool(
    hints=(
        "csv maximum minimum highest lowest biggest most least expensive cheapest oldest youngest "
        "longest latest which who has top best prices.csv"
    )
)
def extreme_row(path: str, column: str, which: Literal["max", "min"], *, ctx: Context) -> str:
    """Show the row with the largest or smallest value."""
    header, rows = read_table(ctx, path)
    place = column_place(path, header, column)
    where = f"column {column} of {path}"
    values = {
        number: _ordered(row[place].strip(), where)
        for number, row in enumerate(rows)
        if place < len(row) and row[place].strip()
    }
    if not values:
        raise ToolError(f"{where} is empty")
    if len({type(value) for value in values.values()}) > 1:
        raise ToolError(f"{where} has both numbers and dates")
    best: Any = (max if which == "max" else min)(values.values())
    found = [rows[number] for number, value in values.items() if value == best]
    return _in_pairs(header, found)


def _in_pairs(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as ``name: value, name: value``, a line each: nobody has to count columns."""
    lines = [
        ", ".join(f"{name}: {cell.strip()}" for name, cell in zip(header, row, strict=False))
        for row in rows[:_SHOWN_ROWS]
    ]
    return "\n".join([*lines, *([f"… {len(rows)} rows in all"] if len(rows) > _SHOWN_ROWS else [])])


@tool(
    effects=("write",),
    hints="csv merge combine link match common key together put result orders.csv customers.csv",
)
def join_tables(first: str, second: str, column: str, target: str, *, ctx: Context) -> str:
    """Join two tables on a column into a new file."""
    if target.lower().endswith((".json", ".jsonl")):
        raise ToolError(f"the result is a CSV table; give {target} a name that ends in .csv")
    header, rows = read_table(ctx, first)
    others, more = read_table(ctx, second)
    place, other = column_place(first, header, column), column_place(second, others, column)
    partners: dict[str, list[list[str]]] = {}
    for row in more:
        cells = _whole(row, others)
        partners.setdefault(cells.pop(other).strip().casefold(), []).append(cells)
    joined: list[list[str]] = []
    for row in rows:
        cells = _whole(row, header)
        key = cells[place].strip().casefold()
        joined += [cells + partner for partner in partners.get(key, [])] if key else []
        if len(joined) > _MOST_ROWS:
            raise ToolError(f"the result has too many rows; {column} has the same values again and again")
    taken = {name.casefold() for name in header}
    added = [f"{name}_2" if name.casefold() in taken else name for name in others]
    added.pop(other)
    delimiter = "\t" if target.lower().endswith(".tsv") else ","
    store_text(ctx, target, table_text([[*header, *added], *joined], delimiter))
    return f"Wrote {counted(len(joined), 'row')} to {target}."


def _whole(row: Sequence[str], header: Sequence[str]) -> list[str]:
    """A row with as many cells as the header."""
    return [*row[: len(header)], *[""] * (len(header) - len(row))]


def _same(value: str) -> Callable[[str], bool]:
    """Whether a cell is the value: the same words in any case, or the same number."""
    word, number = value.strip().casefold(), number_of(value)
    return lambda cell: cell.casefold() == word or (number is not None and number_of(cell) == number)


def _beyond(comparison: str, value: str, where: str) -> Callable[[str], bool]:
    """Whether a cell is on the wanted side of the value; an empty one never is."""
    compare = _COMPARISONS[comparison]
    try:
        bound = _ordered(value.strip(), where)
    except ToolError:
        raise ToolError(f"{value!r} is no number or date; words are compared with = or !=") from None

    def fits(cell: str) -> bool:
        if not cell:
            return False
        known = _ordered(cell, where)
        if type(known) is not type(bound):
            raise ToolError(f"{where} has {cell}, which cannot be compared with {value}")
        return compare(known, bound)

    return fits


def _ordered(cell: str, where: str) -> Decimal | datetime.date:
    """A cell as something that can be larger or smaller: a number or a date.

    Raises:
        ToolError: it is neither.
    """
    number = number_of(cell)
    if number is not None:
        return number
    try:
        return datetime.date.fromisoformat(cell)
    except ValueError:
        raise ToolError(f"{where} is not all numbers or dates: {cell!r}") from None


@tool(hints="json key field setting configuration value of what is config.json")
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


TOOLS = [select_rows, extreme_row, join_tables, json_value]
