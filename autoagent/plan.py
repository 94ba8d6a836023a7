"""The plan is state: ordered sub-goals, ticked as steps say which one they serve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MOST_SUB_GOALS = 6

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "plan": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 120},
            "minItems": 1,
            "maxItems": MOST_SUB_GOALS,
        }
    },
    "required": ["plan"],
    "additionalProperties": False,
}

_NUMBER = re.compile(r"\s*(\d{1,9})[.:)]")


@dataclass
class Plan:
    """Sub-goals in order; ``current`` (from 1) is the one being worked on, 0 before the first."""

    sub_goals: tuple[str, ...]
    current: int = 0
    finished: bool = False

    def serve(self, text: str) -> int | None:
        """Read which sub-goal a reply says it serves ("2. …"); going on to one ticks those before it."""
        match = _NUMBER.match(text)
        number = int(match.group(1)) if match else 0
        if not 1 <= number <= len(self.sub_goals):
            return None
        self.current = max(self.current, number)
        return number

    @property
    def done(self) -> tuple[int, ...]:
        """Numbers of the ticked sub-goals."""
        last = len(self.sub_goals) if self.finished else self.current - 1
        return tuple(range(1, last + 1))


def parsed(value: Any) -> tuple[str, ...]:
    """The sub-goals of a value that should fit ``SCHEMA``; a remote model's may be anything."""
    listed = value.get("plan") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(str(each).strip() for each in listed if str(each).strip())[:MOST_SUB_GOALS]
