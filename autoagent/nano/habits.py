"""What the embedded model is trained with and meets again at run time: its prompts and its habits."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

from autoagent.models.habits import habits_of
from autoagent.prompts import ABOUT, prompts_of
from autoagent.tools import Tool, builtin_tools

FOLDER = Path(__file__).resolve().parent  # of autoagent.json, which the export puts beside the weights
PROMPTS = prompts_of(FOLDER)
HABITS = habits_of(FOLDER)


def unranked_copy(model: Path | None, folder: Path) -> Path:
    """A copy of a model (by default the shipped one) that is shown tools in no special order."""
    copy = folder / "unranked"
    shutil.copytree(model or FOLDER / "weights", copy)
    told = json.loads((copy / ABOUT).read_text(encoding="utf-8"))
    told["habits"]["ranked"] = False
    (copy / ABOUT).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return copy


@functools.cache
def builtin_names() -> frozenset[str]:
    """Names that no invented tool may have."""
    return frozenset(tool.name for tool in builtin_tools())


def known_builtins() -> list[Tool]:
    """The built-in tools the model is trained with, in their usual order."""
    known = {*(HABITS.builtins or ()), *HABITS.pinned}
    return [tool for tool in builtin_tools() if tool.name in known]
