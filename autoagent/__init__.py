"""autoagent: a local agent that gets better at your own work.

>>> from autoagent import Agent, tool
>>> agent = Agent(tools=[my_tool])                                            # doctest: +SKIP
>>> result = agent.run("…", check=lambda workspace, answer: answer == "42")   # doctest: +SKIP
"""

from autoagent.agent import Agent, Result
from autoagent.config import Limits, Sampling
from autoagent.errors import AutoagentError, ToolError, UsageError
from autoagent.goal import Check, Goal, command, expect
from autoagent.tools import Context, Tool, tool
from autoagent.trajectory import Step, Trajectory, Verdict
from autoagent.workspace import Workspace

__all__ = [
    "Agent",
    "AutoagentError",
    "Check",
    "Context",
    "Goal",
    "Limits",
    "Result",
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
