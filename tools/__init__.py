"""Tools: what an agent can do. ``@tool`` makes one of a function; ``builtin_tools`` are ours."""

from __future__ import annotations

from autoagent.tools.base import Context, Effect, Tool, tool
from autoagent.tools.plugins import plugin_tools
from autoagent.tools.toolbox import Toolbox, tools_from_file

__all__ = [
    "Context",
    "Effect",
    "Tool",
    "Toolbox",
    "builtin_tools",
    "plugin_tools",
    "tool",
    "tools_from_file",
]


def builtin_tools() -> list[Tool]:
    """All built-in tools, in a fixed order."""
    from autoagent.tools import (
        calculator,
        control,
        convert,
        execute,
        files,
        finetune,
        lines,
        memory,
        records,
        tables,
        text,
        web,
    )

    groups = (
        *(files, lines, text, tables, records, calculator, convert),
        *(memory, execute, web, finetune, control),
    )
    return [each for group in groups for each in group.TOOLS]
