"""Reports as tables and lines for a console."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autoagent.evals import words
from autoagent.evals.report import Comparison, FamilyChange, FamilyReport, Report, TaskResult, called
from autoagent.evals.stats import points

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod
    from rich.table import Table

_LOST_SHOWN = 10  # lost tasks that are listed
_LONGEST_LINE = 300  # characters of one of them, where there is no terminal to fit
_OF_A_KIND = 3  # of them, when not all can be


def print_report(report: Report, console: Console) -> None:
    """Show success by family and split, what could not be checked, and the first tasks that were lost."""
    title = f"{report.suite} · {report.who}"
    if report.not_run:
        title += f" · interrupted: {_runs(report.not_run)} missing"
    _say(console, title)  # not as the table's title: it would be wrapped to a narrow table's width
    table = _table("family")
    _fill(table, report.families)
    table.add_section()
    table.add_row("all", *_cells(report), style="bold")
    console.print(table)
    if report.splits:
        splits = _table("split")
        _fill(splits, report.splits)
        console.print(splits)
    if len(report.seeds) > 1 and not report.generated:
        _say(console, f"{len(report.seeds)} seeds repeat the same tasks: intervals count tasks, not runs.")
    _print_lost(report, console)
    _say(console, f"{_runs(len(report.results))} in {report.seconds:.1f} s.")


def _table(what: str) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column(what)
    for name in ("passed", "success", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("lost by")
    return table


def _fill(table: Table, groups: dict[str, FamilyReport]) -> None:
    from rich.text import Text

    for name, group in groups.items():
        table.add_row(Text(name or "(none)"), *_cells(group))


def _cells(group: FamilyReport) -> tuple[str, str, str, str]:
    lost = ", ".join(f"{count} {kind}" for kind, count in group.failures.items())
    unchecked = f"{group.check_errors} not checked" if group.check_errors else ""
    return (
        f"{group.passed}/{group.n}",
        f"{group.success:.0%}" if group.n else "-",
        f"{group.low:.0%}–{group.high:.0%}",
        "; ".join(part for part in (lost, unchecked) if part),
    )


def _print_lost(report: Report, console: Console) -> None:
    unjudged = [each for each in report.results if each.check_error]
    if unjudged:
        _say(console, f"{len(unjudged)} not counted, their check could not be carried out:")
        lines = [(each, f"{_name(report, each)}: {each[0].check_error}") for each in _alike(unjudged)]
        _list(console, lines, len(unjudged))
    count = sum(report.failures.values())
    if count:
        _say(console, f"{count} lost:")
        kinds = [_alike(kind) for kind in report.lost.values()]
        each_of = None if sum(map(len, kinds)) <= _LOST_SHOWN else _OF_A_KIND
        shown = [each for kind in kinds for each in kind[:each_of]]
        lines = [
            (each, f"{_name(report, each)}: {each[0].failure}: {each[0].verdict.reason}") for each in shown
        ]
        _list(console, lines, count)


def _alike(results: Iterable[TaskResult]) -> list[list[TaskResult]]:
    """The repetitions of a task that ended alike, together."""
    groups: dict[tuple[str, int, str], list[TaskResult]] = {}
    for each in results:
        groups.setdefault((each.task, each.at, each.check_error or each.verdict.reason), []).append(each)
    return list(groups.values())


def _list(console: Console, lines: Sequence[tuple[Sequence[TaskResult], str]], count: int) -> None:
    """The first lines, and how many of the ``count`` runs are not in them."""
    for _, line in lines[:_LOST_SHOWN]:
        _say(console, f"  {line}", cut=True)
    if more := count - sum(len(runs) for runs, _ in lines[:_LOST_SHOWN]):
        _say(console, f"  … and {more} more")


def _name(report: Report, alike: Sequence[TaskResult]) -> str:
    result = alike[0]
    seeds = ", ".join(str(each.seed) for each in alike)
    about = [f"seed{'s' if len(alike) > 1 else ''} {seeds}"] if len(report.seeds) > 1 else []
    about += [f"goal {result.at} of {len(result.expected)}"] if len(result.expected) > 1 else []
    about += [result.run_id] if result.run_id else []
    return result.task + (f" ({', '.join(about)})" if about else "")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Show what changed from the old model to the new one: in all, by split, and in the families it did."""
    new, old = called(comparison.new_name, comparison.new), called(comparison.old_name, comparison.old)
    interval = "no interval: all pairs are alike"
    if comparison.told:
        interval = f"95 % interval {points(comparison.low)} to {points(comparison.high)}"
    _say(console, f"{new} against {old}, {_runs(comparison.n)} of each:")
    _say(
        console,
        f"  {points(comparison.difference)} points ({interval}), "
        f"{comparison.wins} won, {comparison.losses} lost, McNemar p = {comparison.p:.2g}",
    )
    changed = {name: each for name, each in comparison.families.items() if each.wins or each.losses}
    for what, groups in (("split", comparison.splits), ("family", changed)):
        if groups:
            console.print(_changes(what, groups))
    if same := len(comparison.families) - len(changed):
        _say(console, f"{same} {'family is' if same == 1 else 'families are'} unchanged.")


def _changes(what: str, groups: dict[str, FamilyChange]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column(what)
    for name in ("pairs", "won", "lost", "change", "95 %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, group in groups.items():
        counts = (str(group.n), str(group.wins), str(group.losses))
        interval = f"{group.low:+.0%} to {group.high:+.0%}" if group.told else "–"
        table.add_row(Text(name or "(none)"), *counts, f"{group.difference:+.0%}", interval, f"{group.p:.2g}")
    return table


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _say(console: Console, line: str, *, cut: bool = False) -> None:
    """Print one line as it is: ids and answers are not ours, so no markup is read in them.

    Args:
        console: Where to.
        line: What.
        cut: Whether it may lose its end where it is too long for the terminal, or for a log.
    """
    text = " ".join(line.splitlines())
    if cut and not console.is_terminal:
        text, cut = words.cut(text, _LONGEST_LINE), False
    overflow: OverflowMethod | None = "ellipsis" if cut else None
    console.print(text, markup=False, highlight=False, no_wrap=cut, overflow=overflow, soft_wrap=not cut)
