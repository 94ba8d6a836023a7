"""Times as people write them: a point such as ``7d`` ago or ``2026-11-20 14:30``, a span such as ``12h``."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta

from autoagent.errors import UsageError

_AGE = re.compile(r"(\d+)\s*(m|min|h|d|w)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def is_age(said: str) -> bool:
    """Whether it is written as a time that has passed, such as 7d."""
    return _AGE.fullmatch(said.strip().lower()) is not None


def span(said: str | float) -> float:
    """A length of time in seconds, from ``90m``, ``12h``, ``7d``, ``2w``, or a number of seconds.

    Raises:
        UsageError: it cannot be read, or is nothing.
    """
    if isinstance(said, int | float):
        return float(said)
    found = _AGE.fullmatch(said.strip().lower())
    with contextlib.suppress(OverflowError):
        if found and int(found[1]):
            return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()
    raise UsageError(
        f"{said!r} is no length of time: give minutes, hours, days or weeks, such as 90m, 12h or 7d"
    )


def moment(said: str | datetime, *, end: bool = False, now: datetime | None = None) -> datetime:
    """The point in time that is meant, with its time zone; without one, it is the machine's.

    Args:
        said: A time that has passed since (``90m``, ``12h``, ``7d``, ``2w``), or a date or time (ISO 8601).
        end: A day alone means its end, not its beginning.
        now: What times that have passed count back from; by default this moment.

    Raises:
        UsageError: it cannot be read.
    """
    if isinstance(said, datetime):
        return said.astimezone()
    said = str(said).strip()
    age = _AGE.fullmatch(said.lower())
    try:
        if age:
            return (now or datetime.now()).astimezone() - timedelta(**{_UNITS[age[2]]: int(age[1])})
        found = datetime.fromisoformat(said)
        day_alone = len(said) <= len("2026-W47-5") and ":" not in said
        return (found + timedelta(days=1) if end and day_alone else found).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{said!r} is no point in time: give an age such as 12h, 7d or 2w, or a date such as 2026-11-20"
        ) from None
