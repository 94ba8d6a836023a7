"""Allow, ask or deny, by the effects a tool declares.

What is not covered: a tool that lies about its effects, and anything a custom tool's own code does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autoagent.errors import Denied

Decision = Literal["allow", "ask", "deny"]

_DEFAULT: dict[str, Decision] = {
    "read": "allow",
    "write": "allow",  # tools can only write inside the workspace
    "ask": "allow",
    "execute": "ask",
    "network": "ask",
    "train": "ask",
}


@dataclass(frozen=True)
class Request:
    """What an approver is asked: tool, the arguments it will really get, and effects that need consent."""

    tool: str
    arguments: Mapping[str, Any]
    effects: tuple[str, ...]


Approve = Callable[[Request], bool]


def refuse(request: Request) -> bool:
    """The approver where nobody can be asked: every ask is a no."""
    return False


@dataclass(frozen=True)
class Policy:
    """Maps effects to decisions; ``approve`` answers the asks."""

    approve: Approve = refuse
    decisions: Mapping[str, Decision] = field(default_factory=lambda: dict(_DEFAULT))

    def asks(self, effects: tuple[str, ...]) -> tuple[str, ...]:
        """The effects among these that are not simply allowed."""
        return tuple(effect for effect in effects if self.decisions.get(effect, "ask") != "allow")

    def permit(self, request: Request) -> None:
        """Return when the call may go on.

        Raises:
            Denied: the policy denies an effect, or the approver refused.
        """
        denied = [effect for effect in request.effects if self.decisions.get(effect, "ask") == "deny"]
        if denied:
            raise Denied(f"{request.tool} is not permitted here ({', '.join(denied)})")
        if request.effects and not self.approve(request):
            raise Denied(f"permission for {request.tool} was refused")
