"""What an evaluation found: results, a summary by family and split, and the comparison of two."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from autoagent.errors import UsageError
from autoagent.evals.failures import KINDS, FailureKind
from autoagent.evals.stats import clustered_interval, mcnemar, wilson
from autoagent.models.fingerprint import short_version
from autoagent.trajectory import Data, Ending, Trajectory, Verdict

_LEFT_OUT: Any = {"settings": True, "steps": {"__all__": {"reply": {"trace"}}}}  # of a trajectory
Pair = tuple["TaskResult", "TaskResult"]  # old and new


class TaskResult(Data):
    """How one task went."""

    task: str = Field(description="The task's id.")
    family: str
    split: str = ""
    tags: tuple[str, ...] = ()
    goal: str = Field(description="The first of its goals.")
    expected: tuple[dict[str, Any], ...] = Field(
        default=(), description="What had to be true, one entry for each of its goals."
    )
    seed: int
    success: bool
    verdict: Verdict
    at: int = Field(
        default=1, description="Which of its goals came last, from 1: verdict and answer are of it."
    )
    ending: Ending
    answer: str | None = None
    steps: int = Field(description="Model calls after the plan.")
    tokens: int = Field(description="Tokens prefilled and generated.")
    seconds: float
    first_tool: str | None = Field(default=None, description="The first tool it called.")
    failure: FailureKind | None = Field(default=None, description="Why it was lost; none when it was not.")
    check_error: str = Field(default="", description="Why there is no verdict; such a task is not counted.")
    run_id: str | None = Field(default=None, description="In the record, when that was kept.")
    given: dict[str, Any] = Field(
        default_factory=dict,
        exclude=True,
        repr=False,
        description="The world it began in, as the task has it.",
    )
    trajectory: Trajectory | None = Field(default=None, exclude=True, repr=False)  # too large for the JSON
    earlier: tuple[Trajectory, ...] = Field(default=(), exclude=True, repr=False)  # of the goals before


class FamilyReport(Data):
    """One family of tasks; ``low`` and ``high`` are Wilson's 95 % interval of ``success``."""

    n: int = Field(description="Runs that could be judged.")
    passed: int
    success: float = Field(description="passed / n; 0 when n is 0.")
    low: float
    high: float
    failures: dict[str, int] = Field(description="Lost runs by failure kind.")
    check_errors: int = Field(default=0, description="Runs whose check could not be carried out; not in n.")


class Report(FamilyReport):
    """A whole evaluation: over all tasks, by family, and by split where tasks have one."""

    suite: str
    model: str = Field(description="Version of the model.")
    name: str = Field(default="", description="What the model was called, where it had a name.")
    seeds: tuple[int, ...]
    generated: bool = Field(description="Whether each seed has tasks of its own.")
    seconds: float = Field(description="Wall-clock time of the evaluation.")
    not_run: int = Field(default=0, description="Runs that were planned; above 0 when it was interrupted.")
    families: dict[str, FamilyReport]
    splits: dict[str, FamilyReport] = Field(
        default_factory=dict, description="Empty when no task has one; under '' the tasks without."
    )
    results: tuple[TaskResult, ...]

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def who(self) -> str:
        """The model, for people."""
        return called(self.name, self.model)

    @property
    def lost(self) -> dict[str, list[TaskResult]]:
        """The lost runs by failure kind, the most frequent kind first."""
        return {kind: [each for each in self.results if each.failure == kind] for kind in self.failures}


class FamilyChange(Data):
    """What changed in one family (or in all); ``low`` to ``high`` is the 95 % interval of ``difference``."""

    n: int = Field(description="Pairs.")
    wins: int = Field(description="Runs only the new model got right.")
    losses: int = Field(description="Runs only the old model got right.")
    difference: float = Field(description="Success of the new model minus that of the old, -1..1.")
    low: float = Field(default=0.0, description="The same as high where all pairs ended alike.")
    high: float = 0.0
    p: float = Field(default=1.0, description="McNemar's exact two-sided p, over tasks.")

    @property
    def told(self) -> bool:
        """Whether the interval says anything: a bootstrap of pairs that are all alike does not."""
        return self.low < self.high

    @property
    def trend(self) -> Literal["up", "down", ""]:
        """Whether it is more than chance: 0 is outside the interval or, where that is mute, p below 0.05."""
        if self.told:
            return "up" if self.low > 0 else "down" if self.high < 0 else ""
        return "" if self.p >= 0.05 else "up" if self.difference > 0 else "down"


class Comparison(FamilyChange):
    """Two models on the same tasks, paired; each is named by version, and as it was called where it was."""

    old: str
    new: str
    old_name: str = ""
    new_name: str = ""
    families: dict[str, FamilyChange]
    splits: dict[str, FamilyChange] = Field(default_factory=dict)


def called(name: str, version: str) -> str:
    """A model for people: its name, if it has one, and enough of a hash to tell it from others."""
    short = short_version(version)
    if not name or name in short:
        return short
    return name if short[:8] in name else f"{name} ({short})"


