"""What an evaluation found: results, a summary by family, the comparison of two, and how they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from autoagent.errors import UsageError
from autoagent.evals.failures import KINDS, FailureKind
from autoagent.evals.stats import clustered_interval, mcnemar, wilson
from autoagent.trajectory import Data, Ending, Trajectory, Verdict

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod

_LOST_SHOWN = 10  # lost tasks that are listed


class TaskResult(Data):
    """How one task went."""

    task: str = Field(description="The task's id.")
    family: str
    goal: str
    seed: int
    success: bool
    verdict: Verdict
    ending: Ending
    answer: str | None = None
    steps: int = Field(description="Model calls after the plan.")
    tokens: int = Field(description="Tokens prefilled and generated.")
    seconds: float
    failure: FailureKind | None = Field(default=None, description="Why it was lost; none when it was not.")
    check_error: str = Field(default="", description="Why there is no verdict; such a task is not counted.")
    run_id: str | None = Field(default=None, description="In the record, when that was kept.")
    trajectory: Trajectory | None = Field(default=None, exclude=True, repr=False)  # too large for the JSON


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
    """A whole evaluation: over all tasks, and by family."""

    suite: str
    model: str = Field(description="Version of the model.")
    seeds: tuple[int, ...]
    generated: bool = Field(description="Whether each seed has tasks of its own.")
    seconds: float = Field(description="Wall-clock time of the evaluation.")
    families: dict[str, FamilyReport]
    results: tuple[TaskResult, ...]

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high


class FamilyChange(Data):
    """What changed in one family (or in all)."""

    n: int = Field(description="Pairs.")
    wins: int = Field(description="Tasks only the new model got right.")
    losses: int = Field(description="Tasks only the old model got right.")
    difference: float = Field(description="Success of the new model minus that of the old, -1..1.")


class Comparison(FamilyChange):
    """Two models on the same tasks, paired; ``low`` to ``high`` is the 95 % interval of ``difference``."""

    old: str
    new: str
    low: float
    high: float
    p: float = Field(description="McNemar's exact two-sided p, over tasks.")
    families: dict[str, FamilyChange]


def summarize(
    results: Sequence[TaskResult], *, suite: str, model: str, generated: bool, seconds: float
) -> Report:
    """Count results by family.

    Where seeds repeat the same tasks, the intervals count tasks and not runs: a repetition is no new evidence
    about other tasks.
    """
    families = sorted({result.family for result in results})
    return Report(
        suite=suite,
        model=model,
        seeds=tuple(sorted({result.seed for result in results})),
        generated=generated,
        seconds=seconds,
        families={name: _count([r for r in results if r.family == name], generated) for name in families},
        results=tuple(results),
        **dict(_count(results, generated)),
    )


def _count(results: Iterable[TaskResult], generated: bool) -> FamilyReport:
    results = list(results)
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
    differences = [float(last.success) - float(first.success) for first, last in pairs]
    low, high = clustered_interval(differences, [first.task for first, _ in pairs])
    total = _change(pairs)
    families = sorted({first.family for first, _ in pairs})
    return Comparison(
        **dict(total),
        old=old.model,
        new=new.model,
        low=low,
        high=high,
        p=_p_value(pairs, generated=old.generated and new.generated),
        families={name: _change([pair for pair in pairs if pair[0].family == name]) for name in families},
    )


def _p_value(pairs: Sequence[tuple[TaskResult, TaskResult]], *, generated: bool) -> float:
    """McNemar's test by task: a repeated task is one win, one loss, or neither."""
    net: Counter[Hashable] = Counter()
    for first, last in pairs:
        net[first.task, first.seed if generated else 0] += int(last.success) - int(first.success)
    return mcnemar(sum(won > 0 for won in net.values()), sum(won < 0 for won in net.values()))


def _by_task(report: Report) -> dict[Hashable, TaskResult]:
    return {(result.task, result.seed): result for result in report.results}


def _change(pairs: Sequence[tuple[TaskResult, TaskResult]]) -> FamilyChange:
    wins = sum(last.success and not first.success for first, last in pairs)
    losses = sum(first.success and not last.success for first, last in pairs)
    difference = (wins - losses) / len(pairs) if pairs else 0.0
    return FamilyChange(n=len(pairs), wins=wins, losses=losses, difference=difference)


def print_report(report: Report, console: Console) -> None:
    """Show a table by family, the total, what could not be checked, and the first tasks that were lost."""
    from rich.table import Table

    table = Table(title=f"{report.suite} · {report.model}", title_justify="left")
    table.add_column("family")
    for name in ("passed", "success", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("lost by")
    for name, family in report.families.items():
        table.add_row(name, *_cells(family))
    table.add_section()
    table.add_row("all", *_cells(report), style="bold")
    console.print(table)
    if len(report.seeds) > 1 and not report.generated:
        _say(console, f"{len(report.seeds)} seeds repeat the same tasks: intervals count tasks, not runs.")
    _print_lost(report, console)
    _say(console, f"{len(report.results)} runs in {report.seconds:.1f} s.")


def _print_lost(report: Report, console: Console) -> None:
    unjudged = [each for each in report.results if each.check_error]
    title = f"{len(unjudged)} not counted, their check could not be carried out:"
    _list(console, title, [f"{_name(report, each)}: {each.check_error}" for each in unjudged])
    lost = [each for each in report.results if each.failure]
    lines = [f"{_name(report, each)}: {each.failure}: {each.verdict.reason}" for each in lost]
    _list(console, f"{len(lost)} lost:", lines)


def _list(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        _say(console, title)
        for line in lines[:_LOST_SHOWN]:
            _say(console, f"  {line}", cut=True)
        if len(lines) > _LOST_SHOWN:
            _say(console, f"  … and {len(lines) - _LOST_SHOWN} more")


def _name(report: Report, result: TaskResult) -> str:
    return result.task + (f" (seed {result.seed})" if len(report.seeds) > 1 else "")


def _cells(family: FamilyReport) -> tuple[str, str, str, str]:
    lost = ", ".join(f"{count} {kind}" for kind, count in family.failures.items())
    unchecked = f"{family.check_errors} check errors" if family.check_errors else ""
    success = f"{family.success:.0%}" if family.n else "-"
    return (
        f"{family.passed}/{family.n}",
        success,
        f"{family.low:.0%}–{family.high:.0%}",
        "; ".join(part for part in (lost, unchecked) if part),
    )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Show what changed from the old model to the new one, in all and where it changed by family."""
    _say(console, f"{comparison.new} against {comparison.old}, {comparison.n} paired tasks:")
    _say(
        console,
        f"  {comparison.difference:+.1%} (95 % interval {comparison.low:+.1%} to {comparison.high:+.1%}), "
        f"{comparison.wins} won, {comparison.losses} lost, McNemar p = {comparison.p:.2g}",
    )
    for name, change in comparison.families.items():
        if change.wins or change.losses:
            counts = f"{change.wins} won, {change.losses} lost of {change.n}"
            _say(console, f"  {name}: {change.difference:+.1%}, {counts}")


def _say(console: Console, line: str, *, cut: bool = False) -> None:
    """Print one line as it is: ids and answers are not ours, so no markup is read in them."""
    text = " ".join(line.splitlines())
    overflow: OverflowMethod | None = "ellipsis" if cut else None
    console.print(text, markup=False, highlight=False, no_wrap=cut, overflow=overflow, soft_wrap=not cut)
