"""What the embedded model is trained with and meets again at run time: its prompts and its habits."""

from __future__ import annotations

from pathlib import Path

from autoagent.models.habits import habits_of
from autoagent.prompts import prompts_of
from autoagent.tools import Tool, builtin_tools

FOLDER = Path(__file__).resolve().parent  # of autoagent.json, which the export puts beside the weights
PROMPTS = prompts_of(FOLDER)
HABITS = habits_of(FOLDER)


def known_builtins() -> list[Tool]:
    """The built-in tools the model is trained with, in their usual order."""
    known = {*(HABITS.builtins or ()), *HABITS.pinned}
    return [tool for tool in builtin_tools() if tool.name in known]
