"""Units and dates."""

from __future__ import annotations

import datetime
import functools
import re
from typing import Any

from autoagent.errors import ToolError
from autoagent.tools.base import tool
from autoagent.tools.calculator import number_text

_SMALL_POWER = re.compile(r"(?<=[^\W\d])\s*(?:\*\*|\^)\s*-?\d(?!\d)")


@tool(
    hints=(
        "how many much turn change express km miles kilometers meters feet cm inches yards kg "
        "pounds grams ounces tons liters gallons hours minutes seconds days weeks celsius "
        "fahrenheit kelvin hectares acres knots joules calories bytes bits 5 in to"
    )
)
def convert_units(value: float, source: str, target: str) -> str:
    """Convert a value to another unit."""
    import pint

    units, known, wanted = _units(), _unit(source), _unit(target)
    try:
        result = float(units.Quantity(value, known).to(wanted).magnitude)
        rounded = round(result, 4)
        if result and not rounded and not float(units.Quantity(0.0, known).to(wanted).magnitude):
            rounded = result  # small, but not nothing; 32 °F are, but for an error of rounding
    except pint.UndefinedUnitError as error:
        raise ToolError(f"unknown unit: {error.args[0] if error.args else error}") from None
    except pint.DimensionalityError:
        raise ToolError(f"{source} cannot be converted to {target}") from None
    except Exception as error:  # pint raises tokenizer and type errors on odd unit texts
        raise ToolError(f"cannot convert {source} to {target}: {error}") from None
    return f"{number_text(rounded)} {target}"


@tool(hints="what which date day is 10 days after before from plus 2026-03-01")
def add_days(date: str, days: int) -> str:
    """Add days to a date."""
    try:
        return (_date(date) + datetime.timedelta(days=days)).isoformat()
    except OverflowError:
        raise ToolError(f"{days} days from {date} is outside the calendar") from None


@tool(hints="how many days from to until pass number 2026-03-01 2026-04-01")
def days_between(start: str, end: str) -> str:
    """Count the days between two dates."""
    return str((_date(end) - _date(start)).days)


@tool(hints="which what day of the week fall on 2026-03-01")
def weekday_of(date: str) -> str:
    """Find the weekday of a date."""
    return _date(date).strftime("%A")


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise ToolError(f"{text} is not a date; write it as year-month-day, like 2026-03-01") from None


@functools.cache
def _units() -> Any:
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def _unit(name: str) -> str:
    """The unit as pint spells it; temperatures have names of their own.

    Raises:
        ToolError: it has a power that is no small one of a unit; pint would work out 9**9**9 for hours.
    """
    if re.search(r"\*\*|\^", _SMALL_POWER.sub("", name)):
        raise ToolError(f"unknown unit: {name}")
    plain = name.strip().lower().removeprefix("degrees ").removeprefix("degree ").removeprefix("°")
    temperatures = {"c": "degC", "celsius": "degC", "f": "degF", "fahrenheit": "degF", "k": "kelvin"}
    return temperatures.get(plain, name.strip())


TOOLS = [convert_units, add_days, days_between, weekday_of]
