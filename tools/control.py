"""How a run ends in the model's own words, and how it steers itself. The loop knows these by name."""

from __future__ import annotations

import json

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool


@tool(effects=())
def finish(answer: str) -> str:
    """Finish with the answer."""
    return answer


@tool(effects=())
def decline(reason: str) -> str:
    """Decline the goal."""
    return reason


@tool(effects=(), needs="plan")
def plan(sub_goals: list[str], *, ctx: Context) -> str:
    """Change the plan: the sub-goals that are left, in order."""
    wanted = [sub_goal.strip() for sub_goal in sub_goals if sub_goal.strip()]
    if not wanted:
        raise ToolError("a plan needs at least one sub-goal")
    ctx.service("plan")(wanted)
    return "The plan is now: " + " ".join(f"{number}. {each}" for number, each in enumerate(wanted, start=1))


@tool(effects=("ask",), needs="ask_user")
def ask_user(question: str, *, ctx: Context) -> str:
    """Ask the user a question when something is missing."""
    if not question.strip():
        raise ToolError("the question is empty")
    answer = str(ctx.service("ask_user")(question.strip())).strip()
    return answer or "The user gave no answer."


@tool(effects=(), needs="find_tools")
def find_tools(query: str, *, ctx: Context) -> str:
    """Find more tools: say what you want to do."""
    found = [each.schema["function"] for each in ctx.service("find_tools")(query)]
    lines = [json.dumps(each, ensure_ascii=False) for each in found]
    return "\n".join(["You may now call these, too:", *lines]) if lines else "There are no other tools."


@tool(
    effects=(),
    needs="delegate",
    hints=(
        "sub-agent helper assistant delegate hand over pass on leave to somebody else split off subtask part "
        "of the work on its own separately independent don't do it yourself"
    ),
)
def delegate(goal: str, tools: list[str] | None = None, *, ctx: Context) -> str:
    """Let a helper reach a smaller goal; tools names those it may use."""
    if not goal.strip():
        raise ToolError("the goal is empty: say what the helper is to reach")
    return str(ctx.service("delegate")(goal.strip(), tools or []))


TOOLS = [plan, ask_user, find_tools, delegate, finish, decline]
ENDINGS = [finish, decline]
