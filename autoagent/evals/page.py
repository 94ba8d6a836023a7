"""A report as one page of HTML: no scripts, no network, everything in it written as text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from autoagent.evals.report import Comparison, FamilyChange, FamilyReport, Report, TaskResult
from autoagent.plan import parsed
from autoagent.store.page import environment
from autoagent.trajectory import Step

MOST_STEPS = 500  # lost runs that are shown step by step; the others are listed
_EXAMPLES = 3  # passed runs of each family that are shown
_CUT = 6_000  # characters of an observation; more is left out


@dataclass(frozen=True)
class Row:
    """A line of a table: one family, one split, or all."""

    name: str
    new: FamilyReport
    old: FamilyReport | None = None
    change: FamilyChange | None = None


@dataclass(frozen=True)
class Shown:
    """A run on the page."""

    anchor: str
    result: TaskResult
    other: TaskResult | None = None  # the same task, done by the other model
    whole: bool = True  # with its steps


def page(report: Report, baseline: Report | None = None, comparison: Comparison | None = None) -> str:
    """The page of a report, and of its comparison with a baseline if there is one."""
    template = environment(Path(__file__).parent).get_template("page.html.j2")
    lost = _lost(report, baseline)
    return template.render(
        report=report,
        baseline=baseline,
        comparison=comparison,
        everything=Row("all", report, baseline, comparison),
        splits=list(_rows("splits", report, baseline, comparison)),
        families=list(_rows("families", report, baseline, comparison)),
        lost=lost,
        won=[] if baseline is None else list(_won(report, baseline)),
        unlearned=[run for kind in lost.values() for run in kind if run.other and run.other.success],
        unjudged=[Shown(f"c{n}", each) for n, each in enumerate(report.results) if each.check_error],
        examples=list(_examples(report)),
        made=time.strftime("%Y-%m-%d %H:%M"),
        most=MOST_STEPS,
        thought=_thought,
        planned=lambda step: parsed(step.reply.value) if step.kind == "plan" else (),
        shortened=_shortened,
    )


def _rows(
    by: Literal["families", "splits"], new: Report, old: Report | None, comparison: Comparison | None
) -> Iterator[Row]:
    before: dict[str, FamilyReport] = getattr(old, by) if old else {}
    changes: dict[str, FamilyChange] = getattr(comparison, by) if comparison else {}
    for name, group in getattr(new, by).items():
        yield Row(name or "(none)", group, before.get(name), changes.get(name))


def _by_task(report: Report | None) -> dict[Any, TaskResult]:
    return {} if report is None else {(each.task, each.seed): each for each in report.results}


def _lost(report: Report, baseline: Report | None) -> dict[str, list[Shown]]:
    before = _by_task(baseline)
    kinds: dict[str, list[Shown]] = {}
    number = 0
    for kind, results in report.lost.items():
        kinds[kind] = []
        for each in results:
            number += 1
            other = before.get((each.task, each.seed))
            kinds[kind].append(Shown(f"r{number}", each, other, whole=number <= MOST_STEPS))
    return kinds


def _won(report: Report, baseline: Report) -> Iterator[Shown]:
    """What only the new model got right, as the old one did it."""
    after = _by_task(report)
    for number, each in enumerate(baseline.results):
        other = after.get((each.task, each.seed))
        if each.failure and other and other.success:
            yield Shown(f"b{number}", each, other)


def _examples(report: Report) -> Iterator[Shown]:
    for family in report.families:
        passed: Iterable[Shown] = (
            Shown(f"p{number}", each)
            for number, each in enumerate(report.results)
            if each.success and each.family == family
        )
        yield from islice(passed, _EXAMPLES)


def _thought(step: Step) -> str:
    """What the model said in words, beside its calls."""
    if step.kind != "act":
        return ""
    said = step.reply.text.strip()
    return "" if said in {call.name for call in step.reply.calls} else said


def _shortened(text: str) -> str:
    return text if len(text) <= _CUT else f"{text[:_CUT]}\n… {len(text) - _CUT:,} more characters"
