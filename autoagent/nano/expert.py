"""The scripted expert: it does an episode through the runtime's own loop, with the runtime's own tools.

What a model is trained on is therefore, to the byte, what it will see at run time.
"""

from __future__ import annotations

import datetime
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.config import Limits
from autoagent.conversation import opening_messages
from autoagent.loop import Loop
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Expect, Json, ToolSchema
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.nano.families import DECLINE, Episode
from autoagent.nano.habits import HABITS, PROMPTS, known_builtins
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import Message, ToolCall


@dataclass(frozen=True)
class Demonstration:
    """A whole conversation, as a chat template takes it."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    ending: str
    answer: str


class NotShown(Exception):
    """The ranking left out a tool the episode needs."""


def demonstrate(
    episode: Episode, folder: Path, *, rng: random.Random, limits: Limits | None = None
) -> Demonstration:
    """Let the expert do the episode in ``folder`` (emptied first).

    Raises:
        NotShown: a tool it needs is not among those the ranker shows for the goal.
    """
    shutil.rmtree(folder, ignore_errors=True)
    workspace = episode.task.lay_out(folder)
    memory = VolatileMemory()
    for text in episode.task.memory:
        memory.add(text)
    limits = limits or Limits()
    everything = Toolbox([*(spec.build() for spec in episode.task.tools), *known_builtins()])
    shown = everything.shown_for(episode.task.goal, at_most=HABITS.shown_tools, pinned=HABITS.pinned)
    missing = [action.tool for action in episode.actions if action.tool not in shown]
    if missing:
        raise NotShown(missing[0])
    schemas = [tool.schema for tool in shown]
    opening = opening_messages(episode.task.goal, PROMPTS, today=_some_day(rng))
    session = ScriptedModel(_Expert(episode, shown)).open(opening, schemas)
    context = Context(workspace=workspace, memory=memory, services={"finetune": lambda note: _trained(rng)})
    loop = Loop(
        session=session, tools=shown, context=context, limits=limits, policy=_permissive(), prompts=PROMPTS
    )
    for _ in loop.events():
        pass
    return Demonstration(tuple(session.messages), tuple(schemas), str(loop.ending), loop.answer or "")


@dataclass
class _Expert:
    """Writes the lines of the script: plan, one call for each sub-goal, then finish or decline."""

    episode: Episode
    shown: Toolbox

    def __call__(self, messages: Sequence[Message], expect: Expect) -> Line:
        actions = self.episode.actions
        if isinstance(expect, Json):
            return [
                self.shown[name].description for name in ([action.tool for action in actions] or ["decline"])
            ]
        seen = [message.content for message in messages if message.role == "tool"]
        if not actions:
            return self._call(1, "decline", {"reason": DECLINE})
        if len(seen) < len(actions):
            action = actions[len(seen)]
            return self._call(len(seen) + 1, action.tool, action.resolve(seen))
        return "", ToolCall(name="finish", arguments={"answer": self.episode.answer(seen)})

    def _call(self, number: int, name: str, arguments: dict[str, Any]) -> Line:
        """The thought quotes description and name, which makes unknown tools work (see docs/nano.md)."""
        return f"{number}. {self.shown[name].description}: {name}", ToolCall(name=name, arguments=arguments)


def _permissive() -> Any:
    from autoagent.security import Policy

    return Policy(approve=lambda request: True)


def _some_day(rng: random.Random) -> datetime.date:
    return datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(3000))


def _trained(rng: random.Random) -> str:
    old, new = rng.randint(30, 80), rng.randint(30, 95)
    kept = "promoted" if new > old + 2 else "refused"
    return f"The new version was {kept}: {old} % before, {new} % after."
