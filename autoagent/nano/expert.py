"""The scripted expert: it does an episode through the runtime's own loop, with the runtime's own tools.

What a model is trained on is therefore, to the byte, what it will see at run time.
"""

from __future__ import annotations

import datetime
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoagent.config import Limits
from autoagent.conversation import opening_messages
from autoagent.evals.task import Task
from autoagent.loop import Loop
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.grammar import LONGEST_TEXT
from autoagent.models.protocol import Expect, Json, ToolSchema
from autoagent.models.scripted import Line, ScriptedSession
from autoagent.nano.families import Episode
from autoagent.nano.habits import FOLDER, HABITS, PROMPTS, known_builtins
from autoagent.plan import MOST_SUB_GOALS
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import Message, ToolCall

_LONGEST_PART = 100  # characters of a part of a goal that are quoted


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
    episode: Episode,
    folder: Path,
    *,
    rng: random.Random,
    limits: Limits | None = None,
    shown: int | None = None,
) -> Demonstration:
    """Let the expert do the episode in ``folder`` (emptied first).

    Args:
        episode: What to do; its helpers do their parts in the same folder.
        folder: The workspace.
        rng: For the date, and what a rehearsed training says.
        limits: Of the run.
        shown: How many tools the model is shown; by default as many as at run time.

    Raises:
        NotShown: a tool it needs is not among those the ranker shows for the goal.
    """
    shutil.rmtree(folder, ignore_errors=True)
    workspace = episode.task.lay_out(folder)
    memory = VolatileMemory()
    for text in episode.task.memory:
        memory.add(text)
    return _work(episode, Context(workspace=workspace, memory=memory), rng, limits or Limits(), shown)


def offered(task: Task, most: int | None = None, *, helper: bool = False) -> Toolbox:
    """The tools that a run of a task is shown, as the agent picks them; helpers have no helpers."""
    absent = {name for name, gone in (("ask_user", not task.ask), ("delegate", helper)) if gone}
    known = [tool for tool in known_builtins() if tool.name not in absent and task.has_builtin(tool.name)]
    own = [spec.build() for spec in task.tools]
    return Toolbox([*own, *known]).shown_for(
        task.goal,
        at_most=most or HABITS.shown_tools,
        pinned=HABITS.pinned,
        own=[each.name for each in own],
    )


def _work(
    episode: Episode,
    world: Context,
    rng: random.Random,
    limits: Limits,
    most: int | None,
    *,
    helper: bool = False,
) -> Demonstration:
    """One run of the expert in a world."""
    task = episode.task
    shown = offered(task, most, helper=helper)
    for action in episode.actions:
        if action.tool not in shown:
            raise NotShown(action.tool)
    schemas = [tool.schema for tool in shown]
    opening = opening_messages(task.goal, PROMPTS, today=_some_day(rng))
    session = Expert(episode).open(opening, schemas)
    answers, helpers = iter(task.answers), iter(episode.helpers)

    def delegate(goal: str, tools: Sequence[str]) -> str:
        helped = _work(next(helpers), replace(world, services={}), rng, limits, most, helper=True)
        return helped.answer

    services: dict[str, Callable[..., object]] = {
        "finetune": lambda **chosen: _trained(rng),
        "ask_user": lambda question: next(answers, ""),
        "delegate": delegate,
    }
    loop = Loop(
        session=session,
        tools=shown,
        context=replace(world, services=services),
        limits=limits,
        policy=_permissive(),
        prompts=PROMPTS,
    )
    for _ in loop.events():
        pass
    return Demonstration(tuple(session.messages), tuple(schemas), str(loop.ending), loop.answer or "")


