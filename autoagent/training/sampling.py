"""Several runs of each goal, kept on record to learn from, and what they say about what there is to learn.

The first run of a goal is greedy, the others are sampled. A goal that is solved now and then is what a model
can learn from its own runs; one that it always or never solves teaches it nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import Field

from autoagent.config import Limits, Sampling, Settings
from autoagent.errors import UsageError
from autoagent.evals import Suite, Task, TaskResult
from autoagent.evals.workers import Done, Job, Loader, Outcomes, Place, in_processes, in_turn
from autoagent.models.fingerprint import fingerprint
from autoagent.models.load import REMOTE, load_model
from autoagent.models.protocol import Model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import RunSummary, Store
from autoagent.trajectory import Data

MOST = 1024  # samples of a goal


class SamplingConfig(Settings):
    """How often each goal is run, and when that is enough."""

    samples: int = Field(default=8, ge=1, le=MOST, description="Runs of a goal at most; the first is greedy.")
    temperature: float = Field(default=1.0, gt=0, description="Of the runs after the first.")
    enough: int = Field(default=2, ge=1, description="Verified runs after which a goal is left alone.")
    minutes: float | None = Field(
        default=None, gt=0, description="No run is begun after so many minutes; None: no limit."
    )
    suite: str = Field(default="", description="Name the runs are recorded under; empty: the suite's own.")
    seed: int = Field(default=0, ge=0, description="Another seed draws other samples.")
    limits: Limits = Field(default=Limits(), description="Budgets of each run.")


class GoalSamples(Data):
    """What the runs of one goal came to, by sample; None where the check could not be carried out."""

    task: str = Field(description="The task's id.")
    family: str
    goal: str
    outcomes: tuple[bool | None, ...] = ()

    @property
    def verified(self) -> int:
        return sum(outcome is True for outcome in self.outcomes)

    @property
    def missed(self) -> int:
        return sum(outcome is False for outcome in self.outcomes)


class SampleReport(Data):
    """What was learned about the goals: which are solved always, sometimes, never."""

    suite: str = Field(description="Name the runs are recorded under.")
    model: str = Field(description="Version of the model.")
    samples: int = Field(description="Runs of a goal at most.")
    goals: tuple[GoalSamples, ...]
    made: int = Field(description="Runs made now; the others were on record.")
    seconds: float
    out_of_time: bool = Field(description="Whether the time was up before all was done.")

    @property
    def tried(self) -> tuple[GoalSamples, ...]:
        """The goals with a run that could be judged."""
        return tuple(goal for goal in self.goals if goal.verified or goal.missed)

    @property
    def always(self) -> tuple[GoalSamples, ...]:
        return tuple(goal for goal in self.tried if not goal.missed)

    @property
    def sometimes(self) -> tuple[GoalSamples, ...]:
        return tuple(goal for goal in self.tried if goal.verified and goal.missed)

    @property
    def never(self) -> tuple[GoalSamples, ...]:
        return tuple(goal for goal in self.tried if not goal.verified)

    @property
    def pass_at_1(self) -> float:
        """Share of the goals that the first, greedy run reached."""
        return _share([goal.outcomes[0] is True for goal in self.tried])

    @property
    def pass_at_k(self) -> float:
        """Share of the goals that at least one run reached."""
        return _share([goal.verified > 0 for goal in self.tried])

    @property
    def sentence(self) -> str:
        """What there is to learn, with the numbers, in one sentence."""
        if not self.tried:
            return "no run could be judged, so nothing is known about what there is to learn"
        numbers = (
            f"pass@1 is {self.pass_at_1:.1%} and pass@{self.samples} {self.pass_at_k:.1%} of "
            f"{len(self.tried)} goals ({len(self.always)} always, {len(self.sometimes)} sometimes, "
            f"{len(self.never)} never solved)"
        )
        if self.pass_at_k > self.pass_at_1:
            gained = round((self.pass_at_k - self.pass_at_1) * len(self.tried))
            goals = "1 goal" if gained == 1 else f"{gained} goals"
            return f"{numbers}: {goals} can be learned from that the greedy run misses"
        return (
            f"{numbers}: sampling finds nothing that the greedy run misses, so there is nothing to learn "
            "from; sample hotter or more, or show the way with `autoagent runs correct`"
        )


@dataclass(frozen=True)
class SampleProgress:
    """Where the sampling stands after a run."""

    result: TaskResult
    made: int  # runs so far
    planned: int  # runs at most, those made included; fewer where goals are solved soon
    solved: int  # goals with a verified run
    goals: int
    seconds_left: float  # at most, as far as can be told


OnSample = Callable[[SampleProgress], None]


def sample_suite(
    suite: Suite,
    *,
    model: Model | Loader | str,
    home: Path,
    config: SamplingConfig | None = None,
    jobs: int = 1,
    on_sample: OnSample | None = None,
) -> SampleReport:
    """Run each goal of a suite several times, and keep the runs on record.

    All goals have their first run before any has its second, and so on, those without a success first. What
    is on record for task, sample and model version is not done again, so a sampling that broke off goes on
    when it is called again, and asking for more samples adds them.

    Args:
        suite: The goals.
        model: Who does them: a model, its name or folder, or a function that loads it.
        home: The project's home; the runs are recorded there, under the suite's name.
        config: How often, how, and how long.
        jobs: Runs at a time, each in a process that loads the model: by name, or by a function that can be
            pickled.
        on_sample: Called after each run.

    Raises:
        UsageError: ``jobs`` does not fit the model; besides, what loading and ``run_task`` raise.
        StoreError: the record cannot be read or written.
    """
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one run at a time is needed")
    if jobs > 1 and not isinstance(model, str) and not callable(model):
        raise UsageError("several runs at a time need the model's name, not a model that is loaded")
    return _Sampler(suite, home, config or SamplingConfig(), on_sample).go(model, jobs)


class _Sampler:
    """The samples of one suite: which are there, and which is next."""

    def __init__(self, suite: Suite, home: Path, config: SamplingConfig, tell: OnSample | None) -> None:
        self.suite, self.home, self.config, self._tell = suite, home, config, tell
        self.name = config.suite or suite.name
        self.outcomes: dict[tuple[str, int], bool | None] = {}  # by task id and sample
        self.verified: dict[str, int] = {}  # by task id
        self.began = time.monotonic()
        self.made, self.out_of_time = 0, False

    def go(self, model: Model | Loader | str, jobs: int) -> SampleReport:
        version, load = self._version(model, alone=jobs == 1)
        self._recall(version)
        with closing(self._runs(load, jobs)) as runs:
            for done in runs:
                self._take(done)
        return self._report(version)

    def _version(self, model: Model | Loader | str, *, alone: bool) -> tuple[str, Model | Loader]:
        """The version whose runs count, and what makes them: loaded here where one process does all."""
        if isinstance(model, str) and not alone and not model.strip().startswith(REMOTE):
            source = Versions(self.home).resolve(model)
            if isinstance(source, Path):
                return fingerprint(source, prompts=prompt_hash(source)), partial(load_model, model, self.home)
        load = partial(load_model, model, self.home) if isinstance(model, str) else model
        if not callable(load):
            return load.version, load
        loaded = load()
        return loaded.version, loaded if alone else load

    def _runs(self, load: Model | Loader, jobs: int) -> Outcomes:
        place = Place(self.home, kept=True, limits=self.config.limits)
        if callable(load):
            return in_processes(self._next(), load, [place] * jobs)
        return in_turn(self._next(), load, place)

    def _next(self) -> Iterator[Job]:
        """The samples that are still wanted, one round after the other, until the time is up."""
        for number in range(self.config.samples):
            for task in sorted(self.suite.tasks, key=lambda each: self.verified.get(each.id, 0)):
                if self.verified.get(task.id, 0) >= self.config.enough or (task.id, number) in self.outcomes:
                    continue
                if self._seconds_left() <= 0:
                    self.out_of_time = True
                    return
                heat = self.config.temperature if number else 0.0
                seed = sample_seed(task.id, number, self.config.seed)
                yield Job(number, task, seed, self.name, Sampling(temperature=heat))

    def _take(self, done: Done) -> None:
        result = done.result
        judged = not result.check_error and result.ending != "error"
        self._note(done.job.task, done.job.number, result.success if judged else None)
        self.made += 1
        if self._tell is not None:
            self._tell(self._progress(result))

    def _note(self, task: Task, number: int, outcome: bool | None) -> None:
        self.outcomes[task.id, number] = outcome
        self.verified[task.id] = self.verified.get(task.id, 0) + (outcome is True)

    def _recall(self, version: str) -> None:
        """Take note of the samples that are on record."""
        store = Store(self.home)
        try:
            found: dict[int, list[RunSummary]] = {}
            for run in store.runs(suite=self.name, model=version):
                found.setdefault(run.seed, []).append(run)
        finally:
            store.close()
        for task in self.suite.tasks:
            for number in range(self.config.samples):
                runs = found.get(sample_seed(task.id, number, self.config.seed), ())
                if recorded := _outcome(task, runs):
                    self._note(task, number, recorded[0])

    def _progress(self, result: TaskResult) -> SampleProgress:
        wanted = [task for task in self.suite.tasks if self.verified.get(task.id, 0) < self.config.enough]
        missing = sum(
            (task.id, n) not in self.outcomes for task in wanted for n in range(self.config.samples)
        )
        pace = (time.monotonic() - self.began) / self.made  # seconds a run
        return SampleProgress(
            result=result,
            made=self.made,
            planned=self.made + missing,
            solved=sum(count > 0 for count in self.verified.values()),
            goals=len(self.suite.tasks),
            seconds_left=max(0.0, min(missing * pace, self._seconds_left())),
        )

    def _seconds_left(self) -> float:
        if self.config.minutes is None:
            return float("inf")
        return self.began + 60 * self.config.minutes - time.monotonic()

    def _report(self, version: str) -> SampleReport:
        goals = []
        for task in self.suite.tasks:
            made = [n for n in range(self.config.samples) if (task.id, n) in self.outcomes]
            outcomes = tuple(self.outcomes[task.id, n] for n in made)
            goals.append(GoalSamples(task=task.id, family=task.family, goal=task.goal, outcomes=outcomes))
        return SampleReport(
            suite=self.name,
            model=version,
            samples=self.config.samples,
            goals=tuple(goals),
            made=self.made,
            seconds=time.monotonic() - self.began,
            out_of_time=self.out_of_time,
        )


def sample_seed(task: str, number: int, seed: int = 0) -> int:
    """The seed of sample ``number`` of the task with this id; by it the run is found on record."""
    digest = hashlib.sha256(f"{seed}\0{task}".encode()).digest()
    return int.from_bytes(digest[:5], "big") * MOST + number


def _outcome(task: Task, runs: Sequence[RunSummary]) -> tuple[bool | None] | None:
    """How a task went by its runs on record, newest first; None where it was not done, or broke off."""
    for goal in task.goals:
        run = next((run for run in runs if run.goal == goal.goal and run.parent is None), None)
        if run is None or run.ending in (None, "interrupted", "error"):
            return None
        if run.verdict.status != "verified":
            return (False if run.verdict.status == "refuted" else None,)
    return (True,)


def _share(held: Sequence[bool]) -> float:
    return sum(held) / len(held) if held else 0.0
