"""Practice: runs that failed are branched before the step that may have been wrong, and tried in other ways.

What is verified is kept as a run of its own, with the failed one as its parent: the two share their beginning
token by token and part where one went right and the other wrong, which is what preference training wants.

Which step comes first. Where a run went wrong is not known, so its steps are tried from the last one
backwards: the nearer to the end, the more of the run is kept, and the cheaper is a try. Steps at which the
model was all but sure (it gave what it did a probability above ``1 - doubt``) come after all others, since
sampling there would only say the same again; the plan counts as a step. One step of each run is tried before
any run gets its second, and runs of goals that were never reached come before the others.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Limits, Sampling, Settings
from autoagent.errors import ContextFull, UsageError
from autoagent.evals import Suite
from autoagent.events import Event
from autoagent.home import project_home
from autoagent.store.branches import Branch, branch
from autoagent.store.rows import RunSummary
from autoagent.store.runs import Store
from autoagent.store.upkeep import remove
from autoagent.training.branching import (
    BranchModel,
    Memories,
    NotTheSame,
    Scene,
    check_of,
    play,
    task_of,
    task_scene,
    user_scene,
)
from autoagent.training.dataset import goal_hash
from autoagent.training.sampling import MOST
from autoagent.trajectory import Data, Step, Trajectory

TAG = "practice"
_DRAWS = 3  # times as many as alternatives, to find some that differ

NO_CHECK = "without a check that can be run again"  # why a run is left out
BY_USER = "rated by the user only, with nothing to check by"
NO_TASK = "of no first goal of a task of the suite"
NO_COPY = "without a copy of the workspace as it was"
NOT_THE_SAME = "not to be rebuilt token by token"
NOT_FAILED = "that did not fail"
HAS_PAIR = "with a verified alternative already"
DRY = "that were dry"
LOST = "with a secret in their check that is not known any more"


class PracticeConfig(Settings):
    """How long to practise, and how widely."""

    minutes: float = Field(default=10.0, gt=0, description="Nothing is tried after so many minutes.")
    alternatives: int = Field(default=4, ge=1, description="Other ways tried at a step.")
    steps: int = Field(default=4, ge=1, description="Steps of a run that are tried at most.")
    temperature: float = Field(default=1.0, gt=0, description="At which the other ways are sampled.")
    doubt: float = Field(
        default=0.05, ge=0, lt=1, description="Steps with less probability for anything else come last."
    )
    seed: int = Field(default=0, ge=0, description="Another seed tries other ways.")
    check_timeout: float = Field(
        default=60.0, gt=0, description="Longest time of a check command, in seconds."
    )


class Found(Data):
    """A verified alternative to a failed run."""

    run: str = Field(description="The run that is kept.")
    parent: str = Field(description="The failed run it branches from.")
    step: int = Field(description="The first step in which they differ.")
    goal: str


class PracticeReport(Data):
    """What came of it."""

    runs: int = Field(description="Failed runs that were practised on.")
    tried: int = Field(description="Other ways that were gone to their end.")
    found: tuple[Found, ...]
    skipped: dict[str, int] = Field(description="Runs left out, by reason.")
    seconds: float
    out_of_time: bool

    @property
    def sentence(self) -> str:
        """In one line: "3 of 12 failed runs have a verified alternative now (41 tried); left out: …"."""
        have = "has" if len(self.found) == 1 else "have"
        line = (
            f"{len(self.found)} of {self.runs} failed runs {have} a verified alternative now "
            f"({self.tried} tried{', until the time was up' if self.out_of_time else ''})"
        )
        left = [f"{count} {reason}" for reason, count in self.skipped.items()]
        return f"{line}; left out: {', '.join(left)}" if left else line


@dataclass(frozen=True)
class PracticeProgress:
    """What is being tried, and what was found so far."""

    run: str
    goal: str
    step: int
    runs: int  # failed runs to practise on
    tried: int
    found: int
    seconds_left: float  # at most


OnPractice = Callable[[PracticeProgress], None]


class Practice:
    """Practising on failed runs; ``report`` has what was found, also when ``go`` was interrupted."""

    def __init__(
        self,
        agent: Agent,
        *,
        suite: Suite | Callable[[int], Suite] | None = None,
        runs: Sequence[str] = (),
        config: PracticeConfig | None = None,
        on_progress: OnPractice | None = None,
    ) -> None:
        """Arguments as of :func:`practise`."""
        self.agent, self.config = agent, config or PracticeConfig()
        self._suite, self._named, self._tell = suite, runs, on_progress
        self._suites: dict[int, Suite] = {}  # by seed, those that were made
        self.store = Store((agent.home or project_home()).absolute())
        self.began = time.monotonic()
        self.open: list[_Failed] = []
        self.found: list[Found] = []
        self.skipped: Counter[str] = Counter()
        self.tried = self.runs = 0
        self.out_of_time = False
        self._dropped: list[str] = []  # runs that are not kept
        self._memories = Memories(agent, self.store.home)

    def go(self) -> PracticeReport:
        """Practise until everything was tried or the time is up; errors as of :func:`practise`."""
        self.open = list(self._candidates())
        self.runs = len(self.open)
        try:
            for place in range(self.config.steps):
                for failed in list(self.open):
                    if place < len(failed.steps) and not self._time_is_up():
                        self._practise(failed, failed.steps[place])
        finally:
            if self._dropped:
                remove(self.store, self._dropped)
                self._dropped = []
        return self.report()

    def report(self) -> PracticeReport:
        """What was found so far."""
        return PracticeReport(
            runs=self.runs,
            tried=self.tried,
            found=tuple(self.found),
            skipped=dict(self.skipped),
            seconds=time.monotonic() - self.began,
            out_of_time=self.out_of_time,
        )

    # --- which runs ------------------------------------------------------------------------------------

    def _candidates(self) -> Iterator[_Failed]:
        """The failed runs that can be practised on; the others are counted by reason."""
        for summary in self._refuted():
            run = self.store.load(summary.run_id)
            suite = self._suite_of(run, summary)
            why = self._obstacle(run, summary, suite)
            if why:
                self.skipped[why] += 1
            else:
                yield _Failed(run.run_id, run.goal, suite, _order(run, self.config))

    def _refuted(self) -> list[RunSummary]:
        """Failed runs, those of goals that were never reached first, then the newest."""
        every = self.store.runs()
        reached = {goal_hash(run.goal) for run in every if run.verdict.status == "verified"}
        paired = {
            run.parent for run in every if TAG in run.tags and run.parent and run.verdict.status == "verified"
        }
        if self._named:
            named = {run.run_id: run for run in map(self.store.find, self._named)}
            chosen = list(named.values())
            self.skipped[NOT_FAILED] += sum(run.verdict.status != "refuted" for run in chosen)
        else:
            name = "" if self._suite is None else self._made(0).name
            chosen = [run for run in every if TAG not in run.tags and run.suite == name]
        failed = [run for run in chosen if run.verdict.status == "refuted"]
        self.skipped[HAS_PAIR] += sum(run.run_id in paired for run in failed)
        self.skipped = +self.skipped  # without the zeros
        failed = [run for run in failed if run.run_id not in paired]
        return sorted(failed, key=lambda run: goal_hash(run.goal) in reached)

    def _made(self, seed: int) -> Suite:
        """The suite; of one that is made by seed, the one of this seed."""
        assert self._suite is not None  # asked by the caller
        if isinstance(self._suite, Suite):
            return self._suite
        if seed not in self._suites:
            self._suites[seed] = self._suite(seed)
        return self._suites[seed]

    def _suite_of(self, run: Trajectory, summary: RunSummary) -> Suite | None:
        """The suite that a run belongs to; seeds of samples are no seeds of suites."""
        if self._suite is None or not summary.suite:
            return None
        return self._made(run.seed if run.seed < MOST else 0)

    def _obstacle(self, run: Trajectory, summary: RunSummary, suite: Suite | None) -> str:
        """Why a run cannot be practised on, or ""."""
        if run.settings.get("conduct", {}).get("dry_run"):
            return DRY
        try:
            start = branch(self.store, run.run_id, len(run.steps) - 1)
        except UsageError:
            return NO_COPY
        if suite is not None:
            return "" if task_of(start, suite) else NO_TASK
        try:
            check = check_of(start, self.agent.safety)
        except UsageError:
            return LOST
        if check is None:
            return BY_USER if self.store.verdicts(run.run_id).by_check is None else NO_CHECK
        return ""

    # --- trying ----------------------------------------------------------------------------------------

    def _practise(self, failed: _Failed, step: int) -> None:
        """Try other ways at one step, until one of them is verified."""
        try:
            start = branch(self.store, failed.run_id, step)
        except UsageError:  # no copy of the workspace before this step: another may have one
            return
        model = BranchModel(self.agent.loaded_model(), start)
        tried, wanted = self.tried, self.config.alternatives
        try:
            for number in range(_DRAWS * wanted):
                if self.tried - tried == wanted or self._time_is_up():
                    return
                self._show(failed, step)
                if self._verified(failed, start, model, number):
                    self.open.remove(failed)
                    return
        except (NotTheSame, ContextFull):
            self.skipped[NOT_THE_SAME] += 1
            self.runs -= 1
            self.open.remove(failed)
        finally:
            model.close()

    def _verified(self, failed: _Failed, start: Branch, model: BranchModel, number: int) -> bool:
        """Go another way once; keep the run if it is verified."""
        sampling = Sampling(
            temperature=self.config.temperature, seed=_seed(failed.run_id, start.step, number, self.config)
        )
        run = _Attempt(start.run.steps[start.step])
        try:
            with TemporaryDirectory(prefix="autoagent-practice-", ignore_cleanup_errors=True) as folder:
                scene, limits = self._scene(failed, start), self._limits(start.run)
                place = Path(folder) / "work"
                stream = play(start, scene, model, place, limits=limits, sampling=sampling, tag=TAG)
                with closing(stream):
                    run.follow(stream)
        finally:
            if run.run_id and (run.closed is None or run.closed.verdict.status != "verified"):
                self._dropped.append(run.run_id)
        if run.closed is None:
            return False
        if run.closed.ending == "interrupted":
            raise KeyboardInterrupt
        self.tried += 1
        if run.closed.verdict.status != "verified":
            return False
        self.found.append(Found(run=run.run_id, parent=failed.run_id, step=start.step, goal=start.run.goal))
        return True

    def _scene(self, failed: _Failed, start: Branch) -> Scene:
        if failed.suite is None:
            check = check_of(start, self.agent.safety, timeout=self.config.check_timeout)
            return user_scene(start, self.agent, check, self._memories)
        task = task_of(start, failed.suite)
        assert task is not None  # or it would not be practised on
        return task_scene(start, task, self.agent.loaded_model())

    def _limits(self, run: Trajectory) -> Limits:
        """The budget that the run had, within the time that is left."""
        recorded = run.settings.get("limits")
        limits = self.agent.limits if recorded is None else Limits.model_validate(recorded)
        return limits.model_copy(update={"timeout": max(1.0, min(limits.timeout, self._seconds_left()))})

    def _show(self, failed: _Failed, step: int) -> None:
        if self._tell is not None:
            left = max(0.0, self._seconds_left())
            runs, tried, found = self.runs, self.tried, len(self.found)
            self._tell(PracticeProgress(failed.run_id, failed.goal, step, runs, tried, found, left))

    def _seconds_left(self) -> float:
        return self.began + 60 * self.config.minutes - time.monotonic()

    def _time_is_up(self) -> bool:
        self.out_of_time = self.out_of_time or self._seconds_left() <= 0
        return self.out_of_time


def practise(
    agent: Agent,
    *,
    suite: Suite | Callable[[int], Suite] | None = None,
    runs: Sequence[str] = (),
    config: PracticeConfig | None = None,
    on_progress: OnPractice | None = None,
) -> PracticeReport:
    """Try other ways in failed runs, and keep those that are verified, each with its failed run as parent.

    Nothing of it touches the user's workspace or memory: each try has a copy of the workspace as it was
    before the step, and a copy of the memory, which are thrown away. What is not verified is not kept.

    Args:
        agent: Has the model that practises, and the tools, rules and prompts of the user's runs.
        suite: Practise on the failed runs of this suite, in its worlds, with its checks.
        runs: Practise on these (ids, or beginnings of them); by default on all that failed.
        config: How long and how widely.
        on_progress: Called before each try.

    Raises:
        UsageError: there is no such run.
        StoreError: the record cannot be read or written.
    """
    return Practice(agent, suite=suite, runs=runs, config=config, on_progress=on_progress).go()


@dataclass(frozen=True)
class _Failed:
    """A run to practise on; ``steps`` are tried in this order."""

    run_id: str
    goal: str
    suite: Suite | None
    steps: tuple[int, ...] = field(compare=False)


class _Attempt:
    """Follows another way; broken off as soon as it is the way that was gone before."""

    def __init__(self, before: Step) -> None:
        self._before = before
        self.run_id = ""
        self.closed: Trajectory | None = None

    def follow(self, stream: Iterable[Event]) -> None:
        differs = False
        for event in stream:
            if isinstance(event, events.Started):
                self.run_id = event.run_id
            elif isinstance(event, events.Closed):
                self.closed = event.trajectory
            elif not differs and isinstance(event, (events.Planned, events.Called, events.Stepped)):
                if self._repeats(event):
                    return
                differs = not (isinstance(event, events.Planned) and self._before.kind == "act")

    def _repeats(self, event: Event) -> bool:
        """Whether what is about to be done is what was done before."""
        before = self._before
        if isinstance(event, events.Planned):  # of a step that acts: it only ticks a sub-goal
            plan = (before.reply.value or {}).get("plan", ()) if before.kind == "plan" else None
            return plan is not None and event.sub_goals == tuple(plan)
        return isinstance(event, events.Called) and event.call in before.reply.calls[:1]


def _order(run: Trajectory, config: PracticeConfig) -> tuple[int, ...]:
    """The steps to try, best first; see the top of the module."""
    steps = [step for step in reversed(run.steps) if step.kind != "compaction"]
    steps.sort(key=lambda step: doubt(step) < config.doubt)  # stable: backwards among both
    return tuple(step.index for step in steps)


def doubt(step: Step) -> float:
    """The probability that the model would have said anything else, 0..1; 1 where that is not known."""
    trace = step.reply.trace
    if trace is None or len(trace.masked_logprobs) != len(trace.origins):
        return 1.0
    chosen = (log for log, origin in zip(trace.masked_logprobs, trace.origins, strict=True) if origin == "s")
    return 1.0 - math.exp(min(0.0, sum(chosen)))


def _seed(run_id: str, step: int, number: int, config: PracticeConfig) -> int:
    digest = hashlib.sha256(f"{config.seed}\0{run_id}\0{step}\0{number}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
