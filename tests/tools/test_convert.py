"""Units and dates."""

from __future__ import annotations

import time
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoagent.errors import InvalidCall, ToolError

from .conftest import Use


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (5, "km", "miles", "3.1069 miles"),
        (26.2, "miles", "km", "42.1648 km"),
        (100, "°C", "fahrenheit", "212 fahrenheit"),
        (32, "degrees Fahrenheit", "celsius", "0 celsius"),
        (0, "kelvin", "C", "-273.15 C"),
        (2, "hours", "minutes", "120 minutes"),
        (1, "m^2", "cm**2", "10000 cm**2"),
        (36, "km/h", "m/s", "10 m/s"),
        (1.5, "kg", "g", "1500 g"),
        (1, "mm", "km", "0.000001 km"),
        (1, "inch", "miles", "0.000016 miles"),
        (-3, "nm", "km", "-3e-12 km"),
    ],
)
def test_units(use: Use, value: float, source: str, target: str, result: str) -> None:
    assert use("convert_units", value=value, source=source, target=target) == result


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("km", "kg", "km cannot be converted to kg"),
        ("blorps", "kg", "unknown unit: blorps"),
        ("km", "", "cannot be converted"),
        ("3 km", "m", "cannot convert 3 km to m"),
        ("km(", "m", "cannot convert"),
        ("m**9**9**9", "m", r"unknown unit: m\*\*9\*\*9\*\*9"),
        ("9**9999999999 m", "m", "unknown unit"),
        ("((9^9)^9)^9", "m", "unknown unit"),
    ],
)
def test_what_is_no_unit_is_said_at_once(use: Use, source: str, target: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(ToolError, match=said):
        use("convert_units", value=1, source=source, target=target)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_only_finite_values(use: Use, value: float) -> None:
    with pytest.raises(ToolError, match="finite"):
        use("convert_units", value=value, source="km", target="m")


@given(start=st.dates(), days=st.integers(-5_000_000, 5_000_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
def test_days_added_are_the_days_between(use: Use, start: date, days: int) -> None:
    if not date.min.toordinal() <= start.toordinal() + days <= date.max.toordinal():
        with pytest.raises(ToolError, match="outside the calendar"):
            use("add_days", date=start.isoformat(), days=days)
        return
    end = use("add_days", date=start.isoformat(), days=days)
    assert use("days_between", start=start.isoformat(), end=end) == str(days)


def test_weekdays_and_leap_days(use: Use) -> None:
    assert use("weekday_of", date="2026-03-01") == "Sunday"
    assert use("add_days", date="2024-02-28", days=1) == "2024-02-29"
    assert use("days_between", start="2026-03-01", end="2026-02-01") == "-28"


@pytest.mark.parametrize("text", ["tomorrow", "2026-02-30", "01.03.2026", ""])
def test_what_is_no_date_is_said_with_an_example(use: Use, text: str) -> None:
    with pytest.raises(ToolError, match="is not a date; write it as year-month-day, like 2026-03-01"):
        use("weekday_of", date=text)


def test_days_are_whole(use: Use) -> None:
    with pytest.raises(InvalidCall, match="add_days: days: Input should be a valid integer"):
        use("add_days", date="2026-03-01", days=1.5)
