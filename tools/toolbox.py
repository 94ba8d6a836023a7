"""The tools of a run: looked up by name, added from files, ordered by relevance, called under the policy."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from autoagent.errors import InvalidCall, UsageError
from autoagent.tools.base import Tool
from autoagent.tools.rank import rank


class Toolbox:
    """An ordered set of tools with unique names."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            self.add(each)

    def add(self, new: Tool) -> None:
        """Add a tool.

        Raises:
            UsageError: it is not a tool, or its name is taken.
        """
        if not isinstance(new, Tool):
            name = getattr(new, "__name__", repr(new))
            raise UsageError(f"{name} is not a tool: put @tool above its definition")
        if new.name in self._tools:
            places = " and ".join(each.source or "this program" for each in (self._tools[new.name], new))
            raise UsageError(f"two tools are named {new.name} ({places}): rename one of them")
        self._tools[new.name] = new

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def __getitem__(self, name: str) -> Tool:
        try:
            return self._tools[name]
        except KeyError:
            raise InvalidCall(f"there is no tool {name}; the tools are {', '.join(self._tools)}") from None

    def shown_for(
        self,
        goal: str,
        *,
        at_most: int,
        pinned: Sequence[str] = ("finish", "decline"),
        own: Collection[str] = (),
    ) -> Toolbox:
        """The tools a run shows its model: the best for the goal first, the pinned ones last.

        Up to half of the places are kept for ``own`` tools: who brings some wants them seen, whatever they
        are called.
        """
        last = [self._tools[name] for name in pinned if name in self._tools]
        ranked = rank(goal, [each for each in self if each not in last])
        places = at_most - len(last)
        brought = [each for each in ranked if each.name in own][: places // 2]
        others = [each for each in ranked if each not in brought][: max(0, places - len(brought))]
        return Toolbox([*(each for each in ranked if each in brought or each in others), *last])


def tools_from_file(file: Path) -> list[Tool]:
    """All ``@tool`` functions defined at the top of a Python file, in the order they stand there.

    Raises:
        UsageError: the file is missing, does not import, or defines no tool.
    """
    if not file.is_file():
        raise UsageError(f"tools file {file} is a folder or does not exist")
    spec = importlib.util.spec_from_file_location(f"autoagent_user_tools_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UsageError(f"tools file {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UsageError as error:
        raise UsageError(f"tools file {file}: {error}") from error
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise UsageError(f"tools file {file}{line}: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Tool)]
    own = [each for each in found if each.function.__module__ == module.__name__]
    if not own:
        raise UsageError(f"tools file {file} defines no tool: put @tool above a function")
    for each in own:
        each.source = str(file)
    return own
