"""Runs suites: each task in a fresh workspace, one after the other or several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.evals.report import Report, TaskResult, summarize
from autoagent.evals.runner import scratch
from autoagent.evals.suite import Suite
from autoagent.evals.workers import Done, Job, Loader, Outcomes, Place, in_processes, in_threads, in_turn
from autoagent.models.load import REMOTE, load_model
from autoagent.models.needs import cores
from autoagent.models.protocol import Model

_SMALL = 64 * 2**20  # bytes of weights; several copies of a larger model are loaded only when asked for
_MOST_JOBS = 8  # when nobody says how many
_WORTH = 40  # runs that pay for the start of another process


def jobs_for(source: Path | str, runs: int) -> int:
    """How many processes pay for so many runs of a model on the CPU: several for a small one, else one.

    Args:
        source: Its folder, or a hub id. An adapter counts as large: its base may be.
        runs: How many there are to be made.
    """
    if not isinstance(source, Path) or (source / "adapter_config.json").exists():
        return 1
    if sum(each.stat().st_size for each in source.glob("*.safetensors")) > _SMALL:
        return 1
    return max(1, min(cores(), _MOST_JOBS, runs // _WORTH))


class SuiteRun:
    """A suite with the seeds it is run with, and what was made of it so far.

    Attributes:
        jobs: The runs that are planned, in the order of the report.
        done: Those that were made, by their number.
    """

    def __init__(
        self,
        suite: Suite | Callable[[int], Suite],
        *,
        seeds: int | Sequence[int] = 1,
        home: Path | None = None,
        limits: Limits | None = None,
        name: str = "",
    ) -> None:
        """Plan the runs; the arguments are those of :func:`run_suite`, and what the model is called.

        Raises:
            UsageError: there are no seeds.
        """
        chosen = range(seeds) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
        if not chosen:
            raise UsageError(f"--seeds {seeds}: at least one seed is needed")
        suites = [(seed, suite if isinstance(suite, Suite) else suite(seed)) for seed in chosen]
        planned = [(task, seed, each.name) for seed, each in suites for task in each.tasks]
        self.jobs = [Job(number, *each) for number, each in enumerate(planned)]
        self.done: dict[int, Done] = {}
        self.seconds = 0.0
        self._generated = not isinstance(suite, Suite)
        self._home, self._limits, self._name = home, limits, name

    def go(
        self,
        model: Model | Loader | str,
        *,
        jobs: int = 1,
        on_result: Callable[[TaskResult], None] | None = None,
    ) -> Report:
        """Make the runs, and report; errors as of :func:`run_suite`. ``report`` has what there is then."""
        if jobs < 1:
            raise UsageError(f"--jobs {jobs}: at least one run at a time is needed")
        began = time.monotonic()
        try:
            with (
                scratch() as folder,
                closing(self._outcomes(model, min(jobs, len(self.jobs)), folder)) as made,
            ):
                for done in made:
                    self.done[done.job.number] = done
                    if on_result is not None:
                        on_result(done.result)
        finally:
            self.seconds += time.monotonic() - began
        return self.report()

    def _outcomes(self, model: Model | Loader | str, count: int, folder: Path) -> Outcomes:
        load = partial(load_model, model) if isinstance(model, str) else model
        remote = isinstance(model, str) and model.strip().startswith(REMOTE)
        if callable(load) and (count == 1 or remote):
            load = load()
        if callable(load):
            return in_processes(self.jobs, load, [self._place(folder / str(n)) for n in range(count)])
        place = self._place(folder)
        return in_turn(self.jobs, load, place) if count == 1 else in_threads(self.jobs, load, place, count)

    def _place(self, folder: Path) -> Place:
        return Place(self._home or folder, kept=self._home is not None, limits=self._limits)

    def report(self) -> Report:
        """What was found so far."""
        done = [self.done[number] for number in sorted(self.done)]
        return summarize(
            [each.result for each in done],
            suite=self.jobs[0].suite,
            model=done[0].model if done else "unknown",
            name=self._name,
            generated=self._generated,
            seconds=self.seconds,
            not_run=len(self.jobs) - len(done),
        )


def run_suite(
    suite: Suite | Callable[[int], Suite],
    *,
    model: Model | Loader | str,
    seeds: int | Sequence[int] = 1,
    jobs: int = 1,
    home: Path | None = None,
    limits: Limits | None = None,
    on_result: Callable[[TaskResult], None] | None = None,
) -> Report:
    """Run every task of a suite with every seed, and summarize.

    Args:
        suite: Tasks, or a generator that makes other tasks of each seed.
        model: Who does them: a model, its name or folder, or a function that loads it.
        seeds: How many (from 0), or which.
        jobs: Runs at a time. A model is shared by so many threads, which helps with a remote one; of a name
            or a function (one that can be pickled) so many processes load one each, which helps with a local
            one. The processes are spawned: a script that asks for them needs ``if __name__ == "__main__"``.
        home: Where the runs are recorded, under the suite's name; by default the record is thrown away.
        limits: Budgets of each run.
        on_result: Called after each task with its result, to show progress; with several jobs in the order
            in which they end. The report is in the order of the suite.

    Raises:
        UsageError: there are no seeds or no jobs; besides, what loading and ``run_task`` raise.
        AutoagentError: a process was lost.
    """
    name = model if isinstance(model, str) else ""
    run = SuiteRun(suite, seeds=seeds, home=home, limits=limits, name=name)
    return run.go(model, jobs=jobs, on_result=on_result)
