"""What the gate measured and decided: kept with the version, shown by ``gate_report``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from pydantic import Field

from autoagent.evals import Comparison, FamilyReport, Report, TaskResult, compare
from autoagent.training.gate_goals import Chosen
from autoagent.training.gate_rules import LossChange, Rule
from autoagent.trajectory import Data

_SHOWN = 100  # goals that changed, in a report


class Measured(FamilyReport):
    """What one of the two models reached on the held-out goals."""

    families: dict[str, FamilyReport]


class Changed(Data):
    """A run that only one of the two models got right."""

    task: str
    family: str
    goal: str
    seed: int


class Paired(Data):
    """Old and new on the same goals of one suite."""

    suite: str
    excluded: int = Field(description="Tasks left out because their goal was trained on.")
    old: Measured
    new: Measured
    comparison: Comparison
    won: tuple[Changed, ...] = Field(default=(), description="Only the new one got them right; at most 100.")
    lost: tuple[Changed, ...] = Field(default=(), description="Only the old one got them right; at most 100.")


class GateReport(Paired):
    """What the gate measured and what it decided; it is itself the pair on the target goals."""

    promoted: bool
    reason: str = Field(description="One sentence with the numbers.")
    seed: int
    seeds: int = Field(default=1, description="Runs of each task.")
    names: tuple[str, str] | None = Field(default=None, description="Versions, old and new, by name.")
    forgetting: Paired | None = Field(default=None, description="On other goals; None: not measured.")
    loss: LossChange | None = Field(default=None, description="On a frozen sample; None: not measured.")
    rules: tuple[Rule, ...] = Field(default=(), description="All conditions; none in reports of old.")
    seconds: float


def paired(chosen: Chosen, old: Report, new: Report) -> Paired:
    """Two reports on the chosen tasks as a pair."""
    before = {(each.task, each.seed): each for each in old.results}
    changed = [
        each
        for each in new.results
        if each.success != before[each.task, each.seed].success
        and not (each.check_error or before[each.task, each.seed].check_error)
    ]
    return Paired(
        suite=chosen.suite.name,
        excluded=chosen.excluded,
        old=_measured(old),
        new=_measured(new),
        comparison=compare(old, new),
        won=_changed(each for each in changed if each.success),
        lost=_changed(each for each in changed if not each.success),
    )


def _changed(results: Iterable[TaskResult]) -> tuple[Changed, ...]:
    return tuple(
        Changed(task=each.task, family=each.family, goal=each.goal, seed=each.seed)
        for each in islice(results, _SHOWN)
    )


def _measured(report: Report) -> Measured:
    return Measured(**{name: getattr(report, name) for name in Measured.model_fields})
