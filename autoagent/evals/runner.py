"""Runs tasks: each in a fresh workspace, with a memory of its own that is thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.errors import UsageError
from autoagent.evals.check import TaskCheck
from autoagent.evals.failures import failure_kind
from autoagent.evals.report import Report, TaskResult, summarize
from autoagent.evals.suite import Suite
from autoagent.evals.task import Task
from autoagent.goal import Goal
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Model
from autoagent.trajectory import Trajectory


def run_task(
    task: Task,
    *,
    model: Model,
    home: Path | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    suite: str = "",
) -> TaskResult:
    """Run one task and check its outcome.

    Args:
        task: What to do, in which world, and what must be true afterwards.
        model: Who does it.
        home: Where the run is recorded; by default the record is thrown away, and ``run_id`` is None.
        limits: Budgets of the run.
        seed: Of sampling.
        suite: Name the run is recorded under.

    Raises:
        KeyboardInterrupt: the user interrupted the run; what there was of it is on record.
        UsageError: the model or the task cannot be used.
        StoreError: the record cannot be written.
    """
    memory = VolatileMemory()
    for text in task.memory:
        memory.add(text)
    check = TaskCheck(task.expected, memory)
    with _folder() as folder:
        agent = Agent(
            tools=[spec.build() for spec in task.tools],
            model=model,
            workspace=task.lay_out(folder / "workspace").root,
            home=home or folder / "home",
            limits=limits or Limits(),
            sampling=Sampling(seed=seed),
            memory=memory,
            approve=lambda request: request.tool == "finetune",
            services={"finetune": _rehearse},
        )
        with agent:
            run = _watched(agent, Goal(task.goal, check, any_ending=True), check, suite)
    return _result(task, run, check, seed).model_copy(update={"run_id": run.run_id if home else None})


def run_suite(
    suite: Suite | Callable[[int], Suite],
    *,
    model: Model,
    seeds: int | Sequence[int] = 1,
    home: Path | None = None,
    limits: Limits | None = None,
    on_result: Callable[[TaskResult], None] | None = None,
) -> Report:
    """Run every task of a suite with every seed, and summarize.

    Args:
        suite: Tasks, or a generator that makes other tasks of each seed.
        model: Who does them.
        seeds: How many (from 0), or which.
        home: Where the runs are recorded, under the suite's name; by default the record is thrown away.
        limits: Budgets of each run.
        on_result: Called after each task with its result, to show progress.

    Raises:
        UsageError: there are no seeds; besides, what ``run_task`` raises.
    """
    began = time.monotonic()
    chosen = range(seeds) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not chosen:
        raise UsageError(f"--seeds {seeds}: at least one seed is needed")
    suites = [(seed, suite if isinstance(suite, Suite) else suite(seed)) for seed in chosen]
    results: list[TaskResult] = []
    with _folder() as folder:
        place = home or folder
        for seed, each in suites:
            for task in each.tasks:
                result = run_task(task, model=model, home=place, limits=limits, seed=seed, suite=each.name)
                results.append(result if home else result.model_copy(update={"run_id": None}))
                if on_result is not None:
                    on_result(results[-1])
    return summarize(
        results,
        suite=suites[0][1].name,
        model=model.version,
        generated=not isinstance(suite, Suite),
        seconds=time.monotonic() - began,
    )


def _rehearse(note: str = "") -> str:
    """In place of training: a task can ask for it, but an evaluation must not change what it measures."""
    return "This is a rehearsal: nothing was trained."


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="autoagent-eval-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _watched(agent: Agent, goal: Goal, check: TaskCheck, suite: str) -> Trajectory:
    for event in agent.events(goal, suite=suite):
        check.watch(event)
        if isinstance(event, events.Closed):
            if event.trajectory.ending == "interrupted":
                raise KeyboardInterrupt
            return event.trajectory
    raise AssertionError("the last event of a run is Closed")


def _result(task: Task, run: Trajectory, check: TaskCheck, seed: int) -> TaskResult:
    assert run.ending is not None  # a closed run has ended
    success = run.verdict.status == "verified"
    lost = not success and not check.fault
    return TaskResult(
        task=task.id,
        family=task.family,
        goal=task.goal,
        seed=seed,
        success=success,
        verdict=run.verdict,
        ending=run.ending,
        answer=run.answer,
        steps=len(run.acts),
        tokens=run.counts.spent,
        seconds=run.seconds,
        failure=failure_kind(task.expected, run, check.missed) if lost else None,
        check_error=check.fault,
        trajectory=run,
    )
