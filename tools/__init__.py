"""Tools: what an agent can do. ``@tool`` makes one of a function; ``builtin_tools`` are ours."""

from __future__ import annotations

from autoagent.tools.base import Context, Effect, Tool, tool
from autoagent.tools.toolbox import Toolbox, tools_from_file

__all__ = ["Context", "Effect", "Tool", "Toolbox", "builtin_tools", "tool", "tools_from_file"]


def builtin_tools() -> list[Tool]:
    """All built-in tools, in a fixed order."""
    from autoagent.tools import calculator, control, convert, files, finetune, memory, tables

    groups = (files, tables, calculator, convert, memory, finetune, control)
    return [each for group in groups for each in group.TOOLS]
