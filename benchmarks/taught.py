"""A stand-in for a user who corrects failed runs: they type the action that the task's own check expects.

Everything else is what ``autoagent runs correct RUN --suite SUITE --call CALL`` does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from autoagent import Agent
from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.evals import Suite, Task
from autoagent.models.load import load_model
from autoagent.store import Store
from autoagent.training.corrections import TAG, wrong_action
from autoagent.trajectory import ToolCall, Trajectory

_TRIES = 3  # corrections of one run; a user would give up, too


@dataclass(frozen=True)
class Taught:
    """What came of it."""

    runs: tuple[str, ...]  # corrected and verified, those of an earlier call among them
    typed: int  # actions that were typed in this call
    failed: int  # runs that could not be put right


def teach(
    home: Path,
    suite: Suite,
    count: int,
    *,
    seed: int,
    limits: Limits,
    tell: Callable[[int], None] = lambda done: None,
) -> Taught:
    """Correct failed runs on record, chosen at random, until ``count`` of them are verified.

    Args:
        home: Has the runs, recorded under the suite's name; the version in use goes on after each correction.
        suite: Its tasks say what is right.
        count: How many are wanted; fewer where there are not so many failed runs.
        seed: Of the choice.
        limits: Budgets of each run.
        tell: Called after each corrected run with how many there are.
    """
    tasks = {task.goal: task for task in suite.tasks}
    with closing(Store(home)) as store:
        right = store.matching(verdict="verified", suite=suite.name, tags=[TAG])
        lost = store.runs(verdict="refuted", suite=suite.name)
    done = {run.goal: run.run_id for run in right}
    first = {run.goal: run.run_id for run in lost if run.parent is None and run.goal in tasks}
    waiting = sorted(set(first) - set(done))
    random.Random(seed).shuffle(waiting)
    typed = failed = 0
    with Agent(home=home, model=load_model(None, home), memory=False, limits=limits) as agent:
        for goal in waiting:
            if len(done) >= count:
                break
            run, tries = put_right(agent, first[goal], tasks[goal], suite)
            typed += tries
            if run is None:
                failed += 1
            else:
                done[goal] = run
                tell(len(done))
    return Taught(tuple(done.values()), typed, failed)


def put_right(agent: Agent, run_id: str, task: Task, suite: Suite) -> tuple[str | None, int]:
    """Correct a run, then the corrected one if need be; its id, and how many actions were typed."""
    assert agent.home is not None
    for tries in range(1, _TRIES + 1):
        with closing(Store(agent.home)) as store:
            wrong = first_wrong(store.load(run_id), task)
        if wrong is None:
            return None, tries - 1
        step, call = wrong
        try:
            made = wrong_action(agent, run_id, step=step, suite=suite).correct(call)
        except UsageError:  # it cannot be rebuilt, or the model cannot say this
            return None, tries
        if made.verdict.status == "verified":
            return made.run_id, tries
        run_id = made.run_id
    return None, _TRIES


def first_wrong(run: Trajectory, task: Task) -> tuple[int, ToolCall] | None:
    """The first step that did not do what was expected, and what was; None where there is no such step."""
    acts = [step for step in run.acts if step.reply.calls]
    for step, right in zip(acts, right_calls(task), strict=False):
        done = step.reply.calls[0]
        if right.name == "finish" == done.name:
            continue  # any answer will do
        if (done.name, done.arguments) != (right.name, right.arguments):
            return step.index, right
    return None


def right_calls(task: Task) -> list[ToolCall]:
    """The expected calls with their arguments, and the end."""
    expected = task.expected
    names = [name for name in expected.calls if name != "finish"]
    calls = [ToolCall(name=name, arguments=dict(expected.arguments.get(name, {}))) for name in names]
    return [*calls, ToolCall(name="finish", arguments={"answer": expected.answer or "Done."})]