def summarize(
    results: Sequence[TaskResult],
    *,
    suite: str,
    model: str,
    name: str = "",
    generated: bool,
    seconds: float,
    not_run: int = 0,
) -> Report:
    """Count results by family and split.

    Where seeds repeat the same tasks, the intervals count tasks and not runs: a repetition is no new evidence
    about other tasks.
    """
    return Report(
        suite=suite,
        model=model,
        name=name,
        seeds=tuple(sorted({result.seed for result in results})),
        generated=generated,
        seconds=seconds,
        not_run=not_run,
        families=_by(lambda each: each.family, results, generated),
        splits=_by(lambda each: each.split, results, generated) if _split(results) else {},
        results=tuple(results),
        **dict(_count(results, generated)),
    )


def _split(results: Iterable[TaskResult]) -> bool:
    return any(result.split for result in results)


def _by(
    group: Callable[[TaskResult], str], results: Sequence[TaskResult], generated: bool
) -> dict[str, FamilyReport]:
    names = sorted({group(result) for result in results})
    return {name: _count([each for each in results if group(each) == name], generated) for name in names}


def _count(results: Sequence[TaskResult], generated: bool) -> FamilyReport:
    judged = [result for result in results if not result.check_error]
    passed = sum(result.success for result in judged)
    success = passed / len(judged) if judged else 0.0
    tasks = {(result.task, result.seed if generated else 0) for result in judged}
    low, high = wilson(success * len(tasks), len(tasks))
    kinds = Counter(result.failure for result in judged if result.failure is not None)
    order = sorted(kinds, key=lambda kind: (-kinds[kind], KINDS.index(kind)))
    return FamilyReport(
        n=len(judged),
        passed=passed,
        success=success,
        low=low,
        high=high,
        failures={kind: kinds[kind] for kind in order},
        check_errors=len(results) - len(judged),
    )


def compare(old: Report, new: Report) -> Comparison:
    """Pair two reports by task and seed. Tasks that either could not judge are left out.

    Raises:
        UsageError: they are not of the same tasks.
    """
    before, after = _by_task(old), _by_task(new)
    if before.keys() != after.keys() or any(before[key].goal != after[key].goal for key in before):
        raise UsageError(
            f"the reports of {old.model} and {new.model} are not of the same tasks: "
            "evaluate both on the same suite with the same seeds"
        )
    judged = [key for key in before if not before[key].check_error and not after[key].check_error]
    pairs = [(before[key], after[key]) for key in judged]
    generated = old.generated and new.generated

    def grouped(group: Callable[[TaskResult], str]) -> dict[str, FamilyChange]:
        names = sorted({group(first) for first, _ in pairs})
        of = {name: [pair for pair in pairs if group(pair[0]) == name] for name in names}
        return {name: _change(some, generated) for name, some in of.items()}

    return Comparison(
        **dict(_change(pairs, generated)),
        old=old.model,
        new=new.model,
        old_name=old.name,
        new_name=new.name,
        families=grouped(lambda each: each.family),
        splits=grouped(lambda each: each.split) if _split(old.results) else {},
    )


def _by_task(report: Report) -> dict[Hashable, TaskResult]:
    return {(result.task, result.seed): result for result in report.results}


def _change(pairs: Sequence[Pair], generated: bool) -> FamilyChange:
    differences = [float(last.success) - float(first.success) for first, last in pairs]
    wins, losses = differences.count(1.0), differences.count(-1.0)
    low, high = clustered_interval(differences, [first.task for first, _ in pairs])
    return FamilyChange(
        n=len(pairs),
        wins=wins,
        losses=losses,
        difference=(wins - losses) / len(pairs) if pairs else 0.0,
        low=low,
        high=high,
        p=_p_value(pairs, generated=generated),
    )


def _p_value(pairs: Sequence[Pair], *, generated: bool) -> float:
    """McNemar's test by task: a repeated task is one win, one loss, or neither."""
    net: Counter[Hashable] = Counter()
    for first, last in pairs:
        net[first.task, first.seed if generated else 0] += int(last.success) - int(first.success)
    return mcnemar(sum(won > 0 for won in net.values()), sum(won < 0 for won in net.values()))


def as_json(report: Report, baseline: Report | None = None, comparison: Comparison | None = None) -> str:
    """All of it as one JSON object, with worlds and trajectories, but without token ids and settings."""
    found = _whole(report)
    if baseline is not None:
        found["baseline"] = _whole(baseline)
    if comparison is not None:
        found["comparison"] = comparison.model_dump(mode="json")
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _whole(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report.model_dump_json())  # where NaN is null
    for entry, result in zip(found["results"], report.results, strict=True):
        runs = [*result.earlier, *([result.trajectory] if result.trajectory else [])]
        entry["given"] = result.given
        entry["trajectories"] = [json.loads(run.model_dump_json(exclude=_LEFT_OUT)) for run in runs]
    return found
