"""How a run ends in the model's own words. The loop knows these two by name."""

from __future__ import annotations

from autoagent.tools.base import tool


@tool(effects=())
def finish(answer: str) -> str:
    """Finish with the answer."""
    return answer


@tool(effects=())
def decline(reason: str) -> str:
    """Decline the goal."""
    return reason


TOOLS = [finish, decline]
