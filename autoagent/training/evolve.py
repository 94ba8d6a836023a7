"""Unattended improvement on a suite: run, verify, train, gate, promote; round after round.

A suite has two parts: goals to practise on, several runs each, and goals that only measure. What is done is
on record after every step, so an evolution that was cut short goes on where it stood.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pydantic import Field, ValidationError

from autoagent.config import Settings
from autoagent.errors import StoreError, UsageError
from autoagent.evals import Suite
from autoagent.evals.parallel import jobs_for
from autoagent.models import disk
from autoagent.models.lineage import ancestors
from autoagent.models.versions import Versions
from autoagent.store import Store
from autoagent.training.dataset import DatasetConfig
from autoagent.training.drift import Drift
from autoagent.training.examples import goal_hash
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.forgetting import Earlier
from autoagent.training.gate_goals import TRAIN, need_no_leak
from autoagent.training.jobs import one_at_a_time
from autoagent.training.measuring import Measurements
from autoagent.training.sampling import SampleProgress, SampleReport, SamplingConfig, sample_suite
from autoagent.training.selection import Selection
from autoagent.training.sft import FinetuneProgress
from autoagent.trajectory import Data


class EvolveConfig(Settings):
    """How long to go on, and how each round is made."""

    rounds: int = Field(default=3, ge=1, description="Rounds at most.")
    minutes: float | None = Field(
        default=None, gt=0, description="No round is begun after so many minutes; None: no limit."
    )
    patience: int = Field(default=2, ge=1, description="Rounds without a promotion after which it ends.")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="The runs of a round.")
    tuning: FinetuneConfig = Field(default=FinetuneConfig(), description="The training and the gate.")
    jobs: int | None = Field(
        default=None, ge=1, description="Runs at a time; by default several for a small model."
    )


class Round(Data):
    """What one round came to: of practice, or (``watch``) of training on newly collected runs."""

    number: int = Field(description="From 1, over all evolutions on this suite.")
    ended: float = Field(description="Seconds since the epoch.")
    seconds: float
    model: str = Field(description="Version in use before it, which did the runs of a practice.")
    goals: int = Field(default=0, description="Practice goals that could be judged.")
    pass_at_1: float | None = Field(default=None, description="None: nothing was practised.")
    pass_at_k: float | None = None
    samples: int = Field(default=0, description="Runs of a goal at most: k.")
    runs: int = Field(default=0, description="Runs made in this round.")
    new_runs: int = Field(default=0, description="Verified runs collected since the training before.")
    sampling_seconds: float | None = Field(default=None, description="Of it, for the runs.")
    training_seconds: float | None = Field(default=None, description="Of it, for the updates.")
    version: str = Field(default="", description="What was trained; empty where nothing was.")
    examples: int = Field(default=0, description="Sequences learned from.")
    promoted: bool = False
    before: tuple[int, int] | None = Field(default=None, description="Held-out goals: reached, of.")
    after: tuple[int, int] | None = Field(default=None, description="The same, of the new version.")
    interval: tuple[float, float] | None = Field(default=None, description="Of the change, 95 %.")
    elsewhere: tuple[float, float, float] | None = Field(
        default=None, description="Change on other goals, and its 95 % interval."
    )
    reason: str
    drift: Drift | None = Field(default=None, description="What had changed since the model learned.")


class Evolution(Data):
    """What came of the rounds."""

    suite: str
    rounds: tuple[Round, ...]
    reason: str = Field(description="Why it ended, in one sentence.")

    @property
    def promoted(self) -> int:
        """How many versions were put in use."""
        return sum(each.promoted for each in self.rounds)


OnEvolve = Callable[[int, SampleProgress | FinetuneProgress], None]  # number of the round, what is done in it


def evolve(
    home: Path,
    suite: Suite,
    config: EvolveConfig | None = None,
    *,
    earlier: Earlier | None = None,
    on_progress: OnEvolve | None = None,
    known: Measurements | None = None,
) -> Evolution:
    """Go round after round on a suite, with the version in use, which each promotion changes.

    Args:
        home: The project's home: its record, its versions.
        suite: Goals with executable checks. Those of the split ``train`` are practised on, the others
            measure; without such a split every other goal, chosen by its hash.
        config: How long, and how.
        earlier: As of :func:`autoagent.training.finetune.finetune`.
        on_progress: Called after each run and each training step.
        known: What the gates of earlier calls measured, see ``gate``; what these measure is added.

    Raises:
        UsageError: the suite has too few goals for both parts or leaks, the model cannot be used, or another
            training is under way.
        StoreError: record or versions cannot be read or written.
    """
    config = config or EvolveConfig()
    practice, measure = parts_of(suite)
    need_no_leak(practice.tasks, measure.tasks, name=suite.name, at_most=config.tuning.gate.shared)
    with one_at_a_time(home):  # or the time for the runs would be spent before it is noticed
        pass
    began, history = time.monotonic(), History(home, suite.name)
    made: list[Round] = []
    refused = 0
    known = Measurements() if known is None else known  # what one round measured, the next one need not
    while True:
        number = len(history.rounds()) + 1
        tell = on_progress or _silent
        current = _round(home, number, suite, practice, config, earlier, lambda at: tell(number, at), known)  # noqa: B023
        history.add(current)
        made.append(current)
        refused = 0 if current.promoted else refused + 1
        if not current.version:
            reason = current.reason
        elif len(made) >= config.rounds:
            reason = "all rounds are done"
        elif refused >= config.patience:
            reason = f"{refused} rounds in a row brought nothing that the gate let through"
        elif config.minutes is not None and time.monotonic() - began >= 60 * config.minutes:
            reason = "the time is up"
        else:
            continue
        return Evolution(suite=suite.name, rounds=tuple(made), reason=reason)


def _silent(number: int, at: SampleProgress | FinetuneProgress) -> None: ...


def parts_of(suite: Suite) -> tuple[Suite, Suite]:
    """The goals to practise on, and those that measure.

    Raises:
        UsageError: one of the parts is empty.
    """
    named = any(task.split == TRAIN for task in suite.tasks)
    train = {
        task.id
        for task in suite.tasks
        if (task.split == TRAIN if named else int(goal_hash(task.goal), 16) % 2)
    }
    parts = [tuple(task for task in suite.tasks if (task.id in train) is side) for side in (True, False)]
    if not all(parts):
        raise UsageError(
            f"suite {suite.name} has no goals to {'measure' if parts[0] else 'practise'} on: "
            f'give some tasks split = "{TRAIN}", and others another split'
        )
    practice, measure = parts
    return Suite(f"{suite.name} practice", practice), Suite(suite.name, measure)


def _round(
    home: Path,
    number: int,
    suite: Suite,
    practice: Suite,
    config: EvolveConfig,
    earlier: Earlier | None,
    tell: Callable[[SampleProgress | FinetuneProgress], None],
    known: Measurements,
) -> Round:
    began = time.monotonic()
    versions = Versions(home)
    model = versions.current()
    shown = _shown(home, practice.name)
    jobs = config.jobs or jobs_for(versions.resolve(model), len(practice.tasks))
    sampling = config.sampling.model_copy(update={"seed": config.sampling.seed + number})
    found = sample_suite(practice, model=model, home=home, config=sampling, jobs=jobs, on_sample=tell)
    result, reason = None, found.sentence
    if shown or (any(goal.verified for goal in found.goals) and found.pass_at_k > found.pass_at_1):
        result = _tuned(home, suite, practice, config, earlier, tell, known)
        reason = result.reason
    return _told(number, model, found, result, reason, time.monotonic() - began)


def _shown(home: Path, suite: str) -> bool:
    """Whether there are verified branches, such as corrections, that the version in use never learned from.

    They teach what its own samples do not find.
    """
    versions = Versions(home)
    name = versions.current()
    known = {version.name: version for version in versions.list()}
    line = [*([known[name]] if name in known else []), *ancestors(versions, name)]
    learned = {run for each in line for run in (each.data or {}).get("sheet", {}).get("runs", ())}
    with closing(Store(home)) as store:
        runs = store.runs(verdict="verified", suite=suite)
    return any(run.parent is not None and not run.forgotten and run.run_id not in learned for run in runs)


def _tuned(
    home: Path,
    suite: Suite,
    practice: Suite,
    config: EvolveConfig,
    earlier: Earlier | None,
    tell: Callable[[SampleProgress | FinetuneProgress], None],
    known: Measurements,
) -> FinetuneResult:
    """Learn from the verified runs of all rounds so far."""
    _, measure = parts_of(suite)
    tuning = config.tuning.model_copy(
        update={
            "selection": Selection(suite=practice.name),
            "data": _without_test(config.tuning.data),
            "jobs": config.jobs,
            "note": config.tuning.note or f"evolve {suite.name}",
            "gate": config.tuning.gate.model_copy(update={"complete": False}),
        }
    )
    return finetune(home, suite=measure, config=tuning, earlier=earlier, on_progress=tell, known=known)


def _without_test(data: DatasetConfig) -> DatasetConfig:
    """No goal is kept back for a test where nobody asks for it: the suite's other part is the test."""
    return data if data.test is not None else data.model_copy(update={"test": 0.0})


