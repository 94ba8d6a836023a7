"""Measures two models on the same things, and whether each was one model all along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Literal, NamedTuple

from autoagent.config import Limits
from autoagent.errors import ModelError
from autoagent.evals import Report, Suite, SuiteRun, TaskResult, summarize
from autoagent.models.protocol import Model
from autoagent.training.forgetting import Sampled, loss_change, without_numbers
from autoagent.training.gate_goals import Chosen
from autoagent.training.gate_result import Paired, paired
from autoagent.training.gate_rules import GateConfig, LossChange

Loader = Callable[[], Model]  # for several processes one that can be pickled
# Whose run ("old", "new", "old elsewhere" or "new elsewhere"), its number from 1, of how many, how it went.
OnResult = Callable[[str, int, int, TaskResult], None]


class Measurement(NamedTuple):
    """What a model, by its hash, reached on a suite, with these seeds and budgets."""

    asked: tuple[str, Suite, range, Limits | None]
    report: Report


Measurements = list[Measurement]
SideName = Literal["old", "new"]
SIDES: tuple[SideName, SideName] = ("old", "new")


@dataclass
class Side:
    """One of the two models, given loaded or as a function that loads it."""

    name: SideName
    given: Model | Loader
    hash: str  # as it tells once it is loaded; "": nobody said, so it is measured
    jobs: int
    known: Measurements  # what is measured is added to it
    seen: set[str] = field(default_factory=set)  # versions that were measured, as the processes tell

    @cached_property
    def model(self) -> Model:
        """The model in this process."""
        model = self.given() if callable(self.given) else self.given
        self.seen.add(model.version)
        return model

    def run(self, suite: Suite, config: GateConfig, tell: Callable[[TaskResult], None]) -> Report:
        """Do every task with every seed, or take what was measured before."""
        seeds = range(config.seed, config.seed + config.seeds)
        asked = (self.hash, suite, seeds, config.limits)
        found = [each.report for each in self.known if self.hash and each.asked == asked]
        if found:
            report = found[0]
            self.seen.add(report.model)
            for result in report.results:
                tell(result)
        else:
            work = SuiteRun(suite, seeds=seeds, limits=config.limits)
            report = work.go(self.given if self.jobs > 1 else self.model, jobs=self.jobs, on_result=tell)
            self.seen |= {done.model for done in work.done.values()}
            if self.seen == {self.hash}:
                self.known.append(Measurement(asked, report))
        return report


@dataclass
class Measuring:
    """Measures both models on one thing after the other."""

    old: Side
    new: Side
    config: GateConfig
    on_result: OnResult | None

    def loss(self, sample: Sequence[Sampled]) -> LossChange | None:
        """The loss on the sample; without one only whether the new model computes numbers at all."""
        if sample:
            return loss_change(self.old.model, self.new.model, sample)
        return without_numbers(self.old.model, self.new.model)

    def pair(self, chosen: Chosen, *, elsewhere: bool = False) -> Paired:
        """Both on the same tasks."""
        place = " elsewhere" if elsewhere else ""
        reports = [
            side.run(chosen.suite, self.config, self._progress(f"{side.name}{place}", chosen.suite))
            for side in (self.old, self.new)
        ]
        return paired(chosen, *reports)

    def nothing(self, chosen: Chosen) -> Paired:
        """A pair of which no run was made."""
        reports = [
            summarize([], suite=chosen.suite.name, model=side.model.version, generated=False, seconds=0.0)
            for side in (self.old, self.new)
        ]
        return paired(chosen, *reports)

    def need_one_version_each(self) -> None:
        """What was measured must be one model, in all processes.

        Raises:
            ModelError: it was not.
        """
        for side in (self.old, self.new):
            if len(side.seen) > 1:
                raise ModelError(f"the {side.name} model changed while it was measured: nothing was promoted")

    def _progress(self, who: str, suite: Suite) -> Callable[[TaskResult], None]:
        total = len(suite.tasks) * self.config.seeds
        number = count(1)

        def tell(result: TaskResult) -> None:
            if self.on_result is not None:
                self.on_result(who, next(number), total, result)

        return tell
