"""autoagent: a local agent that gets better at your own work.

>>> from autoagent import Agent, tool
>>> agent = Agent(tools=[my_tool])                                            # doctest: +SKIP
>>> result = agent.run("…", check=lambda workspace, answer: answer == "42")   # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoagent.agent import Agent, Result
    from autoagent.config import Conduct, Limits, Safety, Sampling
    from autoagent.errors import AutoagentError, ToolError, UsageError
    from autoagent.goal import Check, Goal, command, expect
    from autoagent.tools import Context, Tool, tool
    from autoagent.trajectory import Step, Trajectory, Verdict
    from autoagent.workspace import Workspace

__all__ = [
    "Agent",
    "AutoagentError",
    "Check",
    "Conduct",
    "Context",
    "Goal",
    "Limits",
    "Result",
    "Safety",
    "Sampling",
    "Step",
    "Tool",
    "ToolError",
    "Trajectory",
    "UsageError",
    "Verdict",
    "Workspace",
    "command",
    "expect",
    "tool",
]

# Imported when first asked for, so that `autoagent --help` waits for none of them.
_PLACES = {
    "Agent": "agent",
    "AutoagentError": "errors",
    "Check": "goal",
    "Conduct": "config",
    "Context": "tools",
    "Goal": "goal",
    "Limits": "config",
    "Result": "agent",
    "Safety": "config",
    "Sampling": "config",
    "Step": "trajectory",
    "Tool": "tools",
    "ToolError": "errors",
    "Trajectory": "trajectory",
    "UsageError": "errors",
    "Verdict": "trajectory",
    "Workspace": "workspace",
    "command": "goal",
    "expect": "goal",
    "tool": "tools",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
