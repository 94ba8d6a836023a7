"""CSV tables: look at one, work out a figure of a column, sort one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.calculator import number_text
from autoagent.tools.files import raw_text, read_text, store_text

_SHOWN_ROWS = 5

Order = Literal["ascending", "descending"]


@tool(
    hints=(
        "csv columns which what has view print preview look at header value list give price cell according "
        "to difference between more than minus plus together add subtract prices.csv"
    )
)
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
    place = column_place(path, header, column)
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


@tool(effects=("write",), hints="csv order arrange rows ascending descending alphabetically prices.csv")
def sort_table(path: str, column: str, order: Order = "ascending", *, ctx: Context) -> str:
    """Sort a table by a column."""
    if path.lower().endswith((".json", ".jsonl")):
        raise ToolError(f"{path} is JSON; only CSV and TSV tables can be sorted")
    header, rows = read_table(ctx, path)
    place = column_place(path, header, column)
    places = in_order([row[place] if place < len(row) else "" for row in rows], order)
    text = table_text([header, *(rows[number] for number in places)], delimiter_of(read_text(ctx, path)))
    before = raw_text(ctx, path)
    mark = "\ufeff" * before.startswith("\ufeff")
    store_text(ctx, path, mark + (text.replace("\n", "\r\n") if "\r\n" in before else text))
    return f"Sorted {counted(len(rows), 'row')} of {path}."


def column_place(path: str, header: Sequence[str], column: str) -> int:
    """Where a column stands in the header, whatever its case.

    Raises:
        ToolError: there is none; the message names those there are.
    """
    names = [name.casefold() for name in header]
    if column.strip().casefold() not in names:
        raise ToolError(f"{path} has no column {column}; its columns are {', '.join(header)}")
    return names.index(column.strip().casefold())


def number_of(cell: str) -> Decimal | None:
    """A cell as a number, with a point before its decimals; None if it is none."""
    try:
        number = Decimal(cell.replace(" ", ""))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def in_order(cells: Sequence[str], order: Order) -> list[int]:
    """The places of the cells in order: by number if all are numbers, else as words; empty ones last."""
    filled = [place for place, cell in enumerate(cells) if cell.strip()]
    numbers = {place: number_of(cells[place]) for place in filled}
    if None in numbers.values():
        keys: dict[int, Any] = {place: cells[place].strip().casefold() for place in filled}
    else:
        keys = dict(numbers)
    ordered = sorted(filled, key=keys.__getitem__, reverse=order == "descending")
    return ordered + [place for place, cell in enumerate(cells) if not cell.strip()]


def counted(number: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {what}{'s' * (number != 1)}"


def table_text(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    """Header and rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def delimiter_of(text: str) -> str:
    """What parts the cells of a CSV file: that of ``,``, ``;`` and tab which its header has most of."""
    return max(",;\t", key=text.partition("\n")[0].count)


def read_table(ctx: Context, name: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file, its delimiter found out from ``,``, ``;`` and tab, or of a JSON list.

    Raises:
        ToolError: no such file, not text, or no header.
    """
    text = read_text(ctx, name)
    if name.lower().endswith((".json", ".jsonl")):
        return _read_records(name, text)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter_of(text)) if row]
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


TOOLS = [show_table, column_figure, sort_table]
