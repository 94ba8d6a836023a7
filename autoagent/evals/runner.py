"""Runs tasks: each in a fresh workspace, with a memory of its own that is thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.evals.check import TaskCheck
from autoagent.evals.environment import EnvironmentTask
from autoagent.evals.failures import failure_kind, first_tool
from autoagent.evals.report import TaskResult
from autoagent.evals.task import FollowUp, Task
from autoagent.goal import Goal
from autoagent.memory import Memory
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Model
from autoagent.store.rows import FAMILY
from autoagent.tools import Tool, Toolbox, builtin_tools
from autoagent.trajectory import Trajectory

# What a report shows of the world of a task.
_GIVEN = {"folder", "files", "memory", "tools", "only", "policy", "ask", "answers"}


def run_task(
    task: Task,
    *,
    model: Model,
    home: Path | None = None,
    kept: bool = True,
    limits: Limits | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    suite: str = "",
) -> TaskResult:
    """Run one task and check its outcome; with follow-ups, one run after the other until one goal is missed.

    Args:
        task: What to do, in which world, and what must be true afterwards.
        model: Who does it.
        home: Where the run is recorded; by default the record is thrown away, and ``run_id`` is None.
        kept: Whether the record in ``home`` is to last; one that is not need not wait for the disk.
        limits: Budgets of the run.
        seed: Of sampling.
        sampling: How tokens are drawn, with that seed; greedy by default.
        suite: Name the run is recorded under; it has the tag ``family:NAME``, too.

    Raises:
        KeyboardInterrupt: the user interrupted the run; what there was of it is on record.
        UsageError: the model or the task cannot be used.
        StoreError: the record cannot be written.
    """
    memory = VolatileMemory()
    for text in task.memory:
        memory.add(text)
    episode = task.begin(memory) if isinstance(task, EnvironmentTask) else None
    tools = list(episode.tools) if episode else [spec.build() for spec in task.tools]
    named = {each.name for each in tools}
    known = Toolbox([*tools, *(each for each in builtin_tools() if each.name not in named)])
    runs: list[Trajectory] = []
    tags = (f"{FAMILY}{task.family}",) if task.family else ()
    with scratch() as folder:
        root = task.lay_out(folder / "workspace").root
        for goal in task.goals:
            check = episode.check if episode else TaskCheck(goal.expected, memory, known)
            agent = replace(
                task_agent(task, goal, tools, memory, model),
                workspace=root,
                home=home or folder / "home",
                durable=kept and home is not None,
                limits=limits or Limits(),
                sampling=(sampling or Sampling()).model_copy(update={"seed": seed}),
            )
            with agent:
                runs.append(_watched(agent, Goal(goal.goal, check, any_ending=True), check, suite, tags))
            if runs[-1].verdict.status != "verified":
                break
    return _result(task, runs, check, seed).model_copy(update={"run_id": runs[-1].run_id if home else None})


def task_agent(task: Task, goal: FollowUp, tools: Sequence[Tool], memory: Memory, model: Model) -> Agent:
    """The agent that works on one goal of a task; its workspace, home and budgets are for the caller to set.

    Args:
        task: Says which built-in tools there are, what is allowed, and whether there is a user.
        goal: Says what the user answers.
        tools: The task's own tools, built.
        memory: What the run remembers in.
        model: Who works.
    """
    return Agent(
        tools=tools,
        model=model,
        memory=memory,
        builtins=True if task.only is None else task.only,
        rules=task.rules,
        approve=lambda request: request.tool == "finetune" and not request.reason,
        services={"finetune": _rehearse},
        ask_user=_user(goal.answers) if task.ask else None,
    )


def _rehearse(**chosen: str) -> str:
    """In place of training: a task can ask for it, but an evaluation must not change what it measures."""
    return "This is a rehearsal: nothing was trained."


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is thrown away."""
    with TemporaryDirectory(prefix="autoagent-eval-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _watched(agent: Agent, goal: Goal, check: TaskCheck, suite: str, tags: Sequence[str]) -> Trajectory:
    for event in agent.events(goal, suite=suite, tags=tags):
        check.watch(event)
        if isinstance(event, events.Closed):
            if event.trajectory.ending == "interrupted":
                raise KeyboardInterrupt
            return event.trajectory
    raise AssertionError("the last event of a run is Closed")


def _user(answers: Sequence[str]) -> Callable[[str], str]:
    """A user who gives these answers, one after the other, and then none."""
    left = iter(answers)
    return lambda question: next(left, "")


def _result(task: Task, runs: Sequence[Trajectory], check: TaskCheck, seed: int) -> TaskResult:
    """The last run decides: it reached the last goal, or lost the one that was not reached."""
    run = runs[-1]
    assert run.ending is not None  # a closed run has ended
    success = run.verdict.status == "verified"
    lost = not success and not check.fault
    return TaskResult(
        task=task.id,
        family=task.family,
        split=task.split,
        tags=task.tags,
        goal=task.goal,
        expected=tuple(goal.expected.model_dump(mode="json", exclude_defaults=True) for goal in task.goals),
        seed=seed,
        success=success,
        verdict=run.verdict,
        ending=run.ending,
        at=len(runs),
        answer=run.answer,
        steps=sum(len(each.acts) for each in runs),
        tokens=sum(each.counts.spent for each in runs),
        seconds=sum(each.seconds for each in runs),
        first_tool=first_tool(run),
        failure=failure_kind(check.expected, run, check.missed) if lost else None,
        check_error=check.fault,
        given=task.model_dump(mode="json", include=_GIVEN, exclude_defaults=True),
        trajectory=run,
        earlier=tuple(runs[:-1]),
    )