def _told(
    number: int, model: str, found: SampleReport, result: FinetuneResult | None, reason: str, seconds: float
) -> Round:
    sampled = Round(
        number=number,
        ended=time.time(),
        seconds=seconds,
        model=model,
        goals=len(found.tried),
        pass_at_1=found.pass_at_1,
        pass_at_k=found.pass_at_k,
        samples=found.samples,
        runs=found.made,
        sampling_seconds=found.seconds,
        reason=reason,
    )
    return sampled if result is None else with_result(sampled, result)


def with_result(made: Round, result: FinetuneResult) -> Round:
    """A round with what its training and its gate came to."""
    if result.gate is None:
        return made
    gate, other = result.gate, result.gate.forgetting
    return made.model_copy(
        update={
            "version": result.version,
            "examples": result.sheet.examples,
            "training_seconds": result.trained.seconds,
            "promoted": result.promoted,
            "before": (gate.old.passed, gate.old.n),
            "after": (gate.new.passed, gate.new.n),
            "interval": (gate.comparison.low, gate.comparison.high),
            "elsewhere": other and (other.comparison.difference, other.comparison.low, other.comparison.high),
        }
    )


class History:
    """The rounds on a suite so far: a file of the project, ``evolve/SUITE.jsonl``, and its page beside it."""

    def __init__(self, home: Path, suite: str) -> None:
        name = re.sub(r"[^\w.-]", "_", suite)
        self.suite, self.file = suite, home / "evolve" / f"{name}.jsonl"
        self.page = self.file.with_name(f"{name}.html")

    def rounds(self) -> tuple[Round, ...]:
        """All of them, oldest first.

        Raises:
            StoreError: the file is damaged.
        """
        if not self.file.is_file():
            return ()
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
            return tuple(Round.model_validate_json(line) for line in lines)
        except (OSError, ValidationError, UnicodeDecodeError):
            raise StoreError(f"the history {self.file} is damaged: move it away to begin anew") from None

    def add(self, made: Round) -> None:
        """Write one more down; each file is the old or the new one, whatever happens."""
        from autoagent.training.evolve_page import page

        rounds = (*self.rounds(), made)
        text = "".join(f"{each.model_dump_json()}\n" for each in rounds)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            disk.replace(self.file, text.encode("utf-8"))
            disk.replace(self.page, page(self.suite, rounds).encode("utf-8"))
        except OSError as problem:
            raise StoreError(f"the history {self.file} cannot be written: {problem.strerror}") from problem
