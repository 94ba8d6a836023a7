"""Re-tuning on what the user's own runs bring in: after so many new verified runs, or at intervals.

Which runs were looked at before stands beside the versions that came of them (``looked_at``), and nowhere
else. So a watch that was ended at any moment is simply begun again, and a training that was cut short is due
again and goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.evals import Suite
from autoagent.models.versions import Versions
from autoagent.store import RunSummary, Store
from autoagent.training.drift import drift
from autoagent.training.evolve import History, Round, with_result
from autoagent.training.finetune import FinetuneConfig, finetune
from autoagent.training.forgetting import Earlier
from autoagent.training.gate_goals import choose
from autoagent.training.jobs import Busy
from autoagent.training.looked_at import looked_at
from autoagent.training.moments import span
from autoagent.training.selection import select
from autoagent.training.sft import FinetuneProgress
from autoagent.trajectory import Data

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
ANOTHER = "another training is under way"


def _seconds(said: str | float | None) -> float | None:
    return None if said is None else span(said)


class WatchConfig(Settings):
    """When it is time to train again, and how."""

    after: int | None = Field(default=None, ge=1, description="New verified runs; None: any number.")
    every: Annotated[float | None, BeforeValidator(_seconds)] = Field(
        default=None,
        gt=0,
        description="Seconds since the last training, or a span such as 12h or 7d; before any, since the "
        "oldest new run. With `after`, whichever comes first.",
    )
    tuning: FinetuneConfig = Field(default=FinetuneConfig(), description="The runs, the training, the gate.")
    poll: float = Field(default=30.0, gt=0, description="Seconds between two looks at the record.")

    def sentence(self) -> str:
        """``20 new verified runs, or one and 7 d since the last training``."""
        runs = (
            [] if self.after is None else [f"{self.after} new verified run{'' if self.after == 1 else 's'}"]
        )
        late = [] if self.every is None else [f"{_words(self.every)} since the last training"]
        return (
            f"{runs[0]}, or one and {late[0]}"
            if runs and late
            else (runs or [f"a new verified run and {late[0]}"])[0]
        )

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.after is None and self.every is None:
            raise UsageError("when to train again is not said: give a number of runs, an interval, or both")
        return self


class Look(Data):
    """What one look at the record came to."""

    new: int = Field(description="Verified runs that no judged version was made with or without.")
    due: bool = Field(description="Whether it was time to train.")
    reason: str = Field(description="One sentence.")
    round: Round | None = Field(default=None, description="What came of the training, where there was one.")


OnTuning = Callable[[int, FinetuneProgress], None]  # number of the round, what is done in it


def watch(
    home: Path,
    suite: Suite,
    config: WatchConfig,
    *,
    earlier: Earlier | None = None,
    on_progress: OnTuning | None = None,
) -> Iterator[Look]:
    """Look at the record again and again, and train and gate whenever that is due; it never ends by itself.

    A training learns from all verified runs so far, the new ones among them, and starts from the version in
    use. Where it cannot be done (nothing to learn from in these runs, say) the look says why, and those runs
    do not make another one due.

    Args:
        home: The project's home: its record, its versions.
        suite: Goals with executable checks; those of the split ``train`` are left out.
        config: When, and how.
        earlier: As of :func:`autoagent.training.finetune.finetune`.
        on_progress: Called after each training step and each task of the gate.

    Raises:
        UsageError: the suite has no goal to measure on, or the model cannot be used.
        StoreError: record or versions cannot be read or written.
    """
    versions = Versions(home)
    versions.resolve(versions.current())
    choose(suite, (), config.tuning.gate)
    work = _Watch(home, suite, config, earlier, on_progress or _silent)
    while True:
        yield work.look()
        time.sleep(config.poll)


def _silent(number: int, at: FinetuneProgress) -> None: ...


@dataclass
class _Watch:
    home: Path
    suite: Suite
    config: WatchConfig
    earlier: Earlier | None
    tell: OnTuning
    failed: frozenset[str] = frozenset()  # runs that a training could not be done with

    def look(self) -> Look:
        new, since = self._new()
        fresh = [run for run in new if run.run_id not in self.failed]
        if not self._due(fresh, since):
            return Look(new=len(new), due=False, reason=self._waiting(fresh, since))
        try:
            return self._tuned(new)
        except Busy:
            return Look(new=len(new), due=True, reason=f"{ANOTHER}: this one waits for it")
        except UsageError as problem:
            self.failed |= {run.run_id for run in new}
            return Look(new=len(new), due=True, reason=f"nothing was trained: {problem}")

    def _new(self) -> tuple[list[RunSummary], float]:
        """The new verified runs, oldest first, and when the interval began, in seconds since the epoch."""
        store, versions = Store(self.home), Versions(self.home)
        try:
            found = select(store, self.config.tuning.selection).positives.summaries
        finally:
            store.close()
        known = looked_at(versions)
        new = [run for run in found if run.run_id not in known]
        began = max((each.created for each in versions.list() if each.gate is not None), default=0.0)
        return new, began or min((run.started for run in new), default=time.time())

    def _due(self, new: list[RunSummary], since: float) -> bool:
        enough = self.config.after is not None and len(new) >= self.config.after
        late = self.config.every is not None and time.time() - since >= self.config.every
        return enough or (late and bool(new))

    def _waiting(self, new: list[RunSummary], since: float) -> str:
        """``nothing new: 3 of 20 runs, 5 h of 7 d``."""
        runs = "1 run" if len(new) == 1 else f"{len(new)} runs"
        told = [runs if self.config.after is None else f"{len(new)} of {self.config.after} runs"]
        if self.config.every is not None:
            told.append(f"{_words(time.time() - since)} of {_words(self.config.every)}")
        return f"nothing new: {', '.join(told)}"

    def _tuned(self, new: list[RunSummary]) -> Look:
        began, history = time.monotonic(), History(self.home, self.suite.name)
        number = len(history.rounds()) + 1
        moved = drift(self.home, self.config.tuning.selection)
        model = Versions(self.home).current()
        tuning = self.config.tuning
        tuning = tuning.model_copy(
            update={
                "note": tuning.note or f"evolve {self.suite.name}, {len(new)} new runs",
                "gate": tuning.gate.model_copy(update={"complete": False}),
            }
        )
        result = finetune(
            self.home,
            suite=self.suite,
            config=tuning,
            earlier=self.earlier,
            on_progress=lambda at: self.tell(number, at),
        )
        made = Round(
            number=number,
            ended=time.time(),
            seconds=time.monotonic() - began,
            model=model,
            new_runs=len(new),
            reason=result.reason,
            drift=moved,
        )
        made = with_result(made, result)
        history.add(made)
        return Look(new=len(new), due=True, reason=result.reason, round=made)


def _words(seconds: float) -> str:
    """A span of time: ``12 h``, ``90 s``."""
    for size, unit in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
