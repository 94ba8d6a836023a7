"""The adapter to outside environments: Gymnasium's reset, step and reward as goal, tools and check in text.

An episode becomes a task: what the environment wants is the goal, its actions are tools, and the reward it
gives is the verdict. ``environment_suite("BabyAI-GoToRedBall-v0")`` makes a suite of such tasks; what comes
with the program is in ``worlds``, and anything with the methods of ``Environment`` can be used (see
docs/environments.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import Field

from autoagent import events
from autoagent.errors import ToolError, UsageError
from autoagent.evals import worlds
from autoagent.evals.check import TaskCheck
from autoagent.evals.suite import Suite
from autoagent.evals.task import Expected, Task
from autoagent.events import Event
from autoagent.memory import Memory
from autoagent.tools import Tool
from autoagent.trajectory import Verdict
from autoagent.workspace import Workspace

MOST_TOOLS = (
    5  # actions with a tool of their own: with look, finish and decline, all that a small model is shown
)


class Environment(Protocol):
    """A Gymnasium environment whose observations and actions are text."""

    @property
    def actions(self) -> Mapping[str, str] | Literal["text", "answer"]:
        """Names of the actions and what each does; "text" where any line is one; "answer" where the answer
        of the run is the only action there is."""

    @property
    def enough(self) -> float:
        """The least total reward of an episode that reached its goal."""

    def reset(self, *, seed: int) -> tuple[str, Mapping[str, Any]]:
        """Begin an episode: what is seen, and ``{"goal": what is wanted}`` where that is not in it."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Mapping[str, Any]]:
        """Act: what is seen then, reward, whether the episode ended, whether it was cut short, details."""

    def close(self) -> None:
        """Give back what it holds."""


class Reward(Expected):
    """The environment judges."""

    reward: float = Field(description="Least total reward of the episode.")


@dataclass(repr=False)
class RewardCheck(TaskCheck):
    """Verifies an episode by the environment's own reward, whatever the ending."""

    episode: Episode = field(kw_only=True)

    def watch(self, event: Event) -> None:
        super().watch(event)
        if isinstance(event, events.Closed):
            self.episode.environment.close()

    def __call__(self, workspace: Workspace, answer: str) -> Verdict:
        episode = self.episode
        if episode.awaits_answer and self.ending == "finished":
            try:
                episode.act(answer)
            except Exception:  # of the environment's making; act noted it in fault
                return Verdict(reason=f"the check itself failed: {self.fault}")
        self.missed = ()
        score = min(1.0, max(0.0, episode.total))
        if episode.reached:
            return Verdict(status="verified", score=score, by="check")
        self.missed = ("answer",) if episode.answers else ("command",)
        reason = f"the reward is {episode.total:.3g}, and {episode.environment.enough:.3g} is needed"
        return Verdict(status="refuted", score=score, reason=reason, by="check")


class Episode:
    """One episode of an environment, as a run sees it.

    Attributes:
        goal: What is wanted, and what is seen at first.
        tools: The actions, and ``look``; none where the answer is the action.
        answers: Whether the answer of the run is the one action, so that other tools may help to find it.
        check: Gives the verdict.
        total: Reward so far.
        over: Whether the environment ended the episode.
    """

    def __init__(self, environment: Environment, seed: int, memory: Memory) -> None:
        self.environment = environment
        self.check = RewardCheck(Reward(reward=environment.enough), memory, episode=self)
        self.total, self.over = 0.0, False
        self.answers = environment.actions == "answer"
        self._view, info = environment.reset(seed=seed)
        self.goal = _goal(self._view, info)
        self.tools = () if self.answers else (*_action_tools(environment, self.act), self._look())

    @property
    def reached(self) -> bool:
        return self.total >= self.environment.enough

    @property
    def awaits_answer(self) -> bool:
        return self.answers and not self.over

    def act(self, action: str) -> str:
        """Carry out one action; what the model reads then.

        Raises:
            ToolError: the episode is over.
        """
        if self.over:
            raise ToolError("the episode is over: call finish")
        try:
            view, reward, ended, cut, _ = self.environment.step(action)
        except Exception as problem:  # a fault of the environment, so it must not count against the model
            self.check.fault = f"{type(problem).__name__}: {problem}"
            raise
        self._view, self.over = view, ended or cut
        self.total += reward
        lines = [view, f"Reward: {reward:.3g}." if reward else ""]
        if self.over:
            missed = "The goal was missed" if ended else "Out of time"
            lines.append(
                f"{'The goal is reached' if self.reached else missed}. The episode is over: call finish."
            )
        return "\n".join(filter(None, lines))

    def _look(self) -> Tool:
        return Tool.from_parts(
            lambda: self._view,
            name="look",
            description="Look at what is around, without acting",
            arguments={},
        )


def _action_tools(environment: Environment, act: Callable[[str], str]) -> list[Tool]:
    """One tool for each action, or one for all where there are too many to show."""
    actions = environment.actions
    if isinstance(actions, str):
        return [_tool(act, "act", "Do something, in a few words", action=str)]
    if len(actions) > MOST_TOOLS:
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in actions.items())
        return [_tool(act, "act", f"Take one action. {meanings}", action=Literal[tuple(actions)])]
    return [_tool(lambda name=name: act(name), name, meaning) for name, meaning in actions.items()]


def _tool(function: Callable[..., str], name: str, description: str, **arguments: Any) -> Tool:
    # It changes the episode, so a resumed run must not repeat it.
    return Tool.from_parts(
        function, name=name, description=description, arguments=arguments, effects=("write",)
    )


class EnvironmentTask(Task):
    """One episode of an environment as a task of a suite."""

    make: Callable[[], Environment] = Field(exclude=True, repr=False, description="Makes the environment.")
    episode_seed: int = Field(ge=0, description="Seed of reset.")

    def begin(self, memory: Memory) -> Episode:
        """A fresh environment at the beginning of the task's episode."""
        return Episode(self.make(), self.episode_seed, memory)


def environment_suite(
    name: str, seed: int = 0, count: int = 10, *, make: Callable[[], Environment] | None = None
) -> Suite:
    """Episodes of an environment as a suite; those of another seed are others.

    Args:
        name: An environment that ``worlds`` knows, or a group of them.
        seed: Which episodes.
        count: How many, of each environment of a group.
        make: Makes an environment of your own; ``name`` is then just what it is called.

    Raises:
        UsageError: there is no such environment, or what it needs is not installed.
    """
    if count < 1:
        raise UsageError(f"count {count}: at least one episode is needed")
    makers = {name: make} if make is not None else {each: worlds.maker(each) for each in worlds.members(name)}
    numbers = range(seed * count, (seed + 1) * count)
    return Suite(
        f"env:{name}",
        tuple(_task(each, maker, number) for each, maker in makers.items() for number in numbers),
    )


def _task(name: str, make: Callable[[], Environment], seed: int) -> EnvironmentTask:
    environment = make()
    view, info = environment.reset(seed=seed)
    environment.close()
    return EnvironmentTask(
        id=f"{name}-{seed}",
        family=name,
        goal=_goal(view, info),
        only=None if environment.actions == "answer" else (),
        ask=False,
        expected=Reward(reward=environment.enough),
        make=make,
        episode_seed=seed,
    )


def _goal(view: str, info: Mapping[str, Any]) -> str:
    return "\n\n".join(text for text in (str(info.get("goal", "")), view) if text)
