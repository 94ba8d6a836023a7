"""Going on from a step of a recorded run in another way: in a copy of its workspace and memory.

What lives in files comes back from the snapshot; what lives in tools is done again: facts that were saved,
and the actions of an environment. The user's own workspace and memory are never touched. Not covered: what a
tool of the user's own keeps elsewhere, and a check command that names files outside of the workspace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Conduct, Limits, Safety, Sampling
from autoagent.errors import Recoverable, StoreError, UsageError
from autoagent.evals import Suite, Task, TaskCheck
from autoagent.evals.environment import EnvironmentTask
from autoagent.evals.runner import task_agent
from autoagent.events import Event
from autoagent.goal import Check, Goal, command, expect
from autoagent.guarding import as_given
from autoagent.memory import Entry, LazyMemory, Memory
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Expect, Model, Session, ToolSchema
from autoagent.offer import builtins_of
from autoagent.security import refuse
from autoagent.store.branches import Branch
from autoagent.store.rows import FAMILY
from autoagent.store.upkeep import remove
from autoagent.tools import Context, Tool, Toolbox, builtin_tools
from autoagent.trajectory import Message, Reply, ToolCall, Trajectory, Verdict
from autoagent.workspace import Workspace

if TYPE_CHECKING:
    from autoagent.models.local import LocalModel, LocalSession
    from autoagent.training.replay import LedModel

_MOST_MEMORIES = 500  # copied, the newest


class NotTheSame(UsageError):
    """A recorded conversation does not come out token by token."""


@dataclass(frozen=True)
class Scene:
    """What a branch is played in. It has a state: for each branch its own.

    Attributes:
        agent: With the run's tools, rules and memory, but not yet its model, workspace and budget.
        goal: With its check.
        watch: Told of every event, before the next.
    """

    agent: Agent
    goal: Goal
    watch: Callable[[Event], None] = lambda event: None


@dataclass(frozen=True)
class Memories:
    """What the long-term memory of an agent holds, read when it is first asked for."""

    agent: Agent
    home: Path

    @cached_property
    def entries(self) -> list[Entry]:
        """The newest first; none where the memory cannot be read now."""
        given = self.agent.memory
        memory: Memory = LazyMemory(self.home) if isinstance(given, bool) else given
        try:
            return memory.entries(most=_MOST_MEMORIES) if given is not False else []
        except StoreError:
            return []
        finally:
            if isinstance(memory, LazyMemory):
                memory.close()  # the lock is for others


def _sending(agent: Agent) -> Iterator[str]:
    """Names of the tools that use the network."""
    there = (*agent.tools, *builtins_of(agent.builtins, agent.sandbox))
    return (tool.name for tool in there if "network" in tool.effects)


def user_scene(branch: Branch, agent: Agent, check: Check | None, memories: Memories) -> Scene:
    """For a run of the user's own.

    Args:
        branch: Where it is left.
        agent: Has the tools, rules and prompts of the user's runs.
        check: Decides on the outcome.
        memories: What its memory begins with, if it looks there.
    """
    run = branch.run
    memory = VolatileMemory()
    if {"recall_memory", "save_memory"} & {*run.tools} or any(step.recalled for step in run.steps):
        memory.hold(memories.entries)
    conduct = Conduct.model_validate(run.settings.get("conduct", {}))
    stand_ins: dict[str, Callable[..., Any]] = {
        name: _nothing for name in ("finetune", "delegate") if name in run.tools
    }
    scene = replace(
        agent,
        memory=memory,
        conduct=conduct.model_copy(update={"plan": "auto"} if conduct.plan == "ask" else {}),
        approve=refuse,
        rules=agent.rules.asking(*_sending(agent)),  # nobody consents here to what the goal names, either
        remember=None,
        services={**agent.services, **stand_ins},  # the loop lends the real delegate
        ask_user=_answers(run) if "ask_user" in run.tools else None,
        edit_plan=None,
        steer=None,
        about={},
    )
    return Scene(scene, Goal(run.goal, check))


def task_scene(branch: Branch, task: Task, model: Model) -> Scene:
    """For a run of a task's first goal: the task's world, as far as the branch had come in it."""
    memory = VolatileMemory()
    for text in task.memory:
        memory.add(text)
    episode = task.begin(memory) if isinstance(task, EnvironmentTask) else None
    tools = list(episode.tools) if episode else [spec.build() for spec in task.tools]
    named = {tool.name for tool in tools}
    known = Toolbox([*tools, *(each for each in builtin_tools() if each.name not in named)])
    first = task.goals[0]
    check = episode.check if episode else TaskCheck(first.expected, memory, known)
    asked = 0
    for step in branch.steps:
        for seen in step.observations:
            check.watch(events.Observed(step=step.index, observation=seen))
            asked += seen.ok and seen.call.name == "ask_user"
            if seen.ok and (seen.call.name == "save_memory" or (episode and seen.call.name in named)):
                _do_again(known[seen.call.name], seen.call, memory)
    goal = first.model_copy(update={"answers": first.answers[asked:]})
    agent = task_agent(task, goal, tools, memory, model)
    if "delegate" in branch.run.tools:
        agent = replace(agent, services={**agent.services, "delegate": _nothing})
    return Scene(agent, Goal(task.goal, check, any_ending=True), check.watch)


def _do_again(tool: Tool, call: ToolCall, memory: Memory) -> None:
    try:
        tool(call.arguments, Context(Workspace(Path()), memory))
    except Recoverable as problem:
        raise NotTheSame(f"{call.name} does not do again what it did: {problem}") from None


def _nothing(*given: object, **named: object) -> str:
    return "This is a rehearsal: nothing was done."


def _answers(run: Trajectory) -> Callable[[str], str]:
    """A user who says what was said then, and nothing else."""
    seen = (seen for step in run.steps for seen in step.observations if seen.call.name == "ask_user")
    told = {str(each.call.arguments.get("question", "")).strip(): each.content for each in seen if each.ok}
    return lambda question: told.get(question.strip(), "")


def check_of(start: Branch, safety: Safety, *, timeout: float = 60.0) -> Check | None:
    """The check that the run was given on the command line; None where there was none, or one in Python.

    Args:
        start: Of the run. Its settings hold ``--check`` and ``--expect``, without secrets.
        safety: What is a secret.
        timeout: Longest time the command may take, in seconds.

    Raises:
        UsageError: a secret in it is not known any more.
    """
    said: list[Check] = []
    place = Path(start.summary.workspace) if start.summary.workspace else None
    given = {name: start.run.settings.get(name) for name in ("expect", "check")}
    if given["expect"]:
        said.append(expect(as_given(str(given["expect"]), safety, place)))
    if given["check"]:
        said.append(command(as_given(str(given["check"]), safety, place), timeout=timeout))
    if not said:
        return None

    def check(workspace: Workspace, answer: str) -> Verdict:
        verdict = Verdict()
        for each in said:
            found = each(workspace, answer)
            assert isinstance(found, Verdict)  # those of autoagent.goal always give one
            verdict = found
            if verdict.status != "verified":
                break
        return verdict

    return check


def task_of(branch: Branch, suite: Suite) -> Task | None:
    """The task of a suite that a run was made of: the one with its goal, and its files where several have it.

    None for what is no first goal of a task, or cannot be told.
    """
    fitting = [task for task in suite.tasks if task.goal == branch.run.goal]
    if len(fitting) > 1:
        kept = branch.store.snapshots_of(branch.run.run_id)
        entries = branch.store.snapshots.entries(kept[0]) if 0 in kept else {}
        there = {name: entry.content for name, entry in entries.items() if entry.kind == "file"}
        fitting = [task for task in fitting if there == _hashes(task.files)]
    alike = bool(fitting) and all(task.expected == fitting[0].expected for task in fitting)
    return fitting[0] if alike else None


def _hashes(files: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}


def play(
    branch: Branch,
    scene: Scene,
    model: BranchModel,
    folder: Path,
    *,
    limits: Limits,
    sampling: Sampling,
    tag: str,
) -> Generator[Event, None, None]:
    """Go on from where a branch was left; the first event names the new run, the last holds it.

    Args:
        branch: Where the run is left.
        scene: What it is played in.
        model: Who goes on.
        folder: An empty one, which becomes the workspace.
        limits: Budgets of the whole run: what was used until the branch counts.
        sampling: How tokens are drawn.
        tag: Word to find the new run by; a family that the run is of is its family, too.

    Raises:
        NotTheSame: the conversation cannot be rebuilt; nothing is left on record.
    """
    run_id = branch.begin(
        folder,
        model=model.version,
        seed=sampling.seed,
        tags=[tag, *(each for each in branch.summary.tags if each.startswith(FAMILY))],
        settings={"sampling": sampling.model_dump(mode="json")},
    )
    agent = replace(
        scene.agent,
        model=model,
        workspace=folder,
        home=branch.store.home,
        limits=_left(branch, limits),
        sampling=sampling,
    )
    began = False
    try:
        going_on = cast("Generator[Event, None, None]", agent.resume(run_id, check=scene.goal))
        with agent, closing(going_on):
            for event in going_on:
                began = True
                scene.watch(event)
                yield event
    finally:
        if not began:
            remove(branch.store, [run_id])


def _left(branch: Branch, limits: Limits) -> Limits:
    """What is left of a budget: a run that goes on gets all of what it is given anew."""
    acts = sum(step.kind == "act" for step in branch.steps)
    spent = sum(step.reply.counts.spent for step in branch.steps)
    left = {
        "max_steps": max(1, limits.max_steps - acts),
        "max_tokens": max(limits.reply_tokens, limits.max_tokens - spent),
    }
    return limits.model_copy(update=left)


@dataclass
class BranchModel:
    """A model that opens the conversation of a branch as it was when the run was left, to the token.

    Attributes:
        told: What it says first, if that is not left to it: a text and a call.
    """

    model: Model
    branch: Branch
    told: tuple[str, ToolCall] | None = None
    window: int = field(init=False)
    version: str = field(init=False)
    _led: LedModel | None = field(default=None, init=False, repr=False)
    _base: LocalSession | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.window, self.version = self.model.window, self.model.version

    def __getattr__(self, name: str) -> Any:  # its folder, its warnings
        if name.startswith("_") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)

    def count(self, text: str) -> int:
        return self.model.count(text)

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Session:
        """The conversation of the branch; any other one (of a helper) is opened as ever.

        Raises:
            NotTheSame: it does not come out token by token.
        """
        if list(messages) != self.branch.messages:
            return self.model.open(messages, tools)
        shown = [tool for tool in tools if tool["function"]["name"] in self.branch.run.tools]
        local = local_model(self.model)
        if local is not None:
            return self._rebuilt(local, shown)
        session = self.model.open(messages, shown)
        if self.told is None:
            return session
        return cast(Session, _Told(session, Reply(text=self.told[0], calls=(self.told[1],))))

    def _rebuilt(self, local: LocalModel, tools: Sequence[ToolSchema]) -> Session:
        from autoagent.training.replay import LedModel, dictation, replayed

        if self._led is None or self._base is None:
            self._led = LedModel.of(local)
            self._base = replayed(self._led, self.branch, tools)
        self._led.dictations.clear()
        if self.told is not None:
            self._led.dictations.append(dictation(local, *self.told))
        return self._base.fork()

    def close(self) -> None:
        """Free what the conversation takes."""
        if self._base is not None:
            self._base.close()
            self._led = self._base = None


def local_model(model: Model) -> LocalModel | None:
    """The model, if it is a loaded one: only then there are tokens."""
    if getattr(model, "engine", None) is None:
        return None
    from autoagent.models.local import LocalModel

    return model if isinstance(model, LocalModel) else None


class _Told:
    """A session of a model without tokens, whose first reply is given."""

    def __init__(self, session: Session, reply: Reply) -> None:
        self._session = session
        self._reply: Reply | None = reply

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        told, self._reply = self._reply, None
        if told is None:
            return (yield from self._session.generate(expect, sampling=sampling, max_tokens=max_tokens))
        yield told.text
        self._session.append(told.as_message())
        return told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