class Expert:
    """The expert as a model, for one episode, its helpers and what is asked later: it can run in an agent.

    ``sessions`` are those that were opened, in order.
    """

    window = 4096
    version = "expert"
    folder = FOLDER  # whose habits it has

    def __init__(self, episode: Episode) -> None:
        every = [episode, *episode.later]
        self._episodes = {each.task.goal: each for one in every for each in (one, *one.helpers)}
        self.sessions: list[ScriptedSession] = []

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> ScriptedSession:
        """Begin the episode whose goal the messages end with."""
        goal = messages[-1].content.removeprefix(PROMPTS.render("goal", goal="").strip()).strip()
        descriptions = {each["function"]["name"]: each["function"]["description"] for each in tools}
        lines = _Lines(self._episodes[goal], descriptions)
        self.sessions.append(ScriptedSession(lines, list(messages), list(tools)))
        return self.sessions[-1]

    def count(self, text: str) -> int:
        return len(text.split())


@dataclass
class _Lines:
    """The lines of the script: plan, one call for each action, then finish or decline."""

    episode: Episode
    descriptions: dict[str, str]

    def __call__(self, messages: Sequence[Message], expect: Expect) -> Line:
        actions = self.episode.actions
        if isinstance(expect, Json):
            return self._plan()[:MOST_SUB_GOALS]
        seen = [message.content for message in messages if message.role == "tool"]
        if len(seen) < len(actions):
            action = actions[len(seen)]
            number = max(1, sum(self._begins_sub_goal(each) for each in range(len(seen) + 1)))
            thought = self._quoted(number, action.tool, action.part)
            before = _found(action.found(seen))
            said = [each for each in (before, thought, action.because(seen)) if each]
            return _line("; ".join(said)), ToolCall(name=action.tool, arguments=action.resolve(seen))
        if self.episode.declines:
            number = max(1, sum(map(self._begins_sub_goal, range(len(actions)))))
            reason = {"reason": self.episode.answer(seen)}
            return _line(self._quoted(number, "decline")), ToolCall(name="decline", arguments=reason)
        thought = _found(self.episode.because(seen))
        return _line(thought), ToolCall(name="finish", arguments={"answer": self.episode.answer(seen)})

    def _plan(self) -> list[str]:
        """A sub-goal for each part of the goal, in its words; of one part, for each call, in the tool's."""
        actions = self.episode.actions
        begun = [action for number, action in enumerate(actions) if self._begins_sub_goal(number)]
        return [_short(each.part) or self._description(each.tool) for each in begun] or [
            self._description("decline")
        ]

    def _begins_sub_goal(self, number: int) -> bool:
        """Whether the plan has a sub-goal that the action of this number, from 0, begins with."""
        action, *before = reversed(self.episode.actions[: number + 1])
        if action.part:
            return not before or before[0].part != action.part
        return action.planned

    def _quoted(self, number: int, name: str, part: str = "") -> str:
        """Description and name of a tool, which makes unknown tools work (see docs/nano.md).

        In a goal of several parts the part stands before: what is copied into the call is near then.
        """
        quoted = f"{self._description(name)}: {name}"
        return f"{number}. {_short(part)}: {quoted}" if part else f"{number}. {quoted}"

    def _description(self, name: str) -> str:
        if name not in self.descriptions:
            raise NotShown(name)
        return self.descriptions[name]


def _found(evidence: str) -> str:
    return f"Found: {evidence}" if evidence else ""


def _short(part: str) -> str:
    """A part of a goal as it is quoted: without its question mark, cut between words where it is long."""
    words = part.replace("<", "").strip().rstrip("?.")
    if len(words) <= _LONGEST_PART:
        return words
    return words[: words.rindex(" ", 0, _LONGEST_PART) if " " in words[:_LONGEST_PART] else _LONGEST_PART]


def _line(thought: str) -> str:
    """A thought as the grammar of calls allows it: one line of a limited length, without ``<``."""
    line = "; ".join(part.strip() for part in thought.splitlines()).replace("<", "")
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 2] + " …"


def _permissive() -> Any:
    from autoagent.security import Policy

    return Policy(approve=lambda request: True)


def _some_day(rng: random.Random) -> datetime.date:
    return datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(3000))


def _trained(rng: random.Random) -> str:
    old, new = rng.randint(30, 80), rng.randint(30, 95)
    kept = "promoted" if new > old + 2 else "refused"
    return f"The new version was {kept}: {old} % before, {new} % after."
