"""Which tools a run has: those that work in it, and of these the ones its model is shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from autoagent.config import Habits
from autoagent.security import Sandbox
from autoagent.tools import Tool, Toolbox, builtin_tools, control
from autoagent.tools.execute import CONFINED, reaching
from autoagent.trajectory import Trajectory

_OF_THE_LOOP = ("plan", "find_tools")  # services that every run has


@dataclass(frozen=True)
class Offer:
    """All there is to choose from.

    Args:
        tools: Everything, whether it can work or not.
        own: Names of those that the user brought.
        services: What is lent to tools in this run, by name.
        sandbox: Where programs are run; None: not at all.
        habits: What the model was trained with.
    """

    tools: Toolbox
    own: tuple[str, ...]
    services: frozenset[str]
    sandbox: Sandbox | None
    habits: Habits

    @cached_property
    def usable(self) -> Toolbox:
        """All tools that work in this run and that the model knows how to use."""
        habits, lent = self.habits, {*self.services, *_OF_THE_LOOP}
        known = None if habits.builtins is None else {*habits.builtins, *habits.pinned, *self.own}
        if known is None or known & set(CONFINED):
            lent |= {"sandbox"} if self.sandbox is not None and not self.sandbox.blocked else set()
        return Toolbox(
            tool
            for tool in self.tools
            if (not tool.needs or tool.needs in lent) and (known is None or tool.name in known)
        )

    def shown(self, goal: str, at_most: int | None = None) -> Toolbox:
        """The best of them for a goal, the pinned ones last; by default as many as the model is used to.

        ``find_tools`` is there only where it has something to find.
        """
        most = at_most or self.habits.shown_tools
        pinned = [name for name in self.habits.pinned if name != "find_tools" or len(self.usable) - 1 > most]
        rest = Toolbox(tool for tool in self.usable if tool.name in pinned or tool.name != "find_tools")
        if not self.habits.ranked:
            last = [tool for tool in rest if tool.name in pinned]
            return Toolbox([*[tool for tool in rest if tool not in last][: most - len(last)], *last])
        return rest.shown_for(goal, at_most=most, pinned=pinned, own=self.own)


def offered_before(offered: Toolbox, past: Trajectory) -> Toolbox:
    """Those that a recorded run had, and has found since, as far as they are still there."""
    names = [*past.tools, *(tool.name for tool in offered if _found(tool, past))]
    return Toolbox(offered[name] for name in dict.fromkeys(names) if name in offered)


def _found(tool: Tool, past: Trajectory) -> bool:
    """Whether a run has found this tool by ``find_tools``, and may call it since."""
    seen = (seen for step in past.steps for seen in step.observations if seen.call.name == "find_tools")
    return any(f'"name": "{tool.name}"' in each.content for each in seen)


def builtins_of(wanted: bool | Collection[str], sandbox: Sandbox | None) -> Sequence[Tool]:
    """The built-in tools, all or those with these names, and always those that end a run.

    In a sandbox that lets programs reach hosts, those that run programs use the network.
    """
    there = reaching(builtin_tools(), sandbox)
    if wanted is True:
        return there
    names = {*(wanted or ()), *(each.name for each in control.ENDINGS)}
    return [each for each in there if each.name in names]
