"""Tools of installed packages, by the entry-point group ``autoagent.tools``.

An entry point names a tool, a list of tools, or a module whose tools are all meant:

    [project.entry-points."autoagent.tools"]
    weather = "my_package.weather"
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from autoagent.tools.base import Tool

GROUP = "autoagent.tools"


def plugin_tools() -> tuple[list[Tool], list[str]]:
    """The tools of all installed packages, and a line on each entry point that could not be used."""
    tools: list[Tool] = []
    notes: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda each: (_package(each), each.name)):
        try:
            found = _tools_of(entry.load())
        except (Exception, SystemExit) as problem:  # somebody else's code: the others must still load
            what = f"{type(problem).__name__}: {problem}".replace("\n", " ")
            notes.append(f"{_package(entry)}: its tools ({entry.value}) cannot be loaded: {what}")
            continue
        if not found:
            notes.append(f"{_package(entry)}: {entry.value} holds no tool: put @tool above a function")
        for each in found:
            each.source = _package(entry)
        tools += found
    return tools, notes


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name} {entry.dist.version}" if entry.dist is not None else "a package"


def _tools_of(value: Any) -> list[Tool]:
    """The tools that an entry point's value means."""
    if isinstance(value, Tool):
        return [value]
    if isinstance(value, ModuleType):
        return [
            each
            for each in vars(value).values()
            if isinstance(each, Tool) and each.function.__module__ == value.__name__
        ]
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return [each for each in value if isinstance(each, Tool)]
    return []
