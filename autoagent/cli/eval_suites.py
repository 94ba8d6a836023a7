"""Which goals ``autoagent eval`` and ``finetune`` take: a suite by name, all of it or a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.evals import Suite, SuiteRun
    from autoagent.evals.task import Task

    Tasks = Suite | Callable[[int], Suite]

BUILT_IN = ("builtin", "smoke")
Only = Mapping[str, Sequence[str]]  # names by "family", "split" and "tag"
_LISTED = 20  # names there are, in a message


def find_suite(name: str) -> Tasks:
    """A built-in suite by name, or one in a TOML file.

    Raises:
        UsageError: there is none.
    """
    from autoagent.evals import load_suite

    if name in BUILT_IN:
        from autoagent.nano import suites

        found: Tasks = getattr(suites, name)
        return found
    if name.startswith("env:"):
        from autoagent.evals.environment import environment_suite

        return partial(environment_suite, name.removeprefix("env:"))
    if not Path(name).is_file():
        meant = f"did you mean {close[0]}?" if (close := get_close_matches(name, BUILT_IN, n=1)) else ""
        known = "name builtin, smoke, a TOML file, or env:NAME"
        raise UsageError(f"there is no suite {name}: {meant or known}")
    return load_suite(name)


def gate_suite(name: str) -> Tasks:
    """The suite of the setting of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return find_suite(name)
    except UsageError as problem:
        raise UsageError(f"setting gate_suite: {problem}") from None


def chosen(tasks: Tasks, wanted: Only) -> Tasks:
    """The same suite with the tasks that fit: for each key that names something, one of these.

    Raises:
        UsageError: a name is unknown, or no task fits. Of a suite that is made by seed, when it is made.
    """
    return _each(tasks, lambda suite: _only(suite, wanted)) if any(wanted.values()) else tasks


def _only(suite: Suite, wanted: Only) -> Suite:
    from autoagent.evals import Suite

    def names(task: Task, key: str) -> tuple[str, ...]:
        return {"family": (task.family,), "split": (task.split,), "tag": task.tags}[key]

    for key, given in wanted.items():
        known = sorted({name for task in suite.tasks for name in names(task, key) if name})
        for name in given:
            if name not in known:
                raise UsageError(f"suite {suite.name} has no {key} {name}: {_instead(name, known)}")
    fits = [
        task
        for task in suite.tasks
        if all(not given or {*given} & {*names(task, key)} for key, given in wanted.items())
    ]
    if not fits:
        flags = " ".join(f"--{key} {name}" for key, given in wanted.items() for name in given)
        raise UsageError(f"suite {suite.name} has no task that fits {flags}")
    return Suite(suite.name, tuple(fits))


def _instead(name: str, known: Sequence[str]) -> str:
    """What to write instead of a name that there is not."""
    if len(known) > _LISTED and (close := get_close_matches(name, known, n=3, cutoff=0.5)):
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there are {', '.join(known[:_LISTED])}{more}" if known else "its tasks have none"


def leave_only(run: SuiteRun, ids: Sequence[str]) -> None:
    """Of the runs that are planned, leave those of these tasks; without ids, all.

    Raises:
        UsageError: no run is of such a task.
    """
    known = list(dict.fromkeys(job.task.id for job in run.jobs))
    for name in ids:
        if name not in known:
            raise UsageError(f"no task {name} in suite {run.jobs[0].suite}: {_instead(name, known)}")
    run.jobs = [job for job in run.jobs if not ids or job.task.id in ids]


def limited(tasks: Tasks, limit: int | None) -> Tasks:
    """The same suite with at most so many tasks, spread over all of it."""
    return tasks if limit is None else _each(tasks, lambda suite: _first(suite, limit))


def _each(tasks: Tasks, change: Callable[[Suite], Suite]) -> Tasks:
    """A suite changed, now or, where it is made by seed, whenever it is made."""
    from autoagent.evals import Suite

    if isinstance(tasks, Suite):
        return change(tasks)
    make = tasks
    return lambda seed: change(make(seed))


def _first(suite: Suite, limit: int) -> Suite:
    from autoagent.evals import Suite

    total = len(suite.tasks)
    count = min(limit, total)
    return Suite(suite.name, tuple(suite.tasks[number * total // count] for number in range(count)))
